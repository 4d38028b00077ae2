"""Whether a run of the grid did something or harm, on records made by hand."""

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
    """A run whose base is at log-odds of -4, NDCG of 0.2 and a divergence of 0.1."""
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


def test_the_way_is_from_the_model_before_to_the_retrained_one(judge):
    told = line(judge, record(-5.0), record(-6.0, others=0.2))
    assert (told["way"], told["does something"], told["does harm"]) == ("38% [25%, 50%]", "yes", "no")
    assert (told["JS others"], told["CPU s a request"], told["times less than retraining"]) == (
        "+50% [+0%, +100%]", "0.5", "20",
    )  # fmt: skip
    assert line(judge, record(-6.0, rebuilt=-5.0))["way"] == "33%"


@pytest.mark.parametrize(("odds", "something"), [(-4.3, "no"), (-4.5, "yes"), (-3.0, "no"), (-9.0, "yes")])
def test_a_tenth_of_the_way_is_something_and_the_other_way_is_not(judge, odds, something):
    assert line(judge, record(odds))["does something"] == something


def test_harm_is_a_twentieth_of_utility_and_is_counted_over_seeds(judge):
    assert line(judge, record(-5.0, utility=0.189))["does harm"] == "yes"
    assert line(judge, record(-5.0, utility=0.191))["does harm"] == "no"
    assert line(judge, record(-5.0, utility=0.1), record(-5.0))["does harm"] == "in 1 of 2"
    assert line(judge, record(-5.0, utility=None))["does harm"] == "yes", "scores that are not numbers"


def test_where_there_is_nothing_to_forget_no_way_is_told(judge):
    told = line(judge, record(-4.5, retrained=-4.01))
    assert (told["does something"], told["way"]) == ("not known", "")


def test_cells_that_are_the_same_in_the_file_are_tried_alike(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    grid, words = importlib.import_module("grid"), ["grid.py", "--work", "w", "--data", "d"]
    monkeypatch.setattr("sys.argv", words)
    tried = grid.parse_args().algorithms
    assert tried["GRU4Rec"] == tried["NARM"] == tried["SASRec"] and "finetune" in tried["NARM"]
    monkeypatch.setattr("sys.argv", [*words, "--models", "NARM", "--algorithms", "filter"])
    with pytest.raises(SystemExit):
        grid.parse_args()
    assert "none of filter is tried on NARM" in capsys.readouterr().err
