"""Sampling of negative items for training, vectorised over examples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recbole.data.dataset import Dataset
from recbole.data.ids import distinct
from recbole.utils import UserError

_BITMAP_BYTES = 64 * 2**20

_MOST_ATTEMPTS = 10_000
"""The largest mean number of items that may be proposed until one of them is a negative of a user."""

Uniforms = Callable[[int, np.ndarray], np.ndarray]
"""A function ``(turn, places) -> float64 [len(places)]`` that returns uniform random numbers from [0, 1).

A sampler draws n items together, numbered from 0 to n - 1. ``places`` (int64) are the numbers of those items that need
a random number in this call. Items that are not allowed are drawn again, with a larger ``turn`` (0 in the first call).
"""


def in_turn(generator: np.random.Generator) -> Uniforms:
    """Return :data:`Uniforms` that ignore ``turn`` and ``places`` and return the generator's next numbers."""
    return lambda turn, places: generator.random(len(places))


class PairSet:
    """The set of (user, item) pairs in the training rows that are not forgotten.

    It is stored as a bitmap [n_users, n_items] if that takes at most 64 MiB, otherwise as sorted integers.
    """

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
        """Return for each pair of user and item ids (int64 [n] each) whether it is in the set, bool [n]."""
        keys = users * self.n_items + items
        if self.bitmap is not None:
            return (self.bitmap[keys >> 3] & _bit(keys)) != 0
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return (self.keys[at] == keys) & ~self.gone[at]

    def discard(self, users: np.ndarray, items: np.ndarray) -> None:
        """Remove pairs of user and item ids (int64 [n] each) from the set, in time proportional to n."""
        keys = users * self.n_items + items
        if self.bitmap is not None:
            np.bitwise_and.at(self.bitmap, keys >> 3, ~_bit(keys))
        else:
            at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
            self.gone[at[self.keys[at] == keys]] = True


def _bit(keys: np.ndarray) -> np.ndarray:
    """Return the mask (uint8) of each key's bit within its byte of the bitmap."""
    return np.left_shift(np.uint8(1), (keys & 7).astype(np.uint8))


class NegativeSampler:
    """Draws negatives: items with which a user has no training interaction that is not forgotten.

    Attributes:
        of: ``"uid_field"`` if :meth:`sample` takes user ids, ``"iid_field"`` if it takes item ids (subclass).
        popularity: draws items by popularity; None if items are drawn uniformly.
        doubtful: whether rows were forgotten since the last check that every user has a possible negative; always
            False if items are drawn uniformly.

    Args:
        dataset: the training data; forgotten rows do not count.
        distribution: ``"uniform"``, or ``"popularity"`` (number of training interactions to the power ``alpha``).
        alpha: exponent of the popularity.

    Raises:
        UserError: a user has interacted with every item that could be drawn, or ``alpha`` is so far from 0 that drawing
            one of the others would take more than 10,000 attempts.
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
            self._refuse_rare(dataset, self.popularity)
        else:
            self._refuse_full(np.arange(1, self.n_items))

    def _learn(self, dataset: Dataset) -> None:
        """Store the retained training pairs (``pairs``), and each user's number of training rows (``held``)."""
        self.pairs = PairSet(dataset)
        users = self.log.user[dataset.train_rows]
        self.held = np.bincount(users, minlength=dataset.n_users)  # an upper bound: not reduced when rows are forgotten

    def forget(self, rows: np.ndarray) -> None:
        """Update the stored pairs and the popularity after log rows (int64) were forgotten.

        This takes time proportional to ``len(rows)``. If items are drawn by popularity, the next call of :meth:`sample`
        also takes time proportional to the number of users and items.
        """
        self._discard(rows)
        if self.popularity is not None:
            self.popularity.forget(rows)
            self.doubtful = True

    def _discard(self, rows: np.ndarray) -> None:
        """Remove the (user, item) pairs of log rows (int64), which were forgotten, from the stored pairs."""
        self.pairs.discard(self.log.user[rows], self.log.item[rows])

    def _taken(self, ids: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return for each drawn item whether it must not be a negative of the user (``ids``), bool [n]."""
        return self.pairs.contains(ids, items)

    def _refuse_full(self, candidates: np.ndarray) -> None:
        """Raise a UserError if a user has interacted with every candidate, because drawing would never end."""
        users = np.flatnonzero(self.held >= len(candidates))
        having = self.pairs.contains(np.repeat(users, len(candidates)), np.tile(candidates, len(users)))
        if having.reshape(len(users), len(candidates)).all(axis=1).any():
            raise UserError(
                f"{self.log.name}: a user has interacted with every item, so no negative can be drawn; leave out such "
                "users with user_inter_num_interval"
            )

    def _refuse_rare(self, dataset: Dataset, popularity: _Popularity) -> None:
        """Raise a UserError if proposed items can so rarely be negatives of a user that drawing would hardly end.

        This happens if ``alpha`` makes a few items far more likely than all others, and the user has these items. The
        pairs of users and items are compared only if the numbers of items leave this possible.
        """
        if popularity.free_at_least(self._most_excluded()) * _MOST_ATTEMPTS >= 1:
            return
        if popularity.least_free(*self._excluded(dataset)) * _MOST_ATTEMPTS < 1:
            raise UserError(
                f"train_neg_sample_args alpha {self.alpha}: nearly all items drawn would be a few that some user has, "
                "so that drawing another one would hardly end; choose an alpha nearer to 0"
            )

    def _most_excluded(self) -> int:
        """Return an upper bound of the number of items that cannot be negatives of one user."""
        return int(self.held.max(initial=0))

    def _excluded(self, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
        """Return the distinct pairs of user and item ids (int64 each) whose item cannot be a negative of the user."""
        rows = dataset.train_rows
        users, items = np.divmod(distinct(self.log.user[rows] * self.n_items + self.log.item[rows]), self.n_items)
        return users, items

    def sample(self, ids: np.ndarray, uniforms: Uniforms) -> np.ndarray:
        """Draw one negative item for each of ``ids``; return item ids, int64 [n]. Wrong items are drawn again.

        An item is wrong if the user has a training interaction with it (subclass: if it is the target).

        Args:
            ids: int64 [n], user ids; in :class:`NextItemSampler` the ids of target items.
            uniforms: function that returns the random numbers, see :data:`Uniforms`.

        Raises:
            UserError: after forgetting, a user has interacted with every item that still has a popularity above 0.
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
        """Return the weights with which items are drawn, float64 [n_items], not normalised; the padding has weight 0.

        They are the same for all users: the items that a user already has keep their weight.

        Args:
            rows: int64, training rows that count towards the popularity even if they are forgotten.
        """
        if self.popularity is not None:
            return self.popularity.weights(rows)
        weights = np.ones(self.n_items)
        weights[0] = 0.0
        return weights

    def _propose(self, uniform: np.ndarray) -> np.ndarray:
        """Return the item id (int64) that each uniform random number selects, also items that cannot be negatives."""
        if self.popularity is None:
            return (uniform * (self.n_items - 1)).astype(np.int64) + 1
        return self.popularity.propose(uniform)


class _Popularity:
    """Draws items in proportion to their number of retained training rows to the power ``alpha``.

    This is rejection sampling. Items are proposed by their number of training rows when nothing is forgotten
    (``given``), a distribution that forgetting does not change. A proposed item with ``now`` retained rows is accepted
    with probability ``(now / given)^alpha``, so accepted items are distributed by the retained rows. Rows that a spam
    attack injected do not count.
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
        weights = np.maximum(self.given, 1).astype(np.float64) ** alpha
        weights[self.given == 0] = 0.0
        self.cumulative = np.cumsum(weights)
        self._weigh()

    def _weigh(self) -> None:
        """Compute each item's probability of acceptance, float64 [n_items], from its counts."""
        self.share = (np.maximum(self.now, 1) / np.maximum(self.given, 1)) ** self.alpha
        self.share[self.now == 0] = 0.0

    @property
    def candidates(self) -> np.ndarray:
        """Ids of the items that can be drawn, int64."""
        return np.flatnonzero(self.now)

    def forget(self, rows: np.ndarray) -> None:
        """Subtract log rows (int64) from the counts; rows that are not counted, or no longer, are ignored."""
        rows = distinct(rows)
        rows = rows[self.counted[rows]]
        self.counted[rows] = False
        np.subtract.at(self.now, self.item[rows], 1)
        self._weigh()

    def weights(self, rows: np.ndarray) -> np.ndarray:
        """Return the items' weights, float64 [n_items], counting the retained training rows and those in ``rows``."""
        counts = self.now + np.bincount(self.item[rows[self.user[rows] < self.first_fake]], minlength=len(self.now))
        weights = np.maximum(counts, 1).astype(np.float64) ** self.alpha
        weights[counts == 0] = 0.0
        return weights

    def least_free(self, users: np.ndarray, items: np.ndarray) -> float:
        """Return how likely a proposed item is accepted and a negative, for the user for whom this is least likely.

        Args:
            users, items: int64 [n], distinct pairs of ids; the item cannot be a negative of the user.
        """
        accepted = self._accepted()
        return float(accepted.sum() - np.bincount(users, accepted[items]).max(initial=0.0))

    def free_at_least(self, n: int) -> float:
        """Return a lower bound of :meth:`least_free` if at most ``n`` items are excluded for each user."""
        accepted = np.sort(self._accepted())
        return float(accepted[: max(len(accepted) - n, 0)].sum())

    def _accepted(self) -> np.ndarray:
        """Return the probability that a proposal is this item and is accepted, float64 [n_items]."""
        return np.diff(self.cumulative, prepend=0.0) * np.minimum(self.share, 1) / self.cumulative[-1]

    def propose(self, uniform: np.ndarray) -> np.ndarray:
        """Return the item id that each uniform random number selects."""
        return np.searchsorted(self.cumulative, uniform * self.cumulative[-1], side="right")

    def refused(self, items: np.ndarray, uniforms: Uniforms, turn: int, places: np.ndarray) -> np.ndarray:
        """Return for each proposed item whether it is rejected, bool [n].

        Random numbers are used only for items that have lost rows.

        Args:
            items: int64 [n], the proposed items.
            uniforms: function that returns the random numbers, see :data:`Uniforms`.
            turn: first argument of ``uniforms``.
            places: int64 [n], the second argument of ``uniforms`` if all items need a random number.
        """
        doubtful = np.flatnonzero(self.share[items] < 1)
        found = np.zeros(len(items), dtype=bool)
        if len(doubtful):
            found[doubtful] = uniforms(turn, places[doubtful]) >= self.share[items[doubtful]]
        return found


class NextItemSampler(NegativeSampler):
    """Draws negatives in SBR: any item except the target. As in RecBole, earlier items of the sequence are possible."""

    of = "iid_field"

    def _learn(self, dataset: Dataset) -> None:
        """Do nothing: only the target is excluded, which the batch contains."""

    def _discard(self, rows: np.ndarray) -> None:
        """Do nothing, since no pairs are stored."""

    def _taken(self, ids: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return for each drawn item whether it is the target item (``ids``), bool [n]."""
        return ids == items

    def _most_excluded(self) -> int:
        """Return 1: of a target item, only itself is excluded."""
        return 1

    def _excluded(self, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
        """Return each item id twice (int64 each): a target item cannot be its own negative."""
        return np.arange(self.n_items), np.arange(self.n_items)

    def _refuse_full(self, candidates: np.ndarray) -> None:
        """Raise a UserError if only one item can be drawn, because drawing would never end if it is the target."""
        if len(candidates) < 2:
            raise UserError(
                f"{self.log.name}: there are fewer than two items with training rows, so no negative can be drawn"
            )
