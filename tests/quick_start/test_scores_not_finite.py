"""How a run ends if a model has NaN or infinite scores."""

import json

import torch


def test_metrics_are_null_and_the_exit_status_is_3(world, here, tmp_path):
    place = world(tmp_path)
    assert here(place.folder, "run_recbole.py").status == 0
    (path,) = place.saved.glob("*_best.pth")
    stored = torch.load(path, weights_only=True)
    stored["state_dict"]["user_embedding.weight"][1] = torch.nan
    torch.save(stored, path)
    path.with_suffix(".json").unlink()  # the record has the digest of the original file
    told = here(place.folder, "run_recbole.py", "--eval_only", "--result_file", "r.json")
    assert told.status == 3, told.err
    assert (told.out + told.err).count("scores are not finite, so metrics are null: base") == 1
    rows = json.loads((place.folder / "r.json").read_text())["metrics"]
    assert {row["value"] for row in rows if row["metric"] == "ndcg"} == {None}
