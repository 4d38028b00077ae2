"""Negative items, drawn without a Python loop."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recbole.data.dataset import Dataset
from recbole.data.ids import distinct
from recbole.utils import UserError

_BITMAP_BYTES = 64 * 2**20

Uniforms = Callable[[int, np.ndarray], np.ndarray]
"""``(turn, places) -> float64 [len(places)]``, evenly from [0, 1): what the places (int64) draw in a turn (from 0)."""


def in_turn(generator: np.random.Generator) -> Uniforms:
    """Return draws that a generator hands out one after the other, whoever asks."""
    return lambda turn, places: generator.random(len(places))


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
    doubtful = False

    def __init__(self, dataset: Dataset, distribution: str = "uniform", alpha: float = 1.0) -> None:
        self.log, self.n_items, self.alpha = dataset.log, dataset.n_items, alpha
        self.popularity: _Popularity | None = None
        self._learn(dataset)
        if distribution == "popularity":
            self.popularity = _Popularity(dataset, alpha)
            self._refuse_full(self.popularity.candidates)
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
        if self.popularity is not None:
            self.popularity.forget(rows)
            self.doubtful = True

    def _discard(self, rows: np.ndarray) -> None:
        self.pairs.discard(self.log.user[rows], self.log.item[rows])

    def _taken(self, ids: np.ndarray, items: np.ndarray) -> np.ndarray:
        return self.pairs.contains(ids, items)

    def _refuse_full(self, candidates: np.ndarray) -> None:
        """Refuse to draw for ever: somebody has every candidate. Looks at no more pairs than there are rows."""
        users = np.flatnonzero(self.held >= len(candidates))
        having = self.pairs.contains(np.repeat(users, len(candidates)), np.tile(candidates, len(users)))
        if having.reshape(len(users), len(candidates)).all(axis=1).any():
            raise UserError(f"{self.log.name}: a user has every item, so that there is no negative for them")

    def sample(self, ids: np.ndarray, uniforms: Uniforms) -> np.ndarray:
        """Return one negative item (int64 [n]) for each of the ids (int64 [n]).

        What is no negative is drawn again, and only that.

        Args:
            ids: users, or what else the sampler is ``of``.
            uniforms: what each place draws; a place that draws again has its next turn.

        Raises:
            UserError: when forgetting has left some user with every item that could be drawn by popularity.
        """
        if self.doubtful and self.popularity is not None:
            self._refuse_full(self.popularity.candidates)
            self.doubtful = False
        items, places, turn = np.empty(len(ids), dtype=np.int64), np.arange(len(ids)), 0
        while len(places):
            drawn = self._propose(uniforms(turn, places))
            items[places] = drawn
            wrong = self._taken(ids[places], drawn)
            if self.popularity is not None:
                wrong |= self.popularity.refused(drawn, uniforms, turn + 1, places)
            places, turn = places[wrong], turn + 2
        return items

    def weights(self, rows: np.ndarray) -> np.ndarray:
        """Return each item's weight among the proposals, float64 [n_items], in any unit; 0 is not proposed.

        Args:
            rows: int64, log rows of the training split that count although they were forgotten.
        """
        if self.popularity is not None:
            return self.popularity.weights(rows)
        weights = np.ones(self.n_items)
        weights[0] = 0.0
        return weights

    def _propose(self, uniform: np.ndarray) -> np.ndarray:
        if self.popularity is None:
            return (uniform * (self.n_items - 1)).astype(np.int64) + 1
        return self.popularity.propose(uniform)


class _Popularity:
    """Items by their training count to the power ``alpha``, the forgotten rows' share taken off by refusal.

    Items are proposed by the counts of all genuine rows that were given at the start, which no forgetting moves, and
    an item with ``now`` of ``given`` rows left is refused but for a share ``(now / given)^alpha``. What comes through
    is distributed by the counts that are left. Rows that a scenario planted do not count.
    """

    def __init__(self, dataset: Dataset, alpha: float) -> None:
        log, self.alpha = dataset.log, alpha
        self.item, n_items = log.item, dataset.n_items
        self.user, self.first_fake = log.user, dataset.first_fake
        self.counted = np.zeros(len(log), dtype=bool)
        genuine = dataset.masked(np.zeros_like(dataset.forgotten)).train_rows
        genuine = genuine[self.user[genuine] < self.first_fake]
        self.given = np.bincount(log.item[genuine], minlength=n_items)
        kept = genuine[~dataset.forgotten[genuine]]
        self.counted[kept] = True
        self.now = np.bincount(log.item[kept], minlength=n_items)
        weights = self.given.astype(np.float64) ** alpha
        weights[self.given == 0] = 0.0
        self.cumulative = np.cumsum(weights)
        self._weigh()

    def _weigh(self) -> None:
        self.share = (self.now / np.maximum(self.given, 1)) ** self.alpha
        self.share[self.now == 0] = 0.0

    @property
    def candidates(self) -> np.ndarray:
        """The items that can be drawn, int64."""
        return np.flatnonzero(self.now)

    def forget(self, rows: np.ndarray) -> None:
        """Take log rows (int64) off the counts."""
        rows = distinct(rows)
        rows = rows[self.counted[rows]]
        self.counted[rows] = False
        np.subtract.at(self.now, self.item[rows], 1)
        self._weigh()

    def weights(self, rows: np.ndarray) -> np.ndarray:
        """Return the items' weights by the counts that are left, and by those of ``rows``: see the sampler's."""
        counts = self.now + np.bincount(self.item[rows[self.user[rows] < self.first_fake]], minlength=len(self.now))
        weights = np.maximum(counts, 1).astype(np.float64) ** self.alpha
        weights[counts == 0] = 0.0
        return weights

    def propose(self, uniform: np.ndarray) -> np.ndarray:
        """Return the item that each uniform number falls on."""
        return np.searchsorted(self.cumulative, uniform * self.cumulative[-1], side="right")

    def refused(self, items: np.ndarray, uniforms: Uniforms, turn: int, places: np.ndarray) -> np.ndarray:
        """Return which of the proposed items are refused, bool; who proposed one of full share draws nothing."""
        doubtful = np.flatnonzero(self.share[items] < 1)
        found = np.zeros(len(items), dtype=bool)
        if len(doubtful):
            found[doubtful] = uniforms(turn, places[doubtful]) >= self.share[items[doubtful]]
        return found


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
