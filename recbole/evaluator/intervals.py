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
_AT_ONCE = 2**23
"""How many numbers of draws are held at a time: 64 MiB."""

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
    sums: Floats = np.stack([np.bincount(of_row, values[:, at], n) for at in range(m)], axis=1).astype(np.float64)
    counts = np.bincount(of_row, minlength=n).astype(np.float64)
    if n > MANY:
        return _normal(sums, counts)
    if n < FEW:
        drawn = _drawn_sums(np.stack([*sums.T, counts]), np.float64)
        drawn = np.sort(drawn[:m] / drawn[m], axis=1)
        shares: Iterable[Floats] = _corrected(sums, counts, drawn)
    else:
        mean = sums.sum(axis=0) / counts.sum()
        columns = [*(sums - mean * counts[:, None]).T, counts]
        equal = np.all(counts == counts[0])  # then all draws have as many rows
        off = _drawn_sums(np.stack(columns[:m] if equal else columns), np.float32)
        drawn = np.sort(mean[:, None] + off[:m] / (counts.sum() if equal else off[m]), axis=1)
        shares = (np.full(m, share) for share in _ENDS)
    low, high = (_quantile(drawn, share) for share in shares)
    return low, high


def _drawn_sums(columns: Floats, precision: type[np.floating[Any]]) -> Floats:
    """Return the sums over the people of each draw, float64 [m, draws], of what people have, float64 [m, people].

    A fixed number of columns goes through a product at a time: the bits of one do not depend on how many others there
    are.

    Args:
        columns: what people have.
        precision: of the product. Single does for what people are off the mean; where draws are compared with the mean,
            sums of whole numbers have to be exact.
    """
    (m, n), found = columns.shape, []
    wide = np.zeros((-(-m // _SIDE_BY_SIDE) * _SIDE_BY_SIDE, n), dtype=precision)
    wide[:m] = columns
    for times in _times_drawn(n):
        each = times.astype(precision, copy=False)
        parts = [wide[at : at + _SIDE_BY_SIDE] @ each for at in range(0, len(wide), _SIDE_BY_SIDE)]
        found.append(np.concatenate(parts)[:m])
    return np.concatenate(found, axis=1, dtype=np.float64)


def _times_drawn(n: int) -> Iterator[Singles]:
    """Yield how often each of ``n`` people is in each draw, float32 [n, draws], some draws at a time."""
    if n > KEPT:
        yield from _drawn(n)
    else:
        yield _kept(n)


@lru_cache(maxsize=8)
def _kept(n: int) -> Singles:
    """Return all draws of few people, for the next model and question that has as many."""
    return np.concatenate(list(_drawn(n)), axis=1)


def _drawn(n: int) -> Iterator[Singles]:
    generator = stream(0, "people", n)
    step = max(_AT_ONCE // n, 1)
    for start in range(0, DRAWS, step):
        size = min(step, DRAWS - start)
        chosen = generator.integers(n, size=(size, n)) * size + np.arange(size)[:, None]
        yield np.bincount(chosen.ravel(), minlength=size * n).reshape(n, size).astype(np.float32)


def _quantile(drawn: Floats, share: Floats) -> Floats:
    """Return a quantile of each row of sorted draws, float64 [m], between two of them in proportion; NaN of a NaN."""
    place = np.where(np.isnan(share), 0.0, share) * (drawn.shape[1] - 1)
    first = np.minimum(place.astype(np.int64), drawn.shape[1] - 2)
    row = np.arange(len(drawn))
    low, high = drawn[row, first], drawn[row, first + 1]
    between = np.where(low == high, low, low + (place - first) * (high - low))
    return np.where(np.isnan(share) | np.isnan(drawn[:, -1]), np.nan, between)


def _corrected(sums: Floats, counts: Floats, drawn: Floats) -> tuple[Floats, Floats]:
    """Return the shares at which BCa reads the draws (float64 [m, draws], sorted), float64 [m] each.

    The ends of equal draws are those.
    """
    mean = sums.sum(axis=0) / counts.sum()
    n_draws, middle = drawn.shape[1], mean[:, None]
    below = ((drawn < middle).sum(axis=1) + (drawn <= middle).sum(axis=1)) / (2 * n_draws)
    bias = _ndtri(np.clip(below, 0.5 / n_draws, 1 - 0.5 / n_draws))
    without = (sums.sum(axis=0) - sums) / (counts.sum() - counts)[:, None]
    off = without.mean(axis=0) - without
    spread = (off**2).sum(axis=0)
    acceleration = np.divide((off**3).sum(axis=0), 6 * spread**1.5, out=np.zeros_like(spread), where=spread > 0)
    ends = []
    for z in _ndtri(_ENDS):
        shifted = bias + z
        ends.append(_ndtr(bias + shifted / (1 - acceleration * shifted)))
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
