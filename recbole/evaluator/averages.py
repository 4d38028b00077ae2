"""Means over rows with their intervals, for each population, and how far they are from another model's."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from recbole.data.ids import distinct
from recbole.evaluator.intervals import mean_intervals
from recbole.evaluator.kinds import Floats, Ids, Mask
from recbole.evaluator.table import Table
from recbole.evaluator.utility import mean

Key = tuple[str, int | None]
"""A metric and its list length, if it has one."""

RETRAINED = "retrained"
"""What ``minus`` says where the model that is subtracted is the reference."""


def add_means(
    table: Table,
    values: Mapping[Key, Floats],
    person: Ids,
    populations: Mapping[str, Mask],
    others: Mapping[Key, Floats] | None = None,
    **about: Any,
) -> None:
    """Add to a table a row for each metric and population: the mean, its interval, and of how many people it is.

    Args:
        table: to add to.
        values: each metric's values, float64 [rows].
        person: int64 [rows], whose row it is; people are what intervals are over.
        populations: name to bool [rows].
        others: the reference's values of the same rows: what ours have more, person by person, is added too.
        about: further columns.
    """
    differences = {key: values[key] - others[key] for key in values if key in others} if others else {}
    for minus, columns in ((None, values), (RETRAINED, differences)):
        if not columns:
            continue
        matrix = np.stack(list(columns.values()), axis=1)
        for population, chosen in populations.items():
            low, high = mean_intervals(matrix[chosen], person[chosen])
            counts = {"n_people": len(distinct(person[chosen])), "n_rows": int(chosen.sum())}
            for at, (metric, k) in enumerate(columns):
                ends = {"low": low[at], "high": high[at], "minus": minus}
                table.add(metric, mean(matrix[chosen, at]), k, population=population, **counts, **ends, **about)
