"""ERASE's own checkpoints, evaluated here, have the metrics that ERASE measured; needs the real data."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from recbole.config import Config
from recbole.data import create_dataset
from recbole.evaluator import mean_utility
from recbole.model import get_model
from recbole.trainer import load_checkpoint, load_weights

REPOSITORY = Path(__file__).parents[2]
HALF_OF_4_DECIMALS = 5e-5
CHECKPOINT = "model_BPR_seed_2_dataset_ml-100k_best.pth"


@pytest.fixture(scope="module")
def expected(reference):
    """ERASE's metrics of its BPR model, and the settings of that evaluation."""
    return json.loads((reference / "compat" / "expected.json").read_text())[CHECKPOINT]


@pytest.fixture(scope="module")
def folder(reference, expected, tmp_path_factory):
    """A working folder with the data, the checkpoint, and ERASE's settings as YAML."""
    made = tmp_path_factory.mktemp("original")
    for kind, source in (("dataset", "data"), ("saved", "compat")):
        (made / kind).symlink_to(reference / source)
    (made / "bpr.yaml").write_text(yaml.safe_dump(expected["config"]))
    return made


def metrics(found):
    """Compare to four decimals."""
    return pytest.approx(found, abs=HALF_OF_4_DECIMALS, rel=0)


def test_validation_and_test_metrics(folder, expected):
    config = Config(
        "BPR", "ml-100k", [folder / "bpr.yaml"],
        {"data_path": str(folder / "dataset"), "time_precision": "single", "seed": expected["seed"]},
    )  # fmt: skip
    model_class = get_model("BPR")
    config.bind_model(model_class)
    dataset = create_dataset(config, model_class.type)
    counts = {"users": dataset.n_users, "items": dataset.n_items, "inters": len(dataset.log)}
    assert counts == expected["counts_with_padding"]
    model = model_class(config, dataset)
    path = folder / "saved" / CHECKPOINT
    load_weights(model, load_checkpoint(path), path)
    assert mean_utility(model, dataset.eval_rows("valid"), config) == metrics(expected["best_valid"])
    assert mean_utility(model, dataset.eval_rows("test"), config) == metrics(expected["test"])


def test_the_command_line_gives_the_same_metrics(folder, expected):
    command = [sys.executable, str(REPOSITORY / "run_recbole.py"), "--model", "BPR", "--dataset", "ml-100k"]
    command += ["--config_files", "bpr.yaml", "--seed", "2", "--eval_only", "--result_file", "result.json"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stderr
    assert "was written by RecBole or ERASE: time_precision is set to single" in run.stdout
    rows = json.loads((folder / "result.json").read_text())["metrics"]
    whole = [row for row in rows if (row["split"], row["view"], row["population"]) == ("test", "all", "all")]
    found = {f"{row['metric']}@{row['k']}": row["value"] for row in whole if row["masking"] == "retained"}
    assert {name: found[name] for name in expected["test"]} == metrics(expected["test"])
    assert {row["n_rows"] for row in whole} == {expected["counts_with_padding"]["users"] - 1}
