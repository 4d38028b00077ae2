"""Identity of runs: results are never reported for other settings than those that produced them."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from tiny_tasks import furnish_clean, histories, inside

from recbole.quick_start.main import train_main, unlearn_main
from recbole.trainer import load_checkpoint

ASKING = range(100, 110)
RETRAIN = ("--retrain_checkpoint_idx_to_match", "3")


class Place:
    """A folder with the data set ``tiny`` of a task and an own forget set."""

    def __init__(self, folder, task="CF", model="BPR"):
        self.folder, self.model = folder, model
        _, self.field = furnish_clean(folder, task)
        pairs = [(user, item) for user, items in histories(range(100, 130), 1).items() if user in ASKING
                 for item in items[::3]]  # fmt: skip
        lines = "".join(f"{user}\t{item}\n" for user, item in pairs)
        (folder / "asked.inter").write_text(f"{self.field}:token\titem_id:token\n{lines}")
        self.saved = folder / "saved"

    def __call__(self, main, *arguments):
        common = ("--model", self.model, "--dataset", "tiny", "--config_files", "tiny.yaml")
        forget = ("--forget_set", "asked.inter") if main is unlearn_main or RETRAIN[0] in arguments else ()
        with inside(self.folder):
            return main([*common, *forget, *arguments, "--result_file", "result.json"])

    @property
    def result(self):
        return json.loads((self.folder / "result.json").read_text())

    def weights(self, pattern):
        path = next(self.saved.glob(pattern))
        return torch.load(path, weights_only=True)["state_dict"]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def chain(place):
    assert place(train_main) == 0
    assert place(train_main, *RETRAIN) == 0
    return place


def values(record, metric, model="unlearned"):
    return [row["value"] for row in record["metrics"] if row["metric"] == metric and row["model"] == model]


def test_other_hyper_parameters_have_another_folder_and_other_values(chain):
    found = {}
    for damping in ("1e-5", "1e-4"):
        assert chain(unlearn_main, "--damping", damping) == 0
        found[damping] = chain.result
    assert values(found["1e-5"], "js_divergence") != values(found["1e-4"], "js_divergence")
    assert not list(chain.saved.glob("damping_1*")) and (chain.saved / "damping_0.0001").is_dir()
    logs = sorted(chain.folder.glob("log/**/*.requests.jsonl"))
    assert [path.parent.name for path in logs] == ["damping_0.0001", "log"]
    assert all(len(path.read_text().splitlines()) == len(ASKING) for path in logs)
    settings = [
        {row["settings"] for row in record["metrics"] if row["model"] == "unlearned"} for record in found.values()
    ]
    assert all(len(one) == 4 for one in settings) and not settings[0] & settings[1]
    assert all(text.startswith("damping_0.0001 ") for text in settings[1])


def test_evaluation_names_the_variant_it_found_or_lists_several(chain, capsys):
    assert chain(unlearn_main, "--max_norm", "10") == 0
    made = values(chain.result, "js_divergence")
    assert chain(unlearn_main, "--eval_only") == 0
    assert values(chain.result, "js_divergence") == made
    settings = {row["settings"].split()[0] for row in chain.result["metrics"] if row["model"] == "unlearned"}
    assert settings == {"max_norm_10"}
    logs = sorted(chain.folder.glob("log/BPR/*.log"), key=lambda path: path.stat().st_mtime)
    assert "(--max_norm 10)" in logs[-1].read_text()
    assert chain(unlearn_main, "--max_norm", "20") == 0
    capsys.readouterr()
    assert chain(unlearn_main, "--eval_only") == 2
    told = capsys.readouterr().err
    assert "--max_norm 10" in told and "--max_norm 20" in told and told.count("\n") == 1
    assert chain(unlearn_main, "--eval_only", "--max_norm", "20") == 0


def test_a_file_with_other_settings_is_neither_overwritten_nor_read(place, capsys):
    assert place(train_main) == 0
    before = next(place.saved.glob("*.pth")).read_bytes()
    assert place(train_main, "--stopping_step", "3") == 2
    told = capsys.readouterr().err
    assert (
        "stopping_step is 10 in the file, 3 in the configuration" in told
        and "--overwrite" in told
        and told.count("\n") == 1
    )
    assert next(place.saved.glob("*.pth")).read_bytes() == before
    assert place(train_main, "--stopping_step", "3", "--variant", "patient") == 0
    assert len(list((place.saved / "patient").glob("*.pth"))) == 1 and list(place.folder.glob("log/patient/BPR/*.log"))
    assert place(train_main, "--stopping_step", "3", "--overwrite") == 0
    assert place(train_main, "--stopping_step", "3") == 0, "the same settings compute again"


def test_settings_that_do_not_affect_the_model_may_differ(place):
    assert place(train_main) == 0
    assert place(train_main, "--topk", "5", "--metrics", "Recall", "MRR", "--eval_batch_size", "3") == 0
    best = place.result["timing"]["best_valid"]
    assert set(best) == {"recall@5", "mrr@5"}, "valid_metric Recall@10 affects the model although it is not reported"


def test_a_retrained_model_with_other_settings_than_the_base_is_rejected(place, capsys):
    assert place(train_main) == 0
    odd = (*RETRAIN, "--epochs", "1", "--learning_rate", "0.05")
    assert place(train_main, *odd) == 2
    told = capsys.readouterr().err
    assert "would not be comparable with" in told
    assert (
        "epochs is 3 in the file, 1 in the configuration" in told
        and "learning_rate is 0.02 in the file, 0.05 in the configuration" in told
    )
    assert place(train_main, *odd, "--allow_other_reference") == 0
    assert place(unlearn_main) == 2
    assert "cannot be compared with the base" in capsys.readouterr().err
    assert place(unlearn_main, "--allow_other_reference") == 0
    distances = [row for row in place.result["metrics"] if row["metric"] == "js_divergence"]
    assert distances and {row["reference_twin"] for row in distances} == {False}


def test_matching_settings_of_base_and_retrained_model_are_reported(chain):
    assert chain(unlearn_main) == 0
    rows = chain.result["metrics"]
    twins = {row["checkpoint"]: row["reference_twin"] for row in rows if row["metric"] == "js_divergence"}
    assert twins == {3: True}
    assert {row["dataset"] for row in rows} == {"tiny"} and {row["model_class"] for row in rows} == {"BPR"}
    assert all(row["n_people"] <= row["n_rows"] for row in rows if row["n_rows"])


def test_unlearned_models_of_an_older_base_are_rejected(chain, capsys):
    assert chain(unlearn_main) == 0
    assert chain(train_main, "--learning_rate", "0.01", "--overwrite") == 0
    for path in chain.saved.glob("*_retrain*"):
        if "_unlearn_epoch_" not in path.name:
            path.unlink()
    capsys.readouterr()
    assert chain(unlearn_main, "--eval_only") == 2
    told = capsys.readouterr().err
    assert "was made with other settings: base " in told and "unlearn again" in told


@pytest.mark.parametrize(
    ("task", "model", "key", "trained", "asked"),
    [
        ("CF", "LightGCN", "n_layers", "1", "3"),
        ("CF", "LightGCN", "n_layers", "1", "0"),
        ("CF", "ItemKNN", "k", "5", "9"),
        ("SBR", "SASRec", "n_layers", "2", "1"),
    ],
)
def test_a_model_is_evaluated_with_its_training_settings(tmp_path, capsys, task, model, key, trained, asked):
    place = Place(tmp_path, task, model)
    assert place(train_main, f"--{key}", trained) == 0
    made = [row["value"] for row in place.result["metrics"] if row["split"] == "test"]
    assert place(train_main, "--eval_only", f"--{key}", asked) == 2
    assert f"{key} is {trained} in the file, {asked} in the configuration" in capsys.readouterr().err
    assert place(train_main, "--eval_only") == 0
    assert [row["value"] for row in place.result["metrics"] if row["split"] == "test"] == made


def test_unlearning_takes_training_settings_from_the_base_and_rejects_others(chain, capsys):
    assert chain(train_main, "--epochs", "2", "--overwrite") == 0
    assert chain(train_main, *RETRAIN, "--epochs", "2", "--overwrite") == 0
    assert chain(unlearn_main, "--epochs", "5") == 2
    assert "epochs is 2 in the file, 5 in the configuration" in capsys.readouterr().err
    assert chain(unlearn_main) == 0
    log = max(chain.folder.glob("log/BPR/*.log"), key=lambda path: path.stat().st_mtime).read_text()
    assert "replace those of the configuration files: epochs is 2 in the file, 3 in the configuration" in log


def test_a_retrained_model_for_another_sensitive_list_is_rejected(tmp_path, capsys):
    place = Place(tmp_path, "NBR", "PTopFreq")
    data = tmp_path / "dataset" / "tiny"
    (tmp_path / "users.json").write_text(json.dumps([str(user) for user in ASKING]))
    few, many = "".join(f"{item}\n" for item in range(1, 5)), "".join(f"{item}\n" for item in range(1, 20))
    asked = ("--forget_set", "users.json", "--sensitive_category", "odd")
    common = ("--model", "PTopFreq", "--dataset", "tiny", "--config_files", "tiny.yaml", *asked)
    with inside(tmp_path):
        (data / "sensitive_asins_odd.txt").write_text(few)
        assert train_main([*common]) == 0
        assert train_main([*common, *RETRAIN]) == 0
        (data / "sensitive_asins_odd.txt").write_text(many)
        assert unlearn_main([*common, "--unlearning_algorithm", "exact"]) == 2
    assert "has forgotten other rows than this run requires" in capsys.readouterr().err
    assert place.saved.is_dir()


def test_the_log_begins_with_command_version_and_digest(place):
    assert place(train_main) == 0
    first = next(place.folder.glob("log/BPR/*.log")).read_text().splitlines()[0]
    digest = load_checkpoint(next(place.saved.glob("*.pth")))["meta"]["digest"]
    assert "run_recbole.py --model BPR" in first and "erase-bench" in first and first.endswith(digest)
    assert place.result["digest"] == digest


def test_checkpoints_can_be_given_by_path(chain, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    base = next(chain.saved.glob("*_tiny_best.pth"))
    moved = elsewhere / "mine.pth"
    shutil.copy(base, moved)
    assert chain(train_main, "--eval_only", "--checkpoint", str(moved)) == 0
    base.unlink()
    assert chain(unlearn_main, "--base_checkpoint", str(moved)) == 0
    assert chain(train_main, "--checkpoint", str(moved)) == 2


def test_logs_follow_checkpoint_dir(place):
    assert place(train_main, "--checkpoint_dir", "far") == 0
    assert list(Path(place.folder).glob("far/*.pth")) and list(Path(place.folder).glob("far/log/BPR/*.log"))
    assert not (place.folder / "log").exists()


def of_the_first_version(folder):
    """Remove everything from checkpoints that their first version did not have."""
    for path in folder.glob("*.pth"):
        content = torch.load(path, weights_only=True)
        content["meta"] = {key: content["meta"][key] for key in ("kind", "dataset", "mask")}
        torch.save(content, path)
        record = json.loads(path.with_suffix(".json").read_text())
        del record["file_sha256"]
        path.with_suffix(".json").write_text(json.dumps(record))


def test_checkpoints_of_the_first_version_get_a_digest_from_their_content(chain, capsys):
    of_the_first_version(chain.saved)
    assert chain(train_main, "--eval_only", "--embedding_size", "4") == 2
    assert "embedding_size is 8 in the file, 4 in the configuration" in capsys.readouterr().err
    assert chain(unlearn_main) == 0
    rows = chain.result["metrics"]
    assert {row["reference_twin"] for row in rows if row["metric"] == "js_divergence"} == {True}
    assert all("(results version 0)" in row["settings"] for row in rows if row["model"] in ("base", "retrained"))
    assert not any("version" in row["settings"] for row in rows if row["model"] == "unlearned")
    assert chain(train_main, "--epochs", "2") == 2
    assert "epochs is 3 in the file, 2 in the configuration" in capsys.readouterr().err
    assert chain(train_main) == 0, "the same settings compute again"
    capsys.readouterr()
    assert chain(unlearn_main, "--overwrite") == 2, "the base has the current version, but its reference does not"
    assert "results_version" in capsys.readouterr().err


def test_a_missing_column_and_a_missing_forget_set_are_named(place, capsys):
    assert place(train_main, "--USER_ID_FIELD", "uid") == 2
    assert "USER_ID_FIELD uid (command line) is not among the columns in load_col" in capsys.readouterr().err
    name = "tiny_unlearn_pairs_sensitive_category_odd_seed_2_unlearning_fraction_0.1.inter"
    (place.folder / "dataset" / "tiny" / name).touch()
    (place.folder / "dataset" / "tiny" / "sensitive_asins_even.txt").write_text("2\n")
    common = ("--model", "BPR", "--dataset", "tiny", "--config_files", "tiny.yaml")
    with inside(place.folder):
        asked = ("--sensitive_category", "even", "--unlearning_fraction", "0.1")
        assert train_main([*common, *asked, *RETRAIN]) == 2
    assert f"; there are {name}" in capsys.readouterr().err


def test_a_base_records_that_nothing_was_forgotten(place):
    assert place(train_main, "--forget_set", "asked.inter") == 0
    log = next(place.folder.glob("log/BPR/*.log")).read_text()
    assert "training the base model, on all rows; " in log


def test_lost_utility_is_reported_even_if_ndcg_is_not(place):
    assert place(train_main, "--metrics", "Recall") == 0
    assert place(unlearn_main, "--unlearning_algorithm", "seif", "--seif_erase_std", "30", "--metrics", "Recall") == 0
    assert "utility_lost" in place.result["verdict"]
    log = max(place.folder.glob("log/seif*/BPR/*.log"), key=lambda path: path.stat().st_mtime).read_text()
    assert "Utility is lost: NDCG@10 is more than 5 % below" in log


def test_a_retrained_models_record_with_other_settings_is_ignored(chain):
    path = next(path for path in chain.saved.glob("*_idx_to_match_3_*.json") if "same_epoch" not in path.name)
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"digest": "0" * 64}))
    assert chain(unlearn_main) == 0
    assert "speedup_over_retraining" not in chain.result["timing"]
