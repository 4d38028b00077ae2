"""The retrained model at the epoch that was selected for its base: saved next to the best one, and evaluated alike."""

import json
from types import SimpleNamespace

import pytest
import torch
from tiny_tasks import inside

from recbole.quick_start.main import train_main, unlearn_main
from recbole.report.comparison import comparison

COMMON = ("--model", "BPR", "--dataset", "tiny", "--config_files", "tiny.yaml", "--tensorboard", "False")
FORGETTING = ("--sensitive_category", "horror", "--unlearning_fraction", "0.01")
RETRAIN = (*FORGETTING, "--retrain_checkpoint_idx_to_match", "3")
TRAINED = ("--epochs", "12", "--stopping_step", "2", "--learning_rate", "0.05")


def train(*arguments):
    assert train_main([*COMMON, *TRAINED, *arguments, "--result_file", "t.json"]) == 0
    return json.loads(open("t.json", encoding="utf-8").read())


@pytest.fixture(scope="module")
def place(world, tmp_path_factory):
    """A base, its retraining and an unlearning run, and the same retraining in a folder without a base."""
    folder, found = world(tmp_path_factory.mktemp("same_epoch")).folder, SimpleNamespace()
    with inside(folder):
        found.alone = train(*RETRAIN, "--variant", "alone")
        found.base = train()
        found.retrained = train(*RETRAIN)
        assert unlearn_main([*COMMON, *FORGETTING, "--result_file", "u.json"]) == 0
    found.unlearned = json.loads((folder / "u.json").read_text())
    found.folder, found.log = folder, "".join(path.read_text() for path in (folder / "log" / "BPR").glob("*"))
    found.path = next((folder / "saved").glob("*_same_epoch.pth"))
    return found


def read(path):
    return torch.load(path, weights_only=True)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_it_has_its_own_file_and_record(place):
    beside = place.path.with_name(place.path.name.replace("_same_epoch", ""))
    kept, chosen = read(place.path), read(beside)
    epochs = {"base": place.base["timing"]["best_epoch"], "retrained": place.retrained["timing"]["best_epoch"]}
    assert epochs["base"] != epochs["retrained"], "otherwise the test would check nothing"
    assert (kept["epoch"], chosen["epoch"]) == (epochs["base"], epochs["retrained"])
    assert kept["meta"]["kind"] == "retrained_same_epoch" and kept["meta"]["mask"] == chosen["meta"]["mask"]
    assert not same(kept["state_dict"], chosen["state_dict"])
    record = json.loads(place.path.with_suffix(".json").read_text())
    assert (record["kind"], record["checkpoint"], record["selected_epochs"]) == ("retrained_same_epoch", 3, epochs)
    assert place.retrained["selected_epochs"] == epochs
    for told in (place.base, place.retrained, record):
        assert told["coupled"] == ["order", "negatives", "initial values"]
    assert f"selected epochs: base {epochs['base']}, retrained {epochs['retrained']}\n" in place.log


def test_without_a_base_it_does_not_exist_and_the_retraining_is_the_same(place):
    assert not list((place.folder / "saved" / "alone").glob("*_same_epoch*"))
    assert "selected_epochs" not in place.alone
    name = place.path.name.replace("_same_epoch", "")
    one, other = read(place.folder / "saved" / "alone" / name), read(place.folder / "saved" / name)
    assert same(one["state_dict"], other["state_dict"])
    for key in ("best_epoch", "epochs", "best_valid", "stopped"):
        assert place.alone["timing"][key] == place.retrained["timing"][key]


def test_it_has_the_same_rows_in_an_unlearning_run(place):
    rows = place.unlearned["metrics"]
    kinds = ["base", "unlearned", "retrained", "retrained_same_epoch"]
    assert list(dict.fromkeys(row["model"] for row in rows if row["checkpoint"] == 3)) == kinds
    assert {row["checkpoint"] for row in rows if row["model"] == "retrained_same_epoch"} == {3}

    def asked(kind):
        about = ("split", "view", "population", "masking", "metric", "k", "minus", "reference")
        return {tuple(row[name] for name in about) for row in rows if row["model"] == kind and row["checkpoint"] == 3}

    (same,) = place.unlearned["same_epoch"]
    assert asked("retrained_same_epoch") == {about for about in asked("unlearned") if about[-1] != same}
    references = {row["reference"].split()[0] for row in rows if row["reference"] not in (None, same)}
    assert references == {place.path.name.replace("_same_epoch", "")}, "it is not itself a reference"
    epochs = place.retrained["selected_epochs"]
    assert place.unlearned["selected_epochs"] == {"base": epochs["base"], "retrained": {"3": epochs["retrained"]}}
    assert f"selected epochs: base {epochs['base']}, retrained {epochs['retrained']} (checkpoint 3)\n" in place.log
    assert comparison([place.folder / "u.json"]).table["model"].tolist()[-1] == "retrained_same_epoch"


def scores(path):
    """Return the scores of all items for each user by a saved model, [users, items]."""
    found = read(path)["state_dict"]
    return found["user_embedding.weight"][1:].double() @ found["item_embedding.weight"][1:].double().T


def divergence(one, other):
    p, q = one.softmax(dim=1), other.softmax(dim=1)
    m = (p + q) / 2
    return ((p * (p / m).log()).sum(dim=1) + (q * (q / m).log()).sum(dim=1)) / 2


def test_distances_from_it_equal_those_of_the_saved_models(place):
    ((reference, checkpoint),) = place.unlearned["same_epoch"].items()
    assert (reference.split()[0], checkpoint) == (place.path.name, 3)
    rows = [row for row in place.unlearned["metrics"] if row["reference"] == reference]
    assert {(row["model"], row["checkpoint"], row["minus"]) for row in rows} == {
        ("base", 3, None), ("unlearned", 3, None),
    }  # fmt: skip
    assert {row["metric"] for row in rows} == {"js_divergence", "jaccard", "rank_biased_overlap", "rank_change"}
    assert all(row["reference_twin"] is True and row["low"] <= row["value"] <= row["high"] for row in rows)
    saved = place.folder / "saved"
    paths = {"base": next(saved.glob("*_dataset_tiny_best.pth")), "unlearned": next(saved.glob("*_to_match_3.pth"))}
    for kind, path in paths.items():
        ours, theirs = scores(path), scores(place.path)
        found = {(row["metric"], row["k"]): row for row in rows if (row["model"], row["population"]) == (kind, "all")}
        assert found["js_divergence", None]["n_rows"] == len(ours)
        assert found["js_divergence", None]["value"] == pytest.approx(divergence(ours, theirs).mean().item(), rel=1e-4)
        tops = [one.topk(10, dim=1).indices.tolist() for one in (ours, theirs)]
        jaccard = [len(set(a) & set(b)) / len(set(a) | set(b)) for a, b in zip(*tops, strict=True)]
        assert found["jaccard", 10]["value"] == pytest.approx(sum(jaccard) / len(jaccard))


def test_if_both_epochs_are_equal_no_distance_is_repeated(place):
    with inside(place.folder):
        for arguments in ((), RETRAIN):
            assert train_main([*COMMON, *arguments, "--epochs", "1", "--variant", "short"]) == 0
        assert unlearn_main([*COMMON, *FORGETTING, "--variant", "short", "--result_file", "short.json"]) == 0
    found = json.loads((place.folder / "short.json").read_text())
    assert found["selected_epochs"] == {"base": 0, "retrained": {"3": 0}} and found["same_epoch"] == {}
    assert not [row for row in found["metrics"] if "_same_epoch" in (row["reference"] or "")]
    log = "".join(path.read_text() for path in (place.folder / "log").rglob("*.log"))
    assert "checkpoint 3: 0 is the selected epoch of both base and retrained, so there are no separate distances" in log


def test_a_file_for_another_base_is_left_out_with_a_warning(place, caplog):
    content, before = read(place.path), place.path.read_bytes()
    torch.save(content | {"epoch": content["epoch"] + 1}, place.path)
    place.path.with_suffix(".json").unlink()  # the record has the digest of the original file
    with inside(place.folder):
        assert unlearn_main([*COMMON, *FORGETTING, "--eval_only", "--result_file", "other.json"]) == 0
    place.path.write_bytes(before)
    rows = json.loads((place.folder / "other.json").read_text())["metrics"]
    assert {row["model"] for row in rows} == {"base", "unlearned", "retrained"}
    log = "".join(path.read_text() for path in (place.folder / "log" / "BPR").glob("*"))
    assert "_same_epoch.pth belongs to another retrained model or to another base, and is ignored" in log
