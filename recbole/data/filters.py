"""RecBole's filters of the raw log, as functions on arrays that return which rows are kept."""

from collections.abc import Sequence

import numpy as np

from recbole.utils.intervals import Interval

__all__ = ["core", "first_or_last", "within"]


def within(values: np.ndarray, intervals: Sequence[Interval]) -> np.ndarray:
    """Return for each of ``values`` [n] whether it lies in any of the intervals, bool [n]. NaN lies in none."""
    inside = np.zeros(len(values), dtype=bool)
    for low, high, closed_left, closed_right in intervals:
        inside |= (values >= low if closed_left else values > low) & (values <= high if closed_right else values < high)
    return inside


def first_or_last(user: np.ndarray, item: np.ndarray, time: np.ndarray | None, keep: str) -> np.ndarray:
    """Return the rows (int64, ascending) that remain if only one row of each (user, item) pair is kept.

    Args:
        user, item: int arrays [n].
        time: array [n] by which a pair's first or last row is determined; None for the order of the arrays.
        keep: ``"first"`` or ``"last"``. Rows with equal times count in the order of the arrays.
    """
    order = np.arange(len(user)) if time is None else np.argsort(time, kind="stable")
    if keep == "last":
        order = order[::-1]
    pair = user[order].astype(np.int64) * (int(item.max(initial=0)) + 1) + item[order]
    _, first = np.unique(pair, return_index=True)
    return np.sort(order[first])


def core(
    user: np.ndarray, item: np.ndarray, user_intervals: Sequence[Interval], item_intervals: Sequence[Interval]
) -> np.ndarray:
    """Remove users and items with too few or too many rows, until all have an allowed number (RecBole's k-core).

    In each round, the users and items whose number of rows is outside their intervals are removed together. The last
    round is the one that removes nothing.

    Args:
        user, item: int arrays [n], the user and the item of each row, as numbers from 0 on.
        user_intervals, item_intervals: the allowed numbers of rows of a user and of an item.

    Returns:
        int64, indices of the remaining rows, ascending.
    """
    rows = np.arange(len(user))
    while True:
        drop = ~within(np.bincount(user), user_intervals)[user]
        drop |= ~within(np.bincount(item), item_intervals)[item]
        if not drop.any():
            return rows
        kept = np.flatnonzero(~drop)
        rows, user, item = rows[kept], user[kept], item[kept]
