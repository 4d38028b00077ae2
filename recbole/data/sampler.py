"""Negative items, drawn without a Python loop."""

from __future__ import annotations

import numpy as np

from recbole.data.dataset import Dataset
from recbole.data.ids import distinct
from recbole.utils import UserError

_BITMAP_BYTES = 64 * 2**20


class PairSet:
    """Which (user, item) pairs are retained training pairs; a bitmap if it is small, else a sorted search."""

    def __init__(self, dataset: Dataset) -> None:
        self.n_items = dataset.n_items
        rows = dataset.train_rows
        keys = dataset.log.user[rows] * self.n_items + dataset.log.item[rows]
        n_bytes = dataset.n_users * self.n_items // 8 + 1
        self.bitmap: np.ndarray | None = None
        if n_bytes <= _BITMAP_BYTES:
            self.bitmap = np.zeros(n_bytes, dtype=np.uint8)
            np.bitwise_or.at(self.bitmap, keys >> 3, _bit(keys))
        else:
            self.keys = distinct(keys)
            self.gone = np.zeros(len(self.keys), dtype=bool)

    def contains(self, users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return a bool array: which pairs are in the set."""
        keys = users * self.n_items + items
        if self.bitmap is not None:
            return (self.bitmap[keys >> 3] & _bit(keys)) != 0
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return (self.keys[at] == keys) & ~self.gone[at]

    def discard(self, users: np.ndarray, items: np.ndarray) -> None:
        """Take pairs out, at a cost that follows their number."""
        keys = users * self.n_items + items
        if self.bitmap is not None:
            np.bitwise_and.at(self.bitmap, keys >> 3, ~_bit(keys))
        else:
            at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
            self.gone[at[self.keys[at] == keys]] = True


def _bit(keys: np.ndarray) -> np.ndarray:
    return np.left_shift(np.uint8(1), (keys & 7).astype(np.uint8))


class NegativeSampler:
    """Draws items that a user has no retained training interaction with.

    Attributes:
        of: which field's ids :meth:`sample` takes: ``uid_field`` here.

    Args:
        dataset: the training data under its current mask.
        distribution: ``"uniform"``, or ``"popularity"`` (training count to the power ``alpha``); a
            :class:`~recbole.config.Config` refuses others.
        alpha: exponent of the popularity.

    Raises:
        UserError: when some user has every item that could be drawn.
    """

    of = "uid_field"

    def __init__(self, dataset: Dataset, distribution: str = "uniform", alpha: float = 1.0) -> None:
        self.log, self.n_items, self.alpha = dataset.log, dataset.n_items, alpha
        self.counts: np.ndarray | None = None
        self.cumulative: np.ndarray | None = None
        self._learn(dataset)
        rows = dataset.train_rows
        if distribution == "popularity":
            self.counts = np.bincount(self.log.item[rows], minlength=self.n_items)
            self.counted = np.zeros(len(self.log), dtype=bool)
            self.counted[rows] = True
            self.cumulative = self._accumulate(self.counts)
        else:
            self._refuse_full(np.arange(1, self.n_items))

    def _learn(self, dataset: Dataset) -> None:
        self.pairs = PairSet(dataset)
        users = self.log.user[dataset.train_rows]
        self.held = np.bincount(users, minlength=dataset.n_users)  # never less than what is retained

    def forget(self, rows: np.ndarray) -> None:
        """Follow the mask: what log rows (int64) that it now covers said of pairs and of popularity is forgotten.

        The cost follows the rows. That of popularity's next draw follows the number of items and users, once.
        """
        self._discard(rows)
        if self.counts is not None:
            rows = distinct(rows)
            rows = rows[self.counted[rows]]
            self.counted[rows] = False
            np.subtract.at(self.counts, self.log.item[rows], 1)
            self.cumulative = None

    def _discard(self, rows: np.ndarray) -> None:
        self.pairs.discard(self.log.user[rows], self.log.item[rows])

    def _taken(self, ids: np.ndarray, items: np.ndarray) -> np.ndarray:
        return self.pairs.contains(ids, items)

    def _accumulate(self, counts: np.ndarray) -> np.ndarray:
        items = np.flatnonzero(counts)
        self._refuse_full(items)
        weights = np.zeros(self.n_items)
        weights[items] = counts[items].astype(np.float64) ** self.alpha
        return np.cumsum(weights)

    def _refuse_full(self, candidates: np.ndarray) -> None:
        """Refuse to draw for ever: somebody has every candidate. Looks at no more pairs than there are rows."""
        users = np.flatnonzero(self.held >= len(candidates))
        having = self.pairs.contains(np.repeat(users, len(candidates)), np.tile(candidates, len(users)))
        if having.reshape(len(users), len(candidates)).all(axis=1).any():
            raise UserError(f"{self.log.name}: a user has every item, so that there is no negative for them")

    def _draw(self, n: int, generator: np.random.Generator) -> np.ndarray:
        if self.counts is None:
            return generator.integers(1, self.n_items, size=n)
        if self.cumulative is None:
            self.cumulative = self._accumulate(self.counts)
        return np.searchsorted(self.cumulative, generator.random(n) * self.cumulative[-1], side="right")

    def sample(self, ids: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Return one negative item (int64 [n]) for each of the ids (int64 [n]).

        What is no negative is drawn again, and only that.

        Raises:
            UserError: when forgetting has left some user with every item that could be drawn by popularity.
        """
        items = self._draw(len(ids), generator)
        wrong = np.flatnonzero(self._taken(ids, items))
        while len(wrong):
            items[wrong] = self._draw(len(wrong), generator)
            wrong = wrong[self._taken(ids[wrong], items[wrong])]
        return items


class NextItemSampler(NegativeSampler):
    """Draws items other than the next one of a sequence, as RecBole does: items that it held before may be drawn."""

    of = "iid_field"

    def _learn(self, dataset: Dataset) -> None:
        """Do nothing: the target is in the batch."""

    def _discard(self, rows: np.ndarray) -> None:
        """Do nothing."""

    def _taken(self, ids: np.ndarray, items: np.ndarray) -> np.ndarray:
        return ids == items

    def _refuse_full(self, candidates: np.ndarray) -> None:
        if len(candidates) < 2:
            raise UserError(f"{self.log.name}: fewer than two items can be drawn, so that there is no negative")
