"""Metrics from another installed distribution: each is one function, without changes to this package."""

import importlib
import json
import subprocess
import sys
from os import environ, pathsep
from pathlib import Path

import numpy as np
import pytest
from metric_contract import OfListsContract, OfScoresContract, PerRowContract
from probe_contract import bpr, checkpoint_views

from recbole.evaluator import EvalSettings, check_metrics, evaluate, find_metric, get_probe, mean_utility
from recbole.evaluator import utility as module
from recbole.utils import UserError

TOYS = '''
import numpy as np

from recbole.evaluator import of_lists, of_scores, per_row


@per_row("Hits")
def hits(hits, n_right):
    return np.cumsum(hits, axis=1)


@of_lists("Coverage")
def coverage(best, n_items):
    shown = [np.unique(best[:, :k]) for k in range(1, best.shape[1] + 1)]
    return [(items > 0).sum() / (n_items - 1) for items in shown]


@of_scores("Above")
def above(scores, labels):
    """The share of pairs of a right and a wrong candidate that are in order, without ties."""
    found = np.empty(len(scores))
    for row, (score, right) in enumerate(zip(scores, labels)):
        wrong = ~right & (score > -np.inf)
        found[row] = (score[right, None] > score[None, wrong]).mean() if right.any() and wrong.any() else 0.5
    return found


def undecorated(hits, n_right):
    return hits
'''
NAMES = {"Hits": "hits", "Coverage": "coverage", "Above": "above", "Plain": "undecorated", "Gone": "gone",
         "Other": "hits"}  # fmt: skip


def install(folder):
    """Create an installed distribution named toys in a folder."""
    (folder / "toy_metrics.py").write_text(TOYS)
    (folder / "toys-1.0.dist-info").mkdir()
    (folder / "toys-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n")
    lines = [f"{name} = toy_metrics:{value}" for name, value in NAMES.items()]
    (folder / "toys-1.0.dist-info" / "entry_points.txt").write_text("\n".join(["[erase_bench.metrics]", *lines, ""]))
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return install(tmp_path_factory.mktemp("site"))


@pytest.fixture(autouse=True)
def toys(site, monkeypatch):
    """Put the distribution on the path."""
    monkeypatch.syspath_prepend(site)
    importlib.invalidate_caches()
    yield
    sys.modules.pop("toy_metrics", None)


class TestHits(PerRowContract):
    metric, high, grows, ideal = "Hits", None, True, None

    def by_definition(self, hits, n_right, k):
        return sum(hits[:k])


class TestCoverage(OfListsContract):
    metric = "Coverage"

    def by_definition(self, best, n_items, k):
        return len(set().union(*best)) / (n_items - 1)


class TestAbove(OfScoresContract):
    metric = "Above"

    def by_definition(self, scores, labels):
        right, wrong = (
            [s for s, is_right in zip(scores, labels, strict=True) if is_right == which] for which in (1, 0)
        )
        return np.mean([r > w for r in right for w in wrong])


@pytest.fixture
def settings():
    asked = {"metrics": ["Coverage", "Recall", "above", "HITS"], "topk": [5, 3], "eval_batch_size": 4}
    return asked, EvalSettings.from_config(asked)


def test_metrics_of_all_kinds_have_rows_for_every_population(small_dataset, settings):
    forgotten = np.zeros(len(small_dataset.log), dtype=bool)
    forgotten[small_dataset.log.rows_of([3, 20])[::2]] = True
    view, model = checkpoint_views(small_dataset, forgotten), bpr(small_dataset, 1)
    rows = evaluate(model, view, settings[1], [get_probe("utility")()], model="base")
    order = [("coverage", 5), ("coverage", 3), ("recall", 5), ("recall", 3), ("above", None), ("hits", 5), ("hits", 3)]
    assert [(row["metric"], row["k"]) for row in rows] == order * 6
    asked = view.utility["current"]
    scores = model.full_sort_predict(asked.inputs).view(len(asked.entity), -1).detach().numpy()
    values = module.utility(model, asked, settings[1])
    for population, chosen in view.populations(asked):
        found = {(r["metric"], r["k"]): r for r in rows if (r["view"], r["population"]) == ("current", population)}
        shown = set(values.best[chosen][:, :3].ravel().tolist()) - {0}
        assert found["coverage", 3]["value"] == len(shown) / 40
        assert found["hits", 3]["value"] == np.mean(values.hits[chosen][:, :3].sum(axis=1))
        each = [_above(scores, asked, row) for row in np.flatnonzero(chosen)]
        assert found["above", None]["value"] == pytest.approx(np.mean(each))
        assert found["above", None]["n_rows"] == chosen.sum()


def _above(scores, asked, row):
    """Return the fraction of a row's pairs in the right order, with plain Python."""
    history, right = (
        set(part.values[part.offsets[row] : part.offsets[row + 1]].tolist())
        for part in (asked.history, asked.positives)
    )
    wrong = set(range(1, 41)) - history - right
    return np.mean([scores[row, r] > scores[row, w] for r in right - history for w in wrong])


def test_the_result_dictionary_has_them_and_no_rows_give_nan(small_dataset, settings, recwarn):
    model, rows = bpr(small_dataset, 1), small_dataset.eval_rows("test")
    found = mean_utility(model, rows, settings[0])
    names = ["coverage@5", "coverage@3", "recall@5", "recall@3", "above", "hits@5", "hits@3"]
    assert list(found) == names and 0 < found["above"] < 1
    none = mean_utility(model, rows.take(np.arange(0)), settings[0])
    assert list(none) == names and all(np.isnan(value) for value in none.values()) and not recwarn.list


def test_several_processes_all_get_the_whole_result(small_dataset, settings, monkeypatch):
    model, rows = bpr(small_dataset, 1), small_dataset.eval_rows("test")
    whole = module.utility(model, rows, settings[1]).means()
    parts = [module.answer(model, rows.take(np.arange(at, len(rows.entity), 2)), settings[1]) for at in (0, 1)]

    others = {id(mine): other for mine, other in zip(*map(_arrays, parts), strict=True)}

    def joined(mine):
        out = np.empty((len(mine) + len(others[id(mine)]), *mine.shape[1:]), mine.dtype)
        out[0::2], out[1::2] = mine, others[id(mine)]
        return out

    monkeypatch.setattr(module, "interleaved", joined)
    found = parts[0].gathered().means()
    assert found == pytest.approx(whole, abs=1e-12)


def _arrays(part):
    return [part.best, part.hits, part.n_right, *part.of_scores.values()]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "Plain",
            "metrics: toy_metrics:undecorated is not a metric named 'Plain'; decorate its function with @per_row",
        ),
        ("Other", "metrics: toy_metrics:hits is not a metric named 'Other'"),
        ("Gone", "toys offers erase_bench.metrics 'Gone', which cannot be imported"),
        (
            "Coverag",
            "metrics: there is no metric 'Coverag', did you mean 'Coverage'?; known: Recall, MRR, NDCG, Hit, Pre",
        ),
    ],
)
def test_invalid_metrics_give_a_one_line_error(name, told):
    with pytest.raises(UserError) as error:
        find_metric(name)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_names_of_built_in_metrics_are_rejected(site, monkeypatch, tmp_path):
    folder = tmp_path / "more-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: more\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[erase_bench.metrics]\nNDCG = toy_metrics:hits\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    with pytest.raises(UserError, match=r"more offers erase_bench\.metrics 'NDCG', which this package has"):
        find_metric("Coverage")


def test_an_external_metric_can_be_the_validation_metric(small_cf, config):
    def asked(valid_metric):
        return config(small_cf, metrics=["Recall", "Coverage", "Above"], topk=[5], valid_metric=valid_metric)

    check_metrics(asked("above"))
    check_metrics(asked("Coverage@5"))
    with pytest.raises(UserError, match=r"'Above@5' should be of the form Above$"):
        check_metrics(asked("Above@5"))


def test_a_run_has_result_rows_of_an_external_metric(site, tmp_path, small_cf):
    root = Path(__file__).parents[2]
    settings = {"load_col": {"inter": ["user_id", "item_id", "timestamp"]}, "epochs": 2, "use_gpu": False}
    (tmp_path / "run.yaml").write_text(json.dumps(settings | {"tensorboard": False, "embedding_size": 4}))
    words = ["--dataset", "small", "--data_path", str(small_cf), "--config_files", "run.yaml",
             "--result_file", "r.json", "--topk", "5", "--valid_metric", "Above",
             "--metrics", "Recall", "Coverage", "Above"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(root / "run_recbole.py"), *words], cwd=tmp_path, text=True, capture_output=True,
        env=environ | {"PYTHONPATH": pathsep.join([str(root), str(site)])}, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "r.json").read_text())["metrics"]
    told = [(row["split"], row["metric"], row["k"]) for row in rows]
    expected = [("recall", 5), ("coverage", 5), ("above", None)]
    assert told == [(split, *one) for split in ("valid", "test") for one in expected]
    assert all(0 <= row["value"] <= 1 for row in rows)
    assert "'coverage@5': " in done.stdout and "'above': " in done.stdout and "[valid above: " in done.stdout
