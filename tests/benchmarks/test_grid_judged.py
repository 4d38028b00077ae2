"""`benchmarks/grid_judged.py`: whether an algorithm had an effect or did harm, on hand-made records."""

import importlib
from pathlib import Path

import pytest

from recbole.report.columns import FORGOTTEN_PAIRS, JS_OTHERS, NDCG

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def judge(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("grid_judged")


def row(model, about, value):
    return {"k": None, "reference": None} | about | {"model": model, "checkpoint": 3, "value": value}


def record(odds, utility=0.2, others=0.1, retrained=-8.0, rebuilt=None):
    """Return a record whose base has log-odds -4, NDCG 0.2 and divergence 0.1."""
    of = {"base": (-4.0, 0.2, 0.1), "unlearned": (odds, utility, others), "retrained": (retrained, 0.2, None)}
    if rebuilt is not None:
        of["rebuilt"] = (rebuilt, 0.2, 0.05)
    rows = [
        row(model, about, value)
        for model, values in of.items()
        for about, value in zip((FORGOTTEN_PAIRS["forgotten log-odds"], NDCG, JS_OTHERS), values, strict=True)
        if value is not None
    ]
    return {
        "metrics": rows,
        "requests": {"total": 3, "applied": 3, "skipped": 0, "worked": 3},
        "timing": {"cpu_seconds_mean": 0.5, "retraining_cpu_seconds": 10.0},
    }


def line(judge, *records):
    return judge.judged_table({("BPR", "scif"): list(records)}, 3).iloc[0].to_dict()


def test_the_way_starts_at_the_base_or_the_rebuilt_model(judge):
    told = line(judge, record(-5.0), record(-6.0, others=0.2))
    assert (told["way"], told["does something"], told["does harm"]) == ("38% [25%, 50%]", "yes", "no")
    assert (told["JS others"], told["CPU s a request"], told["times less than retraining"]) == (
        "+50% [+0%, +100%]", "0.5", "20",
    )  # fmt: skip
    assert line(judge, record(-6.0, rebuilt=-5.0))["way"] == "33%"


@pytest.mark.parametrize(("odds", "something"), [(-4.3, "no"), (-4.5, "yes"), (-3.0, "no"), (-9.0, "yes")])
def test_a_tenth_of_the_way_counts_as_an_effect(judge, odds, something):
    assert line(judge, record(odds))["does something"] == something


def test_a_loss_of_a_twentieth_of_utility_counts_as_harm(judge):
    assert line(judge, record(-5.0, utility=0.189))["does harm"] == "yes"
    assert line(judge, record(-5.0, utility=0.191))["does harm"] == "no"
    assert line(judge, record(-5.0, utility=0.1), record(-5.0))["does harm"] == "in 1 of 2"
    assert line(judge, record(-5.0, utility=None))["does harm"] == "yes", "scores that are not numbers"


def test_without_anything_to_forget_no_way_is_shown(judge):
    told = line(judge, record(-4.5, retrained=-4.01))
    assert (told["does something"], told["way"]) == ("not known", "")


def test_equal_cells_of_the_file_have_the_same_settings(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    grid, words = importlib.import_module("grid"), ["grid.py", "--work", "w", "--data", "d"]
    monkeypatch.setattr("sys.argv", words)
    tried = grid.parse_args().algorithms
    assert tried["GRU4Rec"] == tried["NARM"] == tried["SASRec"] and "finetune" in tried["NARM"]
    monkeypatch.setattr("sys.argv", [*words, "--models", "NARM", "--algorithms", "filter"])
    with pytest.raises(SystemExit):
        grid.parse_args()
    assert "none of filter is tried on NARM" in capsys.readouterr().err


def test_one_seed_has_no_distances_over_seeds(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    table = importlib.import_module("grid_seeds").seeds_table({("BPR", "scif"): [record(-6.0)]}, 3)
    assert table.empty and list(table.columns[:4]) == ["cell", "distance", "", "seeds"]
