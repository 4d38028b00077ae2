"""RecEraser's experiments: cells by the documented commands, once each, and the tables of records."""

import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from recbole.utils import UserError

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SETTINGS = {
    "load_col": {"inter": ["user_id", "item_id"]}, "embedding_size": 4, "use_gpu": False, "train_batch_size": 64,
    "num_shards": 2, "pretrain_epochs": 1, "aggregate_epochs": 1,
}  # fmt: skip
PAPER = {"Retrain": [0.2, 0.3, 0.4, 0.4, 0.4, 0.4], "RecEraser": [0.19, 0.2, 0.3, 0.36, 0.3, 0.3]}
PLAN = {
    "dataset": "tiny",
    "final": {"benchmark_filename": "[train_all, test]", "eval_step": 0},
    "validation": {"epochs": 9, "eval_step": 1, "stopping_step": 1},
    "ensembles": {"Retrain": {}, "RecEraser UBP": {"ensemble": "receraser", "partition": "ubp"}, "more": {}},
    "models": {
        "WMF": {
            "seeds": [2, 3],
            "epochs": {"one": 3, "shard": 5, "RecEraser UBP": 2},
            "cells": ["Retrain", "RecEraser UBP"],
            "settings": SETTINGS,
        }
    },
    "pairs": [["RecEraser UBP", "Retrain"], ["Retrain", "more"]],
    "figures": {"partition": {"ubp": "RecEraser UBP", "other": "more"}},
    "paper": {"WMF": PAPER},
    "paper_row": {"Retrain": "Retrain", "RecEraser UBP": "RecEraser"},
    "paper_minutes": {"WMF": {"retrain": 13, "shard": 0.9, "aggregation": 0.2}},
    "prototype": {"WMF": {"Retrain": [0.2, 0.4], "RecEraser UBP": [0.16, 0.39]}},
}

NOBODY = {"WMF": {cell: {} for cell in PLAN["ensembles"]}}


@pytest.fixture
def benchmark(monkeypatch):
    """A function: ``benchmark(name)`` imports a script of the benchmarks."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def tiny(tmp_path):
    """A folder with a split of 24 users in files, and the plan of its cells."""
    folder = tmp_path / "data" / "tiny"
    folder.mkdir(parents=True)
    pairs = [(user, (7 * user + 3 * at + at * at % 5) % 30) for user in range(24) for at in range(8)]
    for name, kept in (("train_all", [0, 1, 2, 4, 5, 6, 7]), ("test", [3])):
        rows = [f"u{user}\ti{item}\n" for at, (user, item) in enumerate(pairs) if at % 8 in kept]
        (folder / f"tiny.{name}.inter").write_text("user_id:token\titem_id:token\n" + "".join(rows))
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(PLAN, sort_keys=False))
    return tmp_path


def record(recall, ndcg, cpu_seconds, parts=None):
    """Return a result record of a trained model, with lists longer than 10 that are no better."""
    about = {"model": "base", "split": "test", "population": "all"}
    metrics = [{**about, "metric": "recall", "k": k, "value": recall} for k in (10, 20, 50)]
    metrics += [{**about, "metric": "ndcg", "k": k, "value": ndcg} for k in (10, 20, 50)]
    metrics += [metrics[0] | {"split": "valid", "value": 0.9}, metrics[0] | {"population": "requesting", "value": 0.8}]
    return {"metrics": metrics, "timing": {"fit_cpu_seconds": cpu_seconds}} | ({"ensemble": parts} if parts else {})


@pytest.fixture
def records():
    """Of two seeds: the retrained model, and an ensemble of two shards of which one seed was not run."""
    parts = {"shard_cpu_seconds": {"0": 6.0, "1": 18.0}, "aggregate_cpu_seconds": 12.0}
    one = {2: record(0.10, 0.20, 60.0), 3: record(0.12, 0.20, 120.0)}
    return {"WMF": {"Retrain": one, "RecEraser UBP": {2: record(0.09, 0.19, 36.0, parts), 3: None}, "more": {2: None}}}


def table_of(text, heading):
    """Return the cells of the first table below a heading, by the first one of their line."""
    below = text.split(f"### {heading}")[1].split("###")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in below.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in rows}


def test_metrics_stand_beside_the_papers(benchmark, records):
    found = table_of(benchmark("receraser_tables").told(PLAN, records, NOBODY), "WMF: Recall and NDCG")
    assert found["Retrain"][:2] == ["2", "0.1100 ± 0.0141 (0.2000)"]
    assert found["RecEraser UBP"] == [
        "1", "0.0900 (0.1900)", "0.0900 (0.2000)", "0.0900 (0.3000)", "0.1900 (0.3600)", "0.1900 (0.3000)",
        "0.1900 (0.3000)",
    ]  # fmt: skip


def test_shares_are_of_the_same_seed_and_held_against_the_nearer(benchmark, records):
    found = table_of(benchmark("receraser_tables").told(PLAN, records, NOBODY), "WMF: per cent of Retrain")
    assert found["Retrain"] == ["100.0 ± 0.0", "100.0", "100.0", ""] * 2
    assert found["RecEraser UBP"] == ["90.0", "95.0", "80.0", "-5.0", "95.0", "90.0", "97.5", "-2.5"]


def test_a_request_costs_a_shard_and_the_aggregation(benchmark, records):
    found = table_of(benchmark("receraser_tables").told(PLAN, records, NOBODY), "WMF: CPU minutes")
    assert found["Retrain"] == ["1.50", "", "", "", "", ""]
    assert found["RecEraser UBP"] == ["0.60", "0.20", "0.30", "0.20", "0.40", "3.8"]
    assert found["paper: Retrain, RecEraser"] == ["13", "0.9", "", "0.2", "1.1", "11.8"]


def test_differences_are_of_each_user_in_the_same_seed(benchmark, records):
    """Of users who all gain the same the interval is that gain, however different the users and the seeds are."""
    users, draw = np.arange(1, 41), np.random.default_rng(1)
    base = {seed: {"users": users, "recall": draw.random(40), "ndcg": draw.random(40)} for seed in (2, 3)}
    more = {seed: one | {"recall": one["recall"] + 0.25, "ndcg": one["ndcg"][::-1]} for seed, one in base.items()}
    people = {"WMF": {"Retrain": base, "RecEraser UBP": more, "more": {2: None}}}
    found = table_of(benchmark("receraser_tables").told(PLAN, records, people), "WMF: differences, user by user")
    minus, seeds, n_users, recall, ndcg = found["RecEraser UBP"]
    assert (minus, seeds, n_users, recall) == ("Retrain", "2", "40", "+0.2500 (+0.2500 to +0.2500)")
    low, high = map(float, re.search(r"\((.+) to (.+)\)", ndcg).groups())
    assert low < 0 < high and ndcg.startswith("+0.0000")
    assert "Retrain" not in found, "a pair that the model does not have is left out"
    alone = people["WMF"] | {"RecEraser UBP": {2: more[2], 3: None}}
    found = table_of(benchmark("receraser_tables").told(PLAN, records, {"WMF": alone}), "WMF: differences")
    assert found["RecEraser UBP"][1] == "1"
    nothing = table_of(benchmark("receraser_tables").told(PLAN, records, NOBODY), "WMF: differences")
    assert nothing["RecEraser UBP"] == ["Retrain", "0", "", "not run", "not run"]


def test_a_figure_tells_what_was_not_run(benchmark, records):
    found = table_of(benchmark("receraser_tables").told(PLAN, records, NOBODY), "WMF by partition")
    assert found["ubp"] == ["1", "0.0900", "0.1900", "0.60", "0.20", "0.40"]
    assert found["other"] == ["0", "not run", "not run", "", "", ""]


def test_what_was_not_run_leaves_its_cells_empty(benchmark):
    nothing = {"WMF": {cell: {2: None, 3: None} for cell in ("Retrain", "RecEraser UBP", "more")}}
    text = benchmark("receraser_tables").told(PLAN, nothing, NOBODY)
    assert table_of(text, "WMF: Recall and NDCG")["Retrain"][:2] == ["0", "not run (0.2000)"]
    assert table_of(text, "WMF: per cent")["RecEraser UBP"][:4] == ["not run", "95.0", "80.0", ""]


def test_the_cells_of_the_first_seed_come_first(benchmark, tiny):
    receraser = benchmark("receraser")
    words = ["--work", str(tiny / "work"), "--data", str(tiny / "data"), "--cells", str(tiny / "plan.yaml")]
    both = ["Retrain", "RecEraser UBP"]
    tables = [("WMF", cell, seed) for seed in (2, 3) for cell in both]
    assert list(receraser.wanted(receraser.parse_args(words))) == tables
    figures = list(receraser.wanted(receraser.parse_args([*words, "--figures"])))
    assert figures == [*tables[:2], ("WMF", "more", 2), *tables[2:]], "a figure's own cell has one seed"
    assert list(receraser.wanted(receraser.parse_args([*words, "--only", "more"]))) == [("WMF", "more", 2)]
    with pytest.raises(SystemExit):
        receraser.parse_args([*words, "--only", "SISA"])


def test_the_epochs_before_the_patience_are_the_best(benchmark):
    config = {"eval_step": 25, "stopping_step": 2}
    best = benchmark("receraser").best_epochs
    assert best({"config": config, "timing": {}, "ensemble": {"shard_epochs": {"0": 150, "1": 75}}}) == [75, 0]
    assert best({"config": config, "timing": {"best_epoch": 34}}) == [35]


def test_every_cell_that_is_shown_beside_others_is_one(benchmark):
    plan = yaml.safe_load((BENCHMARKS / "receraser.yaml").read_text())
    named = {cell for of in plan["figures"].values() for cell in of.values()} | set(plan["paper_row"])
    named |= {cell for model in plan["models"].values() for cell in model["cells"]}
    assert named | set(plan["prototype"]["WMF"]) == set(plan["ensembles"])
    assert {cell for pair in plan["pairs"] for cell in pair} <= named
    assert {len(row) for of in plan["paper"].values() for row in of.values()} == {6}


def test_cells_are_run_once_and_shown(benchmark, tiny, capsys):
    receraser, path_of = benchmark("receraser"), benchmark("receraser_people").path_of
    words = ["--work", str(tiny / "work"), "--cells", str(tiny / "plan.yaml"), "--seeds", "2"]
    receraser.main([*words, "--data", str(tiny / "data")])
    assert capsys.readouterr().out.count("exit 0") == 2
    whole, parts = (tiny / "work" / "final" / f"WMF_{cell}_2.json" for cell in ("Retrain", "RecEraser_UBP"))
    trained = json.loads(parts.read_text())
    assert json.loads(whole.read_text())["timing"]["epochs"] == 3
    assert set(trained["ensemble"]["shard_epochs"].values()) == {2} and trained["ensemble"]["partition"] == "ubp"
    receraser.main([*words, "--data", str(tiny / "data")])
    assert capsys.readouterr().out == "", "nothing is left to run"
    receraser.main([*words, "--data", str(tiny / "data"), "--people"])
    assert capsys.readouterr().out.count("users of") == 2
    kept = benchmark("receraser_people").read(parts)
    assert len(kept["users"]) == 24 and kept["recall"].mean() == pytest.approx(receraser_value(trained))
    receraser.main([*words, "--table", str(tiny / "table.md")])
    paired = table_of((tiny / "table.md").read_text(), "WMF: differences")["RecEraser UBP"]
    assert paired[:3] == ["Retrain", "1", "24"]
    gain = receraser_value(trained) - receraser_value(json.loads(whole.read_text()))
    assert paired[3].startswith(f"{gain:+.4f} (")
    parts.write_text(json.dumps(trained | {"digest": "gone"}))
    path_of(parts).unlink()
    with pytest.raises(UserError, match="has the digest gone"):
        receraser.main([*words, "--data", str(tiny / "data"), "--people"])
    parts.write_text(json.dumps(trained))
    found = table_of((tiny / "table.md").read_text(), "WMF: Recall and NDCG")
    assert found["Retrain"][0] == found["RecEraser UBP"][0] == "1"
    assert found["RecEraser UBP"][1] == f"{receraser_value(trained):.4f} (0.1900)"


def receraser_value(trained):
    """Return a record's Recall@10 on test rows."""
    rows = [row for row in trained["metrics"] if (row["metric"], row["k"], row["split"]) == ("recall", 10, "test")]
    return rows[0]["value"]
