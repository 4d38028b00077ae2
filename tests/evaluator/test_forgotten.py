"""Scores of forgotten pairs compared with their definitions, and which pairs were trained on."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from probe_contract import SETTINGS, bpr, checkpoint_views

from recbole.data import EvalRows, Interaction, Ragged
from recbole.data.split import TRAIN
from recbole.evaluator import Views, evaluate, get_probe
from recbole.evaluator.probes.forgotten import pair_scores

NOTHING = np.zeros(0, dtype=bool)


class Table:
    """A model with given scores [users, items]."""

    def __init__(self, table):
        self.table = torch.as_tensor(np.asarray(table), dtype=torch.float32)
        self.n_items = self.table.shape[1]

    def eval(self):
        return self

    def parameters(self):
        return iter([self.table])

    def full_sort_predict(self, interaction):
        """Return the score rows of the users."""
        return self.table[interaction["user"]]


def ragged(sets):
    return Ragged(np.array([i for s in sets for i in s], dtype=np.int64), np.cumsum([0, *map(len, sets)]))


def view_of(forgotten, trained=NOTHING):
    """Return a view in which users 0, 1, ...

    forgot the given items; item 1 is in every history, which must have no effect.
    """
    n = len(forgotten)
    shown = EvalRows(Interaction({"user": np.arange(n)}), np.arange(n), ragged([[]] * n), ragged([[1]] * n), 0)
    asked = np.flatnonzero([len(items) > 0 for items in forgotten])
    return Views(0, {}, shown, asked, ragged(forgotten), trained)


def by_definition(table, forgotten):
    """Return log(p / (1 - p)) and the logarithm of the mean rank for each pair, float64."""
    odds, rank = [], []
    for scores, items in zip(np.asarray(table, dtype=np.float32)[:, 1:].astype(np.float64), forgotten, strict=True):
        p = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        for item in items:
            own = scores[item - 1]
            odds.append(np.log(p[item - 1] / (1 - p[item - 1])))
            places = [1 + sum(scores > own) + tied for tied in range(sum(scores == own))]
            rank.append(np.log2(np.mean(places)))
    return np.array(odds), np.array(rank)


@given(st.integers(0, 2**32 - 1), st.integers(2, 30), st.booleans(), st.integers(1, 5))
@settings(deadline=None, max_examples=60)
def test_log_odds_and_ranks_equal_their_definitions(seed, n_items, tied, batch_rows):
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 3, (6, n_items + 1)) if tied else rng.normal(size=(6, n_items + 1)) * 3
    table[:, 0] = 50  # the padding item has a score, too, which must be ignored
    items = [np.sort(rng.choice(np.arange(1, n_items + 1), rng.integers(0, 3), replace=False)) for _ in range(6)]
    found = pair_scores(Table(table), view_of(items), batch_rows)
    odds, rank = by_definition(table, items)
    assert found["forgotten_log_odds", None] == pytest.approx(odds, rel=1e-9, abs=1e-9)
    assert found["forgotten_log2_rank", None] == pytest.approx(rank, abs=1e-12)


def test_log_odds_are_finite_if_a_probability_rounds_to_one():
    found = pair_scores(Table([[0, 60.0, 0.0, 0.0]]), view_of([[1, 2]]))
    assert found["forgotten_log_odds", None] == pytest.approx([60 - np.log(2), -60], abs=1e-9)
    assert found["forgotten_log2_rank", None].tolist() == [0, np.log2(2.5)]


def test_nan_scores_give_none():
    table = np.zeros((2, 5))
    table[0, 3] = np.nan
    found = pair_scores(Table(table), view_of([[2, 3], [2]]))
    assert np.isnan(found["forgotten_log_odds", None]).tolist() == [True, True, False]
    assert np.isnan(found["forgotten_log2_rank", None]).tolist() == [True, True, False]


def test_pairs_that_were_trained_on_have_rows_of_their_own():
    table = np.tile(np.arange(6.0), (3, 1))
    forgotten, trained = [[1, 2], [3], []], np.array([True, False, True])
    rows = evaluate(Table(table), view_of(forgotten, trained), SETTINGS, [get_probe("forgotten")()])
    odds, rank = by_definition(table, forgotten)
    found = {(row["split"], row["metric"]): row for row in rows}
    assert len(found) == len(rows) == 4
    for split, chosen in (("train", trained), ("held_out", ~trained)):
        for metric, values in (("forgotten_log_odds", odds), ("forgotten_log2_rank", rank)):
            row = found[split, metric]
            assert row["value"] == pytest.approx(values[chosen].mean())
            assert row["n_rows"] == row["n_people"] == chosen.sum()
            assert (row["population"], row["view"], row["masking"]) == ("requesting", "current", "all")


def test_differences_are_model_minus_reference():
    table, other = np.random.default_rng(1).normal(size=(2, 4, 9))
    forgotten = [[1], [2, 5], [3], [4]]
    view = view_of(forgotten, np.ones(5, dtype=bool))
    rows = evaluate(Table(table), view, SETTINGS, [get_probe("forgotten")()], (Table(other), "r.pth"))
    values = {(row["metric"], row["minus"]): row["value"] for row in rows}
    for metric, ours, theirs in zip(
        ("forgotten_log_odds", "forgotten_log2_rank"),
        by_definition(table, forgotten), by_definition(other, forgotten), strict=True,
    ):  # fmt: skip
        assert values[metric, "retrained"] == pytest.approx((ours - theirs).mean())
        assert values[metric, None] == pytest.approx(ours.mean())


def test_a_view_marks_the_pairs_that_were_trained_on(small_dataset):
    log = small_dataset.log
    forgotten = np.zeros(len(log), dtype=bool)
    forgotten[log.rows_of([3, 20])[::2]] = True
    view = checkpoint_views(small_dataset, forgotten)
    person = np.repeat(view.shown.entity, view.forgotten.sizes())
    expected = [
        any(log.split[row] <= TRAIN for row in np.flatnonzero(forgotten & (log.user == user) & (log.item == item)))
        for user, item in zip(person, view.forgotten.values, strict=True)
    ]
    assert view.trained.tolist() == expected and len(set(expected)) == 2
    assert evaluate(bpr(small_dataset, 1), checkpoint_views(small_dataset, forgotten & False), SETTINGS,
                    [get_probe("forgotten")()]) == []  # fmt: skip
