"""Attacks with the documented commands: on a checkpoint, with ERASE's configuration file, and in unlearning runs."""

import json
from functools import partial

import numpy as np
import pytest
from tiny_tasks import furnish_clean, histories, inside, write

pytest.importorskip("sklearn")

from recbole.audit.attack import AttackSettings
from recbole.audit.protocols import People
from recbole.evaluator import COLUMNS, Table
from recbole.quick_start import attacks
from recbole.quick_start.attack_config import read_attack_config
from recbole.quick_start.attack_told import notes
from recbole.quick_start.family import main
from recbole.utils import UserError

COMMON = ("--model", "BPR", "--dataset", "tiny", "--config_files", "tiny.yaml")
BASE = "saved/model_BPR_seed_2_dataset_tiny_best.pth"
QUICK = ("--attackers", "logistic", "--attack_seeds", "1", "--folds", "3")
CONFIG = {
    "attack": "attack", "target_model": "final_model.pth", "method": "original", "model": "ncf",
    "dataset_path": "dataset", "dataset": "ml-100k", "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a trained base for 60 users; the second half has another gender and likes other items."""
    path = tmp_path_factory.mktemp("attacked")
    data, field = furnish_clean(path, "CF")
    people = histories(range(100, 160), 1)
    for user in range(130, 160):
        people[user] = [100 + item for item in people[user]]
    write(data / "tiny.inter", "CF", field, people)
    gender = {user: "F" if user < 130 else "M" for user in people}
    rows = "".join(f"{user}\t{gender[user]}\n" for user in people)
    (data / "tiny.user").write_text(f"user_id:token\tgender:token\n{rows}")
    with inside(path):
        assert main(["train", *COMMON]) == 0
    return path


def areas(rows):
    return {(row["model"], row["view"], row["population"]): row for row in rows if row["metric"] == "attack_auc"}


def test_a_checkpoint_is_attacked(folder, capsys):
    with inside(folder):
        assert main(["attack", BASE, *QUICK, "--protocols", "all", "--result_file", "a.json", "--csv", "a.csv"]) == 0
    record = json.loads((folder / "a.json").read_text())
    assert record["groups"] == {"F": 30, "M": 30} and record["protected"] == 60
    rows = areas(record["metrics"])
    assert {(model, view) for model, view, _ in rows} == {
        ("base", "table"), ("base", "lists"), ("base", "any"), ("base", "history"),
        ("untrained", "table"), ("untrained", "lists"),
    }  # fmt: skip
    assert {population for *_, population in rows} >= {"inside/logistic", "inside/worst", "insider_50/adaptive"}
    assert rows["base", "history", "inside/logistic"]["value"] > 0.95
    assert rows["base", "lists", "inside/logistic"]["value"] > 0.6
    assert {(row["split"], row["seed"], row["dataset"]) for row in rows.values()} == {("gender", 2, "tiny")}
    lines = (folder / "a.csv").read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS) and len(lines) == 1 + len(record["metrics"])


def test_the_output_explains_the_numbers(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert main(["attack", BASE, *QUICK, "--protocols", "inside", "outside", "--references", "--views", "table"]) == 0
    out = capsys.readouterr().out
    assert "gender: F 30, M 30; 60 are protected" in out and "chance: AUC 0.5" in out
    assert "attack outside is not possible: all users are protected" in out and "inside/worst" in out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "give either a checkpoint or an --attack_config"),
        ([BASE, "--attack_config", "x.json"], "not both"),
        (["gone.pth"], "gone.pth"),
        ([BASE, "--attribute", "genders"], "no column 'genders', did you mean 'gender'?"),
        ([BASE, "--views", "tables"], "BPR has no view 'tables', did you mean 'table'?; it has table, lists"),
        ([BASE, "--data_path", "nowhere"], "nowhere"),
    ],
)
def test_errors_are_one_line(folder, capsys, arguments, told):
    with inside(folder):
        assert main(["attack", *arguments]) == 2
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1


def test_a_checkpoint_of_another_program_lacks_information(folder, capsys):
    import torch

    torch.save({"state_dict": {}}, folder / "other.pth")
    with inside(folder):
        assert main(["attack", "other.pth"]) == 2
    assert "contains no settings" in capsys.readouterr().err


def test_unlearning_runs_attack_base_and_checkpoints(folder, monkeypatch):
    monkeypatch.setattr(attacks, "AttackSettings", partial(AttackSettings, attackers=("logistic",), folds=3))
    asked = [
        "--attribute",
        "gender",
        "--protect_fraction",
        "0.6",
        "--unlearning_algorithm",
        "u2u",
        "--protect_steps",
        "30",
    ]
    with inside(folder):
        assert main(["unlearn", *COMMON, *asked, "--result_file", "u.json"]) == 0
        rows = [row for row in json.loads((folder / "u.json").read_text())["metrics"] if row["split"] == "gender"]
        beside = next((folder / "saved").rglob("*_unlearn_epoch_3_*_match_3.pth"))
        assert main(["attack", str(beside), *QUICK, "--references", "--result_file", "b.json"]) == 0
        assert (
            main(["attack", BASE, *QUICK, "--protected_of", str(beside), "--references", "--result_file", "c.json"])
            == 0
        )
    found = areas([row for row in rows if row["checkpoint"] == 3])
    assert {(row["model"], row["checkpoint"]) for row in rows} == {("base", 3), *(("unlearned", at) for at in range(4))}
    assert {row["algorithm"] for row in rows if row["model"] == "unlearned"} == {"u2u"}
    assert {population for *_, population in found} >= {"inside/logistic", "outside/logistic", "outside_reversed/worst"}
    again = areas(json.loads((folder / "b.json").read_text())["metrics"])
    base = areas(json.loads((folder / "c.json").read_text())["metrics"])
    for key, row in (again | base).items():
        assert row["value"] == found[key]["value"], "the command gives the same values as the run"
    n_people = {row["checkpoint"]: row["n_people"] for row in rows if row["population"] == "inside/logistic"}
    assert n_people[0] < n_people[1] < n_people[3] <= 36


def test_missing_attack_packages_are_reported_before_any_work(folder, monkeypatch, capsys):
    def missing():
        raise UserError("attacks need scikit-learn")

    monkeypatch.setattr(attacks, "check_installed", missing)
    asked = ["--attribute", "gender", "--unlearning_algorithm", "u2u", "--protect_steps", "3"]
    with inside(folder):
        assert main(["unlearn", *COMMON, *asked]) == 2
        assert "attacks need scikit-learn; --attack_seeds 0 skips the attacks" in capsys.readouterr().err
        assert main(["unlearn", *COMMON, *asked, "--attack_seeds", "-1"]) == 2
        assert main(["unlearn", *COMMON, *asked, "--attack_seeds", "0", "--result_file", "n.json"]) == 0
    assert not [row for row in json.loads((folder / "n.json").read_text())["metrics"] if row["split"] == "gender"]


def configured(tmp_path, **changes):
    path = tmp_path / "attack_config.json"
    path.write_text(json.dumps({key: value for key, value in (CONFIG | changes).items() if value is not None}))
    return path


@pytest.mark.parametrize(
    ("method", "model", "name"),
    [
        ("original", "ncf", "model_NeuMF_seed_3_dataset_ml-100k_best.pth"),
        ("retrain", "lightgcn", "model_LightGCN_seed_3_dataset_ml-100k_unlearning_algorithm_mmd_training_unlearning_"
         "sample_selection_method_attribute_gender_unlearn_epoch_3_retrain_checkpoint_idx_to_match_3.pth"),
    ],
)  # fmt: skip
def test_erases_file_is_translated_to_a_checkpoint_of_ours(tmp_path, method, model, name):
    (tmp_path / "saved" / "more").mkdir(parents=True)
    (tmp_path / "saved" / name).touch()
    path = configured(tmp_path, method=method, model=model)
    wanted = {"checkpoint": str(tmp_path / "saved" / name), "data_path": "dataset", "device": "cpu"}
    assert read_attack_config(path, tmp_path / "saved") == wanted
    (tmp_path / "saved" / "more" / name).touch()
    with pytest.raises(UserError, match=r"must match exactly one checkpoint, found .*, .*more"):
        read_attack_config(path, tmp_path / "saved")
    named = configured(tmp_path, method=method, model=model, target_model="own.pth", device=None)
    assert read_attack_config(named, tmp_path / "saved") == {"checkpoint": "own.pth", "data_path": "dataset"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"epochs": "3"}, "unknown key 'epochs'; known keys: attack, target_model"),
        ({"devise": "cpu"}, "unknown key 'devise', did you mean 'device'"),
        ({"attack": "defend"}, "attack should be 'attack', the only one available, not 'defend'"),
        ({"model": "ncff"}, "model 'ncff' is not one of ncf, lightgcn, did you mean 'ncf'"),
        ({"method": "retrained"}, "method 'retrained' is not one of original, u2u, d2d, retrain, adv"),
        ({"model": 3}, "model should be a text, not 3"),
        ({}, "found none like .*model_NeuMF_seed_\\*_dataset_ml-100k_best.pth"),
    ],
)
def test_unsupported_keys_of_erases_file_are_rejected_by_name(tmp_path, changes, told):
    with pytest.raises(UserError, match=told):
        read_attack_config(configured(tmp_path, **changes), tmp_path / "saved")


def test_a_file_that_is_no_configuration_is_rejected(tmp_path):
    path = tmp_path / "attack_config.json"
    for text in ("{", "[1]"):
        path.write_text(text)
        with pytest.raises(UserError, match=r"attack_config\.json: (not a JSON file|expected a JSON object)"):
            read_attack_config(path)


def test_erases_file_runs(folder):
    (folder / "attack_config.json").write_text(json.dumps(CONFIG | {"target_model": BASE}))
    with inside(folder):
        more = ("--protocols", "inside", "--references", "--views", "table", "--result_file", "o.json")
        assert main(["attack", "--attack_config", "attack_config.json", *QUICK, *more]) == 0
    value = areas(json.loads((folder / "o.json").read_text())["metrics"])["base", "table", "inside/logistic"]["value"]
    assert np.isfinite(value)


def test_an_auc_below_one_half_is_not_reported_as_privacy():
    table = Table(view="table")
    table.add("attack_auc", 0.3, low=0.25, high=0.35, population="inside/logistic")
    table.add("attack_auc", 0.5, low=0.45, high=0.55, population="outside/logistic")
    group = np.arange(60) % 2
    told = notes(table.rows, People(group, np.ones(60, dtype=bool), ("F", "M")), AttackSettings())
    assert any("down to 0.3 (table, inside/logistic). This is not privacy" in line and "0.7" in line for line in told)
    assert any(line.startswith("outside: ") and "an AUC of 0.5 there does not show privacy" in line for line in told)
    table.rows[0]["high"] = 0.51
    assert len(notes(table.rows, People(group, np.ones(60, dtype=bool), ("F", "M")), AttackSettings())) == len(told) - 1
