"""RecBole's own model files, unmodified, in the model folders of a copy of this package: each trains and is evaluated.

Set ``RECBOLE_WHEEL`` to a downloaded ``recbole-1.2.1-py3-none-any.whl``; ``pytest -s`` shows the table.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import recbole

pytestmark = pytest.mark.slow

LAYERS = "needs layers of RecBole's that recbole.model.layers does not have"
TRAINER = "needs a trainer of its own, which RecBole has"
TRANSFORM = "needs the columns that RecBole's `transform` adds to sequences"
KNOWLEDGE = "needs the vectors of a knowledge graph, which RecBole preloads"
LIBRARY = "needs scikit-learn"

#: Models that do not run, and why.
KNOWN = {
    "general_recommender": {
        "ConvNCF": LAYERS,
        "NCEPLRec": LIBRARY,
        "NCL": TRAINER,
        "NGCF": LAYERS,
        "Pop": "counts while its loss is taken, which is not done for models without gradients",
        "RecVAE": TRAINER,
        "SLIMElastic": LIBRARY,
    },
    "sequential_recommender": {
        "BERT4Rec": TRANSFORM,
        "DIEN": LAYERS,
        "DIN": LAYERS,
        "FDSA": LAYERS,
        "GRU4RecF": LAYERS,
        "GRU4RecKG": KNOWLEDGE,
        "KSR": KNOWLEDGE,
        "LightSANs": LAYERS,
        "SASRecF": LAYERS,
        "SHAN": TRANSFORM,
    },
}

DRIVER = """
import contextlib, io, json, signal, sys, traceback

from recbole.quick_start.main import train_main


def late(*_):
    raise TimeoutError("120 seconds were not enough")


signal.signal(signal.SIGALRM, late)
for line in sys.stdin:
    name, argv = json.loads(line)
    said, status, why = io.StringIO(), None, ""
    signal.alarm(120)
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            status = train_main(argv)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            first = (str(error).splitlines() or [""])[0]
            why = f"{type(error).__name__}: {first} ({where.filename}:{where.lineno})"
    signal.alarm(0)
    if not why and status:
        why = [text for text in said.getvalue().splitlines() if text.startswith("run_recbole.py:")][-1]
    print(json.dumps([name, why]), file=sys.__stdout__, flush=True)
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A folder with a copy of this package that holds RecBole's model files, and a small data set; and those files."""
    wheel = os.environ.get("RECBOLE_WHEEL")
    if not wheel:
        pytest.skip("RECBOLE_WHEEL is not set")
    folder = tmp_path_factory.mktemp("house")
    package = Path(recbole.__file__).parent
    shutil.copytree(package, folder / "recbole", ignore=shutil.ignore_patterns("__pycache__"))
    modules = []
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            path = Path(name)
            if path.parts[:2] == ("recbole", "model") and path.parts[2] in KNOWN and path.stem != "__init__":
                archive.extract(name, folder)
                modules.append(folder / path)
            if path.parts[:3] == ("recbole", "properties", "model"):
                (folder / "settings").mkdir(exist_ok=True)
                (folder / "settings" / path.name).write_bytes(archive.read(name))
    write_data(folder / "dataset" / "toy")
    (folder / "common.yaml").write_text(COMMON)
    return folder, modules


def write_data(folder):
    """Write sequences that repeat themselves, with ratings, and a category and two tags for each item."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(5)
    rows = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    for user in range(130):
        items = (draw.integers(140) + np.cumsum(draw.integers(1, 3, 14))) % 140
        rows += [f"u{user}\ti{item}\t{draw.integers(1, 6)}\t{1000 * user + at}" for at, item in enumerate(items)]
    (folder / "toy.inter").write_text("\n".join(rows) + "\n")
    rows = ["item_id:token\tclass:token_seq"] + [f"i{item}\tc{item % 3} d{item % 5}" for item in range(140)]
    (folder / "toy.item").write_text("\n".join(rows) + "\n")


COMMON = """
load_col: {inter: [user_id, item_id, rating, timestamp], item: [item_id, class]}
eval_args: {split: {RS: [0.8, 0.1, 0.1]}, order: TO, group_by: user}
selected_features: [class]
user_inter_num_interval: "[3,inf)"
MAX_ITEM_LIST_LENGTH: 10
train_batch_size: 256
"""


def class_names(path):
    """Return the model of a module: the class whose name is the module's."""
    lines = [line for line in path.read_text().splitlines() if line.startswith("class ")]
    names = [line.removeprefix("class ").partition("(")[0] for line in lines]
    return [name for name in names if name.lower() == path.stem]


@pytest.mark.parametrize("kind", KNOWN)
def test_recboles_model_files_run(house, kind, tmp_path):
    folder, modules = house
    commands = []
    for name in sorted(name for path in modules if path.parent.name == kind for name in class_names(path)):
        settings = [str(f) for f in (folder / "settings" / f"{name}.yaml", folder / "common.yaml") if f.exists()]
        argv = ["--model", name, "--dataset", "toy", "--config_files", *settings, "--epochs", "1"]
        quiet = ["--use_gpu", "False", "--show_progress", "False", "--tensorboard", "False"]
        commands.append(json.dumps([name, argv + quiet + ["--data_path", str(folder / "dataset")]]))
    assert len(commands) > 30
    environment = os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input="\n".join(commands),
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = dict(json.loads(line) for line in done.stdout.splitlines() if line.startswith('["'))
    print(f"\n{kind}: {sum(not why for why in found.values())} of {len(found)} run")
    for name, why in found.items():
        print(f"  {name:14s} {why or 'runs'}")
    assert len(found) == len(commands)
    assert {name for name, why in found.items() if why} == set(KNOWN[kind])
