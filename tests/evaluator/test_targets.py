"""Metrics of the items that a spam attack promotes, compared with scores that are ranked by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole.data import EvalRows, Interaction, Ragged
from recbole.evaluator import COLUMNS, NOBODY, EvalSettings, TargetView, build_views, evaluate
from recbole.evaluator.intervals import mean_intervals
from recbole.evaluator.kinds import Reference
from recbole.evaluator.probes.distance import Distance
from recbole.evaluator.probes.exposure import Exposure
from recbole.evaluator.probes.targets import Targets, target_scores
from recbole.evaluator.probes.utility import Utility
from recbole.evaluator.utility import utility
from recbole.model import get_model

SETTINGS = EvalSettings.from_config({"topk": [2, 3], "metrics": ["Recall", "Hit"], "eval_batch_size": 4})


class Table:
    """A model with given scores [rows, items]."""

    def __init__(self, scores):
        self.scores = torch.as_tensor(scores)
        self.n_items = self.scores.shape[1]
        self.asked = []

    def eval(self):
        pass

    def parameters(self):
        return iter([torch.zeros(1)])

    def full_sort_predict(self, interaction):
        self.asked.append(len(interaction["row"]))
        return self.scores[interaction["row"]].reshape(-1)


def ragged(rows):
    return Ragged(np.array([i for row in rows for i in row], dtype=np.int64), np.cumsum([0, *map(len, rows)]))


def questions(histories, positives=None):
    """Return evaluation rows with the given histories and positive items."""
    n = len(histories)
    positives = [[1]] * n if positives is None else positives
    return EvalRows(Interaction({"row": np.arange(n)}), np.arange(n), ragged(positives), ragged(histories), 3)


def by_hand(scores, history, targets, k):
    """Return (best items, ranks, log probabilities) of one row, with plain Python."""
    candidates = [item for item in range(1, len(scores)) if item not in history]
    best = sorted(candidates, key=lambda item: -scores[item])[:k]
    total = np.log(sum(np.exp(float(scores[item])) for item in candidates))
    places = {t: [p for p, i in enumerate(sorted(candidates, key=lambda item: -scores[item]), 1)
                  if scores[i] == scores[t]] for t in targets}  # fmt: skip
    rank = [np.mean(places[t]) if t in candidates else np.nan for t in targets]
    return best, rank, [scores[t] - total if t in candidates else -np.inf for t in targets]


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
@settings(max_examples=30, deadline=None)
def test_ranks_and_probabilities_are_computed_over_the_candidates(seed, batch_rows):
    draw = np.random.default_rng(seed)
    scores, targets = draw.normal(size=(7, 12)), draw.choice(np.arange(1, 12), 4, replace=False)
    histories = [draw.choice(np.arange(1, 12), draw.integers(0, 5), replace=False).tolist() for _ in range(7)]
    model = Table(scores)
    view = TargetView(questions(histories), targets)
    answers, found = target_scores(model, view, replace(SETTINGS, batch_size=batch_rows))
    assert max(model.asked) <= batch_rows and found.log_probability.dtype == np.float32
    for row, history in enumerate(histories):
        best, rank, log_probability = by_hand(scores[row], history, targets, 3)
        assert answers.best[row].tolist() == best
        np.testing.assert_array_equal(found.rank[row], rank)
        np.testing.assert_allclose(found.log_probability[row], log_probability, rtol=1e-5)


def test_the_four_target_metrics_and_the_utility_of_the_same_rows():
    scores = [[9.0, 1, 2, 3, 4, 5], [9.0, 5, 4, 3, 2, 1], [9.0, 1, 5, 4, 3, 2]]
    targets, asked = np.array([5, 2]), questions([[], [1], [2]], [[1], [2, 3], [4]])
    kept = []
    view, probe = TargetView(asked, targets), Targets(kept.append)
    rows = evaluate(Table(scores), view, SETTINGS, [probe], model="base", checkpoint=2)
    np.testing.assert_array_equal(kept[0].rank, [[1, 4], [4, 1], [3, np.nan]])
    assert all(tuple(row) == COLUMNS for row in rows)
    about = {"model": "base", "checkpoint": 2, "view": "clean", "population": "all", "masking": "retained"}
    assert all(row[key] == value for row in rows for key, value in about.items())
    assert {(row["n_rows"], row["n_skipped"], row["split"]) for row in rows} == {(3, 3, "test")}
    value = {(row["metric"], row["k"]): row["value"] for row in rows}
    # the lists: 5 4 3 2 1 | 2 3 4 5 | 3 4 5 1
    assert value["target_hit_rate", 2] == pytest.approx(2 / 3) and value["target_hit_rate", 3] == 1
    assert value["target_exposure", 2] == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert value["target_exposure", 3] == pytest.approx(1 / 3)
    assert value["target_rank", None] == pytest.approx((1 + 4 + 4 + 1 + 3) / 5), (
        "item 2 is not a candidate of the last row"
    )
    total = [np.log(np.exp(np.arange(low, high)).sum()) for low, high in ((1, 6), (1, 5), (1, 5))]
    logs = [5 - total[0], 2 - total[0], 1 - total[1], 4 - total[1], 2 - total[2]]
    assert value["target_log_probability", None] == pytest.approx(np.mean(logs), rel=1e-5)
    for (metric, k), each in utility(Table(scores), asked, SETTINGS).per_row().items():
        assert value[metric, k] == pytest.approx(each.mean())


def test_intervals_resample_users_and_differences_are_paired():
    draw = np.random.default_rng(4)
    scores, theirs = draw.normal(size=(2, 12, 9))
    person, targets = np.repeat([3, 5, 8, 9], 3), np.array([4, 7])
    asked = replace(questions([[row % 8 + 1] for row in range(12)]), entity=person)
    ours, other = Table(scores), Table(theirs)
    rows = evaluate(ours, TargetView(asked, targets), SETTINGS, [Targets()], Reference(other, "r.pth", True))
    found = {(row["metric"], row["k"], row["minus"]): row for row in rows}
    assert len(found) == len(rows) == 2 * (4 + 4 + 2) and len(ours.asked) == len(other.asked), (
        "each user is scored once"
    )
    (_, one), (_, two) = (target_scores(Table(each), TargetView(asked, targets), SETTINGS) for each in (scores, theirs))
    known = ~np.isnan(one.rank)
    assert not known.all()
    of_pair = np.repeat(person, 2).reshape(12, 2)[known]
    for values, minus in ((one.rank, None), (one.rank - two.rank, "retrained")):
        row, (low, high) = found["target_rank", None, minus], mean_intervals(values[known][:, None], of_pair)
        assert (row["value"], row["low"], row["high"]) == pytest.approx((values[known].mean(), *low, *high))
        assert (row["n_people"], row["n_rows"], row["n_skipped"]) == (4, 12, 3)
    for minus, reference in ((None, None), ("retrained", "r.pth")):
        assert {row["reference"] for row in rows if row["minus"] == minus} == {reference}
    hits = np.array([bool({4, 7} & set(by_hand(scores[row], [row % 8 + 1], targets, 2)[0])) for row in range(12)])
    (low,), (high,) = mean_intervals(hits[:, None].astype(float), person)
    assert (found["target_hit_rate", 2, None]["low"], found["target_hit_rate", 2, None]["high"]) == (low, high)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_ties_share_their_mean_rank(seed):
    draw = np.random.default_rng(seed)
    scores, targets = draw.integers(0, 3, (5, 9)).astype(float), draw.choice(np.arange(1, 9), 3, replace=False)
    histories = [draw.choice(np.arange(1, 9), draw.integers(0, 4), replace=False).tolist() for _ in range(5)]
    _, found = target_scores(Table(scores), TargetView(questions(histories), targets), SETTINGS)
    for row, history in enumerate(histories):
        np.testing.assert_array_equal(found.rank[row], by_hand(scores[row], history, targets, 3)[1])


def test_constant_scores_give_the_middle_rank():
    view = TargetView(questions([[], [5]]), np.array([1, 4, 5]))
    _, found = target_scores(Table(np.ones((2, 6))), view, SETTINGS)
    np.testing.assert_array_equal(found.rank, [[3, 3, 3], [2.5, 2.5, np.nan]])


def test_without_rows_or_with_nan_scores_values_are_nan(recwarn):
    target = np.array([1])
    rows = evaluate(Table(np.ones((0, 5))), TargetView(questions([]), target), SETTINGS, [Targets()], model="base")
    assert all(np.isnan(row["value"]) and row["n_rows"] == 0 for row in rows)
    view, model = TargetView(questions([[], []]), target), Table(np.full((2, 5), np.nan))
    rows = evaluate(model, view, SETTINGS, [Targets()])
    value = {(row["metric"], row["k"]): row["value"] for row in rows}
    assert np.isnan(value["target_hit_rate", 2]) and np.isnan(value["target_rank", None])
    assert np.isnan(value["target_log_probability", None]) and (utility(model, view.rows, SETTINGS).best == -1).all()
    assert not recwarn.list


def test_fake_users_are_never_among_the_others(small_dataset):
    fake, forgotten = np.array([22, 23, 24]), np.zeros(len(small_dataset.log), dtype=bool)
    forgotten[small_dataset.log.rows_of([23])] = True
    made = build_views(small_dataset, forgotten, 0, 2, None, fake)
    assert made.requesting.tolist() == [23] and made.shown.entity.tolist() == [23, *range(1, 22)]
    torch.manual_seed(1)
    model = get_model("BPR")(small_dataset.config, small_dataset)
    probes, asked = [Utility(), Exposure(), Distance()], EvalSettings.from_config(small_dataset.config)
    rows = evaluate(model, made, asked, probes, (model, "r"))
    count = {(r["view"], r["population"]): r["n_rows"] for r in rows if (r["metric"], r["k"]) == ("recall", 10)}
    assert count["all", "all"] == 24 and count["all", "others"] == count["current", "others"] == 21
    assert count["current", "all"] == 23 and count["current", "requesting"] == 0
    nobody = build_views(small_dataset, np.zeros_like(forgotten), None, 2, None, fake)
    assert nobody.shown.entity.tolist() == list(range(1, 22)) and len(nobody.utility["all"].entity) == 24
    assert build_views(small_dataset, forgotten, 0, 2).fake is NOBODY
