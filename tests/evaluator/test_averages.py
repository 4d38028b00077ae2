"""Means with intervals for each population, and differences from a reference model."""

import math

import numpy as np
import pytest

from recbole.evaluator.averages import add_means
from recbole.evaluator.intervals import mean_intervals
from recbole.evaluator.kinds import Reference
from recbole.evaluator.table import Table

PERSON = np.array([1, 1, 2, 3, 3, 3, 4, 5])
OURS = np.array([1.0, 0.0, 2.0, 3.0, 1.0, 2.0, 0.5, 4.0])
THEIRS = np.array([0.5, 0.0, 1.0, 3.5, 1.0, 1.0, 0.0, 4.0])
REFERENCE = Reference(None, "r.pth", True)


def added(values, populations, others=None, **about):
    table = Table(split="test")
    add_means(table, values, PERSON, populations, others, **about)
    return table.rows


def test_a_mean_has_its_interval_and_counts():
    some = np.array([True, True, True, False, False, False, True, False])
    rows = added({("ndcg", 10): OURS}, {"all": some | True, "requesting": some}, view="all", n_skipped=2)
    assert [row["population"] for row in rows] == ["all", "requesting"]
    for row, chosen in zip(rows, (some | True, some), strict=True):
        (low,), (high,) = mean_intervals(OURS[chosen, None], PERSON[chosen])
        assert (row["metric"], row["k"], row["view"], row["n_skipped"]) == ("ndcg", 10, "all", 2)
        assert (row["value"], row["low"], row["high"]) == (OURS[chosen].mean(), low, high)
        assert row["low"] < row["value"] < row["high"]
        assert row["minus"] is row["reference"] is row["reference_twin"] is None
    assert [(row["n_people"], row["n_rows"]) for row in rows] == [(5, 8), (3, 4)]


def test_a_difference_is_paired_and_names_the_reference():
    values, theirs = {("a", None): OURS, ("b", 3): OURS + 1}, {("a", None): THEIRS}
    rows = added(values, {"all": np.ones(8, dtype=bool)}, (theirs, REFERENCE))
    assert [(row["metric"], row["minus"]) for row in rows] == [("a", None), ("b", None), ("a", "retrained")]
    (low,), (high,) = mean_intervals((OURS - THEIRS)[:, None], PERSON)
    row = rows[2]
    assert row["value"] == pytest.approx(OURS.mean() - THEIRS.mean())
    assert (row["low"], row["high"], row["reference"], row["reference_twin"]) == (low, high, "r.pth", True)
    assert row["high"] - row["low"] < rows[0]["high"] - rows[0]["low"], "narrower than the unpaired interval"
    assert rows[:2] == added(values, {"all": np.ones(8, dtype=bool)}), "a value does not depend on other columns"


def test_differences_can_be_limited_to_some_populations():
    everybody, some = np.ones(8, dtype=bool), np.arange(8) < 4
    populations, others = {"all": everybody, "requesting": some}, ({("a", None): THEIRS}, REFERENCE)
    rows = added({("a", None): OURS}, populations, others)
    fewer = added({("a", None): OURS}, populations, others, compared=["requesting"])
    assert [(row["population"], row["minus"]) for row in fewer] == [
        ("all", None), ("requesting", None), ("requesting", "retrained"),
    ]  # fmt: skip
    assert fewer == [row for row in rows if (row["population"], row["minus"]) != ("all", "retrained")]


def test_an_empty_population_is_nan(recwarn):
    (row,) = added({("a", None): OURS}, {"all": np.zeros(8, dtype=bool)})
    assert math.isnan(row["value"]) and row["low"] is row["high"] is None and row["n_people"] == row["n_rows"] == 0
    assert added({}, {"all": np.zeros(8, dtype=bool)}) == [] and not recwarn.list
