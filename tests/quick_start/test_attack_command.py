"""Attacks with the documented commands: on a checkpoint, with ERASE's configuration file, and in unlearning runs."""

import json
import os
import signal
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
from recbole.trainer.stored import Stored
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
        ([BASE, "--attribute", "../gender"], "attribute (command line) should be a name without / and \\"),
        ([BASE, "--attribute", ""], "because file names contain it, not ''"),
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


@pytest.mark.parametrize("arguments", [
    ("--result_file", BASE), ("--result_file", BASE.replace(".pth", ".json")), ("--csv", BASE),
    ("--csv", "dataset/tiny/tiny.inter"), ("--csv", "link"), ("--result_file", "link"), ("--csv", "pipe"),
    ("--result_file", "saved/model_X.json"), ("--result_file", "new.json", "--csv", "saved/../new.json"),
])  # fmt: skip
def test_outputs_that_would_replace_other_files_are_rejected_before_any_work(folder, capsys, monkeypatch, arguments):
    monkeypatch.setattr(Stored, "read", lambda path: pytest.fail("the checkpoint was read"))
    monkeypatch.chdir(folder)
    if not os.path.lexists("link"):
        os.symlink("tiny.yaml", "link")
        os.mkfifo("pipe")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(["attack", BASE, *arguments]) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and told.out == "" and ("cannot write" in told.err or "both name" in told.err)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("words", [
    ("attack", ""), ("report", "some", "--csv", ""), ("scan", "some", "--result_file", ""),
    *(("attack", "some", flag, "") for flag in ("--csv", "--result_file", "--data_path", "--protected_of", "--device")),
    ("train", "--result_file", ""), ("unlearn", "--result_file", ""),
])  # fmt: skip
def test_an_empty_file_name_is_one_line(capsys, words):
    with pytest.raises(SystemExit, match="2"):
        main(list(words))
    told = capsys.readouterr().err
    assert f"{words[-2] if len(words) > 2 else 'checkpoint'}: should not be empty" in told and told.count("\n") == 1


def test_a_signal_is_told_in_one_line(folder, capsys, monkeypatch):
    monkeypatch.setattr(Stored, "read", lambda path: os.kill(os.getpid(), signal.SIGINT))
    with inside(folder):
        assert main(["attack", BASE]) == 130
    assert capsys.readouterr().err == "erase-bench attack: interrupted; each file is complete or unchanged\n"


def test_results_are_written_before_they_are_printed(folder, monkeypatch):
    def fails(rows):
        raise ValueError("no table")

    monkeypatch.setattr("recbole.report.attacks.as_table", fails)
    more = ("--protocols", "inside", "--references", "--views", "table", "--no_chosen")
    with inside(folder), pytest.raises(ValueError, match="no table"):
        main(["attack", BASE, *QUICK, *more, "--result_file", "kept.json", "--csv", "kept.csv"])
    assert json.loads((folder / "kept.json").read_text())["metrics"] and (folder / "kept.csv").exists()


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
        ({"model": 3}, "model should be a text that is not empty, not 3"),
        ({"target_model": ""}, "target_model should be a text that is not empty"),
        ({"dataset": "**"}, r"found none like .*_dataset_\[\*]\[\*]_best.pth"),
        ({"dataset": "ml\0"}, "contains a NUL character"),
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
    del (config := CONFIG | {"target_model": BASE, "dataset": "tiny"})["model"]
    (folder / "attack_config.json").write_text(json.dumps(config))
    more = ("--protocols", "inside", "--references", "--views", "table", "--result_file", "o.json", "--csv", "o.csv")
    for _ in range(2):  # the second time, the files of the first are replaced
        with inside(folder):
            assert main(["attack", "--attack_config", "attack_config.json", *QUICK, *more]) == 0
    value = areas(json.loads((folder / "o.json").read_text())["metrics"])["base", "table", "inside/logistic"]["value"]
    assert np.isfinite(value)


@pytest.mark.parametrize(
    ("key", "value", "has"), [("dataset", "ml-100k", "tiny"), ("model", "ncf", "BPR"), ("method", "u2u", "original")]
)
def test_a_named_checkpoint_that_contradicts_erases_file_is_rejected(folder, capsys, key, value, has):
    (folder / "other.json").write_text(json.dumps({"target_model": BASE, key: value}))
    with inside(folder):
        assert main(["attack", "--attack_config", "other.json"]) == 2
    told = capsys.readouterr().err
    assert f"other.json: {key} {value} contradicts target_model: {BASE} has {has}" in told and told.count("\n") == 1


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
