"""Filters of the log, compared with row-by-row implementations of their definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole.data.filters import core, first_or_last, within
from recbole.utils import UserError
from recbole.utils.intervals import parse_intervals

PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=40)


def columns(rows, width=2):
    return tuple(np.array(rows, dtype=np.int64).reshape(-1, width).T)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("[5,inf)", [(5, np.inf, True, False)]),
        (" ( -inf , 3.5 ] ", [(-np.inf, 3.5, False, True)]),
        ("(0,3];[7,9)", [(0, 3, False, True), (7, 9, True, False)]),
    ],
)
def test_intervals_are_parsed(text, parsed):
    assert parse_intervals(text, "key") == parsed


@pytest.mark.parametrize("text", ["5", "[5]", "[5,x)", "5,6", "[5,6);", "", None])
def test_invalid_intervals_are_rejected_by_name(text):
    with pytest.raises(UserError, match=r"^user_inter_num_interval: .* is not an interval such as \[5,inf\)"):
        parse_intervals(text, "user_inter_num_interval")


def test_within_respects_open_and_closed_ends_and_nan():
    values = np.array([0, 1, 2, 3, 4, 5, np.inf, np.nan])
    assert within(values, parse_intervals("[1,2];(3,5)", "k")).tolist() == [0, 1, 1, 0, 1, 0, 0, 0]
    assert within(values, parse_intervals("[5,inf)", "k")).tolist() == [0, 0, 0, 0, 0, 1, 0, 0]
    assert within(values, parse_intervals("[5,inf]", "k")).tolist() == [0, 0, 0, 0, 0, 1, 1, 0]


@given(PAIRS, st.integers(0, 4), st.integers(1, 6), st.integers(0, 4))
def test_the_filter_repeats_until_every_count_is_in_the_interval(rows, low, high, item_low):
    user_text, item_text = f"[{low},{high}]", f"[{item_low},inf)"
    left = list(range(len(rows)))
    while True:
        users, items = ([rows[r][side] for r in left] for side in (0, 1))
        stay = [
            r for r in left if low <= users.count(rows[r][0]) <= high and items.count(rows[r][1]) >= item_low
        ]  # fmt: skip
        if stay == left:
            break
        left = stay
    found = core(*columns(rows), parse_intervals(user_text, "u"), parse_intervals(item_text, "i"))
    assert found.tolist() == left


@given(PAIRS, st.integers(0, 4))
def test_k_core_is_the_largest_one(rows, k):
    at_least = [(k, np.inf, True, False)]
    kept = set(core(*columns(rows), at_least, at_least).tolist())
    left, shrunk = set(range(len(rows))), True
    while shrunk:  # one row at a time: the k-core does not depend on the order of removal
        bad = [
            r for r in left if any(sum(rows[q][side] == rows[r][side] for q in left) < k for side in (0, 1))
        ]  # fmt: skip
        shrunk = bool(bad)
        left -= set(bad[:1])
    assert kept == left


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), max_size=30), st.booleans())
def test_one_row_of_each_repeated_pair_is_kept(rows, timed):
    user, item, time = columns(rows, 3)
    for keep in ("first", "last"):
        best = {}
        for row, (u, i, t) in enumerate(rows):
            place = (t if timed else 0, row)
            held = best.get((u, i))
            if held is None or (place < held if keep == "first" else place > held):
                best[u, i] = place
        found = first_or_last(user, item, time if timed else None, keep)
        assert found.tolist() == sorted(row for _, row in best.values())
