"""Two processes train one model, as one process does."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from recbole.utils import UserError, distributed

ROOT = Path(__file__).parents[2]


def _free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _run(folder, *arguments):
    settings = (
        *("--model", "BPR", "--dataset", "small", "--use_gpu", "False", "--tensorboard", "False", "--epochs", "3"),
        *("--eval_args", "{order: TO}", "--embedding_size", "8", "--train_batch_size", "50"),
        *("--load_col", "{inter: [user_id, item_id, timestamp]}"),
    )
    command = [sys.executable, str(ROOT / "run_recbole.py"), *settings, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400, check=False)


@pytest.fixture
def both(tmp_path, small_cf):
    """The records and weights of one process (in ``one``) and of two (in ``two``)."""
    found = {}
    for name, more in (("one", ()), ("two", ("--nproc", "2", "--port", str(_free_port())))):
        folder = tmp_path / name
        folder.mkdir()
        done = _run(folder, "--data_path", str(small_cf), "--result_file", "result.json", *more)
        assert done.returncode == 0, done.stderr
        checkpoints = list((folder / "saved").glob("*.pth"))
        assert len(checkpoints) == 1
        found[name] = folder, json.loads((folder / "result.json").read_text()), torch.load(checkpoints[0])["state_dict"]
    return found


def test_two_processes_take_the_steps_of_one_and_write_one_checkpoint(both, small_cf):
    (_, one, weights), (folder, two, shared) = both["one"], both["two"]
    for name, tensor in weights.items():
        torch.testing.assert_close(shared[name], tensor, rtol=1e-4, atol=1e-6)
    assert two["seed"] == one["seed"]
    assert two["config"]["train_batch_size"] == 50, "flags reach every process"
    again = _run(folder, "--data_path", str(small_cf), "--eval_only", "--result_file", "again.json")
    assert again.returncode == 0, again.stderr
    alone = [row for row in json.loads((folder / "again.json").read_text())["metrics"] if row["split"] == "test"]
    assert alone == [row for row in two["metrics"] if row["split"] == "test"]


def test_all_flags_reach_every_process(tmp_path):
    """Started as `--nproc 2` starts them, each with the command line that was given."""
    script = tmp_path / "say.py"
    script.write_text("import os, sys; open(os.environ['RANK'], 'w').write(repr(sys.argv[1:]))")
    given = ["--model", "BPR", "--learning_rate=0.5", "--eval_args", "{order: TO}", "--load_col", "{inter: [a, b]}"]
    code = "import sys, recbole.utils.distributed as d; sys.exit(d.launch(2, 2, 0, *sys.argv[1:3], sys.argv[3:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "localhost", str(_free_port()), str(script), *given],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / rank).read_text() for rank in "01"] == [repr(given)] * 2


def test_a_sparse_gradient_is_summed_over_the_processes(tmp_path):
    """Sets2Sets, whose gate has one, started by torchrun; a process may have no user of a batch at all."""
    draw = np.random.default_rng(4)
    users = {f"u{u}": [draw.choice(12, draw.integers(1, 4), False).tolist() for _ in range(6)] for u in range(15)}
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "toy_merged.json").write_text(json.dumps(users))
    settings = (
        *("--model", "Sets2Sets", "--dataset", "toy", "--data_path", str(tmp_path), "--use_gpu", "False"),
        *("--tensorboard", "False", "--epochs", "3", "--train_batch_size", "2", "--embedding_size", "4"),
    )
    weights = {}
    torchrun = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(_free_port()))
    for name, start in (("one", ()), ("two", torchrun)):
        (tmp_path / name).mkdir()
        done = subprocess.run(
            [sys.executable, *start, str(ROOT / "run_recbole.py"), *settings],
            cwd=tmp_path / name, capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (checkpoint,) = (tmp_path / name / "saved").glob("*.pth")
        weights[name] = torch.load(checkpoint)["state_dict"]
    for name, tensor in weights["one"].items():
        torch.testing.assert_close(weights["two"][name], tensor, rtol=1e-4, atol=1e-5)


def test_shares_partition_the_batch_and_join_again(monkeypatch):
    rows = np.arange(11.0)
    parts = [rows[rank::3] for rank in range(3)]
    monkeypatch.setattr(distributed, "_gathered", lambda value: parts)
    np.testing.assert_array_equal(distributed.interleaved(parts[0]), rows)


def test_a_single_process_is_left_alone():
    weight = torch.nn.Parameter(torch.ones(2))
    assert distributed.sum_gradients([weight], 3.0) == 3.0
    assert weight.grad is None
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)


def test_numbers_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="multiples of --nproc 2"):
        distributed.launch(2, 3, 0, "localhost", "5678", [])


def test_a_mistake_ends_with_status_2_before_anything_is_started(tmp_path, small_cf):
    done = _run(tmp_path, "--data_path", str(small_cf), "--nproc", "2", "--learning_rat", "1")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "learning_rate" in done.stderr
