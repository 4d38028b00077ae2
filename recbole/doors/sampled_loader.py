"""RecBole's loader of an evaluation whose candidates are drawn, or that has labels."""

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
    """The questions of a part with candidates that are drawn: ``uni100`` or ``pop200``, so many for each right item.

    A batch is RecBole's: (person, candidate) pairs, of each person the right items first; the row of each pair; row and
    item of what is right. No candidate is among what the person has in this part or an earlier one. With ``labeled``
    nothing is drawn: a batch is ``eval_batch_size`` interactions of the part, and None three times.
    """

    @cached_property
    def neg_sample_args(self) -> dict[str, Any]:
        """How candidates are drawn: ``distribution`` and ``sample_num``."""
        mode = str(self.config["eval_args"]["mode"][self.part])
        if mode[:3] not in _KINDS:
            return {"distribution": "none", "sample_num": 0}
        return {"distribution": _KINDS[mode[:3]], "sample_num": int(mode[3:])}

    @property
    def labelled(self) -> bool:
        """Whether nothing is drawn."""
        return self.neg_sample_args["sample_num"] == 0

    def _sizes(self) -> tuple[int, int]:
        """Return how many people make a batch, those with most pairs filling ``eval_batch_size``, and its pairs."""
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
        """Return the candidates of the rows, int64, row after row: those that an evaluation compares with."""
        if self.rows.sampled is None:
            return np.empty(0, dtype=np.int64)
        return self.rows.sampled.draw(self.rows, int(rows[0]), int(rows[-1]) + 1)[1]
