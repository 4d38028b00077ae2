"""Intervals for means over rows: people are drawn again, each with all of their rows."""

from collections.abc import Iterator
from functools import lru_cache

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
"""The draws of at most so many people are kept: 20 MB."""

_LEVEL = 0.95
_AT_ONCE = 2**23
"""How many numbers of draws are held at a time: 64 MiB."""


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
    columns = np.ascontiguousarray(np.column_stack([counts, sums]).T)
    # each by itself, not as one matrix: its bits do not depend on which others there are
    drawn = np.concatenate([np.stack([weights @ one for one in columns], axis=1) for weights in _weights(n)])
    drawn = drawn[:, 1:] / drawn[:, :1]
    if n >= FEW:
        low, high = np.quantile(drawn, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
        return low, high
    shares = _corrected(sums, counts, drawn)
    low, high = (np.array([_quantile(drawn[:, at], share[at]) for at in range(m)]) for share in shares)
    return low, high


def _weights(n: int) -> Iterator[Floats]:
    """Yield how often each of ``n`` people is in each draw, float64 [draws, n], some draws at a time."""
    if n > KEPT:
        yield from _drawn(n)
    else:
        yield _kept(n)


@lru_cache(maxsize=8)
def _kept(n: int) -> Floats:
    """Return all of the weights of few people, for the next model and question that has as many."""
    return np.concatenate(list(_drawn(n)))


def _drawn(n: int) -> Iterator[Floats]:
    generator = stream(0, "people", n)
    step = max(_AT_ONCE // n, 1)
    for start in range(0, DRAWS, step):
        size = min(step, DRAWS - start)
        chosen = generator.integers(n, size=(size, n)) + np.arange(size)[:, None] * n
        yield np.bincount(chosen.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)


def _quantile(drawn: Floats, share: float) -> float:
    return float(np.quantile(drawn, share)) if np.isfinite(share) else float("nan")


def _corrected(sums: Floats, counts: Floats, drawn: Floats) -> tuple[Floats, Floats]:
    """Return the shares at which BCa reads the draws, float64 [m] each; the ends of equal draws are those."""
    mean = sums.sum(axis=0) / counts.sum()
    below = ((drawn < mean).sum(axis=0) + (drawn <= mean).sum(axis=0)) / (2 * len(drawn))
    bias = _ndtri(np.clip(below, 0.5 / len(drawn), 1 - 0.5 / len(drawn)))
    without = (sums.sum(axis=0) - sums) / (counts.sum() - counts)[:, None]
    off = without.mean(axis=0) - without
    spread = (off**2).sum(axis=0)
    acceleration = np.divide((off**3).sum(axis=0), 6 * spread**1.5, out=np.zeros_like(spread), where=spread > 0)
    ends = []
    for z in _ndtri([(1 - _LEVEL) / 2, (1 + _LEVEL) / 2]):
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
    half = _ndtri((1 + _LEVEL) / 2) * np.sqrt((residual**2).sum(axis=0) * n / (n - 1)) / counts.sum()
    return mean - half, mean + half
