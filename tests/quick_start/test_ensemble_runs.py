"""Ensembles with the documented commands: train, retrain, unlearn, evaluate."""

import json
import re

import pytest
import torch
from tiny_tasks import furnish_clean, inside

from recbole.quick_start.family import main as family
from recbole.quick_start.main import train_main, unlearn_main
from recbole.report.comparison import comparison

COMMON = ("--dataset", "tiny", "--config_files", "tiny.yaml", "--tensorboard", "False")
FORGETTING = ("--sensitive_category", "horror", "--unlearning_fraction", "0.01")
QUICK = ("--num_shards", "3", "--pretrain_epochs", "2", "--aggregate_epochs", "2")
INDEX, SHARDS = "--retrain_checkpoint_idx_to_match", ("--unlearning_algorithm", "shards", "--result_file", "r.json")


def runs(folder, model, *ensemble):
    """Train, retrain for the last checkpoint and unlearn; return the record of the unlearning run."""
    arguments = ["--model", model, *COMMON, *ensemble]
    with inside(folder):
        assert train_main(arguments) == 0
        assert train_main([*arguments, *FORGETTING, INDEX, "3"]) == 0
        assert unlearn_main([*arguments, *FORGETTING, *SHARDS]) == 0
    return json.loads((folder / "r.json").read_text())


def tensors(folder, pattern):
    (path,) = (folder / "saved").rglob(pattern)
    return torch.load(path, weights_only=True)["state_dict"]


def is_twin(folder):
    unlearned = tensors(folder, "*unlearn_epoch*_to_match_3.pth")
    retrained = tensors(folder, "*_retrain_checkpoint_idx_to_match_3_unlearning_fraction*.pth")
    same = [torch.equal(tensor, retrained[name]) for name, tensor in unlearned.items()]
    return unlearned.keys() == retrained.keys() and all(same)


@pytest.mark.parametrize(("model", "preset"), [("BPR", "sisa"), ("LightGCN", "receraser"), ("BPR", "ultrare")])
def test_the_unlearned_ensemble_equals_the_retrained_one(world, tmp_path, model, preset):
    place = world(tmp_path)
    record = runs(place.folder, model, "--ensemble", preset, *QUICK)
    assert is_twin(place.folder)
    folder = f"ensemble_{preset}+aggregate_epochs_2+num_shards_3+pretrain_epochs_2"
    assert {path.name for path in (place.folder / "saved").iterdir()} == {folder}
    assert {row["model_class"] for row in record["metrics"]} == {f"{model}[{folder.removeprefix('ensemble_')}]"}
    last = [row for row in record["metrics"] if row["checkpoint"] == 3 and row["metric"] == "js_divergence"]
    assert {row["value"] for row in last if row["model"] == "unlearned"} == {0.0}
    assert max(row["value"] for row in last if row["model"] == "base") > 0
    costs = record["ensemble"]
    assert len(costs["shards_hit"]) == 9 and costs["shards_trained"] <= 12 and costs["materialise"] == "lazy"
    assert costs["projected_eager_seconds"] > 0 and costs["dirty_shards"][-1] <= 3
    base = json.loads(next((place.folder / "saved" / folder).glob("*_tiny_best.json")).read_text())["ensemble"]
    assert base["exact_level"] == "E1" and sum(base["shard_rows"]) == len(place.rows)
    assert ("pretrained_sha256" in base) == (preset != "sisa")
    assert not list((place.folder / "saved").rglob("*.part"))


@pytest.mark.parametrize(("task", "model"), [("SBR", "GRU4Rec"), ("NBR", "DNNTSP")])
def test_session_and_basket_data_is_partitioned_by_hash(tmp_path, task, model):
    data, field = furnish_clean(tmp_path, task)
    (data / "sensitive_asins_horror.txt").write_text("1\n2\n3\n")
    asked = tmp_path / "asked.inter"
    asked.write_text(
        f"{field}:token\titem_id:token\n" + "".join(f"{at}\t{item}\n" for at in (104, 111) for item in (1, 2, 3))
    )
    arguments = ["--model", model, *COMMON, "--ensemble", "sisa", "--num_shards", "3"]
    with inside(tmp_path):
        assert train_main(arguments) == 0
        assert train_main([*arguments, "--forget_set", "asked.inter", INDEX, "3"]) == 0
        assert unlearn_main([*arguments, "--forget_set", "asked.inter", *SHARDS]) == 0
    retrained = tensors(tmp_path, "*_retrain_checkpoint_idx_to_match_3_*.pth")
    unlearned = tensors(tmp_path, "*unlearn_epoch*_to_match_3.pth")
    assert all(torch.equal(tensor, retrained[name]) for name, tensor in unlearned.items())
    base = json.loads(next((tmp_path / "saved").rglob("*_tiny_best.json")).read_text())["ensemble"]
    assert (base["partition"], base["exact_level"]) == ("hash", "E2")


def test_the_single_retrained_model_is_a_second_reference(world, tmp_path, capsys):
    """Distances from it are reported next to those from the ensemble's retrained twin.

    A model of other settings is rejected.
    """
    place, one = world(tmp_path), ["--model", "BPR", *COMMON]
    with inside(place.folder):
        assert train_main([*one, *FORGETTING, INDEX, "3", "--result_file", "one.json"]) == 0
    record = runs(place.folder, "BPR", "--ensemble", "sisa", "--num_shards", "3")
    whole = json.loads((place.folder / "one.json").read_text())
    (name,) = record["monolithic"]
    last = [row for row in record["metrics"] if row["checkpoint"] == 3]
    far = [row for row in last if row["reference"] == name]
    assert {row["model"] for row in far} == {"base", "unlearned", "retrained"}
    assert {row["reference_twin"] for row in far} == {False}
    assert not [row for row in record["metrics"] if row["checkpoint"] != 3 and row["model"] == "monolithic"]

    def values(rows, model, metric):
        rows = [row for row in rows if (row["model"], row["metric"], row["minus"]) == (model, metric, None)]
        return {(row["k"], row["split"], row["view"], row["population"], row["masking"]): row["value"] for row in rows}

    kept = values(record["metrics"], "monolithic", "ndcg")
    own = values(whole["metrics"], "retrained", "ndcg")
    assert kept and kept.items() <= own.items() and kept != values(last, "unlearned", "ndcg")
    from_one, to_one = values(far, "unlearned", "js_divergence"), values(last, "monolithic", "js_divergence")
    assert from_one == pytest.approx(to_one) and min(from_one.values()) > 0
    assert values(far, "retrained", "js_divergence") == from_one, "the retrained ensemble has the same distance"
    assert "monolithic" in comparison([place.folder / "r.json"]).table["model"].tolist()
    other = runs(place.folder, "BPR", "--ensemble", "sisa", "--num_shards", "3", "--epochs", "2", "--overwrite")
    assert other["monolithic"] == []
    log = "".join(path.read_text() for path in (place.folder / "log").rglob("*.log"))
    assert "is ignored: it differs from the ensemble not only in shards: epochs" in log


def test_saved_checkpoints_are_evaluated_again(world, tmp_path):
    place = world(tmp_path)
    first = runs(place.folder, "BPR", "--ensemble", "grapheraser", *QUICK)
    of = ["--model", "BPR", *COMMON, "--ensemble", "grapheraser", *QUICK]
    with inside(place.folder):
        assert unlearn_main([*of, *FORGETTING, *SHARDS, "--eval_only"]) == 0
        assert train_main([*of, "--eval_only", "--result_file", "base.json"]) == 0
    again = json.loads((place.folder / "r.json").read_text())
    assert again["metrics"] == first["metrics"] and again["ensemble"] == first["ensemble"]
    told = json.loads(next((place.folder / "saved").rglob("*_tiny_best.json")).read_text())["metrics"]
    base = json.loads((place.folder / "base.json").read_text())["metrics"]
    assert base and base == [row for row in told if row["split"] == "test"]


def test_a_new_partition_at_each_checkpoint(world, tmp_path):
    """The new partition has a folder of its own and its cost in the record.

    A scan also computes the partition again.
    """
    place = world(tmp_path)
    of = ["--model", "BPR", *COMMON, "--ensemble", "grapheraser", *QUICK]
    with inside(place.folder):
        assert train_main(of) == 0
        assert unlearn_main([*of, *FORGETTING, *SHARDS, "--repartition"]) == 0
        record = json.loads((place.folder / "r.json").read_text())
        (path,) = (place.folder / "saved").rglob("*unlearn_epoch*_to_match_3.pth")
        assert path.parent.name == "repartition_true"
        assert family(["scan", str(path), "--result_file", "scan.json"]) == 0
    assert record["ensemble"]["partition_seconds"] > 0 and len(record["ensemble"]["partition_agreement"]) == 4
    found = json.loads((place.folder / "scan.json").read_text())
    assert found["partition_anew"] and "partition" in {one["what"] for one in found["findings"]}
    base = json.loads(next((place.folder / "saved").rglob("*_tiny_best.json")).read_text())["ensemble"]
    assert base["partition_seconds"] > 0


REFUSED = [
    (("--num_shards", "5", "--partition", "ubp"), "--partition applies only to ensembles: add --ensemble"),
    (("--ensemble", "sisa", "--model", "EASE"), "which EASE does not use; --unlearning_algorithm exact"),
    (
        ("--ensemble", "receraser", "--model", "NeuMF"),
        "--aggregate attention needs user and item embeddings.*NeuMF has none",
    ),
    (("--ensemble", "receraser", "--model", "SpectralCF"), "SpectralCF has other parameters"),
    (("--ensemble", "ultrare", "--partition", "inbp"), "--aggregate merge.*--partition inbp spreads a user's rows"),
    (("--ensemble", "grapheraser", "--num_shards", "31"), "--num_shards 31: there are only 30 users"),
    (("--ensemble", "sisa", INDEX, "3"), "a retrained ensemble needs the partition of its base"),
]


@pytest.mark.parametrize(("arguments", "said"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_invalid_settings_are_rejected_before_training(world, here, tmp_path, monkeypatch, arguments, said):
    place = world(tmp_path)
    monkeypatch.setattr("recbole.trainer.loop.TrainingLoop.fit", lambda self: pytest.fail("trained"))
    told = here(place.folder, "run_recbole.py", *arguments)
    assert told.status == 2 and told.err.count("\n") == 1, told.err
    assert re.search(said, told.err), told.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--ensemble", "sisa", "--unlearning_algorithm", "scif"), "scif works on a single model trained on all data"),
        (("--unlearning_algorithm", "shards"), "shards works only on ensembles: give --ensemble"),
        (("--unlearning_algorithm", "scif", "--repartition"), "--repartition applies only to ensembles; scif works on"),
    ],
)
def test_an_unsuitable_algorithm_for_a_model_is_rejected(world, here, tmp_path, arguments, said):
    told = here(world(tmp_path).folder, "unlearn.py", *arguments)
    assert told.status == 2 and said in told.err and told.err.count("\n") == 1


def test_settings_of_ensembles_do_not_affect_a_single_model(world, here, tmp_path):
    """Its digest does not change with them."""
    place = world(tmp_path)
    assert here(place.folder, "run_recbole.py", "--num_shards", "5").status == 0
    settings = json.loads(next(place.saved.glob("*_best.json")).read_text())["settings"]
    assert not {"ensemble", "num_shards", "partition"} & settings.keys()


def test_a_checkpoint_is_scanned(world, tmp_path, capsys):
    """The scan finds nothing after unlearning, finds the base's shards, and cannot check a single model."""
    place = world(tmp_path)
    runs(place.folder, "BPR", "--ensemble", "sisa", *QUICK)
    (path,) = (place.folder / "saved").rglob("*unlearn_epoch*_to_match_3.pth")
    with inside(place.folder):
        assert family(["scan", str(path), "--result_file", "scan.json"]) == 0
        found = json.loads((place.folder / "scan.json").read_text())
        content = torch.load(path, weights_only=True)
        base = tensors(place.folder, "*_dataset_tiny_best.pth")
        content["state_dict"] |= {name: tensor for name, tensor in base.items() if name.startswith("shards.")}
        torch.save(content, path)
        path.with_suffix(".json").unlink()  # the record has the digest of the original file
        assert family(["scan", str(path), "--result_file", "dirty.json"]) == 3
        for odd, wrong in ((base["without"], "is not that"), (base["without"].long(), "int64")):
            torch.save(content | {"state_dict": content["state_dict"] | {"without": odd}}, path)
            assert family(["scan", str(path)]) == 2 and wrong in capsys.readouterr().err
        assert train_main(["--model", "BPR", *COMMON]) == 0
        assert family(["scan", "saved/model_BPR_seed_2_dataset_tiny_best.pth"]) == 3
        assert family(["scan", "gone.pth"]) == 2
    assert found["clean"] and found["trained"] and found["exact_level"] == "E1" and not found["unfinished"]
    assert len(found["manifest"]) == 3 and sum(one["given"] for one in found["manifest"]) == len(place.rows)
    dirty = json.loads((place.folder / "dirty.json").read_text())["findings"]
    assert {one["what"] for one in dirty if not one["clean"]} == {"parameters"}
    assert "gone.pth: there is no such checkpoint" in capsys.readouterr().err
