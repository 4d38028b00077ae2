"""Collaborative filtering: a training example is one (user, item) pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recbole.data.dataset import AtomicDataset
from recbole.data.ids import distinct
from recbole.data.interaction import Interaction
from recbole.data.log import InteractionLog, group_offsets
from recbole.data.questions import EvalRows, Labelled
from recbole.data.ragged import Ragged
from recbole.data.split import SPLITS, split_labels

if TYPE_CHECKING:
    from recbole.config import Config


class GeneralDataset(AtomicDataset):
    """Pairs; an example is named by its log row."""

    task_type = "CF"

    @staticmethod
    def label(config: Config, log: InteractionLog) -> np.ndarray:
        """Split each user's rows in their order, unless the files say the split."""
        return log.split if len(log.split) else split_labels(np.diff(log.offsets), config["eval_args"]["split"])

    def collate(self, examples: np.ndarray) -> Interaction:
        """Return user and item ids, and the numeric columns of the rows."""
        log = self.log
        columns = {self.uid_field: log.user[examples], self.iid_field: log.item[examples]}
        return Interaction(columns | {name: values[examples] for name, values in self.columns.items()})

    def examples_touching(self, rows: np.ndarray) -> np.ndarray:
        """Return the retained training rows among ``rows``: a pair is its own example."""
        return self.still_examples(rows[self.log.split[rows] == SPLITS["train"]])

    def questions(self, split: str) -> EvalRows:
        """Ask once for each user with a retained row in ``split``; the rows of earlier splits are history.

        Where ``repeatable`` is set there is no history: what people have may be recommended again.
        """
        label = SPLITS[split]
        rows = np.flatnonzero(self.log.split == label)
        users, asked = distinct(self.log.user[rows]), distinct(self.log.user[rows[~self.forgotten[rows]]])
        return self._rows(asked, label, n_skipped=len(users) - len(asked))

    def labelled(self, rows: EvalRows, split: str) -> Labelled:
        """Return the retained rows of a split, each with its label."""
        of = np.flatnonzero((self.log.split == SPLITS[split]) & ~self.forgotten)
        place = np.searchsorted(rows.entity, self.log.user[of])
        return Labelled.of(self, of, Ragged(self.log.item[of], group_offsets(place, len(rows.entity))))

    def exposure_rows(self, users: np.ndarray) -> EvalRows:
        """Ask once for each user; everything retained is history, nothing is to be found."""
        return self._rows(np.asarray(users, dtype=np.int64), None, 0)

    def _rows(self, users: np.ndarray, label: int | None, n_skipped: int) -> EvalRows:
        positives, history = self._pairs(users, label)
        if self.config["repeatable"]:
            history = Ragged(history.values[:0], np.zeros_like(history.offsets))
        inputs, vocabulary = Interaction({self.uid_field: users}), self.log.vocabulary
        return EvalRows(inputs, users, positives, history, n_skipped, vocabulary=vocabulary)

    def _pairs(self, users: np.ndarray, label: int | None) -> tuple[Ragged, Ragged]:
        """Return the retained items of a split and of the splits before it (all of them if None), per user."""
        rows = self.log.rows_of(users)
        rank = np.repeat(np.arange(len(users)), np.diff(self.log.offsets)[users])
        labels = self.log.split[rows]
        kept = ~self.forgotten[rows] if label is None else ~self.forgotten[rows] & (labels <= label)
        pair = rank[kept] * self.n_items + self.log.item[rows[kept]]
        seen = np.ones(len(pair), dtype=bool) if label is None else labels[kept] < label
        marked = distinct(2 * pair + seen)  # a pair that is to be found comes before itself as one that was seen
        pair = marked >> 1
        seen = marked & 1 > 0
        seen[1:] &= pair[1:] != pair[:-1]
        return self._ragged(pair[marked & 1 == 0], len(users)), self._ragged(pair[seen], len(users))

    def _ragged(self, keys: np.ndarray, n_rows: int) -> Ragged:
        return Ragged(keys % self.n_items, group_offsets(keys // self.n_items, n_rows))
