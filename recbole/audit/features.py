"""Features of users for an attacker: the lists that a model recommends, or the users' training history."""

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
"""The length of the recommended lists."""

REDUCED = 64
"""The number of columns to which lists and histories are reduced for attackers other than logistic regression."""


def lists(model: Recommender, dataset: Dataset, batch_rows: int = 4096) -> Features:
    """Return as features which :data:`LENGTH` items a model would recommend to each user, with the history excluded.

    Args:
        model: any recommender for the data.
        dataset: the data, with the model's mask of forgotten rows.
        batch_rows: the most users that are scored at once.

    Returns:
        One row per user id; all zeros for users without any input to the model.
    """
    rows = dataset.exposure_rows(np.arange(1, dataset.n_users))
    best = top_items(model, rows, LENGTH, batch_rows=batch_rows)
    place, rank = np.nonzero(best > 0)
    return counted(rows.entity[place], best[place, rank], dataset)


def history(dataset: Dataset) -> Features:
    """Return as features how often each user (one row per id) has each item in the retained training rows."""
    rows = np.flatnonzero((dataset.log.split == TRAIN) & ~dataset.forgotten)
    return counted(dataset.log.user[rows], dataset.log.item[rows], dataset)


def counted(user: Ids, item: Ids, dataset: Dataset) -> Features:
    """Return (user, item) id pairs, int64 each, as a sparse count matrix and its reduction to few columns."""
    from scipy.sparse import csr_array

    pairs = csr_array((np.ones(len(user)), (user, item)), shape=(dataset.n_users, dataset.n_items))
    return Features(reduced(pairs), pairs)


def reduced(matrix: csr_array, columns: int = REDUCED) -> Floats:
    """Return the leading principal components of a matrix [n, items], without centring, float64 [n, columns].

    There are fewer than ``columns`` if the matrix is smaller.
    """
    from scipy.sparse.linalg import svds

    columns = min(columns, min(matrix.shape) - 1)
    left, size, _ = svds(matrix, k=columns, v0=np.ones(min(matrix.shape)))
    order = np.argsort(-size)
    return left[:, order] * size[order]
