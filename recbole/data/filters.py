"""Which rows of the raw log take part: RecBole's filters, as functions from columns to kept rows."""

from collections.abc import Sequence

import numpy as np

from recbole.utils.intervals import Interval

__all__ = ["core", "first_or_last", "within"]


def within(values: np.ndarray, intervals: Sequence[Interval]) -> np.ndarray:
    """Return a bool array: which of ``values`` lie in any of the intervals; NaN lies in none."""
    inside = np.zeros(len(values), dtype=bool)
    for low, high, closed_left, closed_right in intervals:
        inside |= (values >= low if closed_left else values > low) & (values <= high if closed_right else values < high)
    return inside


def first_or_last(user: np.ndarray, item: np.ndarray, time: np.ndarray | None, keep: str) -> np.ndarray:
    """Return the rows (int64, ascending) that stay when of each (user, item) pair only one may.

    Args:
        user, item: int arrays [n].
        time: array [n] that decides which is ``"first"`` or ``"last"``; ``None`` for file order.
        keep: ``"first"`` or ``"last"``; equal times keep file order.
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
    """Return the rows (int64, ascending) left once every user's and item's number of rows lies in its intervals.

    Users and items outside are removed together, round by round, until none is (the k-core, as RecBole iterates it).
    """
    rows = np.arange(len(user))
    while True:
        drop = ~within(np.bincount(user), user_intervals)[user]
        drop |= ~within(np.bincount(item), item_intervals)[item]
        if not drop.any():
            return rows
        kept = np.flatnonzero(~drop)
        rows, user, item = rows[kept], user[kept], item[kept]
