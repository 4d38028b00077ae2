"""Negative items, drawn without a Python loop."""

import numpy as np

from recbole.utils import UserError

_BITMAP_BYTES = 64 * 2**20


class PairSet:
    """Which (user, item) pairs are retained training pairs; a bitmap if it is small, else a sorted search."""

    def __init__(self, dataset):
        self.n_items = dataset.n_items
        rows = dataset.train_rows
        keys = dataset.log.user[rows] * self.n_items + dataset.log.item[rows]
        n_bytes = dataset.n_users * self.n_items // 8 + 1
        self.keys = self.bitmap = None
        if n_bytes <= _BITMAP_BYTES:
            self.bitmap = np.zeros(n_bytes, dtype=np.uint8)
            np.bitwise_or.at(self.bitmap, keys >> 3, _bit(keys))
        else:
            self.keys = np.unique(keys)
            self.gone = np.zeros(len(self.keys), dtype=bool)

    def contains(self, users, items):
        """Return a bool array: which pairs are in the set."""
        keys = users * self.n_items + items
        if self.bitmap is not None:
            return (self.bitmap[keys >> 3] & _bit(keys)) != 0
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return (self.keys[at] == keys) & ~self.gone[at]

    def discard(self, users, items):
        """Take pairs out, at a cost that follows their number."""
        keys = users * self.n_items + items
        if self.bitmap is not None:
            np.bitwise_and.at(self.bitmap, keys >> 3, ~_bit(keys))
        else:
            at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
            self.gone[at[self.keys[at] == keys]] = True


def _bit(keys):
    return np.left_shift(np.uint8(1), (keys & 7).astype(np.uint8))


class NegativeSampler:
    """Draws items that a user has no retained training interaction with.

    Args:
        dataset: the training data under its current mask.
        distribution: ``"uniform"``, or ``"popularity"`` (training count to the power ``alpha``).
        alpha: exponent of the popularity.

    Raises:
        UserError: for another distribution, or when some user has every item that could be drawn.
    """

    def __init__(self, dataset, distribution="uniform", alpha=1.0):
        self.n_items = dataset.n_items
        self.pairs = PairSet(dataset)
        if distribution == "uniform":
            self.cumulative, candidates = None, self.n_items - 1
        elif distribution == "popularity":
            popularity = np.bincount(dataset.log.item[dataset.train_rows], minlength=self.n_items).astype(np.float64)
            self.cumulative = np.cumsum(np.where(popularity > 0, popularity**alpha, 0.0))
            candidates = np.count_nonzero(popularity)
        else:
            raise UserError(f"train_neg_sample_args: distribution '{distribution}' is not uniform or popularity")
        counts = np.bincount(dataset.log.user[dataset.train_rows], minlength=dataset.n_users)
        if (counts >= candidates).any() and (np.diff(dataset.inter_matrix("csr").indptr) >= candidates).any():
            raise UserError(f"{dataset.log.name}: a user has every item, so that there is no negative for them")

    def _draw(self, n, generator):
        if self.cumulative is None:
            return generator.integers(1, self.n_items, size=n)
        return np.searchsorted(self.cumulative, generator.random(n) * self.cumulative[-1], side="right")

    def sample(self, users, generator):
        """Return one negative item (int64 [n]) for each of the users (int64 [n]).

        What hits a positive is drawn again, and only that.
        """
        items = self._draw(len(users), generator)
        wrong = np.flatnonzero(self.pairs.contains(users, items))
        while len(wrong):
            items[wrong] = self._draw(len(wrong), generator)
            wrong = wrong[self.pairs.contains(users[wrong], items[wrong])]
        return items
