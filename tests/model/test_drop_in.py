"""RecBole's unmodified model files in the model folders of a copy of this package: each can be trained and evaluated.

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
import torch

import recbole

pytestmark = pytest.mark.slow

TRAINER = "needs a trainer of its own, which RecBole has"
NEGATIVES = "needs a sequence of negatives beside the sequence, which RecBole's sampler draws"
TRANSFORM = "needs the columns that RecBole's `transform` adds to sequences"
KNOWLEDGE = "needs the vectors of a knowledge graph, which RecBole preloads"

#: Models that do not run, and why.
KNOWN = {
    "general_recommender": {
        "NCL": TRAINER,
        "Pop": "counts while its loss is taken, which is not done for models without gradients",
        "RecVAE": TRAINER,
    },
    "sequential_recommender": {
        "BERT4Rec": TRANSFORM,
        "DIEN": NEGATIVES,
        "GRU4RecKG": KNOWLEDGE,
        "KSR": KNOWLEDGE,
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
    """A copy of this package with RecBole's model files in a folder that also has a small data set, and these files."""
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
    """Write sequences with repeated patterns and ratings, and a category and two tags for each item."""
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
    """Return the model class in a module: the class with the module's name."""
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


# --- graphs --------------------------------------------------------------------------------------------------------

GRAPHS = {"LightGCN": "norm_adj_matrix", "NGCF": "norm_adj_matrix", "GCMC": "support"}
"""RecBole's graph models to the attribute with their graph, whose nodes are the users followed by the items."""

UNLEARN = """
import json, sys

import numpy as np
import torch

from recbole.config import Config
from recbole.data import create_dataset
from recbole.model import get_model
from recbole.trainer import TrainingLoop
from recbole.unlearning.registry import get_algorithm
from recbole.unlearning.request import Request
from recbole.utils.deadline import Deadline

name, graph, settings = sys.argv[1], sys.argv[2], sys.argv[3:]
cls = get_model(name)
quick = {"scif_hessian_samples": 64, "scif_negatives": 2, "scif_iterations": 10, "epochs": 2, "embedding_size": 16}
quick |= {"data_path": "dataset", "use_gpu": False, "show_progress": False}
config = Config(name, "toy", settings, quick)
config.bind_model(cls)
dataset = create_dataset(config, cls.type)
torch.manual_seed(1)
model = cls(config, dataset)
TrainingLoop(config, model, dataset).fit()


def held():
    'The (user, item) pairs of the graph, and whether each stands there in both directions.'
    matrices = getattr(model, graph)
    matrices = matrices if isinstance(matrices, (list, tuple)) else [matrices]
    places = torch.cat([matrix.coalesce().indices() for matrix in matrices], dim=1)
    places = set(map(tuple, places.T.tolist()))
    pairs = {(u, i - dataset.n_users) for u, i in places if u < dataset.n_users <= i}
    return pairs, all((i + dataset.n_users, u) in places for u, i in pairs)


def scores(of):
    of.eval()
    with torch.no_grad():
        return of.full_sort_predict(questions.inputs[:]).view(len(questions.entity), -1)


def train_pairs():
    return set(zip(*(side[dataset.train_rows].tolist() for side in (dataset.log.user, dataset.log.item))))


questions, all_pairs = dataset.eval_rows("test"), train_pairs()
assert held() == (all_pairs, True), "the graph holds the training pairs"
parameters = {n: p.detach().clone() for n, p in model.named_parameters()}
algorithm = get_algorithm("scif")(config, model, dataset)
found = []
for index, user in enumerate((5, 9, 5)):
    rows = dataset.log.rows_of([user])
    rows = rows[[0, 1, -1] if index < 2 else [3]]
    scores(model)
    outcome = algorithm.forget([Request(index, "somebody", rows)], Deadline())
    gone = {(user, int(item)) for item in dataset.log.item[rows]}
    all_pairs -= gone
    assert not gone & train_pairs()
    assert held() == (all_pairs, True), "the graph lacks the forgotten pairs and nothing else"
    fresh = cls(config, dataset)
    fresh.load_state_dict(model.state_dict())
    assert {n for n, _ in fresh.named_buffers()} == {n for n, _ in model.named_buffers()}
    for name, buffer in fresh.named_buffers():
        assert torch.equal(buffer.to_dense(), model.get_buffer(name).to_dense()), name
    torch.testing.assert_close(scores(model), scores(fresh), rtol=0, atol=0)
    found.append([outcome.status, outcome.reason])
changed = [n for n, p in model.named_parameters() if not torch.equal(p, parameters[n])]
print(json.dumps([found, changed]))
"""


@pytest.mark.parametrize("name", GRAPHS)
def test_scif_unlearns_recboles_graph_models(house, name):
    folder, _ = house
    settings = [str(f) for f in (folder / "settings" / f"{name}.yaml", folder / "common.yaml") if f.exists()]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", UNLEARN, name, GRAPHS[name], *settings],
        env=os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        cwd=folder, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes, changed = json.loads(done.stdout.splitlines()[-1])
    assert [status for status, _ in outcomes] == ["applied"] * 3, outcomes
    assert changed


START = "import sys, recbole.quick_start.main as main; sys.exit(main.{}(sys.argv[1:]))"


def test_the_programs_train_and_unlearn_one_of_them(house, tmp_path):
    """NGCF on the command line: unlearning changes the weights of the last checkpoint and its recommendations."""
    folder, _ = house
    asked = ["user_id:token\titem_id:token"]
    for line in (folder / "dataset/toy/toy.inter").read_text().splitlines()[1:]:
        user, item = line.split("\t")[:2]
        asked += [f"{user}\t{item}"] if user in {f"u{at}" for at in range(8)} and int(item[1:]) % 2 else []
    data = shutil.copytree(folder / "dataset", tmp_path / "dataset") / "toy"
    (data / "sensitive_asins_odd.txt").write_text("".join(f"i{item}\n" for item in range(1, 140, 2)))
    name = "toy_unlearn_pairs_sensitive_category_odd_seed_2_unlearning_fraction_0.01.inter"
    (data / name).write_text("\n".join(asked) + "\n")
    files = ["--config_files", str(folder / "settings/NGCF.yaml"), str(folder / "common.yaml")]
    common = ["--model", "NGCF", "--dataset", "toy", *files, "--use_gpu", "False", "--epochs", "2"]
    common += ["--tensorboard", "False"]
    forget = ["--sensitive_category", "odd", "--unlearning_fraction", "0.01", "--unlearning_algorithm", "scif"]
    quick = ["--scif_hessian_samples", "64", "--scif_negatives", "2", "--scif_iterations", "10"]
    for program, more in (("train_main", []), ("unlearn_main", [*forget, *quick, "--result_file", "result.json"])):
        done = subprocess.run(
            [sys.executable, "-c", START.format(program), *common, *more, "--show_progress", "False"],
            env=os.environ | {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
            cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    record = json.loads((tmp_path / "result.json").read_text())
    assert record["requests"]["applied"] == record["requests"]["total"] == 8
    saved = {path.name: torch.load(path)["state_dict"] for path in (tmp_path / "saved").rglob("*.pth")}
    assert len(saved) == 5
    first = next(iter(saved.values()))
    assert len({saved[name]["item_embedding.weight"].sum().item() for name in saved}) == 5
    assert all(state.keys() == first.keys() for state in saved.values())
