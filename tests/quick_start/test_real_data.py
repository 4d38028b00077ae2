"""The whole experiment on MovieLens-100k, with checks of plausibility."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from recbole.report.records import own_rows

ROOT = Path(__file__).parents[2]
MODEL = (
    *("--model", "BPR", "--dataset", "ml-100k", "--config_files", str(ROOT / "configs" / "config_bpr.yaml")),
    *("--sensitive_category", "horror", "--tensorboard", "False"),
)
FORGET = (*MODEL, "--unlearning_fraction", "0.001")


@pytest.fixture(scope="module")
def results(tmp_path_factory, reference):
    """The result tables of base, retrained model (checkpoint 3), and SCIF with ERASE's defaults and with the preset."""
    folder = tmp_path_factory.mktemp("chain")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def run(script, *arguments):
        command = [sys.executable, str(ROOT / script), *arguments]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    source, target = reference / "data" / "ml-100k", folder / "dataset" / "ml-100k"
    run("dataset/ml-100k/prepare.py", "--from", str(source), "--output", str(target))
    run("run_recbole.py", *MODEL, "--stopping_step", "30", "--result_file", "base.json")
    retrain = ("--stopping_step", "30", "--retrain_checkpoint_idx_to_match", "3")
    run("run_recbole.py", *FORGET, *retrain, "--result_file", "retrained.json")
    run("unlearn.py", *FORGET, "--result_file", "scif.json")
    run("unlearn.py", *FORGET, "--preset", "tuned", "--result_file", "tuned.json")
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def value(record, **wanted):
    """Return the only value in a record's table with some columns that is not a difference; see `own_rows`."""
    table = pd.DataFrame(own_rows(record))
    table = table[table["minus"].isna()]
    for column, cell in wanted.items():
        table = table[table[column] == cell]
    assert len(table) == 1, table
    return table["value"].item()


def shown(record, model):
    """Return the mean number of forgotten items in the top ten of the requesting users."""
    about = {"population": "requesting", "masking": "retained", "checkpoint": 3, "k": 10}
    return value(record, model=model, metric="avg_forgotten_per_user", **about)


@pytest.mark.slow
def test_the_base_model_has_the_expected_utility(results):
    dataset = results["base"]["dataset"]
    assert (dataset["users"], dataset["items"], dataset["interactions"]) == (943, 1349, 99287)
    recall = value(results["base"], split="test", metric="recall", k=10, population="all", view="all")
    assert 0.105 < recall < 0.125, "100 epochs of RecBole 1.2.1 give 0.115 +- 0.002"


@pytest.mark.slow
def test_scif_forgets_with_defaults_and_with_the_preset(results):
    base, retrained = shown(results["tuned"], "base"), shown(results["tuned"], "retrained")
    tuned, default = shown(results["tuned"], "unlearned"), shown(results["scif"], "unlearned")
    assert retrained < base
    assert max(abs(tuned - retrained), abs(default - retrained)) < 0.5 * abs(base - retrained)


@pytest.mark.slow
def test_other_users_and_utility_are_unchanged(results):
    about = {"checkpoint": 3, "metric": "js_divergence"}
    for run in ("scif", "tuned"):
        distances = [value(results[run], model=model, population="others", **about) for model in ("base", "unlearned")]
        assert distances[0] == distances[1]
        recall = {"metric": "recall", "k": 10, "view": "current", "population": "all", "checkpoint": 3}
        before, after = (value(results[run], model=model, **recall) for model in ("base", "unlearned"))
        assert abs(after - before) < 0.005


@pytest.mark.slow
def test_every_request_is_accounted_for(results):
    requests = results["tuned"]["requests"]
    assert (requests["total"], requests["done"], requests["applied"], requests["skipped"]) == (22, 22, 21, 1)
    assert results["tuned"]["timing"]["speedup_over_retraining"] > 10
