"""95 % bootstrap intervals for means; users are resampled, each with all of their values."""

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
"""The number of bootstrap resamples."""

FEW, MANY = 50, 10_000
"""Numbers of users at which the method changes: below ``FEW`` the interval is bias-corrected and accelerated (BCa),
above ``MANY`` it is the normal approximation.
"""

KEPT = 1200
"""The resamples of up to this many users are cached; for 1,200 users they take 10 MB."""

Singles = npt.NDArray[np.float32]

_ENDS = 0.025, 0.975
_AT_ONCE = 2**17
"""How many random numbers are drawn at once: 1 MiB, which fits in a processor's cache."""

_SIDE_BY_SIDE = 8
"""How many columns go through one matrix product at once."""


def mean_intervals(values: Floats, person: Ids) -> tuple[Floats, Floats]:
    """Return the 95 % bootstrap intervals of means over rows of a matrix, resampling users instead of rows.

    Users are resampled because the rows of one user are correlated. Each of 2,000 resamples draws ``n`` of the ``n``
    users with replacement and takes the mean over all of their rows. The interval lies between the 2.5 % and 97.5 %
    quantiles of these means. With fewer than 50 users, the bias-corrected and accelerated interval (BCa) is used
    instead (B. Efron, "Better Bootstrap Confidence Intervals", JASA 1987; equation numbers not checked), and with more
    than 10,000 users the normal approximation for a ratio of means. The resamples depend only on the number of users,
    so every model and run uses the same ones.

    Args:
        values: float64 [rows, m]; each of the m columns contains the values of one mean.
        person: int64 [rows], the user id of each row.

    Returns:
        ``(low, high)``, the ends of the intervals, float64 [m] each. All are NaN if there are fewer than two users. The
            ends for a column that contains NaN are NaN.
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
    """Return the sum of each user's values, float64 [n, m].

    Args:
        values: float64 [rows, m].
        of_row: int64 [rows], the index of each row's user, 0 to ``n - 1``.
        n: the number of users, each of whom has at least one row.
    """
    if len(of_row) == n:  # each user has one row
        sums = np.empty(values.shape)
        sums[of_row] = values
        return sums
    return np.stack([np.bincount(of_row, column, n) for column in values.T], axis=1).astype(np.float64)


def _percentiles(sums: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Return the 2.5 % and 97.5 % quantiles of the means over resamples, float64 [m] each.

    Args:
        sums: float64 [n, m], the sum of each user's values.
        counts: float64 [n], the number of each user's rows.
    """
    mean = sums.sum(axis=0) / counts.sum()
    off = sums - mean * counts[:, None]
    if np.all(counts == counts[0]):  # then all resamples have the same number of rows
        drawn = np.sort(_drawn_sums(off, np.float32), axis=1)
        low, high = (mean + _quantile(drawn, np.full(len(mean), share)) / counts.sum() for share in _ENDS)
        return low, high
    *offs, rows = _drawn_sums(np.column_stack([off, counts]), np.float32).astype(np.float64)
    drawn = np.sort(mean[:, None] + np.stack(offs) / rows, axis=1)
    low, high = (_quantile(drawn, np.full(len(mean), share)) for share in _ENDS)
    return low, high


def _drawn_sums(columns: Floats, precision: type[np.floating[Any]]) -> npt.NDArray[Any]:
    """Return the sum of each column over the users in each resample, [m, DRAWS] in the given precision.

    Every matrix product has the same number of columns. The result for one column is therefore bit-identical, however
    many other columns there are.

    Args:
        columns: float64 [n, m], the values of each of the n users.
        precision: dtype of the matrix product and of the result. float32 is enough for deviations from the mean.
            float64 is needed for sums of whole numbers that are then compared with the mean for equality.
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
    """Yield how often each of ``n`` users is in each resample, in blocks of some resamples: float32 [resamples, n]."""
    return _drawn(n) if n > KEPT else [_kept(n)]


@lru_cache(maxsize=8)
def _kept(n: int) -> Singles:
    """Return how often each of ``n`` users is in each resample, float32 [DRAWS, n]; cached for the same ``n``."""
    return np.concatenate(list(_drawn(n)))


def _drawn(n: int) -> Iterator[Singles]:
    """Draw the resamples of ``n`` users, and yield them in blocks as :func:`_times_drawn` does."""
    generator = stream(0, "people", n)
    step = max(_AT_ONCE // n, 1)
    for start in range(0, DRAWS, step):
        size = min(step, DRAWS - start)
        chosen = generator.integers(n, size=(size, n), dtype=np.int32) + n * np.arange(size)[:, None]
        yield np.bincount(chosen.ravel(), minlength=size * n).reshape(size, n).astype(np.float32)


def _quantile(drawn: npt.NDArray[Any], share: Floats) -> Floats:
    """Return a quantile of the numbers in each row, interpolated linearly, float64 [m].

    Args:
        drawn: float [m, DRAWS], ascending in each row.
        share: float64 [m], which quantile to return for each row, from 0 to 1.

    Returns:
        NaN in rows whose ``share`` is NaN, and in rows that contain NaN.
    """
    place = np.where(np.isnan(share), 0.0, share) * (drawn.shape[1] - 1)
    first = np.minimum(place.astype(np.int64), drawn.shape[1] - 2)
    row = np.arange(len(drawn))
    low, high = (drawn[row, at].astype(np.float64) for at in (first, first + 1))
    between = np.where(low == high, low, low + (place - first) * (high - low))
    return np.where(np.isnan(share) | np.isnan(drawn[:, -1]), np.nan, between)


def _corrected(sums: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Return the ends of bias-corrected and accelerated intervals (BCa, see :func:`mean_intervals`), float64 [m] each.

    If the means over all resamples are equal, both ends are this mean.

    Args:
        sums: float64 [n, m], the sum of each user's values.
        counts: float64 [n], the number of each user's rows.
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
    """Return the quantiles of the standard normal distribution at the given probabilities, float64."""
    return torch.special.ndtri(torch.as_tensor(share, dtype=torch.float64)).cpu().numpy()


def _ndtr(z: Floats) -> Floats:
    """Return the distribution function of the standard normal distribution at ``z``, float64."""
    return torch.special.ndtr(torch.as_tensor(z, dtype=torch.float64)).cpu().numpy()


def _normal(sums: Floats, counts: Floats) -> tuple[Floats, Floats]:
    """Return the ends of normal-approximation intervals, float64 [m] each; arguments: see :func:`_percentiles`."""
    n, mean = len(counts), sums.sum(axis=0) / counts.sum()
    residual = sums - mean * counts[:, None]
    half = _ndtri(_ENDS[1]) * np.sqrt((residual**2).sum(axis=0) * n / (n - 1)) / counts.sum()
    return mean - half, mean + half
