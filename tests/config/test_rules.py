"""Rules for the values of settings: they cover all packaged settings, and reject values that models cannot use."""

import math
from pathlib import Path

import pytest

from recbole.config import Config, layers
from recbole.config.rules import LEARNERS, RULES, RULES_BY_MODEL, rule_of
from recbole.trainer.learners import OPTIMIZERS
from recbole.utils import UserError

REPOSITORY = Path(__file__).parents[2]
MODELS = sorted(path.stem for path in (REPOSITORY / "recbole/properties/model").glob("*.yaml"))
WITH_CHECKS_OF_THEIR_OWN = {"eval_args", "train_neg_sample_args", "topk", "metrics", "NEXT_BASKET_SPLIT_RATIO"}


def refusal(model, key, value):
    """Return the error message for a value of a model's setting."""
    with pytest.raises(UserError) as error:
        Config(model, "ml-100k", config_dict={key: value})
    message = str(error.value)
    assert message.startswith(f"{key} (config_dict) should be ") and "\n" not in message
    assert message.endswith(f", not {value!r}")
    return message


@pytest.mark.parametrize(
    ("model", "key", "value", "told"),
    [
        # once tracebacks
        ("BPR", "alias_of_item_id", [[1], [2]], "like [follower_id]"),
        ("BPR", "alias_of_user_id", -1, "like [follower_id]"),
        ("BPR", "alias_of_user_id", math.nan, "like [follower_id]"),
        ("BPR", "load_col", "inter", "like {inter: [user_id, item_id]}"),
        ("BPR", "load_col", ["user_id"], "like {inter: [user_id, item_id]}"),
        ("BPR", "load_col", {"inter": "user_id"}, "like {inter: [user_id, item_id]}"),
        ("BPR", "load_col", {"inter": ["user_id", 3]}, "like {inter: [user_id, item_id]}"),
        ("BPR", "val_interval", "[1,2]", 'like {rating: "[3.5,inf)"}'),
        ("BPR", "embedding_size", -4, "an integer of at least 1"),
        ("BPR", "embedding_size", 7.5, "an integer of at least 1"),
        ("SASRec", "n_heads", 0, "an integer of at least 1"),
        ("SASRec", "hidden_act", 5, "text"),
        ("DNNTSP", "n_heads", 0, "an integer of at least 1"),
        ("GRU4Rec", "hidden_size", 0, "an integer of at least 1"),
        ("NeuMF", "mlp_hidden_size", 64, "like [128, 64]"),
        ("NeuMF", "mlp_hidden_size", [], "like [128, 64]"),
        ("NeuMF", "mlp_hidden_size", ["a", "b"], "like [128, 64]"),
        ("NeuMF", "mlp_hidden_size", [64, 0], "like [128, 64]"),
        ("GRU4Rec", "dropout_prob", 1.5, "a number in [0, 1)"),
        ("NARM", "dropout_probs", 0.5, "two numbers in [0, 1)"),
        ("NARM", "dropout_probs", [0.5], "two numbers in [0, 1)"),
        ("NARM", "dropout_probs", [0.5, 1.0], "two numbers in [0, 1)"),
        ("NARM", "n_layers", 0, "an integer of at least 1"),
        ("SRGNN", "lr_dc_step", 0, "an integer of at least 1"),
        ("BPR", "learning_rate", -1, "a number above 0"),
        ("BPR", "learning_rate", math.inf, "a number above 0"),
        ("BPR", "weight_decay", -1, "a number of at least 0"),
        ("BPR", "adam_beta1", 1.5, "a number in [0, 1)"),
        ("BPR", "clip_grad_norm", {"max_norm": "big"}, "like {max_norm: 5.0, norm_type: 2}"),
        ("BPR", "clip_grad_norm", {"norm_type": 2}, "like {max_norm: 5.0, norm_type: 2}"),
        ("BPR", "clip_grad_norm", {"max_norm": 1, "norm": 2}, "like {max_norm: 5.0, norm_type: 2}"),
        ("BPR", "clip_grad_norm", 5, "like {max_norm: 5.0, norm_type: 2}"),
        ("BPR", "normalize_field", "timestamp", "a list of columns"),
        ("BPR", "seed", 2**64, "an integer from 0 to 2^63 - 1"),
        ("EASE", "reg_weight", 0, "a number above 0"),
        ("SimRec", "n_layers", 1, "an integer of at least 2"),
        # these used to be accepted
        ("ItemKNN", "k", 0, "an integer of at least 1"),
        ("ItemKNN", "k", -3, "an integer of at least 1"),
        ("SKNN_SBR", "k", 0, "an integer of at least 1"),
        ("LightGCN", "n_layers", -2, "an integer of at least 0"),
        ("BPR", "embedding_size", 0, "an integer of at least 1"),
        ("SRGNN", "step", 0, "an integer of at least 1"),
        ("TIFUKNN", "alpha", 7, "a number in [0, 1]"),
        ("DCCF", "n_intents", 0, "an integer of at least 1"),
        ("SGL", "drop_ratio", 1.0, "a number in [0, 1)"),
        ("SGL", "ssl_tau", 0, "a number above 0"),
        ("BPR", "sensitive_category", 5, "text that is not empty"),
        ("BPR", "sensitive_category", ["horror"], "text that is not empty"),
        ("BPR", "sensitive_category", "", "text that is not empty"),
        ("BPR", "forget_set", "", "text that is not empty"),
        ("TIFUKNN", "NEXT_BASKET_JSON", 5, "text"),
        ("BPR", "n_target_items", 0, "an integer of at least 1"),
        # these used to end in a traceback, or in an error without the key
        ("BPR", "unlearning_sample_selection_method", ["a"], "text"),
        ("BPR", "hf_model_path", 5, "text"),
        ("BPR", "hf_cache_dir", 5, "text"),
        ("BPR", "learner", "adan", "one of adam, adamw, sgd"),
        ("BPR", "learner", None, "one of adam, adamw, sgd"),
        ("BPR", "val_interval", {"rating": 5}, 'like {rating: "[3.5,inf)"}'),
        ("BPR", "val_interval", {"rating": "[5"}, 'like {rating: "[3.5,inf)"}'),
        ("BPR", "user_inter_num_interval", "[5", 'like "[5,inf)"'),
        ("BPR", "item_inter_num_interval", "5", 'like "[5,inf)"'),
        ("BPR", "field_separator", ";;", "one character"),
        ("BPR", "field_separator", "\n", "one character"),
        ("BPR", "field_separator", "é", "of ASCII"),
        ("BPR", "load_col", {"inter": ["user_id"], "user": ["user_id", "age", "age"]}, "different columns"),
        ("BPR", "alias_of_user_id", ["friend", "friend"], "different columns"),
        # float32 cannot hold these
        ("BPR", "adagrad_accumulator", 1e300, "at most 3.4e38"),
        ("BPR", "adagrad_accumulator", 10**400, "at most 3.4e38"),
        ("BPR", "learning_rate", 3.5e38, "at most 3.4e38"),
        ("BPR", "clip_grad_norm", {"max_norm": 1e300}, "like {max_norm: 5.0, norm_type: 2}"),
        ("EASE", "reg_weight", 1e300, "at most 3.4e38"),
        ("BPR", "threshold", {"rating": 10**400}, "like {rating: 4}"),
        ("BPR", "seq_separator", "", "text that is not empty"),
        ("BPR", "USER_ID_FIELD", None, "text that is not empty"),
        ("BPR", "ITEM_ID_FIELD", None, "text that is not empty"),
        ("GRU4Rec", "ITEM_LIST_LENGTH_FIELD", None, "text that is not empty"),
    ],
)
def test_invalid_values_give_an_error_that_names_the_key(model, key, value, told):
    assert told in refusal(model, key, value)


@pytest.mark.parametrize(
    ("model", "key", "value", "used"),
    [
        ("BPR", "embedding_size", 64.0, 64),
        ("NeuMF", "mlp_hidden_size", (32, 16.0), [32, 16]),
        ("NARM", "dropout_probs", [0, 0.5], [0.0, 0.5]),
        ("EASE", "reg_weight", 500, 500.0),
        ("LightGCN", "reg_weight", 0, 0.0),
        ("LightGCN", "n_layers", 0, 0),
        ("BPR", "clip_grad_norm", {"max_norm": 5, "norm_type": math.inf}, {"max_norm": 5, "norm_type": math.inf}),
        ("BPR", "clip_grad_norm", None, None),
        ("BPR", "load_col", None, None),
        ("BPR", "load_col", {"inter": None, "item": ["item_id"]}, {"inter": None, "item": ["item_id"]}),
        ("BPR", "val_interval", {"rating": "[3,inf)"}, {"rating": "[3,inf)"}),
        ("BPR", "max_training_hours", math.inf, math.inf),
        ("BPR", "MAX_NBR_BASKET_SIZE", -1, -1),
        ("BPR", "weight_decay", 3.4e38, 3.4e38),
        ("BPR", "threshold", {"rating": -math.inf}, {"rating": -math.inf}),
        ("BPR", "learner", "SGD", "SGD"),
        ("BPR", "user_inter_num_interval", "[0,3);[5,inf)", "[0,3);[5,inf)"),
        ("BPR", "item_inter_num_interval", None, None),
        ("BPR", "TIME_FIELD", None, None),
        ("BPR", "sensitive_category", None, None),
    ],
)
def test_valid_values_are_accepted_and_converted(model, key, value, used):
    got = Config(model, "ml-100k", config_dict={key: value})[key]
    assert got == used and type(got) is type(used)
    if isinstance(used, list):
        assert list(map(type, got)) == list(map(type, used))


def test_hyper_parameters_of_unlearning_are_in_the_range_of_float32_too():
    for value in (1e300, -(10**400)):
        with pytest.raises(UserError, match=r"damping \(config_dict\) should be a number of at most 3.4e38"):
            Config("BPR", "ml-100k", config_dict={"damping": value}, extra_defaults={"damping": 0.1})


@pytest.mark.parametrize("model", MODELS)
def test_every_packaged_number_and_structure_satisfies_a_rule(model):
    for name in ("overall.yaml", f"model/{model}.yaml"):
        for key, default in layers.packaged(name).values.items():
            if key not in WITH_CHECKS_OF_THEIR_OWN and not isinstance(default, (bool, str, type(None))):
                assert rule_of(key, default, model) is not None, (model, key)
    Config(model, "ml-100k")


def test_every_rule_is_for_an_existing_setting():
    of_model = {model: layers.packaged(f"model/{model}.yaml").values for model in MODELS}
    known = {"train_neg_sample_args sample_num", "train_neg_sample_args alpha", *layers.packaged("overall.yaml").values}
    assert set(RULES) <= known.union(*of_model.values())
    assert all(key in of_model[model] for model, rules in RULES_BY_MODEL.items() for key in rules)


@pytest.mark.parametrize(
    ("key", "value"), [("n_layers", -2), ("embedding_size", [8, 8]), ("k", "all"), ("dropout_prob", 1.5)]
)
def test_rules_do_not_apply_to_models_of_other_packages(key, value):
    assert Config("MyModel", "ml-100k", config_dict={key: value})[key] == value
    with pytest.raises(UserError, match="learning_rate"):
        Config("MyModel", "ml-100k", config_dict={"learning_rate": -1})


def test_properties_of_other_packages_override_rules_if_the_type_differs(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "overall.yaml").write_text((REPOSITORY / "recbole/properties/overall.yaml").read_text())
    (tmp_path / "model" / "MyModel.yaml").write_text("dropout_probs: [0.1, 0.2, 0.3]\nstep: fast\nk: 5\n")
    monkeypatch.setattr(layers, "PROPERTIES", tmp_path)
    layers.packaged.cache_clear()
    try:
        told = {"dropout_probs": [0.5], "step": "slow"}
        config = Config("MyModel", "shop", config_dict=told)
        assert {key: config[key] for key in told} == told
        with pytest.raises(UserError, match=r"k .* should be an integer of at least 1"):
            Config("MyModel", "shop", config_dict={"k": 0})
    finally:
        layers.packaged.cache_clear()


def test_the_allowed_learners_are_the_implemented_ones():
    assert tuple(OPTIMIZERS) == LEARNERS


def test_a_single_metric_is_a_list_of_one():
    config = Config("BPR", "ml-100k", config_dict={"metrics": "hit", "valid_metric": "HIT@10"})
    assert config["metrics"] == ["hit"]
