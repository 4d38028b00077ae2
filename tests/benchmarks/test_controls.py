"""`benchmarks/controls.py`: expected orders of the control models, ties and NaN, and the over-forgotten model."""

import importlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recbole.data.interaction import Interaction
from recbole.data.split import SPLITS
from recbole.evaluator import EvalSettings, build_views, evaluate, find_metric, get_probe

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NAN = float("nan")


@pytest.fixture
def order(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("controls_order")


@pytest.fixture
def controls(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("controls")


def ladder(order, *values):
    """Return the verdicts on an ordered list of values."""
    return dict(zip(order.STEPS, values, strict=True))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("js_divergence, requesting", (3, 2, 1, 4, 5)),
        ("js_divergence, others", (3, 2, 1, 1, 5)),
        ("jaccard@10, requesting", (3, 4, 5, 2, 1)),
        ("rank_biased_overlap, others", (3, 4, 5, 5, 1)),
        ("rank_change, requesting", (3, 2, 1, 5, 4)),
        ("forgotten_log_odds, trained pairs", (-5, -6, -7, -9, -7)),
        ("forgotten_log2_rank, held-out pairs", (5, 6, 7, 10, 9)),
        ("avg_forgotten_per_user@10", (2, 1, 0.5, 0, 0)),
        ("NDCG@10", (0.12, 0.121, 0.119, 0.125, 0.01)),
    ],
)
def test_the_known_order_is_found(order, name, values):
    found = order.relations(order.MEASURES[name], ladder(order, *values))
    assert found and all(found.values())


@pytest.mark.parametrize(
    ("name", "values", "failing"),
    [
        ("js_divergence, requesting", (2, 3, 1, 4, 5), {"base > half"}),
        ("js_divergence, requesting", (3, 2, 1, 1, 5), {"over-forgotten > retrained"}),
        ("js_divergence, others", (3, 2, 1, 1.001, 5), {"retrained = over-forgotten"}),
        ("jaccard@10, requesting", (3, 2, 1, 4, 5), None),
        ("avg_forgotten_per_user@10", (2, 1, 0, 0, 0), {"retrained > over-forgotten"}),
        ("recall@10", (0.12, 0.05, 0.12, 0.12, 0.01), {"half ~ retrained"}),
        ("recall@10", (0.12, 0.12, 0.12, 0.12, 0.2), None),
        ("recall@10", (0.12, NAN, 0.12, 0.12, 0.01), {"half ~ retrained"}),
        ("forgotten_log_odds, trained pairs", (-5, NAN, -7, -9, -7), {"base > half", "half > retrained"}),
        ("js_divergence, others", (3, 2, NAN, NAN, 5), {"half > retrained", "retrained = over-forgotten"}),
    ],
)
def test_ties_nan_and_wrong_orders_fail(order, name, values, failing):
    """In the parameters, None means that all expected relations fail."""
    found = order.relations(order.MEASURES[name], ladder(order, *values))
    assert {relation for relation, holds in found.items() if not holds} == (failing or set(found))


def test_each_seed_is_judged_separately(order):
    """The means over seeds are in order, but for one seed the half-forgotten model is above the base."""
    of_steps = ladder(order, [9, 2], [5, 3], [1, 1], [0, 0], [0, 0])
    measure = order.MEASURES["avg_forgotten_per_user@10"]
    assert order.judged(measure, of_steps) == (1, {"base > half": 1})
    line = order.table({"avg_forgotten_per_user@10": of_steps}).iloc[0]
    assert (line["ordered"], line["what fails"]) == ("1 of 2", "**base > half in 1 of 2**")
    assert (line["base"], line["half"]) == ("5.500", "4.000")


def test_correct_orders_are_not_marked(order):
    line = order.table({"js_divergence, requesting": ladder(order, [3], [2], [1], [4], [5])}).iloc[0]
    assert (line["ordered"], line["what fails"]) == ("1 of 1", "")


def test_base_and_retrained_are_compared_by_paired_differences(order):
    """Both vary by ten between seeds, but the differences are 1, 2 and 3: mean 2, standard error 1 / sqrt(3)."""
    of_steps = ladder(order, [1, 12, 23], [0] * 3, [0, 10, 20], [0] * 3, [0] * 3)
    assert order.separation(of_steps) == pytest.approx(2 * 3**0.5)
    assert np.isnan(order.separation(ladder(order, [2], [0], [1], [0], [0])))


def test_a_retrained_model_is_not_its_own_reference(controls, capsys):
    with pytest.raises(SystemExit):
        controls.parse_args(["--data", "d", "--work", "w", "--seeds", "2", "3", "--references", "3"])
    assert "shares its random numbers" in capsys.readouterr().err


@pytest.fixture
def asked(small_dataset):
    """A view in which three users forget one training row and one test row each, and the mask of these rows."""
    log, forgotten = small_dataset.log, np.zeros(len(small_dataset.log), dtype=bool)
    for person in (4, 7, 9):
        rows = np.arange(log.offsets[person], log.offsets[person + 1])
        forgotten[[rows[0], rows[log.split[rows] == SPLITS["test"]][0]]] = True
    return build_views(small_dataset, forgotten, 3, 1, np.arange(small_dataset.n_items) % 3 == 1), forgotten


def test_over_forgotten_items_are_ranked_last_for_requesting_users_only(controls, small_dataset, asked):
    view, mask = asked
    n_items = small_dataset.n_items
    fixed = torch.randn(small_dataset.n_users, n_items, generator=torch.Generator().manual_seed(1))
    model = SimpleNamespace(n_items=n_items, full_sort_predict=lambda asked: fixed[asked["user_id"]], eval=lambda: None)
    model.parameters = lambda: iter([fixed])
    before, forgotten = fixed.clone(), controls.forgotten_items(small_dataset, mask)
    over = controls.OverForgotten(model, small_dataset.uid_field, forgotten)
    everybody = Interaction({"user_id": np.arange(1, small_dataset.n_users)})
    found = over.full_sort_predict(everybody)
    for person, own, given in zip(range(1, small_dataset.n_users), found, before[1:], strict=True):
        kept = np.setdiff1d(np.arange(n_items), forgotten.get(person, []))
        assert torch.equal(own[kept], given[kept])
        if person in forgotten:
            assert torch.all(own[forgotten[person]] == given[kept[1:]].min() - 1)
    assert set(forgotten) == {4, 7, 9} and torch.equal(fixed, before)

    settings = EvalSettings((find_metric("NDCG"),), (10,), 4096)
    rows = evaluate(over, view, settings, [get_probe("forgotten")()])
    ranks = [row["value"] for row in rows if row["metric"] == "forgotten_log2_rank"]
    two_last = np.log2(n_items - 1.5)  # the last two of n_items - 1 items share a rank
    assert ranks == pytest.approx([two_last, two_last])  # for trained and for held-out pairs


def test_every_measure_is_a_row_of_an_evaluation(controls, order, small_dataset, asked):
    """If a measure matched no row of an evaluation, its value would be NaN, and it would seem to fail."""
    view, _ = asked
    fixed = torch.randn(2, small_dataset.n_users, small_dataset.n_items, generator=torch.Generator().manual_seed(2))

    def model(scores):
        found = SimpleNamespace(n_items=small_dataset.n_items, eval=lambda: None, parameters=lambda: iter([scores]))
        found.full_sort_predict = lambda asked: scores[asked["user_id"]]
        return found

    settings = EvalSettings((find_metric("NDCG"), find_metric("Recall")), (order.K,), 4096)
    values = controls.measured(model(fixed[0]), view, settings, [model(fixed[1]), model(fixed[0])])
    assert set(values) == set(order.MEASURES)
    assert not any(np.isnan(value) for value in values.values())
    once = controls.measured(model(fixed[0]), view, settings, [model(fixed[1])])
    name = "js_divergence, requesting"
    assert values[name] == pytest.approx(once[name] / 2) and once[name] > 0


def test_values_are_reused_only_for_the_same_seeds(controls, order, tmp_path, monkeypatch):
    made = []

    def compared(args, cell):
        made.append((cell, args.seeds))
        return {name: ladder(order, *([float(len(made))] for _ in order.STEPS)) for name in order.MEASURES}

    monkeypatch.setattr(controls, "compared", compared)
    words = ["--data", str(tmp_path), "--work", str(tmp_path), "--cells", "BPR", "--seeds"]
    first = controls.result(controls.parse_args([*words, "2"]), "BPR")
    assert controls.result(controls.parse_args([*words, "2"]), "BPR") == first and len(made) == 1
    assert controls.result(controls.parse_args([*words, "3"]), "BPR") != first
    assert controls.result(controls.parse_args([*words, "3", "--same_epoch"]), "BPR") != first
    assert [seeds for _, seeds in made] == [[2], [3], [3]]


def test_an_unknown_cell_gives_a_one_line_error(controls, capsys):
    with pytest.raises(SystemExit):
        controls.parse_args(["--data", "d", "--work", "w", "--cells", "Nothing"])
    assert "not in grid.yaml: Nothing" in capsys.readouterr().err
