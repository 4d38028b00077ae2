"""Means over seeds with 95 % intervals by Student's t, as lines of the table over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import stdtrit

OfSeeds = Mapping[int, float]
"""Seed of a run to the value that this run has."""

QUANTITIES = ("measure", "model", "quantity", "seeds", "mean", "low", "high")
"""Columns of a line: the metric or distance, the model, the quantity (such as ``value`` or ``excess``), the number of
seeds, the mean over seeds, and the ends of its 95 % interval."""

_LEVEL = 0.95


def t_interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of the 95 % confidence interval of a mean by Student's t; NaN for fewer than two values."""
    n = len(values)
    if n < 2:
        return math.nan, math.nan
    mean, error = np.mean(values), np.std(values, ddof=1) / math.sqrt(n)
    half = stdtrit(n - 1, (1 + _LEVEL) / 2) * error
    return float(mean - half), float(mean + half)


def line(measure: str, model: str, quantity: str, of_seeds: OfSeeds) -> list[dict[str, Any]]:
    """Return one row of the table over seeds, with the mean over seeds and its interval, as a list.

    Args:
        measure: name of the metric or distance.
        model: kind of model.
        quantity: what is averaged, such as ``value`` or ``minus base``.
        of_seeds: the numbers to average, by seed.

    Returns:
        A list with one dict, whose keys are the columns :data:`QUANTITIES`; an empty list if there are no numbers.
    """
    values = [of_seeds[seed] for seed in sorted(of_seeds)]
    if not values:
        return []
    row = (measure, model, quantity, len(values), float(np.mean(values)), *t_interval(values))
    return [dict(zip(QUANTITIES, row, strict=True))]


def differences(ours: OfSeeds, theirs: OfSeeds) -> dict[int, float]:
    """Return ``ours - theirs`` by seed, for the seeds that both have."""
    return {seed: value - theirs[seed] for seed, value in ours.items() if seed in theirs}
