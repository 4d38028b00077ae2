"""File names, which users and scripts depend on."""

import itertools
from dataclasses import replace

import pytest

from recbole.config import Config
from recbole.generators.artefact_names import forget_set_name, sensitive_method
from recbole.scenario.known_scenarios import scenario_of
from recbole.trainer import Naming
from recbole.trainer.names import draw_part
from recbole.utils import UserError
from recbole.utils.files import atomic_write

RUN = "model_BPR_seed_2_dataset_ml-100k"
SPAM_RUN = "model_GRU4Rec_seed_3_dataset_diginetica"
SCENARIO = "unlearning_fraction_0.001_unlearning_sample_selection_method_sensitive_category_horror"
SENSITIVE = Naming("BPR", "ml-100k", 2, SCENARIO)
SPAM = Naming("GRU4Rec", "diginetica", 3, "unlearning_fraction_0.01_n_target_items_10", planted=True)


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
    assert draw_part(0.01, 2, 2) == draw_part(0.01, 2, None) == "unlearning_fraction_0.01"
    assert draw_part(0.01, 2, 7) == "unlearning_fraction_0.01_forget_seed_7"


@pytest.mark.parametrize(
    ("fraction", "shown"), [(1e-4, "0.0001"), (1e-5, "1e-05"), ("0.00001", "1e-05"), (1, "1.0"), ("1e-3", "0.001")]
)
def test_fractions_are_spelled_as_python_prints_a_float(config, fraction, shown):
    settings = {"unlearning_fraction": float(fraction), "sensitive_category": "war"}
    name = scenario_of(config("unused", **settings)).names.retrained(0)
    assert f"_unlearning_fraction_{shown}_unlearning_sample_selection_method_sensitive_category_war" in name


def test_from_a_configuration(config):
    settings = {"seed": 5, "unlearning_fraction": 0.002, "unlearn_sample_selection_seed": 7}
    more = {"unlearning_sample_selection_method": "mine"}
    names = scenario_of(config("unused", "LightGCN", "d", **settings, **more)).names
    told = "unlearning_fraction_0.002_forget_seed_7_unlearning_sample_selection_method_mine"
    assert names == Naming("LightGCN", "d", 5, told)


@pytest.mark.parametrize("algorithm", ["scif", "fanchuan"])
def test_the_longest_drawn_set_can_be_given_by_its_file(tmp_path, algorithm):
    dataset = "amazon_reviews_grocery_and_gourmet_food"
    drawn = [forget_set_name(dataset, sensitive_method(c), 11, 1e-4, "inter") for c in ("alcohol", "baby")]
    configs = [Config("SpectralCF", dataset, config_dict={"forget_set": f"{tmp_path}/{file}"}) for file in drawn]
    one, other = (scenario_of(each).names for each in configs)
    methods = [names.scenario.removeprefix("unlearning_sample_selection_method_") for names in (one, other)]
    assert methods[0].startswith(f"{dataset[:31]}-") and len(methods[0]) == 40 and methods[0] != methods[1]
    for name in (one.retrained(3), one.unlearned(algorithm, 99_999, 3, 16)):
        for ending in (".pth", ".json"):
            with atomic_write((tmp_path / name).with_suffix(ending)):
                pass
    with atomic_write((tmp_path / one.retrained(3)).with_suffix(".resume")):
        pass


@pytest.mark.parametrize(("stem", "used"), [("a" * 40, "a" * 40), ("é" * 21, "é" * 15 + "-"), ("x.y" * 30, "x.y" * 10)])
def test_a_stem_is_cut_between_characters(config, stem, used):
    settled = scenario_of(config("unused", forget_set=f"far/{stem}.inter")).config
    method = settled["unlearning_sample_selection_method"]
    assert method.startswith(used) and len(method.encode()) <= 40


def test_a_name_for_which_there_is_no_room_is_refused(tmp_path):
    def refused(make, n):
        with pytest.raises(UserError, match=r"^1 bytes too long to be a file's name: model_BPR.*d_.*; shorten"):
            make(replace(SENSITIVE, dataset="d" * (n + 1)))
        return tmp_path / make(replace(SENSITIVE, dataset="d" * n))

    room = 255 - len(RUN.removesuffix("ml-100k"))
    at = "_retrain_checkpoint_idx_to_match_3"
    base = refused(Naming.base, room - len("_best.resume"))
    retrained = refused(lambda names: names.retrained(3), room - len(f"{at}_{SCENARIO}.resume"))
    end = f"_unlearning_algorithm_scif_{SCENARIO}_unlearn_epoch_7{at}_bs16.json"
    unlearned = refused(lambda names: names.unlearned("scif", 7, 3, 16), room - len(end))
    for path in (base.with_suffix(".resume"), retrained.with_suffix(".resume"), unlearned.with_suffix(".json")):
        with atomic_write(path):
            assert max(len(file.name) for file in tmp_path.iterdir()) == 255
        assert len(path.name) == 255
        path.unlink()


def test_no_two_files_of_an_experiment_share_a_name():
    names = []
    of_the_same_run = replace(SENSITIVE, scenario=SPAM.scenario, planted=True)
    for one in (SENSITIVE, SPAM, of_the_same_run):
        names += [one.base(), one.retrained_best(), *map(one.retrained, range(4))]
        names += [one.unlearned(*parts) for parts in itertools.product(("scif", "gif"), (3, 7), range(4), (1, 2))]
    assert len(set(names)) == len(names)
