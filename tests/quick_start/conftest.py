"""Fixtures for running the programs: small data with sensitive items, a forget set, and settings."""

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_tasks import inside

ROOT = Path(__file__).parents[2]
SETTINGS = """
load_col: {inter: [user_id, item_id, timestamp]}
eval_args: {order: TO}
embedding_size: 8
epochs: 4
train_batch_size: 32
learning_rate: 0.02
metrics: [Recall, NDCG]
valid_metric: Recall@10
use_gpu: False
"""
FORGETTING = ("--sensitive_category", "horror", "--unlearning_fraction", "0.01")
FORGET_SET = "tiny_unlearn_pairs_sensitive_category_horror_seed_2_unlearning_fraction_0.01.inter"
PAIRS = "user_id:token\titem_id:token\n"


def _rows():
    draw = np.random.default_rng(11)
    rows = [(user, item) for user in range(30) for item in draw.choice(40, 10 + user % 7, replace=False)]
    return [(f"u{user:02}", f"i{item}", 100 + at) for at, (user, item) in enumerate(rows)]


@pytest.fixture(scope="session")
def world(write_inter):
    """A function: ``world(folder)`` writes the data set ``tiny``, a forget set and ``tiny.yaml`` into a folder.

    Items i0 to i5 are sensitive; the forget set has these items of the first nine users who have any. The result has
    the attributes ``data`` (data folder), ``asked`` (the forgotten pairs) and ``saved`` (folder of checkpoints).
    """

    def make(folder):
        rows = _rows()
        data = write_inter(folder / "dataset", rows, dataset="tiny").parent
        sensitive = [f"i{at}" for at in range(6)]
        (data / "sensitive_asins_horror.txt").write_text("\n".join(sensitive) + "\n")
        pairs = [(user, item) for user, item, _ in rows if item in sensitive]
        users = sorted({user for user, _ in pairs})[:9]
        asked = [pair for pair in pairs if pair[0] in users]
        (data / FORGET_SET).write_text(PAIRS + "".join(f"{user}\t{item}\n" for user, item in reversed(asked)))
        (folder / "tiny.yaml").write_text(SETTINGS)
        return SimpleNamespace(
            folder=folder, data=data, rows=rows, asked=asked, users=users, saved=folder / "saved",
            forget_set=data / FORGET_SET,
        )  # fmt: skip

    return make


def command(script, *arguments):
    """Return the command line of a program on the small data; retraining and unlearning get the forget set."""
    forgets = script == "unlearn.py" or "--retrain_checkpoint_idx_to_match" in arguments
    common = ("--model", "BPR", "--dataset", "tiny", "--config_files", "tiny.yaml")
    return [sys.executable, str(ROOT / script), *common, *(FORGETTING if forgets else ()), *arguments]


@pytest.fixture(scope="session")
def command_line():
    """The function that returns the command line of a program."""
    return command


@pytest.fixture(scope="session")
def start():
    """A function: ``start(folder, script, *arguments, **environment)`` starts a program and returns a `Popen`."""

    def started(folder, script, *arguments, **environment):
        quiet = () if "--tensorboard" in arguments else ("--tensorboard", "False")
        return subprocess.Popen(
            command(script, *arguments, *quiet),
            cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"} | environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    return started


@pytest.fixture(scope="session")
def run(start):
    """A function: ``run(folder, script, *arguments, **environment)`` runs a program to its end."""

    def done(folder, script, *arguments, **environment):
        with start(folder, script, *arguments, **environment) as process:
            out, err = process.communicate(timeout=120)
        return SimpleNamespace(status=process.returncode, out=out, err=err)

    return done


@pytest.fixture(scope="session")
def here():
    """A function: ``here(folder, script, *arguments)`` runs a program in this process, without its start-up time."""
    from recbole.quick_start.main import train_main, unlearn_main

    def done(folder, script, *arguments):
        words, err = command(script, *arguments, "--tensorboard", "False")[2:], io.StringIO()
        with inside(folder) as out, contextlib.redirect_stderr(err):
            try:
                status = (train_main if script == "run_recbole.py" else unlearn_main)(words)
            except SystemExit as stop:  # argparse exits like this
                status = stop.code
        return SimpleNamespace(status=status, out=out.getvalue(), err=err.getvalue())

    return done
