"""File names, spelled out: people and scripts look for them."""

import itertools
from dataclasses import replace

import pytest

from recbole.trainer import Naming

SENSITIVE = Naming("BPR", "ml-100k", 2, 0.001, "sensitive_category_horror", 2)
SPAM = Naming("GRU4Rec", "diginetica", 3, 0.01, None, 3, spam=True, n_target_items=10)
RUN = "model_BPR_seed_2_dataset_ml-100k"
SPAM_RUN = "model_GRU4Rec_seed_3_dataset_diginetica"
SCENARIO = "unlearning_fraction_0.001_unlearning_sample_selection_method_sensitive_category_horror"


def test_base_and_retrained():
    assert SENSITIVE.base() == f"{RUN}_best.pth"
    assert SENSITIVE.retrained(0) == f"{RUN}_retrain_checkpoint_idx_to_match_0_{SCENARIO}.pth"
    assert SENSITIVE.retrained(3) == f"{RUN}_retrain_checkpoint_idx_to_match_3_{SCENARIO}.pth"
    assert SENSITIVE.retrained_best() == f"{RUN}_retrained_best.pth"


def test_unlearned():
    name = f"{RUN}_unlearning_algorithm_scif_{SCENARIO}_unlearn_epoch_7_retrain_checkpoint_idx_to_match_1"
    assert SENSITIVE.unlearned("scif", 7, 1) == f"{name}.pth"
    assert SENSITIVE.unlearned("scif", 7, 1, 1) == f"{name}.pth"
    assert SENSITIVE.unlearned("scif", 7, 1, 16) == f"{name}_bs16.pth"
    assert SENSITIVE.unlearned("scif", 7, 1).startswith(SENSITIVE.unlearning_stem("scif") + "_unlearn_epoch_")


def test_spam():
    fraction = "unlearning_fraction_0.01_n_target_items_10"
    assert SPAM.base() == f"{SPAM_RUN}_{fraction}_best.pth"
    assert SPAM.retrained_best() == f"{SPAM_RUN}_{fraction}_retrained_best.pth"
    assert SPAM.retrained(2) == f"{SPAM_RUN}_retrain_checkpoint_idx_to_match_2_{fraction}.pth"
    name = f"{SPAM_RUN}_{fraction}_unlearning_algorithm_gif_unlearn_epoch_0_retrain_checkpoint_idx_to_match_0"
    assert SPAM.unlearned("gif", 0, 0) == f"{name}.pth"
    assert SPAM.unlearned("gif", 0, 0, 4) == f"{name}_bs4.pth"


def test_another_forget_set_seed_is_named_after_the_fraction():
    other = Naming("BPR", "ml-100k", 2, 0.001, "sensitive_category_horror", 7)
    scenario = SCENARIO.replace("_fraction_0.001", "_fraction_0.001_forget_seed_7")
    assert other.base() == f"{RUN}_best.pth"
    assert other.retrained(3) == f"{RUN}_retrain_checkpoint_idx_to_match_3_{scenario}.pth"
    assert f"_unlearning_algorithm_scif_{scenario}_unlearn_epoch_0_" in other.unlearned("scif", 0, 0)
    spam = Naming("BPR", "d", 2, 0.01, None, 7, spam=True)
    assert spam.base() == "model_BPR_seed_2_dataset_d_unlearning_fraction_0.01_forget_seed_7_n_target_items_10_best.pth"


@pytest.mark.parametrize(
    ("fraction", "shown"), [(1e-4, "0.0001"), (1e-5, "1e-05"), ("0.00001", "1e-05"), (1, "1.0"), ("1e-3", "0.001")]
)
def test_fractions_are_spelled_as_python_prints_a_float(config, fraction, shown):
    settings = {"unlearning_fraction": float(fraction), "sensitive_category": "war"}
    name = Naming.from_config(config("unused", **settings)).retrained(0)
    assert f"_unlearning_fraction_{shown}_unlearning_sample_selection_method_sensitive_category_war" in name


def test_from_a_configuration(config):
    settings = {"seed": 5, "unlearning_fraction": 0.002, "unlearn_sample_selection_seed": 7}
    names = Naming.from_config(config("unused", "LightGCN", "d", **settings, unlearning_sample_selection_method="mine"))
    assert names == Naming("LightGCN", "d", 5, 0.002, "mine", 7, False, 10)
    assert Naming.from_config(config("unused")) == Naming("BPR", "small", 2, None, None, 2, False, 10)


def test_no_two_files_of_an_experiment_share_a_name():
    names = []
    of_the_same_run = replace(SENSITIVE, spam=True)
    for one in (SENSITIVE, SPAM, of_the_same_run):
        names += [one.base(), one.retrained_best(), *map(one.retrained, range(4))]
        names += [one.unlearned(*parts) for parts in itertools.product(("scif", "gif"), (3, 7), range(4), (1, 2))]
    assert len(set(names)) == len(names)
