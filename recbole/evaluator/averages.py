"""Means of metrics over groups of users, with 95 % intervals, and paired differences from a reference model."""

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
"""The value of the column ``minus`` of the result table in rows from which the reference model was subtracted."""


def add_means(
    table: Table,
    values: Mapping[Key, Floats],
    person: Ids,
    populations: Mapping[str, Mask],
    others: tuple[Mapping[Key, Floats], Reference] | None = None,
    compared: Container[str] | None = None,
    **about: Any,
) -> None:
    """Add the mean of each metric over each group of users to a result table.

    Each mean is one table row, with its 95 % interval and the numbers of users and values. The columns ``low`` and
    ``high`` stay None where an interval cannot be computed, for example with a single user.

    Args:
        table: the table to add to.
        values: the values to average, float64 [n], by metric and list length.
        person: int64 [n], the user id of each value. Intervals are computed by resampling users.
        populations: name of a group of users (such as ``requesting``) to bool [n], True for values of the group.
        others: ``(values, reference)``: values of the reference model in the same order, and this model. If given, the
            means of the differences "model minus reference" are added too, in table rows whose column ``minus`` is set.
        compared: names of the groups for which the differences are added; None means all groups.
        about: further columns of the table rows.
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
    """Add a model's utility metrics for each group of users, and their differences from a reference model, to a table.

    The column ``n_rows`` counts the values in a mean: evaluation rows, relevant items, or scored items, depending on
    the metric. Differences are left out for metrics that are the square root of a mean (RMSE), because a difference of
    roots is not a mean, and for metrics that are not means, such as item coverage.

    Args:
        table: the result table to add to.
        answers: the model's lists, hits and scores.
        rows: the evaluation rows.
        populations: name of a group of users (such as ``requesting``) to bool [rows], True for rows of the group.
        others: ``(answers, reference)``: lists, hits and scores of the reference model, and this model; None without a
            reference.
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
    """Return a copy of a table row with the square roots of its value and of the ends of its interval."""
    return row | {end: None if row[end] is None else max(row[end], 0.0) ** 0.5 for end in ("value", "low", "high")}
