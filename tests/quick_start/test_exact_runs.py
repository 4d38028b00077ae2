"""Exact deletion with the documented commands: the unlearned model equals the retrained one."""

import json

import pytest
import torch

from recbole.model.general_recommender.ease import EASE
from recbole.model.general_recommender.itemknn import ItemKNN

INDEX = ("--retrain_checkpoint_idx_to_match", "3")
EXACT = ("--unlearning_algorithm", "exact", "--result_file", "result.json")


LAST = "*_unlearn_epoch_8_*_to_match_3.pth"


def unlearned(here, place, model):
    """Train, retrain and unlearn; return the result of unlearning."""
    for script, arguments in (("run_recbole.py", ()), ("run_recbole.py", INDEX), ("unlearn.py", EXACT)):
        told = here(place.folder, script, "--model", model, *arguments)
        assert told.status == 0, told.err
    result = json.loads((place.folder / "result.json").read_text())
    assert (result["requests"]["applied"], result["requests"]["skipped"]) == (8, 1)  # one request has no training row
    return result


def last_values(result):
    """Return the values at the last checkpoint: kind of model to row key to value."""
    kinds = {"unlearned": {}, "retrained": {}, "base": {}}
    for row in result["metrics"]:
        if row["checkpoint"] == 3 and row["minus"] is None:
            key = tuple(row[name] for name in ("split", "view", "population", "masking", "metric", "k"))
            kinds[row["model"]][key] = row["value"]
    return kinds


def distances(kinds):
    return [value for key, value in kinds["unlearned"].items() if "divergence" in key[4]]


@pytest.mark.parametrize("model", ["EASE", "ItemKNN", "Pop"])
def test_the_last_checkpoint_equals_the_retrained_model(world, here, tmp_path, model):
    place = world(tmp_path)
    result = unlearned(here, place, model)
    assert result["timing"]["speedup_over_retraining"] > 0, "a closed-form fit is timed, too"
    kinds = last_values(result)
    shared = kinds["unlearned"].keys() & kinds["retrained"].keys()
    assert shared and all(kinds["unlearned"][key] == pytest.approx(kinds["retrained"][key], abs=1e-8) for key in shared)
    assert any(kinds["base"][key] != kinds["unlearned"][key] for key in shared)
    assert distances(kinds) and all(abs(value) < 1e-8 for value in distances(kinds))


def nothing_replaced(self, columns, fresh):
    """Do not update the columns whose neighbours changed (a deliberate error)."""


def reinforced(self, old, new, downdate=EASE.downdate):
    """Swap the old and the new rows of the users (a deliberate error)."""
    downdate(self, new, old)


BROKEN = [(EASE, "downdate", reinforced), (ItemKNN, "_replace", nothing_replaced)]


@pytest.mark.parametrize(("model", "method", "wrong"), BROKEN, ids=["EASE", "ItemKNN"])
def test_the_evaluation_detects_a_wrong_deletion(world, here, tmp_path, monkeypatch, model, method, wrong):
    place = world(tmp_path)
    monkeypatch.setattr(model, method, wrong)
    kinds = last_values(unlearned(here, place, model.__name__))
    assert max(map(abs, distances(kinds))) > 1e-6
    monkeypatch.undo()
    told = here(place.folder, "unlearn.py", "--model", model.__name__, *EXACT, "--eval_only")
    assert told.status == 0, told.err
    again = last_values(json.loads((place.folder / "result.json").read_text()))
    assert again["unlearned"] == kinds["unlearned"], "only the checkpoint is evaluated"


@pytest.mark.parametrize("model", ["EASE", "ItemKNN"])
def test_a_checkpoint_of_another_size_is_an_error(world, here, tmp_path, model):
    place = world(tmp_path)
    unlearned(here, place, model)
    path = next(place.saved.glob(LAST))
    content = torch.load(path, weights_only=True)
    learned = content["other_parameter"]["learned"]
    if model == "EASE":
        content["other_parameter"]["learned"] = learned[1:]
    else:
        learned["indptr"] = learned["indptr"][1:]
    torch.save(content, path)
    path.with_suffix(".json").unlink()  # the record has the digest of the original file
    told = here(place.folder, "unlearn.py", "--model", model, *EXACT, "--eval_only")
    assert told.status == 2 and told.err.count("\n") == 1
    assert path.name in told.err and "has no valid array 'learned' of shape (41, 41)" in told.err


def test_gradient_trained_models_are_rejected_before_any_work(world, here, tmp_path):
    place = world(tmp_path)
    assert here(place.folder, "run_recbole.py", "--epochs", "1").status == 0
    told = here(place.folder, "unlearn.py", *EXACT)
    assert told.status == 2 and told.err.count("\n") == 1
    assert "exact applies only to models that are computed from the data in closed form, and BPR is none" in told.err
    assert not list(place.saved.glob("*exact*"))
