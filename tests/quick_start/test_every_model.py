"""Every model of the package is trained, retrained and unlearned by documented commands, or rejected in one line."""

import json
from types import SimpleNamespace

import pytest
import torch
from tiny_tasks import furnish_clean, histories, inside

from recbole.config.layers import PROPERTIES
from recbole.model import model_modules
from recbole.quick_start.main import train_main, unlearn_main

TASKS = {"general_recommender": "CF", "sequential_recommender": "SBR", "next_basket_recommender": "NBR"}
FITTED = {"ease", "gptopfreq", "gtopfreq", "itemknn", "pop", "pop_sbr", "ptopfreq", "sknn_sbr", "tifuknn"}
IGNORANT = {"random"}
ASKING = range(100, 104)
FORGET = ("--forget_set", "asked.inter")
SMALL = {"simrec": ("--teacher_epochs", "1", "--soft_samples", "50")}


@pytest.fixture(params=sorted(model_modules()))
def place(request, tmp_path):
    """A folder with the data of a model's task, and the requests of four users for a third of their rows."""
    name = request.param
    folder = model_modules()[name].split(".")[-2]
    _, field = furnish_clean(tmp_path, TASKS[folder])
    asked = [
        (user, item) for user, items in histories(range(100, 130), 1).items() if user in ASKING for item in items[::3]
    ]
    lines = "".join(f"{user}\t{item}\n" for user, item in asked)
    (tmp_path / "asked.inter").write_text(f"{field}:token\titem_id:token\n{lines}")
    return SimpleNamespace(folder=tmp_path, name=name, model=class_name(name), saved=tmp_path / "saved")


def class_name(name):
    """Return the class name of a model, from its packaged defaults."""
    return next(path.stem for path in (PROPERTIES / "model").glob("*.yaml") if path.stem.lower() == name)


def call(place, main, *arguments):
    common = ("--model", place.model, "--dataset", "tiny", "--config_files", "tiny.yaml", "--epochs", "1")
    with inside(place.folder):
        return main([*common, *SMALL.get(place.name, ()), *arguments])


def weights(path):
    return torch.load(path, weights_only=True)["state_dict"]


def test_the_model_trains_retrains_and_unlearns(place, capsys):
    assert call(place, train_main) == 0
    assert call(place, train_main, *FORGET, "--retrain_checkpoint_idx_to_match", "3") == 0
    able, unable = ("exact", "scif") if place.name in FITTED | IGNORANT else ("scif", "exact")
    few = ("--scif_hessian_samples", "16", "--scif_iterations", "5") if able == "scif" else ()
    capsys.readouterr()
    before = {path.name for path in place.saved.iterdir()}
    assert call(place, unlearn_main, *FORGET, "--unlearning_algorithm", unable) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and place.model in told and "Traceback" not in told
    assert {path.name for path in place.saved.iterdir()} == before, "a rejected combination writes no files"
    status = call(place, unlearn_main, *FORGET, "--unlearning_algorithm", able, *few, "--result_file", "result.json")
    if place.name in IGNORANT:
        assert status == 2
        return
    assert status == 0
    result = json.loads((place.folder / "result.json").read_text())
    assert result["requests"]["applied"] == 4
    unlearned = [row for row in result["metrics"] if row["model"] == "unlearned"]
    distances = [row["value"] for row in unlearned if row["metric"] == "js_divergence"]
    assert distances and all(value is not None and value >= -1e-9 for value in distances)
    if able == "exact":
        assert max(distances) < 1e-8, "it equals the retrained model"
        return
    base = weights(next(place.saved.glob("*_dataset_tiny_best.pth")))
    last = weights(next(place.saved.rglob("*_scif_*_unlearn_epoch_3_*.pth")))
    assert any(not torch.equal(tensor, base[name]) for name, tensor in last.items())
