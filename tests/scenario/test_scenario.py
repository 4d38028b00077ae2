"""Decisions of a scenario before any data is read: settings, names, and which scenario it is."""

import pytest

from recbole.config import Config
from recbole.scenario.known_scenarios import scenario_of, scenarios
from recbole.utils import UserError

METHOD = "unlearning_sample_selection_method"


def opened(extra_defaults=None, **settings):
    return scenario_of(Config("BPR", "d", command_line=settings, extra_defaults=extra_defaults))


def test_a_run_that_asks_for_nothing_else_is_about_sensitive_items():
    assert list(scenarios())[:3] == ["attribute", "sensitive", "spam"]
    assert opened().name == "sensitive" and opened().config[METHOD] is None
    assert opened(spam="True").name == "spam"


def test_the_forget_set_is_named_after_the_category():
    assert opened(sensitive_category="no").config[METHOD] == "sensitive_category_no"
    assert opened(sensitive_category="no", **{METHOD: "mine"}).config[METHOD] == "mine"


def test_spam_without_a_fraction_says_which_one_it_takes():
    config = opened({"unlearning_fraction": 1e-5}, spam="True").config
    assert config["unlearning_fraction"] == 0.01
    assert config.warnings == ["spam without unlearning_fraction: the default, 0.01, is used"]
    assert scenario_of(config).config.warnings == config.warnings
    config = opened(spam="True", unlearning_fraction="0.5").config
    assert config["unlearning_fraction"] == 0.5 and config.warnings == []
    assert opened({"unlearning_fraction": 1e-5}).config["unlearning_fraction"] == 1e-5


@pytest.mark.parametrize(
    ("key", "value"), [("spam", "True"), ("unlearning_fraction", "0.1"), ("unlearn_sample_selection_seed", "3")]
)
def test_a_forget_set_of_ones_own_and_another_choice_contradict_each_other(key, value):
    told = rf"forget_set a\.inter \(command line\) and {key} {value} \(command line\) both say"
    with pytest.raises(UserError, match=told):
        opened(forget_set="a.inter", **{key: value})


def test_names_tell_what_is_forgotten():
    names = opened(sensitive_category="war", unlearning_fraction="1e-3").names
    assert names.base() == "model_BPR_seed_2_dataset_d_best.pth"
    assert f"_unlearning_fraction_0.001_{METHOD}_sensitive_category_war" in names.retrained(0)
    spam = opened(spam="True", unlearn_sample_selection_seed="7").names
    assert spam.base() == "model_BPR_seed_2_dataset_d_unlearning_fraction_0.01_forget_seed_7_n_target_items_10_best.pth"
    own = opened(forget_set="far/mine.inter").names
    assert f"_3_{METHOD}_mine.pth" in own.retrained(3)
