"""``kill -9`` during a run: the same command resumes, and ends with the same results as an undisturbed run."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

UNLEARN_STEM = "unlearning_algorithm_scif"
LONG = ("--epochs", "60", "--stopping_step", "99", "--eval_step", "5")
"""Enough epochs for a kill before the end."""


def kill(process, folder, pattern, times):
    """Kill a program after files like ``pattern`` were written ``times`` times; return whether it was running."""
    seen, deadline = set(), time.monotonic() + 100
    while len(seen) < times and process.poll() is None and time.monotonic() < deadline:
        seen |= {path.stat().st_mtime_ns for path in (folder / "saved").glob(pattern)}
        time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def killed_in_the_middle(place, start, arguments, pattern, times):
    """Start a program and kill it; repeat if it ended before the kill."""
    there = {path: path.read_bytes() for path in place.saved.glob("*")}
    for _ in range(5):
        if kill(start(place.folder, *arguments, ERASE_SNAPSHOT_SECONDS="0"), place.folder, pattern, times):
            return
        for path in place.saved.iterdir():
            path.unlink()
        for path, content in there.items():
            path.write_bytes(content)
    raise AssertionError("it always came to its end")


def checkpoints(folder):
    return {path.name: path for path in (folder / "saved").glob("*.pth")}


def assert_same(folder, other):
    """Compare every checkpoint: each tensor and all other contents."""
    one, two = checkpoints(folder), checkpoints(other)
    assert one.keys() == two.keys()
    for name, path in one.items():
        contents = [torch.load(p, weights_only=True) for p in (path, two[name])]
        states = [content.pop("state_dict") for content in contents]
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(tensor, states[1][key]) for key, tensor in states[0].items())
        assert path.read_bytes() == two[name].read_bytes()


def timeless(path):
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in record.items() if k not in ("seconds", "total_seconds")} for record in records]


@pytest.fixture(scope="module")
def undisturbed(world, here, tmp_path_factory):
    """A folder with a base model and unlearned models of undisturbed runs."""
    place = world(tmp_path_factory.mktemp("undisturbed"))
    for script, arguments in (("run_recbole.py", LONG), ("unlearn.py", ())):
        told = here(place.folder, script, *arguments)
        assert told.status == 0, told.err
    return place


def test_training(undisturbed, world, start, here, tmp_path):
    place = world(tmp_path)
    killed_in_the_middle(place, start, ("run_recbole.py", *LONG), "*.resume", 10)
    assert (place.saved / "model_BPR_seed_2_dataset_tiny_best.resume").exists()
    assert not list(place.saved.glob("*.pth"))
    told = here(place.folder, "run_recbole.py", *LONG)
    assert told.status == 0 and "continuing at epoch " in told.out
    names = {path.name for path in place.saved.iterdir()}
    assert names == {"model_BPR_seed_2_dataset_tiny_best.pth", "model_BPR_seed_2_dataset_tiny_best.json"}
    for path in undisturbed.saved.glob("*unlearning*"):  # the other test is about files of unlearning
        (place.saved / path.name).write_bytes(path.read_bytes())
    assert_same(undisturbed.folder, place.folder)


@pytest.mark.parametrize("pattern", ["*.resume", "*_to_match_2.pth"])
def test_unlearning(undisturbed, world, start, here, tmp_path, pattern):
    place = world(tmp_path)
    place.saved.mkdir()
    base = "model_BPR_seed_2_dataset_tiny_best.pth"
    (place.saved / base).write_bytes((undisturbed.saved / base).read_bytes())
    killed_in_the_middle(place, start, ("unlearn.py",), pattern, 1)
    assert len(list(place.saved.glob(f"*{UNLEARN_STEM}*.resume"))) == 1
    told = here(place.folder, "unlearn.py", "--result_file", "result.json")
    assert told.status == 0 and "continuing after " in told.out
    assert not list(place.saved.glob("*.resume"))
    assert_same(undisturbed.folder, place.folder)
    log = f"log/model_BPR_seed_2_dataset_tiny_{UNLEARN_STEM}_*.requests.jsonl"
    logs = [next(one.folder.glob(log)) for one in (place, undisturbed)]
    assert timeless(logs[0]) == timeless(logs[1])
    assert json.loads((place.folder / "result.json").read_text())["requests"]["done"] == 9
    for checkpoint in place.saved.glob("*unlearn_epoch*.json"):
        assert json.loads(checkpoint.read_text())["metrics"]


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["scif", "kookmin", "gif"])
def test_ten_kills_at_random_points(world, here, command_line, tmp_path, algorithm):
    """With LightGCN: the resumed run needs the graph at the time of the kill."""
    whole, killed = world(tmp_path / "whole"), tmp_path / "killed"
    asked = sorted({row[:2] for row in whole.rows if row[1] in ("i0", "i1")})
    whole.forget_set.write_text("user_id:token\titem_id:token\n" + "".join("\t".join(pair) + "\n" for pair in asked))
    chosen = ("--model", "LightGCN", "--unlearning_algorithm", algorithm, "--result_file", "result.json")
    assert here(whole.folder, "run_recbole.py", *chosen[:2]).status == 0
    shutil.copytree(whole.folder, killed)
    told = here(whole.folder, "unlearn.py", *chosen)
    assert told.status in (0, 3), told.err
    driver = [sys.executable, str(Path(__file__).with_name("kill_driver.py")), str(killed), "10", "7"]
    words = [*driver, *command_line("unlearn.py", *chosen, "--tensorboard", "False")[2:]]
    environment = {"OMP_NUM_THREADS": "1", "ERASE_SNAPSHOT_SECONDS": "0", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(words, env=os.environ | environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    happened = json.loads(done.stdout.splitlines()[-1])
    assert set(happened["statuses"]) == {told.status} and len(set(happened["requests_done"])) > 3, happened
    assert_same(whole.folder, killed)
    logs = [next(folder.glob("log/*.requests.jsonl")) for folder in (whole.folder, killed)]
    assert timeless(logs[0]) == timeless(logs[1]) and len(timeless(logs[0])) > 11
    one, two = (json.loads((folder / "result.json").read_text()) for folder in (whole.folder, killed))
    assert one["metrics"] == two["metrics"]
    assert all(value == two["requests"][key] for key, value in one["requests"].items() if "seconds" not in key)
