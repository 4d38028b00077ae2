"""Set operations and sorting for arrays of ids.

The set operations rely on sorted arrays. NumPy's own use hash tables since version 2.3, which takes twenty times longer
on the arrays of this package.
"""

import numpy as np
import torch

_AT_ONCE = 1 << 20


def distinct(ids: np.ndarray, size: int | None = None) -> np.ndarray:
    """Return the distinct ids, ascending, as ``np.unique`` does.

    Args:
        ids: integers [n] in any order; ids that are already ascending are not sorted again.
        size: a number above the largest id, where no id is negative. If it is given and ``ids`` is long, the ids are
            marked in a bool array of this size instead of being sorted.
    """
    if size is not None and len(ids) >= size // 16:
        there = np.zeros(size, dtype=bool)
        there[ids] = True
        return np.flatnonzero(there)
    if (ids[1:] < ids[:-1]).any():
        ids = np.sort(ids, kind="stable")  # a stable sort is fast on ascending runs, such as each user's keys
    return ids[np.concatenate([np.ones(min(len(ids), 1), dtype=bool), ids[1:] != ids[:-1]])]


def held(ids: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    """Return for each id (integers of any shape) whether it occurs in an ascending array of ids, bool of that shape."""
    if not len(ascending):
        return np.zeros(ids.shape, dtype=bool)
    at = np.minimum(np.searchsorted(ascending, ids), len(ascending) - 1)
    return ascending[at] == ids


def without(ids: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    """Return those of ``ids`` that do not occur in an ascending array of ids, in their original order."""
    return ids[~held(ids, ascending)]


def grouped(groups: np.ndarray) -> np.ndarray:
    """Return the indices (int64 [n]) that stably sort group numbers (int [n], each 0 or above).

    The result equals ``np.argsort(groups, kind="stable")``. It is faster and needs a third of the memory, because group
    number and position are packed into one integer and sorted in place.
    """
    bits = len(groups).bit_length()
    order = groups.astype(np.int64) << bits
    order |= np.arange(len(groups), dtype=np.uint32)
    order.sort()
    order &= (1 << bits) - 1
    return order


def ordered(key: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the indices (int64 [n]) that stably sort by group (int [n], each 0 or above), then by ``key`` [n].

    The result equals ``np.lexsort((key, groups))``, but little memory besides the result is needed, because only a few
    groups are sorted at a time.
    """
    order, ends = grouped(groups), np.cumsum(np.bincount(groups))
    start = 0
    while start < len(order):
        stop = ends[np.searchsorted(ends, min(start + _AT_ONCE, len(order)))]
        some = order[start:stop]
        order[start:stop] = some[_by_group_and_key(groups[some], key[some])]
        start = stop
    return order


def _by_group_and_key(groups: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Return the indices that stably sort by group (int [n], ascending already), then by ``key`` [n]."""
    if np.issubdtype(key.dtype, np.integer):
        low, first = int(key.min()), int(groups[0])
        bits = (int(key.max()) - low).bit_length()
        if (int(groups[-1]) - first).bit_length() + bits < 64:
            packed = ((groups.astype(np.int64) - first) << bits) + (key - low)
            return torch.argsort(torch.from_numpy(packed), stable=True).numpy()  # three times as fast as NumPy's
    return np.lexsort((key, groups))
