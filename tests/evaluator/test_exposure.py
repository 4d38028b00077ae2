"""Exposure: what the lists still show, counted by hand."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recbole.data import Ragged
from recbole.evaluator.probes.exposure import forgotten_exposure, sensitive_exposure

BEST = np.array([[1, 2, 3, 4], [5, 1, 0, 0], [2, 6, 7, 1], [5, 6, 7, 8]])
SENSITIVE = np.isin(np.arange(9), [0, 1, 2])  # padding on the list, too: it must not count


def ragged(sets):
    return Ragged(np.array([i for s in sets for i in s], dtype=np.int64), np.cumsum([0, *map(len, sets)]))


def test_sensitive_items_by_hand():
    assert sensitive_exposure(BEST, SENSITIVE, 4) == {
        "pct_users_with_sensitive": 75.0,
        "avg_sensitive_per_user": 1.25,
        "min_sensitive_per_user": 0.0,
        "max_sensitive_per_user": 2.0,
        "total_sensitive_in_topk": 5.0,
    }
    assert sensitive_exposure(BEST, SENSITIVE, 1)["pct_users_with_sensitive"] == 50.0
    assert sensitive_exposure(BEST, SENSITIVE, 1)["total_sensitive_in_topk"] == 2.0


def test_forgotten_items_are_each_rows_own():
    forgotten = ragged([[1, 2], [2], [7], [1, 5, 6, 7]])
    found = forgotten_exposure(BEST, forgotten, 9, 4)
    assert found == {
        "pct_users_with_forgotten": 75.0,
        "avg_forgotten_per_user": 1.5,
        "min_forgotten_per_user": 0.0,
        "max_forgotten_per_user": 3.0,
        "recall_of_forgotten": (1 + 0 + 1 + 3 / 4) / 4,
    }
    assert forgotten_exposure(BEST, forgotten, 9, 1)["avg_forgotten_per_user"] == 0.5


def test_nobody_is_no_number_and_not_a_warning(recwarn):
    found = sensitive_exposure(BEST[:0], SENSITIVE, 4) | forgotten_exposure(BEST[:0], ragged([]), 9, 4)
    assert found.pop("total_sensitive_in_topk") == 0.0
    assert len(found) == 9 and all(math.isnan(value) for value in found.values()) and not recwarn.list


@given(
    st.lists(st.lists(st.integers(0, 12), min_size=5, max_size=5), min_size=1, max_size=8), st.sets(st.integers(1, 12))
)
def test_more_k_never_shows_less(lists, listed):
    best, sensitive = np.array(lists), np.isin(np.arange(13), list(listed))
    totals = [sensitive_exposure(best, sensitive, k)["total_sensitive_in_topk"] for k in range(1, 6)]
    assert totals == [sum(item in listed for row in lists for item in row[:k]) for k in range(1, 6)]
    assert totals == sorted(totals)
