"""`benchmarks/long_sequences.py`: order of the requests, evaluation, resuming, and tables."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from recbole.unlearning.algorithm import UnlearningAlgorithm

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
N = 11
CELL = {
    **{"dataset": "small", "sensitive_category": "odd", "unlearning_fraction": 0.1, "forget_set_seed": 2},
    **{"epochs": 2, "embedding_size": 4, "train_batch_size": 64, "baselines": ["filter", "reset"]},
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
}


@pytest.fixture
def long(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("long_sequences")


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("long_sequences_tables")


@pytest.fixture
def given(small_cf, tmp_path):
    """The arguments of a run in which users ask to forget items with odd numbers."""
    (small_cf / "small" / "sensitive_asins_odd.txt").write_text("".join(f"i{at}\n" for at in range(1, 40, 2)))
    (tmp_path / "cells.yaml").write_text(yaml.safe_dump({"models": {"BPR": CELL}}))
    words = ["--data", small_cf, "--work", tmp_path / "work", "--cells", tmp_path / "cells.yaml"]
    return [*map(str, words), "--models", "BPR", "--requests", str(N)]


def records(work):
    return {path.stem: json.loads(path.read_text()) for path in work.glob("BPR_*.json")}


def test_every_stop_is_evaluated_and_existing_results_are_reused(long, given, tmp_path, capsys):
    words = [*given, "--algorithms", "scif", "filter", "--orders", "1", "--batch_sizes", "1", "4"]
    assert long.main(words) == 0
    made = records(tmp_path / "work")
    assert set(made) == {
        *(f"BPR_reference_{count}" for count in (1, 10, N)),
        *(f"BPR_{a}_order_{v}" for a in ("scif", "filter") for v in ("0_batch_1", "0_batch_4", "1_batch_1")),
    }
    fixed = made["BPR_scif_order_0_batch_1"]
    assert [stop["count"] for stop in fixed["stops"]] == [1, 10, N] == [s["requests"]["done"] for s in fixed["stops"]]
    assert len(fixed["cpu"]) == N and len(made["BPR_scif_order_0_batch_4"]["cpu"]) == 3
    retrained, base = (made[f"BPR_reference_{N}"][kind] for kind in ("retrained", "base"))
    assert fixed["stops"][-1]["log-odds"] not in (base["log-odds"], retrained["log-odds"], None)
    hidden = made["BPR_filter_order_0_batch_1"]["stops"][-1]
    assert hidden["log-odds"] is None and hidden["NDCG@10"] is not None

    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert long.main(words) == 0 and capsys.readouterr().out == ""
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "work").rglob("*") if path.is_file()} == times

    assert long.main([*given, "--table", str(tmp_path / "table.md")]) == 0
    lines = (tmp_path / "table.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")][1:5] == [
        "| base", "| scif", "| filter", "| retrained",
    ]  # fmt: skip
    assert sum("| one shuffled order |" in line for line in lines) == 2
    assert sum("| fixed order, 4 together |" in line for line in lines) == 2


def test_an_order_permutes_the_requests_and_the_final_mask_is_the_same(long, given, monkeypatch):
    subject = long.Subject(long.parse_args(given), "BPR")
    seen = {}

    class Noted(long.Watched):
        def __call__(self, requests, _):
            asked.extend((request.entity, tuple(request.rows)) for request in requests)
            return super().__call__(requests, _)

    monkeypatch.setattr(long, "Watched", Noted)
    for order, size in ((0, 1), (1, 1), (2, 1), (0, 4)):
        asked = seen[order, size] = []
        long.run_sequence(subject, "reset", order, size)
    assert seen[0, 1] == seen[0, 4] and len({entity for entity, _ in seen[0, 1]}) == N
    assert len({tuple(asked) for asked in seen.values()}) == 3  # the fixed order and two random ones
    assert all(sorted(asked) == sorted(seen[0, 1]) for asked in seen.values())
    mask = subject.requests.mask(N, len(subject.setup.dataset.log))
    assert np.array_equal(np.flatnonzero(mask), sorted(row for _, rows in seen[1, 1] for row in rows))


def test_the_released_model_is_evaluated(long, given, monkeypatch):
    """An algorithm may release another model than the one it continues with. Here all released weights are zero."""
    subject = long.Subject(long.parse_args(given), "BPR")
    own = long.run_sequence(subject, "scif", 0, 1)["stops"]
    plain = UnlearningAlgorithm.release

    def release(self, checkpoint):
        content = plain(self, checkpoint)
        return content | {"state_dict": {name: 0 * value for name, value in content["state_dict"].items()}}

    monkeypatch.setattr(UnlearningAlgorithm, "release", release)
    zero = long.run_sequence(subject, "scif", 0, 1)["stops"]
    even = -np.log(subject.setup.dataset.n_items - 2)  # all items have the same score
    assert [stop["log-odds"] for stop in zero] == pytest.approx([even] * 3)
    assert all(abs(stop["log-odds"] - even) > 1e-3 for stop in own)
    changes = [[stop["requests"]["median_relative_change"] for stop in stops] for stops in (zero, own)]
    assert changes[0] == changes[1] and changes[0][-1] > 0


def test_a_sequence_over_its_limit_is_marked_and_repeated_with_a_higher_limit(long, given, tmp_path):
    words = [*given, "--algorithms", "scif"]
    assert long.main([*words, "--limit", "0"]) == 0
    path = tmp_path / "work" / "BPR_scif_order_0_batch_1.json"
    cut = json.loads(path.read_text())
    assert (cut["done"], cut["limit"], cut["stops"]) == (0, 0, [])
    assert long.main([*given, "--table", str(tmp_path / "table.md")]) == 0
    assert f"stopped after 0 of {N}, at 0 s" in (tmp_path / "table.md").read_text()
    assert long.main([*words, "--limit", "600"]) == 0
    assert json.loads(path.read_text())["done"] == N
    assert long.main([*words, "--limit", "1200"]) == 0
    assert json.loads(path.read_text())["limit"] == 600


def test_records_of_another_base_give_a_one_line_error(long, given, capsys):
    words = [*given, "--algorithms", "filter"]
    assert long.main(words) == 0
    capsys.readouterr()
    assert long.main([*words, "--seed", "3"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "has another seed, base" in told


def test_too_few_users_are_rejected(long, given, capsys):
    assert long.main([*given, "--requests", "1000"]) == 2
    assert "users have items of category odd, fewer than 1000" in capsys.readouterr().err


def test_the_number_of_requests_that_cost_a_retraining(tables):
    record = {"cpu": [1.0, 1.0, 0.5, 2.0], "done": 4}
    assert tables.passes_at(record, 2.0) == "2" and tables.passes_at(record, 2.4) == "3"
    assert tables.passes_at(record, 4.5) == "4" and tables.passes_at(record, 9.0) == "~8"
    assert tables.passes_at({"cpu": [], "done": 0}, 1.0) == ""


def test_a_spread_is_the_minimum_and_the_maximum(tables):
    assert tables.spread([0.5]) == "0.5000" and tables.spread([0.3, 0.1, 0.2]) == "0.1000 to 0.3000"
    assert tables.spread([0.3, None]) == "none"
