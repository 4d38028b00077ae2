"""Exposure: sensitive and forgotten items that are still in the lists, counted by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recbole.data import EvalRows, Interaction, Ragged
from recbole.evaluator import EvalSettings, Views
from recbole.evaluator.kinds import Reference
from recbole.evaluator.probes import exposure
from recbole.evaluator.probes.exposure import forgotten_shown, sensitive_shown

BEST = np.array([[1, 2, 3, 4], [5, 1, 0, 0], [2, 6, 7, 1], [5, 6, 7, 8]])
SENSITIVE = np.isin(np.arange(9), [0, 1, 2])  # the padding item 0 is marked, too, but must not count


def ragged(sets):
    return Ragged(np.array([i for s in sets for i in s], dtype=np.int64), np.cumsum([0, *map(len, sets)]))


def test_sensitive_items_by_hand():
    assert sensitive_shown(BEST, SENSITIVE, 4).tolist() == [2, 1, 2, 0]
    assert sensitive_shown(BEST, SENSITIVE, 1).tolist() == [1, 0, 1, 0]


def test_forgotten_items_are_counted_per_row():
    forgotten = ragged([[1, 2], [2], [7], [1, 5, 6, 7]])
    assert forgotten_shown(BEST, forgotten, 9, 4).tolist() == [2, 0, 1, 3]
    assert forgotten_shown(BEST, forgotten, 9, 1).tolist() == [1, 0, 0, 1]


class Fixed:
    """A model cache with fixed lists."""

    n_items = 9

    def lists(self, rows, k, masked, batch_rows):
        return BEST[:, :k]


def test_rows_by_hand(monkeypatch):
    """Four users, of whom the first two have a request; lists of four items."""
    people = np.arange(1, 5)
    shown = EvalRows(Interaction({"user": people}), people, ragged([[]] * 4), ragged([[]] * 4), 3)
    view = Views(2, {}, shown, people[:2], ragged([[1, 2], [2], [], []]), np.ones(3, dtype=bool), SENSITIVE)
    monkeypatch.setattr(exposure.Asked, "of", lambda model: model)
    settings = EvalSettings((), (4,), 9)
    rows = [row for row in exposure.Exposure().ask(Fixed(), view, settings) if row["masking"] == "all"]
    found = {(row["population"], row["metric"]): row for row in rows}
    assert len(found) == len(rows)
    values = {about: row["value"] for about, row in found.items()}
    sensitive = {"all": (75, 1.25, 0, 2, 5), "requesting": (100, 1.5, 1, 2, 3), "others": (50, 1, 0, 2, 2)}
    names = [f"{name}_sensitive_per_user" for name in ("avg", "min", "max")]
    for population, expected in sensitive.items():
        of = ["pct_users_with_sensitive", *names, "total_sensitive_in_topk"]
        assert [values.pop((population, name)) for name in of] == list(expected)
    assert values == {
        ("requesting", "pct_users_with_forgotten"): 50.0,
        ("requesting", "avg_forgotten_per_user"): 1.0,
        ("requesting", "min_forgotten_per_user"): 0.0,
        ("requesting", "max_forgotten_per_user"): 2.0,
        ("requesting", "recall_of_forgotten"): 0.5,
    }
    for (population, metric), row in found.items():
        has_interval = metric.startswith(("pct", "avg", "recall"))
        assert (row["low"] is not None, row["high"] is not None) == (has_interval, has_interval)
        assert row["n_people"] == row["n_rows"] == (4 if population == "all" else 2) and row["n_skipped"] == 3
    assert found["requesting", "recall_of_forgotten"]["low"] == 0.0
    assert found["requesting", "recall_of_forgotten"]["high"] == 1.0


def test_differences_of_requesting_users_by_hand(monkeypatch):
    people = np.arange(1, 5)
    shown = EvalRows(Interaction({"user": people}), people, ragged([[]] * 4), ragged([[]] * 4), 3)
    view = Views(2, {}, shown, people[:2], ragged([[1, 2], [2], [], []]), np.ones(3, dtype=bool), SENSITIVE)
    monkeypatch.setattr(exposure.Asked, "of", lambda model: model)
    settings, other = EvalSettings((), (4,), 9), Fixed()
    other.lists = lambda rows, k, masked, batch_rows: np.array([[3, 4, 5, 6], [2, 1, 0, 0], [1, 2, 7, 6], [5, 6, 7, 8]])
    rows = exposure.Exposure().ask(Fixed(), view, settings, Reference(other, "r.pth", True))
    assert [row for row in rows if not row["minus"]] == exposure.Exposure().ask(Fixed(), view, settings)
    found = [row for row in rows if row["minus"]]
    assert {(row["population"], row["minus"], row["reference"], row["n_people"]) for row in found} == {
        ("requesting", "retrained", "r.pth", 2)
    }
    values = {row["metric"]: row["value"] for row in found if row["masking"] == "all"}
    assert values == {
        "pct_users_with_sensitive": 50.0,  # 2 and 1 items; in the reference 0 and 2
        "avg_sensitive_per_user": 0.5,
        "pct_users_with_forgotten": 0.0,  # compare the two users' forgotten items in both models
        "avg_forgotten_per_user": 0.5,
        "recall_of_forgotten": 0.0,
    }
    assert len(found) == 2 * len(values)


@given(
    st.lists(st.lists(st.integers(0, 12), min_size=5, max_size=5), min_size=1, max_size=8), st.sets(st.integers(1, 12))
)
def test_longer_lists_never_show_fewer_items(lists, listed):
    best, sensitive = np.array(lists), np.isin(np.arange(13), list(listed))
    totals = [sensitive_shown(best, sensitive, k).tolist() for k in range(1, 6)]
    assert totals == [[sum(item in listed for item in row[:k]) for row in lists] for k in range(1, 6)]


def test_a_row_without_a_list_gives_nan():
    best = np.array([[1, 2], [-1, -1]])
    assert np.isnan(sensitive_shown(best, SENSITIVE, 2)).tolist() == [False, True]
    assert np.isnan(forgotten_shown(best, ragged([[1], [1]]), 9, 2)).tolist() == [False, True]
