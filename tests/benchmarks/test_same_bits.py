"""`benchmarks/same_bits.py`: which differences between two revisions it reports, and which it ignores."""

import copy
import importlib
import io
import json
import math
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ROW = {
    "model": "base", "algorithm": None, "split": "test", "metric": "recall", "k": 10, "value": 0.5,
    "reference": "model.pth sha256:aa", "settings": "damped 0123abcd",
}  # fmt: skip
REQUEST = {
    "index": 0, "status": "applied", "relative_change": 0.25, "n_examples": [3, 0], "total_seconds": 1.0,
    "work": {"n_hvp": 8, "residual": 1e-7},
}  # fmt: skip
ENDING = {
    "status": 0, "error": "", "told": ["test result: {'recall@10': 0.5}"], "gone": [], "resumed": False,
    "killed": False, "seconds": 1.0,
}  # fmt: skip


@pytest.fixture
def benchmark(monkeypatch):
    """A function: ``benchmark(name)`` imports a script of the benchmarks."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def differences(benchmark):
    return benchmark("same_bits_differences").Differences


@pytest.fixture
def apart(differences, tmp_path):
    """A function: ``apart(change, rounding=False)`` changes the files of one of two equal runs, and compares them.

    It returns the list of reported differences.
    """
    made = []

    def found(change=lambda left: None, rounding=False):
        folder = tmp_path / str(len(made))
        made.append(folder)
        for side in ("one", "other"):
            left = leavings()
            if side == "other":
                change(left)
            write(folder / side, left)
        result = differences(rounding)
        result.folders(folder / "one", folder / "other")
        return result.found

    return found


def leavings():
    """Return the contents of the files that a run writes, as attributes that a test can change."""
    weights = torch.tensor([[1.0, -2.0, 0.0], [0.25, math.nan, 0.5]])
    return SimpleNamespace(
        checkpoint={
            "state_dict": {"weight": weights, "count": torch.tensor([3, 4])}, "other_parameter": None, "epoch": 2,
            "optimizer": {"state": {0: {"step": torch.tensor(7.0)}}}, "config": {"a": 1},
            "meta": {"kind": "base", "results_version": 1, "settings": {"base_sha256": "aa"}},
        },
        rows=[dict(ROW), ROW | {"metric": "log_probability", "value": -13737.31},
              ROW | {"metric": "ndcg", "value": None}],
        timing={"epochs": 3, "fit_seconds": 1.5},
        requests=[copy.deepcopy(REQUEST)], table="topk,value\n10,0.5\n", arrays={"probability": np.array([0.5, 0.25])},
        made=b"1\t2\n", more=[], fewer=[],
    )  # fmt: skip


def write(folder, left):
    for name in ("saved", "log", "dataset/tiny"):
        (folder / name).mkdir(parents=True)
    torch.save(left.checkpoint, folder / "saved" / "model.pth")
    (folder / "saved" / "model.json").write_text(json.dumps({"metrics": left.rows, "timing": left.timing}))
    (folder / "log" / "model.requests.jsonl").write_text("".join(json.dumps(one) + "\n" for one in left.requests))
    (folder / "log" / "table.csv").write_text(left.table)
    np.savez(folder / "log" / "model_interaction_probabilities.npz", **left.arrays)
    (folder / "dataset" / "tiny" / "tiny.inter").write_bytes(left.made)
    for name in left.more:
        (folder / name).write_text("")
    for name in left.fewer:
        (folder / name).unlink()


def with_gate(whole, stored=(1, 3)):
    """Return a function that adds a 2 x 2 gate of Sets2Sets to a checkpoint.

    Args:
        whole: store all four entries; otherwise only those with the flat indices `stored`.
        stored: indices into the flattened gate.
    """

    def change(left):
        gate, places = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor(stored)
        entries = {"gate_weight": gate.view(-1)[places], "gate_places": places, "gate_key": torch.tensor(5)}
        left.checkpoint["state_dict"] |= {"gate_weight": gate} if whole else entries
        moments = {"exp_avg": torch.zeros(4 if whole else 2)}
        left.checkpoint["optimizer"] = {"state": {0: moments, 1: {}}, "param_groups": [{"params": [0, 1]}]}

    return change


def one_bit(left):
    """Change the last bit of one weight."""
    weight = left.checkpoint["state_dict"]["weight"]
    bits = struct.unpack("<i", struct.pack("<f", weight[1, 2].item()))[0] ^ 1
    weight[1, 2] = struct.unpack("<f", struct.pack("<i", bits))[0]


def test_equal_runs_have_no_differences(apart):
    assert apart() == apart(rounding=True) == []


def test_one_bit_of_a_tensor(apart):
    (told,) = apart(one_bit)
    assert told.startswith("saved/model.pth: state_dict.weight: 1 of 6 values differ, by 5.96e-08 at most")
    assert apart(one_bit, rounding=True) == []


def test_the_sign_of_a_zero(apart):
    def change(left):
        left.checkpoint["state_dict"]["weight"][0, 2] = -0.0

    (told,) = apart(change)
    assert "signs of zeros" in told and apart(change, rounding=True) == []


@pytest.mark.parametrize("by, noticed", [(1.9e-4, False), (2.1e-4, True), (math.nan, True), (math.inf, True)])
def test_a_tensor_may_differ_by_a_ten_thousandth_of_its_largest_value(apart, by, noticed):
    def change(left):
        left.checkpoint["state_dict"]["weight"][1, 2] += by

    assert len(apart(change)) == 1
    assert len(apart(change, rounding=True)) == noticed


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda left: left.checkpoint["state_dict"].pop("count"), "state_dict: holds ['weight', 'count']"),
        (lambda left: left.checkpoint.pop("state_dict"), "model.pth: state_dict"),
        (lambda left: left.checkpoint["state_dict"].update(count=torch.tensor([3, 5])), "count: 1 of 2"),
        (lambda left: left.checkpoint["state_dict"].update(count=torch.tensor([3.0, 4.0])), "now torch.float32"),
        (
            lambda left: left.checkpoint["optimizer"]["state"][0].update(step=torch.tensor(8.0)),
            "optimizer.state.0.step",
        ),
        (lambda left: left.checkpoint["meta"].update(kind="other"), "model.pth.meta.kind: 'base', now 'other'"),
        (lambda left: left.checkpoint.update(epoch=3), "model.pth.epoch: 2, now 3 (by 1)"),
        (lambda left: left.rows[0].update(value=0.502), "row base test recall 10.value: 0.5, now 0.502 (by 0.002)"),
        (lambda left: left.rows[0].update(value=None), "row base test recall 10.value: 0.5, now None"),
        (lambda left: left.rows[0].update(reference="else.pth sha256:aa"), "reference: 'model.pth', now 'else.pth'"),
        (lambda left: left.rows[0].pop("split"), "row base test recall 10: holds"),
        (lambda left: left.rows.pop(), "3 rows, now 2"),
        (lambda left: left.timing.update(epochs=4), "model.json.timing.epochs: 3, now 4"),
        (lambda left: left.requests[0].update(status="diverged"), "request[0].status: 'applied', now 'diverged'"),
        (lambda left: left.requests[0].update(n_examples=[2, 0]), "request[0].n_examples[0]: 3, now 2"),
        (lambda left: left.requests.append(dict(REQUEST)), "request: 1 values, now 2"),
        (lambda left: setattr(left, "table", "topk,value\n10,0.6\n"), "log/table.csv[0].value: 0.5, now 0.6"),
        (lambda left: left.arrays.update(probability=np.array([0.5, 0.26])), "npz: probability: 1 of 2 values"),
        (lambda left: left.arrays.update(more=np.zeros(1)), "npz: holds"),
        (lambda left: setattr(left, "made", b"1\t3\n"), "dataset/tiny/tiny.inter: 'sha256:"),
        (lambda left: left.fewer.append("saved/model.json"), "saved/model.json: is missing"),
        (lambda left: left.more.append("saved/model.resume"), "saved/model.resume: is new"),
    ],
)
def test_differences_that_are_reported_with_and_without_rounding(apart, change, words):
    for rounding in (False, True):
        (told,) = apart(change, rounding)
        assert words in told


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda left: left.rows[0].update(value=0.5 + 1e-12), "value: 0.5, now 0.500000000001"),
        (lambda left: left.rows[1].update(value=-13737.33), "value: -13737.31, now -13737.33"),
        (lambda left: left.requests[0].update(relative_change=0.2501), "relative_change: 0.25, now 0.2501"),
        (lambda left: left.requests[0]["work"].update(n_hvp=9), "work.n_hvp: 8, now 9"),
        (lambda left: left.rows[0].update(settings="damped 0123abce"), "settings: 'damped 0123abcd', now"),
        (lambda left: left.checkpoint["meta"]["settings"].update(base_sha256="bb"), "base_sha256: 'aa', now 'bb'"),
    ],
)
def test_differences_that_are_ignored_with_rounding(apart, change, words):
    (told,) = apart(change)
    assert words in told and apart(change, rounding=True) == []


def test_a_whole_gate_is_compared_at_the_entries_that_the_other_side_stores(differences, tmp_path):
    def found(of_entries):
        for side, changes in (("one", [with_gate(True)]), ("other", [with_gate(False), of_entries])):
            left = leavings()
            for change in changes:
                change(left)
            torch.save(left.checkpoint, tmp_path / f"{side}.pth")
        result = differences()
        result.file("x.pth", tmp_path / "one.pth", tmp_path / "other.pth")
        return result.found

    assert found(lambda left: None) == []
    (told,) = found(lambda left: left.checkpoint["state_dict"]["gate_weight"].mul_(torch.tensor([1.0, 1.5])))
    assert told.startswith("x.pth: state_dict.gate_weight: 1 of 2 values differ, by 2 at most")
    (told,) = found(lambda left: left.checkpoint["optimizer"]["state"][1].update(step=torch.tensor(1.0)))
    assert "optimizer.state.1: holds" in told


@pytest.mark.parametrize(
    "change",
    [
        lambda left: left.rows[0].update(column="new", reference="model.pth sha256:bb"),
        lambda left: left.checkpoint["meta"].update(digest="new"),
        lambda left: left.checkpoint["meta"].update(results_version=2),
        lambda left: left.checkpoint.update(config={"a": 2}),
        lambda left: left.timing.update(fit_seconds=2.5),
        lambda left: left.requests[0].update(total_seconds=2.0),
    ],
)
def test_differences_that_are_always_ignored(apart, change):
    assert apart(change) == []


@pytest.mark.parametrize(
    "change, noticed",
    [
        ({"status": 3}, "status: 0, now 3 (by 3)"),
        ({"error": "unlearn.py: no"}, "error: '', now 'unlearn.py: no'"),
        ({"gone": ["saved/model.pth"]}, "gone: 0 values, now 1"),
        ({"told": []}, "log: 1 values, now 0"),
        ({"told": ["test result: {'ndcg@10': 0.5}"]}, "log[0]: "),
    ],
)
def test_differences_in_how_a_run_ended_are_reported(differences, change, noticed):
    for rounding in (False, True):
        result = differences(rounding)
        result.endings(ENDING, ENDING | change)
        (told,) = result.found
        assert told.startswith(noticed)


def test_an_internal_error_on_both_sides_is_reported(differences):
    result, failed = differences(), ENDING | {"status": 1, "error": "IndexError: index out of range"}
    result.endings(failed, failed)
    assert result.found == ["both: internal error: IndexError: index out of range"]


def test_numbers_in_the_log_are_ignored_with_rounding(differences):
    for rounding, noticed in ((False, 1), (True, 0)):
        result = differences(rounding)
        result.endings(ENDING, ENDING | {"told": ["test result: {'recall@10': 0.5001}"]})
        assert len(result.found) == noticed


@pytest.fixture
def side(benchmark, tmp_path):
    """A function: ``side(name, endings, change)`` writes the files of runs, and returns their folder and process.

    The process is a stand-in that prints the given endings. `change` is applied to the files of the second run.
    """

    def make(name, endings, change=lambda left: None):
        for at in range(len(endings)):
            left = leavings()
            if at == 1:
                change(left)
            write(tmp_path / name / "runs" / str(at), left)
        lines = "".join(json.dumps(ending) + "\n" for ending in endings)
        return tmp_path / name, SimpleNamespace(stdout=io.StringIO(lines))

    return make


RESUMED = ENDING | {"killed": True, "resumed": True}


@pytest.mark.parametrize(
    "resumed, change, words",
    [
        (RESUMED, lambda left: None, []),
        (RESUMED, one_bit, ["differs from the undisturbed run: saved/model.pth: state_dict.weight"]),
        (RESUMED | {"killed": False}, lambda left: None, ["before was not killed", "now was not killed"]),
        (RESUMED | {"resumed": False}, lambda left: None, ["before was not killed", "now was not killed"]),
    ],
)
def test_a_resumed_run_has_to_equal_the_undisturbed_run(benchmark, side, capsys, resumed, change, words):
    """The two sides agree in each case, so that only the comparison with the undisturbed run finds a difference."""
    run = benchmark("same_bits_runs").Run
    runs = [run("whole", "a", "unlearn", ()), run("resumed", "b", "unlearn", (), "whole")]
    sides = [side(name, [ENDING, resumed], change) for name in ("before", "now")]
    homes, processes = zip(*sides, strict=True)
    whole, found = benchmark("same_bits").compared(runs, processes, homes, rounding=False)
    assert whole["differences"] == [] and whole["applied"] == 1
    assert len(found["differences"]) == len(words)
    assert all(
        told.replace(": was", " was").startswith(word) for told, word in zip(found["differences"], words, strict=True)
    )
    assert capsys.readouterr().out.count("same (") == 1 + (not words)


def test_if_a_side_ends_early_only_the_runs_before_are_compared(benchmark, side):
    run = benchmark("same_bits_runs").Run
    runs = [run("one", "a", "train", ()), run("two", "a", "train", ())]
    sides = [side("before", [ENDING, ENDING]), side("now", [ENDING])]
    homes, processes = zip(*sides, strict=True)
    assert [found["run"] for found in benchmark("same_bits").compared(runs, processes, homes, False)] == ["one"]


def test_the_matrix_has_each_model_algorithm_and_scenario(benchmark):
    script = benchmark("same_bits_runs")
    labels = [run.label for run in script.matrix(list(script.TASKS), rounding=False)]
    assert len(set(labels)) == len(labels)
    kinds = ("base", "retrained 0", "retrained 3", *script.ALGORITHMS)
    assert {f"{m} {s} {k}" for m in script.TASKS for s in ("sensitive", "spam") for k in kinds} <= set(labels)
    killed = [run for run in script.matrix(list(script.TASKS), rounding=False) if run.whole]
    assert [run.label for run in killed] == [
        f"{model} killed {kind}" for model in ("BPR", "GRU4Rec", "DNNTSP") for kind in ("base", "kookmin")
    ]
    assert all(run.whole in labels for run in killed)


def test_algorithms_that_the_other_revision_does_not_have_are_left_out(benchmark, tmp_path):
    folder = tmp_path / "recbole/unlearning/algorithms"
    folder.mkdir(parents=True)
    for name in ("gif", "scif", "gone"):
        (folder / f"{name}.py").touch()
    tried = benchmark("same_bits").in_both(tmp_path)
    assert tried == ["scif", "gif"]
    labels = [run.label for run in benchmark("same_bits_runs").matrix(["BPR"], False, tried)]
    assert "BPR spam gif" in labels and not any("kookmin" in label and "killed" not in label for label in labels)


def test_a_revision_that_does_not_exist_gives_a_one_line_error(benchmark, capsys):
    assert benchmark("same_bits").main(["no-such-revision"]) == 2
    assert capsys.readouterr().err == "same_bits.py: there is no revision 'no-such-revision'\n"
