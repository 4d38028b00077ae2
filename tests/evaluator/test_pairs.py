"""Metrics of ranks and of labelled scores: their result rows, with one and with several processes."""

import numpy as np
import pytest
import torch

from recbole.evaluator import EvalSettings, Reference, build_views, evaluate, get_probe, pairs, utility
from recbole.evaluator.intervals import mean_intervals
from recbole.model import get_model

NAMES = ["Hit", "GAUC", "HitAgainst", "RMSE", "MAE", "AUC", "ItemCoverage", "AveragePopularity"]
SETTINGS = EvalSettings.from_config({"metrics": NAMES, "topk": [3], "eval_batch_size": 4096})


@pytest.fixture(scope="module")
def dataset(small_dataset):
    """The small data set, with five negatives sampled for each positive in the evaluation."""
    config = small_dataset.config
    modes = {**config["eval_args"], "mode": {"valid": "uni5", "test": "uni5"}}
    return type(small_dataset)(config.with_values(eval_args=modes), small_dataset.log)


@pytest.fixture(scope="module")
def models(dataset):
    made = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        made.append(get_model("BPR")(dataset.config, dataset))
    return made


@pytest.fixture(scope="module")
def table(dataset, models):
    """The result rows of a model after requests of three users, with differences from another model."""
    forgotten = np.zeros(len(dataset.log), dtype=bool)
    forgotten[dataset.log.rows_of([9, 15, 20])[::2]] = True
    view = build_views(dataset, forgotten, 2, 2)
    reference = Reference(models[1], "other.pth")
    return view, evaluate(models[0], view, SETTINGS, [get_probe("utility")()], reference, model="base")


def chosen(rows, **wanted):
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def test_every_metric_has_its_row_and_every_mean_an_interval(table):
    _, rows = table
    for population in ("all", "requesting", "others"):
        found = chosen(rows, view="all", population=population, minus=None)
        assert [row["metric"] for row in found] == [name.lower() for name in NAMES]
        for row in found:
            assert (row["low"] is None) == (row["metric"] in ("auc", "itemcoverage"))
            assert row["low"] is None or row["low"] <= row["value"] <= row["high"]


def test_rows_give_the_number_of_averaged_values(dataset, table):
    view, rows = table
    n_right = int(view.utility["all"].positives.sizes().sum())
    counts = {row["metric"]: row["n_rows"] for row in chosen(rows, view="all", population="all", minus=None)}
    assert counts["hit"] == counts["auc"] == 24
    assert counts["gauc"] == counts["hitagainst"] == n_right > 24 and counts["rmse"] == 6 * n_right


def test_rmse_takes_the_root_of_the_mean_and_of_the_interval(table, models):
    view, rows = table
    asked = view.utility["all"]
    found = utility.answer(models[0], asked, SETTINGS).pairs
    squares = (found.scores.astype(np.float64) - found.labels) ** 2
    (low,), (high,) = mean_intervals(squares[:, None], asked.entity[found.scored])
    (row,) = chosen(rows, metric="rmse", view="all", population="all")
    assert (row["value"], row["low"], row["high"]) == pytest.approx((squares.mean() ** 0.5, low**0.5, high**0.5))


def test_differences_are_only_given_for_means(table):
    _, rows = table
    compared = {row["metric"] for row in chosen(rows, minus="retrained")}
    assert compared == {"hit", "gauc", "hitagainst", "mae", "averagepopularity"}


def test_several_processes_all_get_the_whole_result(dataset, models, monkeypatch):
    rows = dataset.eval_rows("test")
    whole = utility.answer(models[0], rows, SETTINGS)
    parts = [utility.answer(models[0], rows.take(np.arange(at, 24, 2)), SETTINGS) for at in (0, 1)]
    monkeypatch.setattr(pairs, "world_size", lambda: 2)
    kept = [[], []]
    for at in (0, 1):  # the parts of both processes, in order
        monkeypatch.setattr(pairs, "rank", lambda at=at: at)
        monkeypatch.setattr(pairs, "concatenated", lambda part, at=at: kept[at].append(part) or part)
        parts[at].pairs.gathered()
    handed = iter([np.concatenate(both) for both in zip(*kept, strict=True)])
    monkeypatch.setattr(pairs, "concatenated", lambda part: next(handed))
    found = parts[0].pairs.gathered()
    assert np.array_equal(found.row, whole.pairs.row) and np.array_equal(found.scored, whole.pairs.scored)
    assert np.array_equal(found.labels, whole.pairs.labels)
    assert all(np.array_equal(one, other) for one, other in zip(found.places, whole.pairs.places, strict=True))
    np.testing.assert_allclose(found.scores, whole.pairs.scores, rtol=1e-5, atol=1e-7)


def test_a_row_with_nan_scores_has_no_value(dataset, models):
    rows = dataset.eval_rows("test")
    model = get_model("BPR")(dataset.config, dataset)
    with torch.no_grad():
        model.user_embedding.weight[int(rows.entity[3])] = torch.nan
    found = utility.answer(model, rows, SETTINGS).means()
    assert all(np.isnan(value) for value in found.values()), found
    others = np.arange(24) != 3
    assert all(
        np.isfinite(value)
        for value in utility.answer(model, rows.take(np.flatnonzero(others)), SETTINGS).means().values()
    )
    assert np.isfinite(utility.answer(model, rows, SETTINGS).of_all({"others": others})["others"]["auc", None])
