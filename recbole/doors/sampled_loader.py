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
    """Yields the users (in sequential data: examples) of a split for evaluation with sampled candidate items.

    Each relevant item is ranked together with sampled items, for example 100 in the mode ``uni100``. No sampled item is
    among the user's items in this split or an earlier one. As in RecBole, a batch is a tuple of four elements:

    - an :class:`Interaction` with one row per pair of user and candidate item, each user's relevant items first;
    - int64 [pairs], the index in the batch of the user of each pair;
    - int64 [m], for each relevant item the index in the batch of its user;
    - int64 [m], the ids of the relevant items.

    In the mode ``labeled`` nothing is sampled: the first element has up to ``eval_batch_size`` interactions of the
    split, and the other three are None.
    """

    @cached_property
    def neg_sample_args(self) -> dict[str, Any]:
        """How candidate items are sampled, a dict with two keys.

        ``distribution`` is ``uniform``, ``popularity`` or ``none``; ``sample_num`` is the number of sampled items for
        each relevant item, 0 if nothing is sampled.
        """
        mode = str(self.config["eval_args"]["mode"][self.part])
        if mode[:3] not in _KINDS:
            return {"distribution": "none", "sample_num": 0}
        return {"distribution": _KINDS[mode[:3]], "sample_num": int(mode[3:])}

    @property
    def labelled(self) -> bool:
        """Whether the mode is ``labeled``, in which nothing is sampled."""
        return self.neg_sample_args["sample_num"] == 0

    def _sizes(self) -> tuple[int, int]:
        """Return the number of evaluation rows (users) per batch, and the largest number of pairs in a batch.

        A pair is a user with a candidate item. The number of users is the largest one with which no batch has more than
        ``eval_batch_size`` pairs, but at least 1. In the mode ``labeled``, both numbers are ``eval_batch_size``.
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
        """Return the sampled items of some evaluation rows; :meth:`Trainer.evaluate` ranks the same ones.

        Args:
            rows: int64, consecutive indices of evaluation rows.

        Returns:
            int64, item ids, concatenated row after row.
        """
        if self.rows.sampled is None:
            return np.empty(0, dtype=np.int64)
        return self.rows.sampled.draw(self.rows, int(rows[0]), int(rows[-1]) + 1)[1]
