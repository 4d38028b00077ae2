"""Exact deletion by the documented commands: what is unlearned answers as what is retrained."""

import json

import pytest
import torch

INDEX = ("--retrain_checkpoint_idx_to_match", "3")
EXACT = ("--unlearning_algorithm", "exact", "--result_file", "result.json")


@pytest.mark.parametrize("model", ["EASE", "ItemKNN", "Pop"])
def test_the_last_checkpoint_is_the_retrained_model(world, run, here, tmp_path, model):
    place, chosen = world(tmp_path), ("--model", model)
    for script, arguments in (("run_recbole.py", ()), ("run_recbole.py", INDEX)):
        told = here(place.folder, script, *chosen, *arguments)
        assert told.status == 0, told.err
    told = run(place.folder, "unlearn.py", *chosen, *EXACT)
    assert told.status == 0, told.err
    result = json.loads((place.folder / "result.json").read_text())
    assert (result["requests"]["applied"], result["requests"]["skipped"]) == (8, 1)  # one was never trained on
    assert result["timing"]["speedup_over_retraining"] > 0, "a fit in closed form takes time too"
    kinds = {"unlearned": {}, "retrained": {}, "base": {}}
    for row in result["metrics"]:
        if row["checkpoint"] == 3:
            key = tuple(row[name] for name in ("split", "view", "population", "masking", "metric", "k"))
            kinds[row["model"]][key] = row["value"]
    shared = kinds["unlearned"].keys() & kinds["retrained"].keys()
    assert shared and all(kinds["unlearned"][key] == pytest.approx(kinds["retrained"][key], abs=1e-8) for key in shared)
    assert any(kinds["base"][key] != kinds["unlearned"][key] for key in shared)
    distances = [row for row in kinds["unlearned"].items() if "divergence" in row[0][4]]
    assert distances and all(abs(value) < 1e-8 for _, value in distances)
    one, two = (
        torch.load(next(place.saved.glob(pattern)), weights_only=True)["state_dict"]
        for pattern in ("*_unlearn_epoch_8_*_to_match_3.pth", "*retrain_checkpoint_idx_to_match_3_unl*.pth")
    )
    assert one.keys() == two.keys() and all(torch.allclose(one[n], two[n], rtol=0, atol=1e-8) for n in one)


def test_a_trained_model_is_refused_before_anything_runs(world, here, tmp_path):
    place = world(tmp_path)
    assert here(place.folder, "run_recbole.py", "--epochs", "1").status == 0
    told = here(place.folder, "unlearn.py", *EXACT)
    assert told.status == 2 and told.err.count("\n") == 1
    assert "exact deletes from models that are a function of the data in closed form, and BPR is none" in told.err
    assert not list(place.saved.glob("*exact*"))
