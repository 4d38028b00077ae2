"""ItemKNN: item-based or user-based nearest neighbours."""

from typing import cast

import numpy as np
import scipy.sparse
import torch
from torch import nn

from recbole.config import Config
from recbole.data import Dataset
from recbole.data.ids import distinct
from recbole.model.fitted import FittedRecommender
from recbole.utils import UserError

PAIRS_AT_ONCE = 2**22
"""Largest number of similarities between items (or users) that are computed at a time."""


class ItemKNN(FittedRecommender[scipy.sparse.csc_array]):
    """Scores an item by the summed similarity of those of the user's items that are among its ``k`` nearest neighbours.

    M. Deshpande, G. Karypis, "Item-Based Top-N Recommendation Algorithms", TOIS 2004 (equation numbers not checked).
    The similarity is the cosine of two items' columns in the user-item matrix of interaction counts, with ``shrink``
    (and RecBole's 1e-6) added to the denominator. An item with which the user interacted several times counts several
    times. With ``knn_method: user``, users are compared instead: the score is the summed similarity of the users among
    the user's ``k`` nearest who have interacted with the item. Among equally similar neighbours those with lower ids
    are chosen; in RecBole the choice is arbitrary.

    Forgetting interactions gives exactly the retrained model, up to rounding. Only neighbourhoods that the change can
    affect are recomputed.
    """

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.k, self.shrink, self.method = int(config["k"]), float(config["shrink"] or 0.0), config["knn_method"]
        if self.method not in ("item", "user"):
            raise UserError(f"knn_method: '{self.method}' is not 'item' or 'user'")
        self.learned_shape = (self.n_items if self.method == "item" else self.n_users,) * 2
        self.fake_loss = nn.Parameter(torch.zeros(1))

    def fit(self, matrix: scipy.sparse.csr_matrix) -> None:
        """Compute the ``k`` nearest neighbours of all items (or users) from the counts [n_users, n_items]."""
        table = self._table(matrix)
        self.w = self._neighbours(table, np.arange(table.shape[1]))

    def update(self, old: scipy.sparse.csr_matrix, new: scipy.sparse.csr_matrix) -> None:
        """Update the nearest neighbours of items (or users) after some interaction counts changed.

        A column below is an item's (or user's) vector of counts. An unchanged column has new similarities only to
        changed columns. Its neighbours are searched again only if the similarity to a neighbour falls to the k-th
        largest one or below, or the similarity to another column rises to it or above. Otherwise its neighbours stay
        the same, with updated similarities. If more than an eighth of the columns changed, all neighbours are searched
        again.

        Args:
            old, new: the interaction counts before and after the change, [n_users, n_items].
        """
        before, after = self._table(old), self._table(new)
        changed = np.flatnonzero(np.diff(cast("scipy.sparse.csr_array", before != after).tocsc().indptr))
        if len(changed) > self.w.shape[1] // 8:
            self.w = self._neighbours(after, np.arange(self.w.shape[1]))
        elif len(changed):
            again = distinct(np.concatenate([changed, self._refresh(after, changed)]))
            self._replace(again, self._neighbours(after, again))

    def _refresh(self, table: scipy.sparse.csr_array, changed: np.ndarray) -> np.ndarray:
        """Update the stored similarities to the changed columns, and find columns whose neighbours may differ now.

        Args:
            table: the interaction counts after the change, with an item (or user) per column.
            changed: int64, indices of the changed columns.

        Returns:
            int64, indices of columns whose neighbours must be searched again; changed columns need not be included.
        """
        norms = _norms(table)
        value = (table.T @ table.tocsc()[:, changed]).toarray()
        value /= norms[:, None] * norms[changed] + self.shrink + 1e-6
        w, place = self.w.copy(), np.full(self.w.shape[0], -1)
        place[changed] = np.arange(len(changed))
        sizes, column = np.diff(w.indptr), np.repeat(np.arange(w.shape[1]), np.diff(w.indptr))
        least, full = np.zeros(w.shape[1]), sizes == self.k
        least[full] = w.data[w.indptr[:-1][full, None] + np.arange(self.k)].min(axis=1)
        entry = np.flatnonzero(place[w.indices] >= 0)
        at = column[entry], place[w.indices[entry]]
        held = np.zeros_like(value)
        held[at], w.data[entry] = w.data[entry], value[at]
        self.w = w
        doubtful = np.where(
            held != 0, (value <= least[:, None]) & (value != held), (value >= least[:, None]) & (value != 0)
        )
        return np.flatnonzero(doubtful.any(axis=1))

    def _replace(self, columns: np.ndarray, fresh: scipy.sparse.csc_array) -> None:
        """Replace some columns (int64 indices) of the stored similarities by those of ``fresh``, in the same order."""
        kept = np.ones(self.w.shape[1])
        kept[columns] = 0
        place = scipy.sparse.csc_array(
            (np.ones(len(columns)), (np.arange(len(columns)), columns)), shape=(len(columns), len(kept))
        )
        self.w = (self.w @ scipy.sparse.diags_array(kept) + fresh @ place).tocsc()

    def _table(self, matrix: scipy.sparse.csr_matrix) -> scipy.sparse.csr_array:
        """Return the interaction counts [n_users, n_items] with the compared objects (items or users) as columns."""
        return scipy.sparse.csr_array(matrix if self.method == "item" else matrix.T)

    def _neighbours(self, table: scipy.sparse.csr_array, columns: np.ndarray) -> scipy.sparse.csc_array:
        """Return some columns' similarities to their ``k`` nearest neighbours, sparse CSC [all, len(columns)].

        Args:
            table: interaction counts, with an item (or user) per column; it has ``all`` columns.
            columns: int64, indices of the columns whose neighbours are searched.
        """
        norms = _norms(table)
        by_column = table.tocsc()
        step = max(PAIRS_AT_ONCE // table.shape[1], 1)
        pieces = [columns[at : at + step] for at in range(0, len(columns), step)]
        parts = [self._nearest(table.T @ by_column[:, piece], norms, piece) for piece in pieces]
        return scipy.sparse.hstack(parts, format="csc")

    def _nearest(
        self, products: scipy.sparse.csc_array, norms: np.ndarray, columns: np.ndarray
    ) -> scipy.sparse.csc_array:
        """Return some columns' similarities to their ``k`` nearest neighbours, sparse CSC [all, len(columns)].

        Args:
            products: inner products of all columns of counts with the given columns, sparse [all, len(columns)].
            norms: float64 [all], Euclidean norms of all columns.
            columns: int64, indices of the given columns.
        """
        entries = products.tocoo()
        row, place = entries.coords
        value = entries.data / (norms[row] * norms[columns[place]] + self.shrink + 1e-6)
        there = (row != columns[place]) & (value != 0)
        row, place, value = row[there], place[there], value[there]
        order = np.lexsort((row, -value, place))
        sizes = np.bincount(place, minlength=len(columns))
        rank = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        best = order[rank < self.k]
        return scipy.sparse.csc_array((value[best], (row[best], place[best])), shape=products.shape)

    def learned(self) -> list[scipy.sparse.csc_array]:
        """Return a list with the similarities, sparse CSC [n_items, n_items], or of users if they are compared.

        Column i has the similarities of item (user) i to its ``k`` nearest neighbours; other entries are not stored.
        """
        self.learn()
        return [self.w]

    def know(self, learned: scipy.sparse.csc_array) -> None:
        """Use ``learned``, a sparse CSC array as returned by :meth:`learned`, as the similarities."""
        self.w = learned

    def scores(self, matrix: scipy.sparse.csr_matrix, users: np.ndarray) -> torch.Tensor:
        """Return the summed similarities of all items for some users (int64 ids), float64 [len(users), n_items].

        ``matrix`` has the interaction counts, [n_users, n_items].
        """
        if self.method == "item":
            found = scipy.sparse.csr_array(matrix)[users] @ self.w
        else:
            found = (scipy.sparse.csr_array(matrix).T @ self.w[:, users]).T
        return torch.from_numpy(np.ascontiguousarray(found.toarray()))


def _norms(table: scipy.sparse.csr_array) -> np.ndarray:
    """Return the Euclidean norm of each column of a sparse matrix, float64 [columns]."""
    return np.sqrt(table.multiply(table).sum(axis=0))
