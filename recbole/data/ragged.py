"""Rows of different lengths, stored in two flat arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def ranges(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the concatenation of ``arange(starts[i], ends[i])`` for all i, int64; both arguments are int64 [n]."""
    sizes = ends - starts
    total = int(sizes.sum())
    shift = np.repeat(starts - np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes)
    return np.arange(total, dtype=np.int64) + shift


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths: row ``r`` holds ``values[offsets[r]:offsets[r + 1]]``.

    Attributes:
        values: the values of all rows, one row after the other.
        offsets: int64 [rows + 1].
    """

    values: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def sizes(self) -> np.ndarray:
        """Return the length of every row, int64 [rows]."""
        return np.diff(self.offsets)

    def take(self, rows: np.ndarray) -> Ragged:
        """Return the rows with the given indices (int64), in that order."""
        starts, ends = self.offsets[rows], self.offsets[rows + 1]
        return Ragged(self.values[ranges(starts, ends)], np.concatenate([[0], np.cumsum(ends - starts)]))

    def followed_by_empty(self, n: int) -> Ragged:
        """Return these rows and ``n`` empty ones after them."""
        return Ragged(self.values, np.concatenate([self.offsets, np.full(n, self.offsets[-1])]))

    def padded(self) -> np.ndarray:
        """Return the rows as an array [rows, longest], padded with 0 on the right; it has at least one column."""
        sizes = self.sizes()
        found = np.zeros((len(self), max(int(sizes.max(initial=1)), 1)), dtype=self.values.dtype)
        found[np.arange(found.shape[1]) < sizes[:, None]] = self.values
        return found
