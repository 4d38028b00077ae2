"""`benchmarks/kills.py`: how it names the moment of a kill, which differences it reports, and that there are none."""

import importlib
import json
import signal
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def kills(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("kills")


def folder_with(folder, **files):
    (folder / "saved").mkdir(parents=True)
    for name, values in files.items():
        torch.save({"state_dict": {"w": torch.tensor(values)}}, folder / "saved" / name.replace("__", "."))
    return folder


@pytest.mark.parametrize(
    ("left", "status", "place"),
    [
        ((), -signal.SIGKILL, "before the first snapshot"),
        (("a__resume",), -signal.SIGKILL, "between snapshots"),
        (("a__resume", "a__pth"), -signal.SIGKILL, "after a model was written"),
        (("a__pth",), -signal.SIGKILL, "after completion"),
        (("a__pth",), 0, "after completion"),
    ],
)
def test_the_moment_of_a_kill_is_classified(kills, tmp_path, left, status, place):
    found = folder_with(tmp_path / "found", base__pth=[1.0])
    folder = folder_with(tmp_path / "left", base__pth=[1.0], **{name: [2.0] for name in left})
    assert kills.place_of(status, found, folder) == place


@pytest.fixture
def step(kills, tmp_path):
    left = folder_with(tmp_path / "left", a__pth=[1.0, 2.0])
    (left / "saved" / "a.json").write_text(json.dumps({"metrics": [], "epochs": 3, "fit_seconds": 1.0}))
    return kills.Step(None, tmp_path, left, 1.0, 0)


def second_life(folder, values=(1.0, 2.0), more=(), **record):
    """Write the files of a run that was killed and resumed."""
    folder_with(folder, a__pth=list(values))
    (folder / "saved" / "a.json").write_text(json.dumps({"metrics": [], "epochs": 3, "fit_seconds": 2.0} | record))
    for name in more:
        (folder / "saved" / name).touch()
    return folder


@pytest.mark.parametrize(
    ("change", "status", "resumed", "told"),
    [
        ({}, 0, True, None),
        ({"values": (1.0, 2.0000002)}, 0, True, "a.pth: state_dict.w"),
        ({"epochs": 4}, 0, True, "a.json.epochs"),
        ({"more": [".a.resume.0.erase.partial"]}, 0, True, ".a.resume.0.erase.partial: is new"),
        ({"more": ["a.log"]}, 0, True, None),
        ({}, 1, True, "status"),
        ({}, 0, False, "went on from a snapshot"),
    ],
)
def test_differences_of_a_resumed_run_are_reported(kills, step, tmp_path, change, status, resumed, told):
    folder = second_life(tmp_path / "again", **change)
    found = kills.compared(step, folder, kills.Ended(status, 1.0, resumed), "between snapshots").found
    assert [told in line for line in found] == [True] if told else found == []


@pytest.mark.parametrize(("place", "goes_on"), [("before the first snapshot", False), ("between snapshots", True)])
def test_a_run_counts_as_resumed_only_if_it_read_a_snapshot(kills, step, tmp_path, place, goes_on):
    folder = second_life(tmp_path / "again")
    assert kills.compared(step, folder, kills.Ended(0, 1.0, goes_on), place).found == []
    assert len(kills.compared(step, folder, kills.Ended(0, 1.0, not goes_on), place).found) == 1


@pytest.mark.slow
@pytest.mark.parametrize("model", ["BPR", "GRU4Rec", "DNNTSP"])
def test_kills_at_random_moments_do_not_change_results(kills, capsys, monkeypatch, model):
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "")  # the benchmark sets it
    assert kills.main(["--kills", "6", "--seed", "3", "--only", model]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("6 kills: ") and last.endswith("; 0 differ")
