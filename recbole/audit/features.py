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
"""Names of views. ``lists`` is what a model recommends to each user. ``history`` is each user's training data."""

LENGTH = 50
"""The number of items in each recommended list."""

REDUCED = 64
"""The number of columns to which lists and histories are reduced for attackers other than logistic regression."""


def lists(model: Recommender, dataset: Dataset, batch_rows: int = 4096) -> Features:
    """Return the :data:`LENGTH` items that a model recommends to each user, as features for attackers.

    Items of the user's retained history are not recommended, except by next-basket models and with ``repeatable``.

    Args:
        model: any recommender for the data.
        dataset: the data, with the mask of rows that the model has forgotten.
        batch_rows: the largest number of users that are scored at once.

    Returns:
        One row per user id. A column per item is 1 if the item is in the list; the row is all zeros for a user for whom
        the model has no input. The features also have the reduction of these columns, see :func:`reduced`.
    """
    rows = dataset.exposure_rows(np.arange(1, dataset.n_users))
    best = top_items(model, rows, LENGTH, batch_rows=batch_rows)
    place, rank = np.nonzero(best > 0)
    return counted(rows.entity[place], best[place, rank], dataset)


def history(dataset: Dataset) -> Features:
    """Return how often each item occurs in each user's retained training rows, as features for attackers.

    Args:
        dataset: the data, with the mask of forgotten rows.

    Returns:
        One row per user id, with a column per item, and the reduction of these columns, see :func:`reduced`.
    """
    rows = np.flatnonzero((dataset.log.split == TRAIN) & ~dataset.forgotten)
    return counted(dataset.log.user[rows], dataset.log.item[rows], dataset)


def counted(user: Ids, item: Ids, dataset: Dataset) -> Features:
    """Count (user, item) pairs, and return the counts as features for attackers: a row per user id, a column per item.

    The features also have the reduction of these columns, see :func:`reduced`.

    Args:
        user: int64 [n], user ids.
        item: int64 [n], item ids.
        dataset: the data, for the numbers of users and items.
    """
    from scipy.sparse import csr_array

    pairs = csr_array((np.ones(len(user)), (user, item)), shape=(dataset.n_users, dataset.n_items))
    return Features(reduced(pairs), pairs)


def reduced(matrix: csr_array, columns: int = REDUCED) -> Floats:
    """Return a sparse matrix projected on its leading right singular vectors, float64 [n, columns].

    These are principal components without centring, in descending order of their size. There are fewer than ``columns``
    if the matrix has too few rows or columns.

    Args:
        matrix: float [n, items].
        columns: the number of columns of the result.
    """
    from scipy.sparse.linalg import svds

    columns = min(columns, min(matrix.shape) - 1)
    left, size, _ = svds(matrix, k=columns, v0=np.ones(min(matrix.shape)))
    order = np.argsort(-size)
    return left[:, order] * size[order]
