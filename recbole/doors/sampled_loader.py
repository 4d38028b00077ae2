"""RecBole's loader of an evaluation whose candidates are drawn, or that has labels."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
import torch

from recbole.data.ids import distinct, held
from recbole.data.interaction import Interaction
from recbole.data.split import TRAIN
from recbole.doors.loaders import EvalDataLoader
from recbole.utils import UserError, stream

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
        generator = stream(self.config["seed"], "candidates", self.part)
        for at in range(0, len(self.rows.inputs), self.step):
            yield self._batch(np.arange(at, min(at + self.step, len(self.rows.inputs))), generator)

    def _batch(self, rows: np.ndarray, generator: np.random.Generator) -> Batch:
        right, times = self.rows.positives.take(rows), self.neg_sample_args["sample_num"]
        drawn = self._drawn(rows, right.sizes() * times, generator)
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

    def _drawn(self, rows: np.ndarray, sizes: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return ``sizes`` candidates for each of the rows, int64, row after row."""
        n_items, row = self.dataset.n_items, np.repeat(np.arange(len(rows)), sizes)
        has = [part.take(rows) for part in (self.rows.history, self.rows.positives)]
        keys = [np.repeat(np.arange(len(rows)), part.sizes()) * n_items + part.values for part in has]
        taken = distinct(np.concatenate(keys))
        possible = np.flatnonzero(np.diff(self._chances, prepend=0.0))
        if any(np.isin(possible + n_items * at, taken).all() for at in range(len(rows))):
            raise UserError(f"{self.dataset.log.name}: somebody has every item, so that no candidate can be drawn")
        items, wrong = np.empty(len(row), dtype=np.int64), np.arange(len(row))
        while len(wrong):
            items[wrong] = np.searchsorted(self._chances, generator.random(len(wrong)), side="right")
            wrong = wrong[held(row[wrong] * n_items + items[wrong], taken)]
        return items

    @cached_property
    def _chances(self) -> np.ndarray:
        """The cumulated chance of each item to be drawn, float64 [n_items]."""
        log = self.dataset.log
        weights = np.ones(self.dataset.n_items)
        if self.neg_sample_args["distribution"] == "popularity":
            weights = np.bincount(log.item[log.split == TRAIN], minlength=len(weights)).astype(float)
        weights[0] = 0.0
        return np.cumsum(weights) / weights.sum()
