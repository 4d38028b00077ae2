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
    """Data for collaborative filtering: a training example is a (user, item) pair, identified by its log row."""

    task_type = "CF"

    @staticmethod
    def label(config: Config, log: InteractionLog) -> np.ndarray:
        """Return the split label of every row, int8 [len(log)].

        Labels that the log already has are kept (separate files define the split, or all rows are split together).
        Otherwise each user's rows are split.
        """
        return log.split if len(log.split) else split_labels(np.diff(log.offsets), config["eval_args"]["split"])

    def collate(self, examples: np.ndarray) -> Interaction:
        """Return the batch of examples (int64 [n], log rows): user ids, item ids and the log's further columns."""
        log = self.log
        columns = {self.uid_field: log.user[examples], self.iid_field: log.item[examples]}
        return Interaction(columns | {name: values[examples] for name, values in self.columns.items()})

    def examples_touching(self, rows: np.ndarray) -> np.ndarray:
        """Return the retained training rows among ``rows`` (int64): in CF every log row is its own example."""
        return self.still_examples(rows[self.log.split[rows] == SPLITS["train"]])

    def questions(self, split: str) -> EvalRows:
        """Return one evaluation row (ranking) for each user with a retained row in ``split``.

        The user's retained items from earlier splits are the history, which a ranking leaves out. With the setting
        ``repeatable`` the history is empty, so that known items may be recommended again. Users whose rows in ``split``
        are all forgotten are counted in ``n_skipped``.
        """
        label = SPLITS[split]
        rows = np.flatnonzero(self.log.split == label)
        users, remaining = distinct(self.log.user[rows]), distinct(self.log.user[rows[~self.forgotten[rows]]])
        return self._rows(remaining, label, n_skipped=len(users) - len(remaining))

    def labelled(self, rows: EvalRows, split: str) -> Labelled:
        """Return the items of a split's retained log rows with their binary labels, grouped by user as in ``rows``."""
        of = np.flatnonzero((self.log.split == SPLITS[split]) & ~self.forgotten)
        place = np.searchsorted(rows.entity, self.log.user[of])
        return Labelled.of(self, of, Ragged(self.log.item[of], group_offsets(place, len(rows.entity))))

    def exposure_rows(self, users: np.ndarray) -> EvalRows:
        """Return one evaluation row (ranking) for each user (int64 ids); no item is relevant.

        The user's retained items of all splits are the history, which the ranking leaves out (unless ``repeatable``).
        """
        return self._rows(np.asarray(users, dtype=np.int64), None, 0)

    def _rows(self, users: np.ndarray, label: int | None, n_skipped: int) -> EvalRows:
        positives, history = self._pairs(users, label)
        if self.config["repeatable"]:
            history = Ragged(history.values[:0], np.zeros_like(history.offsets))
        inputs, vocabulary = Interaction({self.uid_field: users}), self.log.vocabulary
        return EvalRows(inputs, users, positives, history, n_skipped, vocabulary=vocabulary)

    def _pairs(self, users: np.ndarray, label: int | None) -> tuple[Ragged, Ragged]:
        """Return the relevant items and the histories of users, each as :class:`Ragged` with one row per user.

        Relevant are the retained items with split label ``label``. The history has the retained items of earlier
        splits, except relevant ones. If ``label`` is None, no item is relevant, and the history has all retained items.
        """
        rows = self.log.rows_of(users)
        rank = np.repeat(np.arange(len(users)), np.diff(self.log.offsets)[users])
        labels = self.log.split[rows]
        kept = ~self.forgotten[rows] if label is None else ~self.forgotten[rows] & (labels <= label)
        pair = rank[kept] * self.n_items + self.log.item[rows[kept]]
        seen = np.ones(len(pair), dtype=bool) if label is None else labels[kept] < label
        marked = distinct(2 * pair + seen)  # a relevant pair sorts before the same pair as history
        pair = marked >> 1
        seen = marked & 1 > 0
        seen[1:] &= pair[1:] != pair[:-1]
        return self._ragged(pair[marked & 1 == 0], len(users)), self._ragged(pair[seen], len(users))

    def _ragged(self, keys: np.ndarray, n_rows: int) -> Ragged:
        """Return the items of ascending keys ``row * n_items + item``, grouped by row."""
        return Ragged(keys % self.n_items, group_offsets(keys // self.n_items, n_rows))
