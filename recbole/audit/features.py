"""Features of users for attackers: the items that a model recommends to each user, or the user's training history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recbole.audit.attackers import Features
from recbole.data.split import TRAIN
from recbole.evaluator.scores import top_items

if TYPE_CHECKING:  # SciPy is imported only when an attack runs
    from scipy.sparse import csr_array

    from recbole.data.dataset import Dataset
    from recbole.evaluator.kinds import Floats, Ids, Recommender

LISTS, HISTORY = "lists", "history"
"""Names of views. ``lists`` is what a model recommends. ``history`` is the training data, which depends on no model."""

LENGTH = 50
"""The number of items in each recommended list."""

REDUCED = 64
"""The number of columns to which lists and histories are reduced for attackers other than logistic regression."""


def lists(model: Recommender, dataset: Dataset, batch_rows: int = 4096) -> Features:
    """Return as features the :data:`LENGTH` items that a model recommends to each user, items of the history excluded.

    Args:
        model: any recommender for the data.
        dataset: the data, with the model's mask of forgotten rows.
        batch_rows: the largest number of users that are scored at once.

    Returns:
        One row per user id, with a column per item that is 1 if the item is in the list (and the reduction of these
        columns). It is all zeros for users for whom the model has no input.
    """
    rows = dataset.exposure_rows(np.arange(1, dataset.n_users))
    best = top_items(model, rows, LENGTH, batch_rows=batch_rows)
    place, rank = np.nonzero(best > 0)
    return counted(rows.entity[place], best[place, rank], dataset)


def history(dataset: Dataset) -> Features:
    """Return as features how often each item occurs in each user's retained training rows; one row per user id."""
    rows = np.flatnonzero((dataset.log.split == TRAIN) & ~dataset.forgotten)
    return counted(dataset.log.user[rows], dataset.log.item[rows], dataset)


def counted(user: Ids, item: Ids, dataset: Dataset) -> Features:
    """Return features that count (user, item) pairs: a sparse matrix of counts, and its reduction to few columns.

    Args:
        user: int64 [n], user ids.
        item: int64 [n], item ids.
        dataset: the data, for the numbers of users and items.
    """
    from scipy.sparse import csr_array

    pairs = csr_array((np.ones(len(user)), (user, item)), shape=(dataset.n_users, dataset.n_items))
    return Features(reduced(pairs), pairs)


def reduced(matrix: csr_array, columns: int = REDUCED) -> Floats:
    """Return the leading principal components of a sparse matrix [n, items], without centring, float64 [n, columns].

    There are fewer than ``columns`` components if the matrix has too few rows or columns.
    """
    from scipy.sparse.linalg import svds

    columns = min(columns, min(matrix.shape) - 1)
    left, size, _ = svds(matrix, k=columns, v0=np.ones(min(matrix.shape)))
    order = np.argsort(-size)
    return left[:, order] * size[order]
