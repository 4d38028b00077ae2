"""Folders of a run's files: variants and hyper-parameters become folders, file names do not change."""

import re

import pytest

from recbole.config import Config
from recbole.config.identity import Identity, canonical, deciding, told
from recbole.trainer.places import Places, settings_name
from recbole.utils import UserError


def places(**settings):
    found = Places.of(Config("BPR", "d", command_line=settings))
    return str(found.checkpoints), str(found.logs), str(found.board)


def test_folders_follow_from_the_settings():
    assert places() == ("saved", "log", "log_tensorboard")
    assert places(variant="mine") == ("saved/mine", "log/mine", "log_tensorboard/mine")
    assert places(checkpoint_dir="far") == ("far", "far/log", "log_tensorboard")
    assert places(checkpoint_dir="far", log_dir="told", variant="v1") == ("far/v1", "told/v1", "log_tensorboard/v1")


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "a b", "é", ""])
def test_a_variant_is_the_name_of_a_folder(name):
    with pytest.raises(UserError, match="--variant"):
        places(variant=name)


@pytest.mark.parametrize(
    ("given", "preset", "name"),
    [
        ({}, None, ""),
        ({"damping": 0.5}, None, "damping_0.5"),
        ({"max_norm": 10.0}, None, "max_norm_10"),
        ({"b": 1e-7, "a": 3}, None, "a_3+b_1e-07"),
        ({}, "tuned", "preset_tuned"),
        ({"damping": 0.5}, "tuned", "preset_tuned+damping_0.5"),
    ],
)
def test_the_name_of_a_settings_folder(given, preset, name):
    assert settings_name(given, preset) == name


def test_a_long_name_is_a_digest_and_every_name_is_safe():
    long = {f"hyper_parameter_{at}": at / 7 for at in range(5)}
    assert re.fullmatch(r"settings_[0-9a-f]{8}", settings_name(long))
    assert settings_name(long) != settings_name(long | {"hyper_parameter_0": 9})
    odd = settings_name({"mode": "a/b c"})
    assert re.fullmatch(r"[A-Za-z0-9._+-]{1,60}", odd) and len(odd.encode()) <= 60


def test_digests_are_of_values_not_of_their_spelling():
    assert canonical({"b": 1.0, "a": (1, 2)}) == canonical({"a": [1, 2], "b": 1})
    one, other = Identity({"k": 1, "n": 0.1}), Identity({"n": 0.1, "k": 1.0})
    assert one.digest == other.digest and len(one.shown) == 8
    found = one.differences(Identity({"k": 2, "n": 0.1, "more": None}))
    assert found == [("k", 1, 2), ("more", "not set", None)]
    assert (
        told(found)
        == "k is 2 in the file, 1 in the configuration; more is null in the file, not set in the configuration"
    )


def test_every_key_is_said_to_decide_a_model_or_not():
    from recbole.config.layers import packaged

    marks, keys = dict(packaged("deciding.yaml").values), set(packaged("overall.yaml").values)
    assert marks.pop("hyper_parameters_if_set") == ["reg_weight"]
    assert sorted(key for listed in marks.values() for key in listed) == sorted(keys)


def test_a_hyper_parameter_that_came_later_changes_a_model_only_where_it_is_set():
    values = {"seed": 2, "embedding_size": 8, "reg_weight": None}
    assert "reg_weight" not in deciding(values, "BPR")
    assert deciding(values | {"reg_weight": 0.01}, "BPR")["reg_weight"] == 0.01
    assert deciding(values | {"reg_weight": 0.01}, "LightGCN")["reg_weight"] == 0.01
