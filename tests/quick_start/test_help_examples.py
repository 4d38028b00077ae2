"""The examples in ``--help`` run unchanged, one after another, on MovieLens 100K."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = os.environ.get("ERASE_REFERENCE_DATA")


def examples(script):
    """Return the commands in a script's help, each as a list of words."""
    done = subprocess.run([sys.executable, ROOT / script, "-h"], capture_output=True, text=True, check=True)
    text = done.stdout.split("examples", 1)[1].replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("python ")]


@pytest.mark.slow
@pytest.mark.skipif(not REFERENCE, reason="needs ERASE_REFERENCE_DATA, the folder of the real data")
def test_the_examples_run_unchanged(tmp_path):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    prepare = [ROOT / "dataset/ml-100k/prepare.py", "--from", f"{REFERENCE}/data/ml-100k"]
    run(tmp_path, [*prepare, "--output", tmp_path / "dataset/ml-100k"])
    commands = [*examples("run_recbole.py"), *examples("unlearn.py")]
    assert len(commands) == 8
    for script, *words in commands:
        quick = [] if script == "make_forget_set.py" else ["--epochs", "1", "--show_progress", "False"]
        run(tmp_path, [ROOT / script, *words, *quick])
    saved = [path.name for path in (tmp_path / "saved").glob("*.pth")]
    assert sum("unlearn_epoch" in name for name in saved) == 8, "two runs with four checkpoints each"


def run(folder, words):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, words)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (words, done.stderr[-2000:])
