"""Collaborative filtering: a training example is one (user, item) pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recbole.data.dataset import AtomicDataset, Ragged
from recbole.data.interaction import Interaction
from recbole.data.log import InteractionLog, distinct, group_offsets
from recbole.data.questions import EvalRows
from recbole.data.split import SPLITS, split_labels

if TYPE_CHECKING:
    from recbole.config import Config


class GeneralDataset(AtomicDataset):
    """Pairs; an example is named by its log row."""

    task_type = "CF"

    @staticmethod
    def label(config: Config, log: InteractionLog) -> np.ndarray:
        """Split each user's rows in their order."""
        return split_labels(np.diff(log.offsets), config["eval_args"]["split"])

    def collate(self, examples: np.ndarray) -> Interaction:
        """Return user and item ids, and the numeric columns of the rows."""
        log = self.log
        columns = {self.uid_field: log.user[examples], self.iid_field: log.item[examples]}
        return Interaction(columns | {name: values[examples] for name, values in log.columns.items()})

    def examples_touching(self, rows: np.ndarray) -> np.ndarray:
        """Return the retained training rows among ``rows``: a pair is its own example."""
        return self.still_examples(rows[self.log.split[rows] == SPLITS["train"]])

    def eval_rows(self, split: str) -> EvalRows:
        """Ask once for each user with a retained row in ``split``; the rows of earlier splits are history."""
        label = SPLITS[split]
        users = distinct(self.log.user[self.log.split == label], self.n_users)
        rows = self._pairs(users, label)
        kept = np.flatnonzero(rows[0].sizes())
        return self._rows(users[kept], label, n_skipped=len(users) - len(kept))

    def exposure_rows(self, users: np.ndarray) -> EvalRows:
        """Ask once for each user; everything retained is history, nothing is to be found."""
        return self._rows(np.asarray(users, dtype=np.int64), None, 0)

    def _rows(self, users: np.ndarray, label: int | None, n_skipped: int) -> EvalRows:
        positives, history = self._pairs(users, label)
        inputs, vocabulary = Interaction({self.uid_field: users}), self.log.vocabulary
        return EvalRows(inputs, users, positives, history, n_skipped, vocabulary=vocabulary)

    def _pairs(self, users: np.ndarray, label: int | None) -> tuple[Ragged, Ragged]:
        """Return the retained items of a split and of the splits before it (all of them if None), per user."""
        rows = self.log.rows_of(users)
        rank = np.repeat(np.arange(len(users)), np.diff(self.log.offsets)[users])
        kept = ~self.forgotten[rows]
        rows, key = rows[kept], rank[kept] * self.n_items + self.log.item[rows[kept]]
        labels = self.log.split[rows]
        right = _sorted_once(key[labels == label]) if label is not None else np.empty(0, dtype=np.int64)
        seen = _sorted_once(key if label is None else key[labels < label])
        if len(right):
            seen = seen[right[np.searchsorted(right, seen).clip(max=len(right) - 1)] != seen]
        return self._ragged(right, len(users)), self._ragged(seen, len(users))

    def _ragged(self, keys: np.ndarray, n_rows: int) -> Ragged:
        return Ragged(keys % self.n_items, group_offsets(keys // self.n_items, n_rows))


def _sorted_once(keys: np.ndarray) -> np.ndarray:
    """Return ``np.unique(keys)``, by a sort; NumPy's hash table takes ten times as long."""
    keys = np.sort(keys)
    return keys[np.diff(keys, prepend=-1) > 0]
