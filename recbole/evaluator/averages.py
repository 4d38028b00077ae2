"""Means over rows with their intervals, for each population, and how far they are from another model's."""

from collections.abc import Container, Mapping
from typing import Any

import numpy as np

from recbole.data import EvalRows
from recbole.data.ids import distinct
from recbole.evaluator.intervals import mean_intervals
from recbole.evaluator.kinds import Floats, Ids, Mask, Reference, Row
from recbole.evaluator.pairs import Key
from recbole.evaluator.table import Table
from recbole.evaluator.utility import Answers, mean
from recbole.evaluator.views import counted

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


def add_answers(
    table: Table,
    answers: Answers,
    rows: EvalRows,
    populations: Mapping[str, Mask],
    others: tuple[Answers, Reference] | None = None,
) -> None:
    """Add to a table the metrics of a model's answers for each population, and how far they are from the reference's.

    ``n_rows`` counts what a mean is over: rows, right items or scored items. The difference of two square roots of
    means is no mean over rows; it is left out, as are those of what is no mean at all.

    Args:
        table: to add to.
        answers: of the model.
        rows: what was asked.
        populations: name to bool [rows].
        others: the reference's answers to the same rows, and the reference.
    """
    theirs = [] if others is None else others[0].samples()
    skipped = rows.n_skipped
    for at, (values, of_row) in enumerate(answers.samples()):
        against = None
        if others is not None and np.array_equal(theirs[at][1], of_row):
            against = theirs[at][0], others[1]
        person, chosen = rows.entity[of_row], {name: mask[of_row] for name, mask in populations.items()}
        rooted = {key: part for key, part in values.items() if key[0] in answers.settings.roots}
        plain = {key: part for key, part in values.items() if key not in rooted}
        add_means(table, plain, person, chosen, against, n_skipped=skipped)
        squares = Table(**table.context)
        add_means(squares, rooted, person, chosen, n_skipped=skipped)
        table.rows += [_rooted(row) for row in squares.rows]
    for population, found in answers.of_all(populations).items():
        for (metric, k), value in found.items():
            table.add(metric, value, k, population=population, **counted(rows, populations[population]))


def _rooted(row: Row) -> Row:
    """Return the row of a mean's square root, from that of the mean."""
    return row | {end: None if row[end] is None else max(row[end], 0.0) ** 0.5 for end in ("value", "low", "high")}
