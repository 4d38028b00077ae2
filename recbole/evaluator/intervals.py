"""Intervals for means over rows: people are drawn again, each with all of their rows."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from recbole.data.ids import distinct
from recbole.evaluator.kinds import Floats, Ids
from recbole.utils import stream

DRAWS = 2000
"""How often people are drawn again."""

FEW, MANY = 50, 10_000
"""Below ``FEW`` people the interval is corrected for bias and acceleration; above ``MANY`` it is the normal one."""

KEPT = 1200
"""The draws of at most so many people are kept: 10 MB."""

Singles = npt.NDArray[np.float32]

_ENDS = 0.025, 0.975
_AT_ONCE = 2**17
"""How many numbers of draws are made at a time: 1 MiB, which caches hold."""

_SIDE_BY_SIDE = 8
"""How many columns go through a product at a time."""


def mean_intervals(values: Floats, person: Ids) -> tuple[Floats, Floats]:
    """Return the 95 % intervals of means over rows.

    People are the unit: one person's rows are alike. Of ``n`` people ``n`` are drawn with replacement, 2,000 times, and
    each draw has the mean over its people's rows. The interval is that of the draws' quantiles, below 50 people BCa
    (B. Efron, "Better Bootstrap Confidence Intervals", JASA 1987; equation numbers not checked), and above 10,000 the
    normal one of a ratio of means. The draws are the same for equally many people, in every model and run.

    Args:
        values: float64 [rows, m], one column a mean.
        person: int64 [rows], whose row it is.

    Returns:
        ``(low, high)``, float64 [m] each; NaN for fewer than two people or where a value is NaN.
    """
    people = distinct(person)
    of_row = np.searchsorted(people, person)
    n, m = len(people), values.shape[1]
    if n < 2:
        return np.full(m, np.nan), np.full(m, np.nan)
    sums, counts = _sums(values, of_row, n), np.bincount(of_row, minlength=n).astype(np.float64)
    if n > MANY:
        return _normal(sums, counts)
    return _corrected(sums, counts) if n < FEW else _percentiles(sums, counts)


def _sums(values: Floats, of_row: Ids, n: int) -> Floats:
    """Return the sums of values (float64 [rows, m]) over the rows of each of ``n`` people, float64 [n, m]."""
    if len(of_row) == n:  # one row each
        sums = np.empty(values.shape)
        sums[of_row] = values
        return sums
    return np.stack([np.bincount(of_row, column, n) for column in values.T], axis=1).astype(np.float64)


def _percentiles(sums: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Return the quantiles of the draws' means, float64 [m] each; of sums [n, m] and numbers of rows [n] of people."""
    mean = sums.sum(axis=0) / counts.sum()
    off = sums - mean * counts[:, None]
    if np.all(counts == counts[0]):  # then all draws have as many rows
        drawn = np.sort(_drawn_sums(off, np.float32), axis=1)
        low, high = (mean + _quantile(drawn, np.full(len(mean), share)) / counts.sum() for share in _ENDS)
        return low, high
    *offs, rows = _drawn_sums(np.column_stack([off, counts]), np.float32).astype(np.float64)
    drawn = np.sort(mean[:, None] + np.stack(offs) / rows, axis=1)
    low, high = (_quantile(drawn, np.full(len(mean), share)) for share in _ENDS)
    return low, high


def _drawn_sums(columns: Floats, precision: type[np.floating[Any]]) -> npt.NDArray[Any]:
    """Return the sums over the people of each draw, [m, draws] of a precision, of what people have, float64 [n, m].

    A fixed number of columns goes through a product at a time: the bits of one do not depend on how many others there
    are.

    Args:
        columns: what people have.
        precision: of the product. Single does for what people are off the mean; where draws are compared with the mean,
            sums of whole numbers have to be exact.
    """
    n, m = columns.shape
    wide = np.zeros((n, -(-m // _SIDE_BY_SIDE) * _SIDE_BY_SIDE), dtype=precision)
    wide[:, :m] = columns
    parts = [np.ascontiguousarray(wide[:, at : at + _SIDE_BY_SIDE]) for at in range(0, wide.shape[1], _SIDE_BY_SIDE)]
    found, start = np.empty((wide.shape[1], DRAWS), dtype=precision), 0
    for times in _times_drawn(n):
        each = times.astype(precision, copy=False)
        for at, part in enumerate(parts):
            rows = slice(at * _SIDE_BY_SIDE, (at + 1) * _SIDE_BY_SIDE)
            found[rows, start : start + len(times)] = (each @ part).T
        start += len(times)
    return found[:m]


def _times_drawn(n: int) -> Iterable[Singles]:
    """Return how often each of ``n`` people is in each draw, float32 [draws, n] in all, some draws at a time."""
    return _drawn(n) if n > KEPT else [_kept(n)]


@lru_cache(maxsize=8)
def _kept(n: int) -> Singles:
    """Return all draws of few people, for the next model and question that has as many."""
    return np.concatenate(list(_drawn(n)))


def _drawn(n: int) -> Iterator[Singles]:
    generator = stream(0, "people", n)
    step = max(_AT_ONCE // n, 1)
    for start in range(0, DRAWS, step):
        size = min(step, DRAWS - start)
        chosen = generator.integers(n, size=(size, n), dtype=np.int32) + n * np.arange(size)[:, None]
        yield np.bincount(chosen.ravel(), minlength=size * n).reshape(size, n).astype(np.float32)


def _quantile(drawn: npt.NDArray[Any], share: Floats) -> Floats:
    """Return a quantile of each row of sorted draws, float64 [m], between two of them in proportion; NaN of a NaN."""
    place = np.where(np.isnan(share), 0.0, share) * (drawn.shape[1] - 1)
    first = np.minimum(place.astype(np.int64), drawn.shape[1] - 2)
    row = np.arange(len(drawn))
    low, high = (drawn[row, at].astype(np.float64) for at in (first, first + 1))
    between = np.where(low == high, low, low + (place - first) * (high - low))
    return np.where(np.isnan(share) | np.isnan(drawn[:, -1]), np.nan, between)


def _corrected(sums: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Return the ends of BCa intervals, float64 [m] each, of sums [n, m] and numbers of rows [n] of people.

    The ends of equal draws are those.
    """
    *totals, rows = _drawn_sums(np.column_stack([sums, counts]), np.float64)
    drawn = np.sort(np.stack(totals) / rows, axis=1)
    mean = sums.sum(axis=0) / counts.sum()
    middle = mean[:, None]
    below = ((drawn < middle).sum(axis=1) + (drawn <= middle).sum(axis=1)) / (2 * DRAWS)
    bias = _ndtri(np.clip(below, 0.5 / DRAWS, 1 - 0.5 / DRAWS))
    without = (sums.sum(axis=0) - sums) / (counts.sum() - counts)[:, None]
    off = without.mean(axis=0) - without
    spread = (off**2).sum(axis=0)
    acceleration = np.divide((off**3).sum(axis=0), 6 * spread**1.5, out=np.zeros_like(spread), where=spread > 0)
    ends = []
    for z in _ndtri(_ENDS):
        shifted = bias + z
        ends.append(_quantile(drawn, _ndtr(bias + shifted / (1 - acceleration * shifted))))
    return ends[0], ends[1]


def _ndtri(share: npt.ArrayLike) -> Floats:
    return torch.special.ndtri(torch.as_tensor(share, dtype=torch.float64)).cpu().numpy()


def _ndtr(z: Floats) -> Floats:
    return torch.special.ndtr(torch.as_tensor(z, dtype=torch.float64)).cpu().numpy()


def _normal(sums: Floats, counts: Floats) -> tuple[Floats, Floats]:
    n, mean = len(counts), sums.sum(axis=0) / counts.sum()
    residual = sums - mean * counts[:, None]
    half = _ndtri(_ENDS[1]) * np.sqrt((residual**2).sum(axis=0) * n / (n - 1)) / counts.sum()
    return mean - half, mean + half
