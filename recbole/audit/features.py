"""What an attacker sees of people: their vectors in a model, the lists that it shows them, or their history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recbole.audit.attackers import Features
from recbole.data.split import TRAIN
from recbole.evaluator.scores import top_items

if TYPE_CHECKING:  # only an attack imports SciPy
    from scipy.sparse import csr_array

    from recbole.data.dataset import Dataset
    from recbole.evaluator.kinds import Floats, Ids, Recommender

LISTS, HISTORY = "lists", "history"
"""Views that every model has: what it recommends, and what it was trained on, which is no model's doing."""

LENGTH = 50
"""Of the lists."""

REDUCED = 64
"""Columns of what attackers get of lists and histories that cannot take a column for each item."""


def lists(model: Recommender, dataset: Dataset, batch_rows: int = 4096) -> Features:
    """Return the :data:`LENGTH` items that a model would show each person next, what they have left out.

    Args:
        model: any recommender of the data.
        dataset: under the model's mask.
        batch_rows: at most so many people are scored at a time.

    Returns:
        A row each user id; of people who cannot be asked it is empty.
    """
    rows = dataset.exposure_rows(np.arange(1, dataset.n_users))
    best = top_items(model, rows, LENGTH, batch_rows=batch_rows)
    place, rank = np.nonzero(best > 0)
    return counted(rows.entity[place], best[place, rank], dataset)


def history(dataset: Dataset) -> Features:
    """Return the retained training rows of each user id: how often a person had an item."""
    rows = np.flatnonzero((dataset.log.split == TRAIN) & ~dataset.forgotten)
    return counted(dataset.log.user[rows], dataset.log.item[rows], dataset)


def counted(user: Ids, item: Ids, dataset: Dataset) -> Features:
    """Return (user, item) pairs, int64 each, as a matrix of users by items, and that in few columns."""
    from scipy.sparse import csr_array

    pairs = csr_array((np.ones(len(user)), (user, item)), shape=(dataset.n_users, dataset.n_items))
    return Features(reduced(pairs), pairs)


def reduced(matrix: csr_array, columns: int = REDUCED) -> Floats:
    """Return the first principal columns of a matrix [n, items], float64 [n, columns]; fewer where it has fewer."""
    from scipy.sparse.linalg import svds

    columns = min(columns, min(matrix.shape) - 1)
    left, size, _ = svds(matrix, k=columns, v0=np.ones(min(matrix.shape)))
    order = np.argsort(-size)
    return left[:, order] * size[order]
