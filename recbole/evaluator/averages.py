"""Means over rows with their intervals, for each population, and how far they are from another model's."""

from collections.abc import Container, Mapping
from typing import Any

import numpy as np

from recbole.data.ids import distinct
from recbole.evaluator.intervals import mean_intervals
from recbole.evaluator.kinds import Floats, Ids, Mask, Reference
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
    others: tuple[Mapping[Key, Floats], Reference] | None = None,
    compared: Container[str] | None = None,
    **about: Any,
) -> None:
    """Add to a table a row for each metric and population: the mean, its interval, and of how many people it is.

    An interval that is not known, as of one person, is left out.

    Args:
        table: to add to.
        values: each metric's values, float64 [rows].
        person: int64 [rows], whose row it is; people are what intervals are over.
        populations: name to bool [rows].
        others: the reference's values of the same rows, and the reference: what ours have more, row by row, is added
            too, in rows with ``minus``.
        compared: the populations that it is added for; all by default.
        about: further columns.
    """
    columns: list[tuple[Key, dict[str, Any]]] = [(key, {}) for key in values]
    numbers = list(values.values())
    if others is not None:
        theirs, of = others
        against = {"minus": RETRAINED, "reference": of.name, "reference_twin": of.twin}
        columns += [(key, against) for key in values if key in theirs]
        numbers += [values[key] - theirs[key] for key in values if key in theirs]
    if not numbers:
        return
    matrix = np.stack(numbers, axis=1)
    for population, chosen in populations.items():
        shown = columns if compared is None or population in compared else columns[: len(values)]
        low, high = mean_intervals(matrix[chosen, : len(shown)], person[chosen])
        counts = {"n_people": len(distinct(person[chosen])), "n_rows": int(chosen.sum())}
        for at, ((metric, k), minus) in enumerate(shown):
            ends = {"low": float(low[at]), "high": float(high[at])} if np.isfinite(low[at]) else {}
            table.add(metric, mean(matrix[chosen, at]), k, population=population, **ends, **counts, **minus, **about)
