"""The spam attack of a run: its files are found, or an error gives the command that creates them."""

import hashlib
import json

import pytest

from recbole.scenario.files.attack import find_attack
from recbole.utils import UserError

STEM = "bandwagon_unpopular_ratio_0.01_seed_2"
MAKE = "python make_forget_set.py --dataset shop --data_path {} --spam --unlearning_fraction 0.01 --n_target_items 2"


class Settings(dict):
    """A stand-in for a run's configuration."""

    files = ()
    __missing__ = lambda self, key: None  # noqa: E731
    source = lambda self, key: self.files[0] if key == self.get("from_file") else "command line"  # noqa: E731


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "shop").mkdir()
    return Settings({
        "dataset": "shop", "data_path": str(tmp_path / "shop"), "unlearning_fraction": 0.01,
        "unlearn_sample_selection_seed": 2, "n_target_items": 2, "NEXT_BASKET_JSON": None,
        "user_inter_num_interval": "[5,inf)", "item_inter_num_interval": "[5,inf)", "MIN_NBR_BASKET_COUNT": 4,
    })  # fmt: skip


def attack(folder, task="CF", **told):
    """Write an attack; return the paths of the clean data, the fake ones and their description."""
    clean = folder / "shop" / ("shop_merged.json" if task == "NBR" else "shop.inter")
    kind = "baskets" if task == "NBR" else "sessions"
    fake = folder / "shop" / f"shop_fraud_{kind}_{STEM}{clean.suffix}"
    clean.write_text("clean")
    fake.write_text("fake")
    sums = {
        f"{name}_sha256": hashlib.sha256(text).hexdigest()
        for name, text in (("artifact", b"fake"), ("source", b"clean"))
    }
    described = folder / "shop" / f"shop_fraud_metadata_{STEM}.json"
    described.write_text(json.dumps({"target_items": ["7", "8"], "n_target_items": 2} | sums | told))
    return clean, fake, described


@pytest.mark.parametrize("task", ["CF", "SBR", "NBR"])
def test_an_attack_is_found(tmp_path, settings, task):
    _, fake, _ = attack(tmp_path, task, target_items=[7, "08"])
    found = find_attack(settings, task)
    assert (found.path, found.target_items) == (fake, ["7", "08"])
    assert found.sha256 == hashlib.sha256(b"fake").hexdigest()


def test_what_is_missing_is_told_with_the_command(tmp_path, settings):
    for at in (1, 2):
        missing = attack(tmp_path)[at]
        missing.unlink()
        with pytest.raises(UserError) as error:
            find_attack(settings, "CF")
        assert str(error.value) == f"there is no {missing}; make it with: {MAKE.format(tmp_path)} --seed 2"


def test_the_command_is_short_where_the_data_are_usual_and_names_the_task_where_there_are_two(
    tmp_path, settings, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    settings["data_path"] = "dataset/shop"
    (tmp_path / "dataset").symlink_to(tmp_path)
    with pytest.raises(UserError, match=r"make_forget_set\.py --dataset shop --spam --unlearning_fraction 0\.01 "):
        find_attack(settings, "CF")
    for name in ("shop.inter", "shop_merged.json"):
        (tmp_path / "shop" / name).touch()
    with pytest.raises(UserError, match=r"make_forget_set\.py --dataset shop --task_type NBR --spam "):
        find_attack(settings, "NBR")


@pytest.mark.parametrize(
    ("task", "users", "items", "said"),
    [
        ("CF", "[5,inf)", "[5,inf)", ""),
        ("CF", None, "[5,inf)", " --user_inter_num_interval '[0,inf)'"),
        ("SBR", "[0,inf)", "[0,inf)", ""),
        ("SBR", "[3,inf)", "[2,inf)", " --user_inter_num_interval '[3,inf)' --item_inter_num_interval '[2,inf)'"),
        ("CF", "[5, inf)", "[5.0,inf]", " --item_inter_num_interval '[5.0,inf]'"),
        ("NBR", "[3,inf)", "[2,inf)", ""),
    ],
)
def test_the_command_has_the_runs_own_filter(tmp_path, settings, task, users, items, said):
    settings |= {"user_inter_num_interval": users, "item_inter_num_interval": items}
    attack(tmp_path, task)
    assert find_attack(settings, task).remedy == anew(tmp_path, said)


def anew(folder, said=""):
    return f"make it again with: {MAKE.format(folder)}{said} --seed 2 --overwrite"


def test_the_command_has_the_least_number_of_baskets(tmp_path, settings):
    settings["MIN_NBR_BASKET_COUNT"] = 20
    attack(tmp_path, "NBR")
    assert find_attack(settings, "NBR").remedy == anew(tmp_path, " --MIN_NBR_BASKET_COUNT 20")
    attack(tmp_path, "NBR", MIN_NBR_BASKET_COUNT=20)
    assert "spam supports no other filters: run without others" in find_attack(settings, "NBR").remedy


def test_no_command_is_offered_that_would_make_the_same_again(tmp_path, settings):
    settings["val_interval"] = {"rating": "[4,inf)"}
    made_for = {"user_inter_num_interval": "[5, inf)", "item_inter_num_interval": "[5,inf)"}
    for told in ({}, made_for | {"item_inter_num_interval": "[2,inf)"}, made_for | {"item_inter_num_interval": "?"}):
        attack(tmp_path, **told)
        assert find_attack(settings, "CF").remedy == anew(tmp_path)
    attack(tmp_path, **made_for)
    assert find_attack(settings, "CF").remedy == (
        "this spam was made for user_inter_num_interval and item_inter_num_interval; "
        "spam supports no other filters: run without val_interval"
    )


def test_the_command_has_the_files_that_say_what_form_the_data_have(tmp_path, settings):
    attack(tmp_path)
    settings.files = ["own.yaml", "more of it.yaml"]
    settings["from_file"], settings["TIME_FIELD"] = "TIME_FIELD", "timestamp"
    settings["item_inter_num_interval"] = "[2,inf)"
    assert "--config_files" not in find_attack(settings, "CF").remedy, "it is what a file says, and what is usual"
    settings["TIME_FIELD"] = "when"
    files = " --config_files own.yaml 'more of it.yaml' --spam "
    filters = " --user_inter_num_interval '[5,inf)' --item_inter_num_interval '[2,inf)'"
    assert find_attack(settings, "CF").remedy == anew(tmp_path, filters).replace(" --spam ", files)


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ({"target_items": ["7", "8", "9"], "n_target_items": 3}, "promotes 3 items, but n_target_items is 2;"),
        ({"n_target_items": 3}, "promotes 2 items, but n_target_items is 2;"),
        ({"target_items": []}, "target_items must be a list of items"),
        ({"target_items": "7 8"}, "target_items must be a list of items"),
        ({"artifact_sha256": "0"}, "artifact_sha256 does not match "),
        ({"source_sha256": "0"}, "source_sha256 does not match "),
    ],
)  # fmt: skip
def test_another_attack_is_refused_with_the_command_that_replaces_it(tmp_path, settings, told, message):
    _, _, described = attack(tmp_path, **told)
    with pytest.raises(UserError) as error:
        find_attack(settings, "CF")
    assert str(error.value).startswith(f"{described}: ") and message in str(error.value)
    assert str(error.value).endswith(f"{MAKE.format(tmp_path)} --seed 2 --overwrite")


def test_a_changed_file_is_refused(tmp_path, settings):
    clean, fake, _ = attack(tmp_path)
    for path, key in ((fake, "artifact_sha256"), (clean, "source_sha256")):
        attack(tmp_path)
        path.write_text("other")
        with pytest.raises(UserError, match=f"{key} does not match {path}"):
            find_attack(settings, "CF")
