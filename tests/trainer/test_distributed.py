"""Training one model with two processes gives the result of one process."""

import json
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from in_process import inside

from recbole.data import TrainBatches
from recbole.model import get_model
from recbole.quick_start.main import train_main
from recbole.trainer import TrainingLoop
from recbole.utils import UserError, distributed, launcher

ROOT = Path(__file__).parents[2]


def _free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


SETTINGS = (
    *("--model", "BPR", "--dataset", "small", "--use_gpu", "False", "--tensorboard", "False", "--epochs", "3"),
    *("--eval_args", "{order: TO}", "--embedding_size", "8", "--train_batch_size", "50"),
    *("--load_col", "{inter: [user_id, item_id, timestamp]}"),
)


def _started(folder, arguments, *python):
    """Run the program in a process of its own, which starts others."""
    command = [sys.executable, *python, str(ROOT / "run_recbole.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400, check=False)


def _train(folder, arguments):
    """Run the program and check that it succeeds; a single process runs inside this one."""
    if "--nproc" in arguments:
        done = _started(folder, arguments)
        assert done.returncode == 0, done.stderr
        return
    with inside(folder):
        assert train_main(list(arguments)) == 0


@pytest.fixture
def both(tmp_path, small_cf):
    """The records and weights of one process (in ``one``) and of two (in ``two``)."""
    found = {}
    for name, more in (("one", ()), ("two", ("--nproc", "2", "--port", str(_free_port())))):
        folder = tmp_path / name
        folder.mkdir()
        _train(folder, [*SETTINGS, "--data_path", str(small_cf), "--result_file", "result.json", *more])
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
    _train(folder, [*SETTINGS, "--data_path", str(small_cf), "--eval_only", "--result_file", "again.json"])
    alone = [row for row in json.loads((folder / "again.json").read_text())["metrics"] if row["split"] == "test"]
    assert alone == [row for row in two["metrics"] if row["split"] == "test"]


@pytest.fixture
def toy_baskets(tmp_path):
    """A ``data_path`` with the next-basket data ``toy``: 45 users with six baskets of 80 items."""
    draw = np.random.default_rng(4)
    users = {f"u{u}": [draw.choice(80, draw.integers(1, 6), False).tolist() for _ in range(6)] for u in range(45)}
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "toy_merged.json").write_text(json.dumps(users))
    return tmp_path


def _baskets(data_path, model, batch_size):
    """Return the arguments of a run on the toy baskets."""
    return (
        *("--model", model, "--dataset", "toy", "--data_path", str(data_path)),
        *("--use_gpu", "False", "--tensorboard", "False", "--epochs", "3", "--train_batch_size", str(batch_size)),
        *("--embedding_size", "8"),
    )


def test_two_processes_evaluate_the_model_that_is_saved(toy_baskets):
    """DNNTSP has BatchNorm statistics that differ between processes until they are synchronised."""
    (toy_baskets / "run").mkdir()
    found = {}
    for name, more in (("two.json", ("--nproc", "2", "--port", str(_free_port()))), ("again.json", ("--eval_only",))):
        _train(toy_baskets / "run", [*_baskets(toy_baskets, "DNNTSP", 7), "--result_file", name, *more])
        found[name] = json.loads((toy_baskets / "run" / name).read_text())["metrics"]
    tests = [[row for row in rows if row["split"] == "test"] for rows in found.values()]
    assert tests[0] == tests[1]


def test_the_main_process_s_buffers_are_those_of_all(tmp_path):
    """Statistics of a share each, one after the other; an integer buffer is left alone."""
    code = """
import sys, torch
from recbole.utils import distributed
distributed.start(False)
norm = torch.nn.BatchNorm1d(3)
torch.manual_seed(distributed.rank())
norm(torch.randn(7, 3))
norm.num_batches_tracked += distributed.rank()
before = norm.running_mean.clone()
distributed.share_buffers(norm)
torch.save((before, dict(norm.named_buffers())), f"{sys.argv[1]}/{distributed.rank()}")
distributed.stop()
"""
    (tmp_path / "share.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(_free_port()),
         str(tmp_path / "share.py"), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (first, main), (second, other) = (torch.load(tmp_path / rank) for rank in "01")
    assert not torch.equal(first, second)
    for name in ("running_mean", "running_var"):
        assert torch.equal(main[name], other[name])
    assert torch.equal(main["running_mean"], first)
    assert (int(main["num_batches_tracked"]), int(other["num_batches_tracked"])) == (1, 2)


@pytest.mark.parametrize(("model", "processes", "told"), [("BPR", 2, 0), ("LightGCN", 1, 0), ("LightGCN", 2, 1)])
def test_several_processes_are_told_when_they_train_another_objective(
    config, small_dataset, monkeypatch, caplog, model, processes, told
):
    monkeypatch.setattr(logging.getLogger("recbole"), "propagate", True)
    monkeypatch.setattr("recbole.trainer.loop.world_size", lambda: processes)
    settings = config("unused", model=model, epochs=0)
    TrainingLoop(settings, get_model(model)(settings, small_dataset), small_dataset).fit()
    warnings = list(dict.fromkeys(r.getMessage() for r in caplog.records if r.levelno == logging.WARNING))
    assert len([line for line in warnings if "a different objective" in line]) == told
    if told:
        assert warnings[0].startswith("LightGCN's loss has terms that depend on the whole batch: 2 processes")


@pytest.mark.parametrize("model", ["LightGCN", "SGL", "SpectralCF", "DCCF", "SimRec"])
def test_models_declare_that_their_loss_is_of_a_batch(config, small_dataset, model):
    """By the loss itself: that of a batch is not the mean (sum) of those of its halves."""
    assert (_loss_gap(config, small_dataset, model) > 1e-4) and not get_model(model).loss_of_examples


@pytest.mark.parametrize("model", ["BPR", "NeuMF", "WMF"])
def test_the_loss_of_other_models_is_of_examples(config, small_dataset, model):
    assert _loss_gap(config, small_dataset, model) < 1e-5 and get_model(model).loss_of_examples


def _loss_gap(config, dataset, name):
    """Return the relative difference between the loss of a batch and that of its combined shares."""
    settings = config("unused", model=name, reg_weight=1.0) if name != "NeuMF" else config("unused", model=name)
    settings.bind_model(get_model(name))
    torch.manual_seed(1)
    model = get_model(name)(settings, dataset).eval()
    batch = next(iter(TrainBatches(settings, dataset, model.input_type).epoch(0)))
    whole, *parts = (float(model.loss_sum(share).detach()) for share in (batch, batch[0::2], batch[1::2]))
    return abs(whole - sum(parts)) / abs(whole)


def test_all_flags_reach_every_process(tmp_path):
    """Started as `--nproc 2` starts them, each with the command line that was given."""
    script = tmp_path / "say.py"
    script.write_text("import os, sys; open(os.environ['RANK'], 'w').write(repr(sys.argv[1:]))")
    given = ["--model", "BPR", "--learning_rate=0.5", "--eval_args", "{order: TO}", "--load_col", "{inter: [a, b]}"]
    code = (
        "import sys; from recbole.utils.launcher import launch; sys.exit(launch(2, 2, 0, *sys.argv[1:3], sys.argv[3:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "localhost", str(_free_port()), str(script), *given],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / rank).read_text() for rank in "01"] == [repr(given)] * 2


def test_baskets_are_trained_on_by_processes_of_which_one_may_have_no_user_of_a_batch(tmp_path, toy_baskets):
    """Sets2Sets, started by torchrun."""
    weights = {}
    torchrun = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--master_port", str(_free_port()))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    arguments = _baskets(toy_baskets, "Sets2Sets", 2)
    _train(tmp_path / "one", arguments)
    done = _started(tmp_path / "two", arguments, *torchrun)
    assert done.returncode == 0, done.stderr
    for name in ("one", "two"):
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
        launcher.launch(2, 3, 0, "localhost", "5678", [])


def test_a_mistake_ends_with_status_2_before_anything_is_started(tmp_path, small_cf):
    done = _started(tmp_path, [*SETTINGS, "--data_path", str(small_cf), "--nproc", "2", "--learning_rat", "1"])
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "learning_rate" in done.stderr
