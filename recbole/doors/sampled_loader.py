"""RecBole's loader for evaluation with sampled candidates or with labels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch

from recbole.data.interaction import Interaction
from recbole.doors.loaders import EvalDataLoader

Batch = tuple[Interaction, torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]

_KINDS = {"uni": "uniform", "pop": "popularity"}


class NegSampleEvalDataLoader(EvalDataLoader):
    """Yields the evaluation rows of a split with sampled candidates: 100 for each relevant item in the mode ``uni100``.

    As in RecBole, a batch is a tuple: (user, candidate) pairs as an :class:`Interaction`, with each user's relevant
    items first; the row index of each pair, int64; the row index of each relevant item, int64; and the id of each
    relevant item, int64. No sampled item is among the user's items in this split or an earlier one. In the mode
    ``labeled`` nothing is sampled: a batch consists of ``eval_batch_size`` interactions of the split, and three times
    None.
    """

    @cached_property
    def neg_sample_args(self) -> dict[str, Any]:
        """How candidates are sampled: ``distribution`` (uniform, popularity, none) and ``sample_num`` per item."""
        mode = str(self.config["eval_args"]["mode"][self.part])
        if mode[:3] not in _KINDS:
            return {"distribution": "none", "sample_num": 0}
        return {"distribution": _KINDS[mode[:3]], "sample_num": int(mode[3:])}

    @property
    def labelled(self) -> bool:
        """Whether the mode is ``labeled``, in which nothing is sampled."""
        return self.neg_sample_args["sample_num"] == 0

    def _sizes(self) -> tuple[int, int]:
        """Return the number of users per batch, and the largest number of pairs that these users can have.

        The number of users is the largest for which every batch has at most ``eval_batch_size`` pairs, but at least 1.
        """
        size = int(self.config["eval_batch_size"])
        if self.labelled:
            return size, size
        pairs = self.rows.positives.sizes() * (1 + self.neg_sample_args["sample_num"])
        ends = np.cumsum(np.sort(pairs)[::-1])
        people = max(int(np.searchsorted(ends, size, side="right")), 1)
        return people, int(ends[min(people, len(ends)) - 1]) if len(ends) else 0

    def __len__(self) -> int:
        n_rows = len(self.dataset.shown_examples()) if self.labelled else len(self.rows.inputs)
        return math.ceil(n_rows / self.step)

    def __iter__(self) -> Iterator[Batch]:
        if self.labelled:
            examples = self.dataset.shown_examples()
            for at in range(0, len(examples), self.step):
                yield self.dataset.join(self.dataset.collate(examples[at : at + self.step])), None, None, None
            return
        for at in range(0, len(self.rows.inputs), self.step):
            yield self._batch(np.arange(at, min(at + self.step, len(self.rows.inputs))))

    def _batch(self, rows: np.ndarray) -> Batch:
        right, times = self.rows.positives.take(rows), self.neg_sample_args["sample_num"]
        drawn = self._drawn(rows)
        ends = np.cumsum(right.sizes() * times)
        parts = [
            part
            for at in range(len(rows))
            for part in (
                right.values[right.offsets[at] : right.offsets[at + 1]],
                drawn[ends[at] - right.sizes()[at] * times : ends[at]],
            )
        ]
        row = torch.from_numpy(np.repeat(np.arange(len(rows)), right.sizes() * (times + 1)))
        pairs = self.rows.inputs[rows][row]
        pairs[self.dataset.iid_field] = torch.from_numpy(np.concatenate(parts))
        positive = torch.from_numpy(np.repeat(np.arange(len(rows)), right.sizes()))
        return self.dataset.join(pairs), row, positive, torch.from_numpy(right.values.copy())

    def _drawn(self, rows: np.ndarray) -> np.ndarray:
        """Return the sampled item ids of the rows, int64, row after row. The evaluation uses the same samples."""
        if self.rows.sampled is None:
            return np.empty(0, dtype=np.int64)
        return self.rows.sampled.draw(self.rows, int(rows[0]), int(rows[-1]) + 1)[1]
