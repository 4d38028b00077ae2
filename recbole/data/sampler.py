"""Sampling of negative items, without a Python loop over examples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recbole.data.dataset import Dataset
from recbole.data.ids import distinct
from recbole.utils import UserError

_BITMAP_BYTES = 64 * 2**20

Uniforms = Callable[[int, np.ndarray], np.ndarray]
"""``(turn, places) -> float64 [len(places)]``: random numbers from [0, 1) for the draws at ``places``.

``places`` (int64) are the positions of draws among all that are sampled together; ``turn`` counts their attempts from
0.
"""


def in_turn(generator: np.random.Generator) -> Uniforms:
    """Return :data:`Uniforms` that take the next numbers of a generator, whatever the turn and the places."""
    return lambda turn, places: generator.random(len(places))


class PairSet:
    """The (user, item) pairs of the retained training rows: a bitmap of up to 64 MiB, else sorted keys."""

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
        """Return for each pair of user and item ids whether it is in the set, bool [n]."""
        keys = users * self.n_items + items
        if self.bitmap is not None:
            return (self.bitmap[keys >> 3] & _bit(keys)) != 0
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return (self.keys[at] == keys) & ~self.gone[at]

    def discard(self, users: np.ndarray, items: np.ndarray) -> None:
        """Remove pairs from the set, in time proportional to their number."""
        keys = users * self.n_items + items
        if self.bitmap is not None:
            np.bitwise_and.at(self.bitmap, keys >> 3, ~_bit(keys))
        else:
            at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
            self.gone[at[self.keys[at] == keys]] = True


def _bit(keys: np.ndarray) -> np.ndarray:
    return np.left_shift(np.uint8(1), (keys & 7).astype(np.uint8))


class NegativeSampler:
    """Draws items with which a user has no retained training interaction.

    Attributes:
        of: the data set's attribute that names the field of the ids which :meth:`sample` takes: ``uid_field`` here.

    Args:
        dataset: the training data under its current mask.
        distribution: ``"uniform"``, or ``"popularity"`` (number of training interactions to the power ``alpha``).
        alpha: exponent of the popularity.

    Raises:
        UserError: a user has every item that could be drawn.
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
        self.held = np.bincount(users, minlength=dataset.n_users)  # an upper bound: not reduced when rows are forgotten

    def forget(self, rows: np.ndarray) -> None:
        """Update the known pairs and the popularity after log rows (int64) were forgotten.

        This takes time proportional to ``len(rows)``. With popularity, the next draw once takes time proportional to
        the number of users and items.
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
        """Raise a UserError if a user has every candidate, because drawing would never end.

        It looks up no more pairs than the log has rows.
        """
        users = np.flatnonzero(self.held >= len(candidates))
        having = self.pairs.contains(np.repeat(users, len(candidates)), np.tile(candidates, len(users)))
        if having.reshape(len(users), len(candidates)).all(axis=1).any():
            raise UserError(f"{self.log.name}: a user has every item, so no negative can be drawn")

    def sample(self, ids: np.ndarray, uniforms: Uniforms) -> np.ndarray:
        """Return one negative item id (int64 [n]) for each of ``ids`` (int64 [n]).

        A draw that is no negative of its id is repeated.

        Args:
            ids: user ids; in :class:`NextItemSampler` the ids of target items.
            uniforms: random numbers; each repetition takes those of later turns.

        Raises:
            UserError: after forgetting, a user has every item that could be drawn by popularity.
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
        """Return each item's weight in the proposal distribution, float64 [n_items], not normalised; the padding has 0.

        Args:
            rows: int64, log rows of the training split that count even if they are forgotten.
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
    """Draws items in proportion to their training count to the power ``alpha``; forgetting works by rejection.

    Items are proposed by the counts of all genuine rows given at the start, which forgetting does not change. A
    proposed item that has ``now`` of its ``given`` rows left is accepted with probability ``(now / given)^alpha``, so
    accepted items are distributed by the remaining counts. Rows that a scenario injected do not count.
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
        """Ids of the items that can be drawn, int64."""
        return np.flatnonzero(self.now)

    def forget(self, rows: np.ndarray) -> None:
        """Subtract log rows (int64) from the counts; rows that do not count are ignored."""
        rows = distinct(rows)
        rows = rows[self.counted[rows]]
        self.counted[rows] = False
        np.subtract.at(self.now, self.item[rows], 1)
        self._weigh()

    def weights(self, rows: np.ndarray) -> np.ndarray:
        """Return the items' weights by the remaining counts plus those of ``rows``, float64 [n_items]."""
        counts = self.now + np.bincount(self.item[rows[self.user[rows] < self.first_fake]], minlength=len(self.now))
        weights = np.maximum(counts, 1).astype(np.float64) ** self.alpha
        weights[counts == 0] = 0.0
        return weights

    def propose(self, uniform: np.ndarray) -> np.ndarray:
        """Return the item id that each uniform random number selects."""
        return np.searchsorted(self.cumulative, uniform * self.cumulative[-1], side="right")

    def refused(self, items: np.ndarray, uniforms: Uniforms, turn: int, places: np.ndarray) -> np.ndarray:
        """Return for each proposed item whether it is rejected, bool; items that lost no rows use no random number."""
        doubtful = np.flatnonzero(self.share[items] < 1)
        found = np.zeros(len(items), dtype=bool)
        if len(doubtful):
            found[doubtful] = uniforms(turn, places[doubtful]) >= self.share[items[doubtful]]
        return found


class NextItemSampler(NegativeSampler):
    """Draws any item except the target of a sequence; as in RecBole, earlier items of the sequence may be drawn."""

    of = "iid_field"

    def _learn(self, dataset: Dataset) -> None:
        """Do nothing: only the target is excluded, which is known from the batch."""

    def _discard(self, rows: np.ndarray) -> None:
        """Do nothing, since no pairs are stored."""

    def _taken(self, ids: np.ndarray, items: np.ndarray) -> np.ndarray:
        return ids == items

    def _refuse_full(self, candidates: np.ndarray) -> None:
        if len(candidates) < 2:
            raise UserError(f"{self.log.name}: fewer than two items can be drawn, so there are no negatives")
