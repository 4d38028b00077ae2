"""Sets of ids as ascending arrays. NumPy's own functions for them hash integers since 2.3, twenty times slower."""

import numpy as np
import torch

_AT_ONCE = 1 << 20


def distinct(ids: np.ndarray, size: int | None = None) -> np.ndarray:
    """Return the distinct ids, ascending, as ``np.unique`` does.

    Args:
        ids: integers [n], of any order; ids that ascend already are not sorted again.
        size: more than the largest id; many ids are then found by a mask, without a sort.
    """
    if size is not None and len(ids) >= size // 16:
        there = np.zeros(size, dtype=bool)
        there[ids] = True
        return np.flatnonzero(there)
    if (ids[1:] < ids[:-1]).any():
        ids = np.sort(ids, kind="stable")  # which is fast on runs, such as each user's keys
    return ids[np.concatenate([np.ones(min(len(ids), 1), dtype=bool), ids[1:] != ids[:-1]])]


def held(ids: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    """Return which of the ids (integers, of any shape and order) stand in an ascending array of them, bool."""
    if not len(ascending):
        return np.zeros(ids.shape, dtype=bool)
    at = np.minimum(np.searchsorted(ascending, ids), len(ascending) - 1)
    return ascending[at] == ids


def without(ids: np.ndarray, ascending: np.ndarray) -> np.ndarray:
    """Return the ids, in their order, that do not stand in an ascending array of them."""
    return ids[~held(ids, ascending)]


def grouped(groups: np.ndarray) -> np.ndarray:
    """Return the order int64 [n] that sorts numbers of groups (int [n], from 0); of equal ones the first stay first.

    Number and place are sorted as one integer, in place: faster than a stable ``argsort``, in a third of its memory.
    """
    bits = len(groups).bit_length()
    order = groups.astype(np.int64) << bits
    order |= np.arange(len(groups), dtype=np.uint32)
    order.sort()
    order &= (1 << bits) - 1
    return order


def ordered(key: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the order int64 [n] that sorts by group (int [n], from 0), then by a key [n]; equal ones stay in order.

    It is ``np.lexsort((key, groups))``, but in little more memory than the order has: group after group, some at once.
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
    if np.issubdtype(key.dtype, np.integer):
        low, first = int(key.min()), int(groups[0])
        bits = (int(key.max()) - low).bit_length()
        if (int(groups[-1]) - first).bit_length() + bits < 64:
            packed = ((groups.astype(np.int64) - first) << bits) + (key - low)
            return torch.argsort(torch.from_numpy(packed), stable=True).numpy()  # three times as fast as NumPy's
    return np.lexsort((key, groups))
