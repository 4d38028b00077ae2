"""Means over seeds and their t intervals, compared with SciPy's."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from recbole.report.t_intervals import QUANTITIES, differences, line, t_interval


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=12))
def test_intervals_are_scipys(values):
    n, error = len(values), np.std(values, ddof=1) / math.sqrt(len(values))
    low, high = t_interval(values)
    if error == 0:
        assert low == high == pytest.approx(np.mean(values))
    else:
        wanted = scipy.stats.t.interval(0.95, n - 1, loc=np.mean(values), scale=error)
        assert (low, high) == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_fewer_than_two_values_have_no_interval():
    assert all(math.isnan(end) for values in ([], [3.0]) for end in t_interval(values))
    assert line("m", "base", "value", {}) == []
    (only,) = line("m", "base", "value", {5: 3.0})
    assert tuple(only) == QUANTITIES and (only["seeds"], only["mean"]) == (1, 3.0) and math.isnan(only["low"])


def test_a_line_is_of_all_seeds_that_have_a_value():
    (found,) = line("NDCG@10", "unlearned", "value", {3: 0.2, 2: 0.1, 5: 0.6})
    low, high = t_interval([0.1, 0.2, 0.6])
    told = tuple(found[name] for name in ("measure", "model", "quantity", "seeds", "low", "high"))
    assert told == ("NDCG@10", "unlearned", "value", 3, low, high) and found["mean"] == pytest.approx(0.3)


def test_differences_are_of_the_seeds_that_both_have():
    assert differences({2: 0.5, 3: 1.0, 5: 7.0}, {3: 0.25, 2: 0.5, 9: 1.0}) == {2: 0.0, 3: 0.75}
