"""`benchmarks/shards_beside.py`: which commands it runs, and its tables of shards and approximate algorithms."""

import importlib
from pathlib import Path

import pytest
import yaml

from recbole.report.columns import FORGOTTEN_PAIRS, JS_OTHERS, JS_REQUESTING, NDCG, RECALL, spam
from recbole.utils import UserError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PLAN = {
    "seeds": [2, 3],
    "ensembles": {"sisa": {"ensemble": "sisa", "num_shards": 4}, "ultrare": {"ensemble": "ultrare"}},
    "cells": {
        "own": {
            "settings": {"model": "BPR", "dataset": "tiny", "epochs": 9},
            "asked": {"sensitive_category": "odd"},
            "ensembles": ["sisa"],
            "algorithms": ["scif"],
        },
        "of grid": {"grid": "GRU4Rec", "ensembles": ["ultrare"], "algorithms": ["gif"]},
    },
}
HIT = [1, 0, 2, 1]
CONFIG = {"model": "BPR", "num_shards": 4, "epochs": 9}


@pytest.fixture
def benchmark(monkeypatch):
    """A function: ``benchmark(name)`` imports a script of the benchmarks."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def arguments(benchmark, tmp_path):
    """A function that parses a command line for a small file of cells."""
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(PLAN, sort_keys=False))
    words = ["--cells", str(path), "--work", str(tmp_path / "work"), "--data", str(tmp_path / "data")]
    return lambda *more: benchmark("shards_beside").parse_args([*words, *more])


# --- which commands --------------------------------------------------------------------------------------------------
def settings_of(words):
    """Return the settings in a command line as a dictionary."""
    return dict(word.removeprefix("--").split("=", 1) for word in words if "=" in word)


def test_the_base_gets_no_forget_set_and_retraining_the_last_checkpoint(benchmark, arguments):
    beside, args = benchmark("shards_beside"), arguments()
    cell = args.cells["own"]
    base, twin, shards = (beside.command(args, cell, 3, "sisa", step) for step in ("base", "retrained", "shards"))
    one = beside.command(args, cell, 3, "one model", "scif")
    assert [Path(words[1]).name for words in (base, twin, shards, one)] == ["run_recbole.py"] * 2 + ["unlearn.py"] * 2
    found = [settings_of(words) for words in (base, twin, shards, one)]
    assert [one.get("sensitive_category") for one in found] == [None, "odd", "odd", "odd"]
    assert [one.get("retrain_checkpoint_idx_to_match") for one in found] == [None, "3", None, None]
    assert [one.get("unlearning_algorithm") for one in found] == [None, None, "shards", "scif"]
    assert [one.get("ensemble") for one in found] == ["sisa", "sisa", "sisa", None]
    assert {one["epochs"] for one in found} == {"9"} and {one["seed"] for one in found} == {"3"}
    assert len({one["checkpoint_dir"] for one in found}) == 1 and len({one["result_file"] for one in found}) == 4


def test_a_setting_on_the_command_line_applies_to_all_steps(benchmark, arguments):
    args = arguments("--set", "epochs=1", "num_shards=3")
    words = benchmark("shards_beside").command(args, args.cells["own"], 2, "sisa", "base")
    assert (settings_of(words)["epochs"], settings_of(words)["num_shards"]) == ("1", "3")
    with pytest.raises(SystemExit):
        arguments("--set", "epochs=1", "--grid", "grid")


def test_a_cell_of_the_grid_shares_settings_and_results(benchmark, arguments, tmp_path):
    beside, args = benchmark("shards_beside"), arguments("--grid", str(tmp_path / "grid"))
    cell = args.cells["of grid"]
    assert cell.settings["dataset"] == "diginetica_sample" and cell.asked["sensitive_category"] == "middling"
    assert "baselines" not in cell.settings and "sensitive_category" not in cell.settings
    assert beside.result_path(args, cell, 2, "one model", "gif") == tmp_path / "grid" / "cells" / "GRU4Rec_2_gif.json"
    for of, step in (("one model", "retrained"), ("ultrare", "shards")):
        assert args.work in beside.result_path(args, cell, 2, of, step).parents
    own = beside.result_path(args, args.cells["own"], 2, "one model", "scif")
    assert args.work in own.parents, "a cell with its own settings does not reuse results"


def test_existing_results_are_skipped_and_nothing_runs_without_a_base(benchmark, arguments, monkeypatch):
    beside, args, ran = benchmark("shards_beside"), arguments("--only", "own", "--seeds", "2"), []

    def once(args, words, result):
        ran.append(result.stem)
        if "sisa_2_base" in result.stem:
            return 1
        result.write_text("{}")
        return 3 if "scif" in result.stem else 0

    monkeypatch.setattr(beside, "once", once)
    beside.run_all(args)
    assert ran == ["own_one model_2_base", "own_one model_2_retrained", "own_sisa_2_base", "own_one model_2_scif"]
    ran.clear()
    beside.run_all(args)
    assert ran == ["own_sisa_2_base"], "all other results exist"


def test_the_cells_of_the_committed_file_are_valid(benchmark):
    beside = benchmark("shards_beside")
    args = beside.parse_args(["--work", "w", "--data", "d"])
    assert {cell.settings["model"] for cell in args.cells.values()} == {"BPR", "GRU4Rec", "DNNTSP"}
    for cell in args.cells.values():
        assert cell.asked or cell.settings["spam"]
        for of, step in cell.steps:
            (config,) = [word for word in beside.command(args, cell, 2, of, step) if word.endswith(".yaml")]
            assert Path(config).exists()


# --- the tables ------------------------------------------------------------------------------------------------------
def row(model, about, value, reference=None):
    return {"k": None} | about | {"model": model, "checkpoint": 3, "value": value, "reference": reference}


def rows_of(model, ndcg, odds, js, reference="twin.pth"):
    about = ((NDCG, ndcg), (RECALL, ndcg / 2), (FORGOTTEN_PAIRS["forgotten log-odds"], odds))
    found = [row(model, wanted, value) for wanted, value in about]
    return found + [row(model, wanted, js, reference) for wanted in (JS_REQUESTING, JS_OTHERS) if js is not None]


def record(metrics, cpu, worked, **more):
    return {
        "metrics": metrics,
        "mask": {"forget_set_sha256": "f"},
        "dataset": {"sha256": "d"},
        "requests": {"total": 4, "applied": worked, "skipped": 4 - worked, "worked": worked},
        "timing": {"cpu_seconds_mean": cpu, "retraining_cpu_seconds": 30.0},
        "config": CONFIG,
    } | more


def approximate(odds=-6.0):
    of_one = [("base", 0.2, -5.0, 0.3), ("unlearned", 0.19, odds, 0.1), ("retrained", 0.2, -7.0, None)]
    return record([found for of in of_one for found in rows_of(*of)], 0.5, 3)


def shards():
    metrics = [*rows_of("base", 0.1, -5.5, 0.2), *rows_of("unlearned", 0.1, -6.5, 0.0)]
    metrics += [*rows_of("retrained", 0.1, -6.5, None), *rows_of("monolithic", 0.2, -7.0, 0.4)]
    apart = [
        row(kind, JS_OTHERS, js, "one.pth") for kind, js in (("base", 0.6), ("unlearned", 0.4), ("retrained", 0.4))
    ]
    parts = {
        "shards_hit": HIT, "dirty_shards": [1, 1, 3, 4], "expected_dirty_shards": [1.0, 1.75, 2.3, 2.7],
        "projected_eager_cpu_seconds": 12.0, "materialise": "lazy",
    }  # fmt: skip
    return record(metrics + apart, 2.0, 3, ensemble=parts, monolithic=["one.pth"])


def trained(seconds):
    about = {"mask": {"forget_set_sha256": "f"}, "dataset": {"sha256": "d"}, "config": CONFIG}
    return about | {"metrics": [], "timing": {"fit_cpu_seconds": seconds}}


def tables_of(text):
    """Return the two tables in a text, each a list of rows as column name to cell."""
    found = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line[:1] != "|":
            found.append([])
        elif not line.startswith("|---"):
            found[-1].append(cells)
    return [[dict(zip(table[0], cells, strict=True)) for cells in table[1:]] for table in found if table]


@pytest.fixture
def told(benchmark):
    """A function that returns the two tables for the records of one seed."""
    tables = benchmark("shards_beside_tables")

    def of(one, ensemble=None):
        steps = {"base": None, "retrained": None, "shards": ensemble}
        return tables_of(tables.told({"BPR": {2: {"one model": one, "sisa": steps}}}))

    return of


def test_each_model_is_compared_with_its_twin_and_the_single_retrained_model(told):
    table, _ = told({"base": None, "retrained": trained(30.0), "scif": approximate()}, shards())
    found = {(row["model"], row[""]): row for row in table}
    assert [list(row.values())[4:7] for row in table] == [
        ["0.2000", "0.1000", "-5.00"], ["0.2000", "0.1000", "-7.00"], ["0.1900", "0.0950", "-6.00"],
        ["0.1000", "0.0500", "-5.50"], ["0.1000", "0.0500", "-6.50"], ["0.1000", "0.0500", "-6.50"],
    ]  # fmt: skip
    assert list(found) == [
        ("one model", "base"), ("one model", "retrained"), ("one model", "scif"),
        ("sisa", "base"), ("sisa", "twin"), ("sisa", "shards"),
    ]  # fmt: skip
    assert [row["JS others"] for row in table] == ["0.3", "", "0.1", "0.2", "", "0"]
    assert [row["JS others, from one model"] for row in table] == ["", "", "", "0.6", "0.4", "0.4"]


def test_a_request_to_shards_has_an_eager_and_a_lazy_cost(told):
    one = {"retrained": trained(30.0), "scif": approximate()}
    table, dirty = told(one, shards())
    scif, sisa = table[2], table[-1]
    names = ("CPU s/request", "lazy CPU s/request", "retraining / request", "retraining / all requests")
    assert [scif[name] for name in names] == ["0.5", "", "60", "20"]
    assert [sisa[name] for name in names] == ["4", "2", "7.5", "5"]
    assert (sisa["shards/request"], sisa["all retrained after"]) == ("1.3", "4 (curve: 8)")
    assert (scif["shards/request"], scif["requests"]) == ("", "3 applied, 1 skipped")
    assert dirty == [{
        "requests of": "BPR", "model": "sisa", "K": "4", "requests": "4", "after all": "4.0 / 2.7 / 2.9",
        "after 1": "1.0 / 1.0 / 1.0", "after 2": "1.0 / 1.8 / 1.0",
    }]  # fmt: skip


def test_shards_that_no_request_hits_are_counted(told):
    ensemble = shards()
    ensemble["ensemble"] |= {"dirty_shards": [1, 1, 3, 3]}
    assert told({}, ensemble)[0][-1]["all retrained after"] == "not after 4 (3 of 4) (curve: 8)"


def test_without_approximate_algorithms_the_retrained_model_is_read_from_records_of_ensembles(told):
    table = told({"base": None, "retrained": None, "scif": None}, shards())[0]
    assert [(row[""], row["seeds"], row["NDCG@10"], row["requests"]) for row in table[:3]] == [
        ("base", "0", "", ""), ("retrained", "1", "0.2000", ""), ("scif", "0", "", "not run"),
    ]  # fmt: skip
    assert table[1]["JS others"] == "", "the distance from an ensemble is not the distance from its own twin"


def test_for_spam_the_columns_are_about_promoted_items(told):
    targets = row("unlearned", spam(10)["target HR@10"], 0.25)
    ran = approximate() | {"metrics": [targets, row("unlearned", spam(10)["NDCG@10"], 0.3)], "spam": {"targets": 1}}
    scif = told({"scif": ran})[0][2]
    assert (scif["target HR@10"], scif["NDCG@10"], scif["forgotten log-odds"]) == ("0.25", "0.3000", "")


def test_records_with_different_requests_are_rejected(told):
    other = approximate() | {"mask": {"forget_set_sha256": "another"}}
    with pytest.raises(UserError, match="BPR, seed 2: the requests or data differ between one model scif, sisa shards"):
        told({"scif": other}, shards())


def test_approximate_algorithms_on_a_base_with_other_settings_are_rejected(told):
    other = approximate() | {"config": CONFIG | {"epochs": 3}}
    with pytest.raises(UserError, match=r"of retrained .* and scif .* differ: epochs is 9 in the file, 3 in"):
        told({"base": None, "retrained": trained(30.0), "scif": other})
    more = approximate() | {"config": CONFIG | {"learner": "adam", "num_shards": 5}}
    assert told({"base": None, "retrained": trained(30.0), "scif": more})[0], (
        "settings that only one record has are ignored"
    )
