"""Configuration: precedence of layers, rejected values, warnings, and the stored form."""

import copy
import json
import logging
import pickle
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recbole.config import Config, layers
from recbole.config.reader import parse_value, read_yaml
from recbole.utils import InputType, ModelType, UserError

REPOSITORY = Path(__file__).parents[2]


def bpr(**options):
    return Config("BPR", "ml-100k", **options)


def written(folder, text, name="x.yaml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


# --- reading ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E-4", 1e-4),
        ("1.5e4", 1.5e4),
        ("-.5e2", -50.0),
        ("2e3x", "2e3x"),
        ("10", 10),
        ("None", None),
        ("Nones", "Nones"),
        ("True", True),
        ("[5,inf)", "[5,inf)"),
        (" ", " "),
        ("\t", "\t"),
        ("{'RS': [0.8,0.1,0.1]}", {"RS": [0.8, 0.1, 0.1]}),
        ("__import__('os').getcwd()", "__import__('os').getcwd()"),
        ("!!python/object/apply:os.getcwd []", "!!python/object/apply:os.getcwd []"),
    ],
)
def test_command_line_values_are_parsed_as_safe_yaml(text, value):
    assert parse_value(text) == value and type(parse_value(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seed: 1\nepochs: [1, 2\n", "line 3"),
        ("a: 1\nb: : 2\n", "line 2"),
        ("- 1\n- 2\n", "'key: value' lines"),
        ("x: !!python/object/apply:os.getcwd []\n", "line 1"),
        ("x: 2020-13-45\n", "month"),
    ],
)
def test_a_malformed_file_gives_a_one_line_error_with_the_position(tmp_path, text, told):
    path = written(tmp_path, text)
    with pytest.raises(UserError, match=told) as error:
        bpr(config_file_list=[path])
    assert path in str(error.value) and "\n" not in str(error.value)


def test_a_missing_file_is_named_and_an_empty_file_is_valid(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.yaml"):
        bpr(config_file_list=["nowhere.yaml"])
    assert bpr(config_file_list=[written(tmp_path, "# nothing\n")]).warnings == []


def test_numbers_in_files_get_the_type_of_their_setting(tmp_path):
    config = bpr(config_file_list=written(tmp_path, "learning_rate: 1e-4\nepochs: 1e2\nweight_decay: 0\n"))
    assert config["learning_rate"] == 1e-4
    assert (config["epochs"], type(config["epochs"])) == (100, int)
    assert (config["weight_decay"], type(config["weight_decay"])) == (0.0, float)


# --- layers ----------------------------------------------------------------------------------------------------------
LAYERS = ("a.yaml", "b.yaml", "config_dict", "command line")
DEFAULTS = {"epochs": "overall.yaml", "seed": "overall.yaml", "embedding_size": "model/BPR.yaml"}
SETTINGS = st.dictionaries(st.sampled_from([*DEFAULTS]), st.integers(1, 999))


@given(st.tuples(SETTINGS, SETTINGS, SETTINGS, SETTINGS))
def test_the_highest_layer_that_sets_a_key_gives_value_and_source(layer_values):
    with tempfile.TemporaryDirectory() as folder:
        files = [
            written(Path(folder), json.dumps(values), name)
            for name, values in zip(LAYERS[:2], layer_values[:2], strict=True)
        ]
        as_typed = {key: str(value) for key, value in layer_values[3].items()}
        config = bpr(config_file_list=files, config_dict=layer_values[2], command_line=as_typed)
    packaged = bpr()
    for key, default in DEFAULTS.items():
        setting = [i for i, values in enumerate(layer_values) if key in values]
        if setting:
            assert config.source(key) == [*files, *LAYERS[2:]][setting[-1]]
            assert config[key] == layer_values[setting[-1]][key]
        else:
            assert config.source(key) == f"default: {default}"
            assert config[key] == packaged[key]


def test_data_set_properties_override_the_models_and_users_override_both():
    config = Config("BPR", "diginetica_sample")
    assert config["USER_ID_FIELD"] == "session_id"
    assert config.source("USER_ID_FIELD") == "default: dataset/diginetica_sample.yaml"
    config = Config("BPR", "diginetica_sample", config_dict={"USER_ID_FIELD": "user_id", "load_col": {"user": ["age"]}})
    assert config["USER_ID_FIELD"] == "user_id"
    assert config["load_col"] == {"user": ["age"]}, "a list is replaced as a whole"


def test_model_and_data_set_can_be_given_in_any_layer(tmp_path):
    config = Config(config_file_list=[written(tmp_path, "model: LightGCN\ndataset: ml-100k\n")])
    assert (config["model"], config["n_layers"], config["USER_ID_FIELD"]) == ("LightGCN", 2, "user_id")
    assert config.source("model").endswith("x.yaml") and config.unread() == []
    assert Config("BPR", config_dict={"model": "LightGCN", "dataset": "x"}).source("model") == "program"
    with pytest.raises(UserError, match="--dataset"):
        Config("BPR")


def test_eval_args_and_negatives_are_completed_key_by_key(tmp_path):
    path = written(tmp_path, "eval_args: {split: {LS: valid_and_test}}\ntrain_neg_sample_args: {sample_num: 4}\n")
    config = bpr(config_file_list=[path], config_dict={"eval_args": {"order": "TO", "mode": {"valid": "full"}}})
    assert config["eval_args"] == {
        "split": {"LS": "valid_and_test"},
        "order": "TO",
        "group_by": "user",
        "mode": {"valid": "full", "test": "full"},
    }
    assert config["train_neg_sample_args"] == {
        "distribution": "uniform",
        "sample_num": 4,
        "alpha": 1.0,
        "dynamic": False,
        "candidate_num": 0,
    }
    assert bpr()["eval_args"]["split"] == {"RS": [0.8, 0.1, 0.1]}
    assert bpr(config_dict={"eval_args": {"mode": "full"}})["eval_args"]["mode"] == {"valid": "full", "test": "full"}


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("uni100", {"valid": "uni100", "test": "uni100"}),
        ({"test": "labeled"}, {"valid": "labeled", "test": "labeled"}),
        ({"valid": "uni5", "test": "pop200"}, {"valid": "uni5", "test": "pop200"}),
    ],
)
def test_one_evaluation_mode_applies_to_both_splits(mode, expected):
    assert bpr(config_dict={"eval_args": {"mode": mode}})["eval_args"]["mode"] == expected


@pytest.mark.parametrize("mode", ["uni", "uni0", "top10", "uni-3", 100, None, {"valid": "pop"}, "labelled", {},
                                  "uni2147483648", "pop" + "9" * 20, "uni" + "9" * 5000])  # fmt: skip
def test_unknown_evaluation_modes_are_rejected(mode):
    with pytest.raises(UserError, match=r"eval_args mode .*\(config_dict\)"):
        bpr(config_dict={"eval_args": {"mode": mode}})


def test_dynamic_negatives_are_rejected_rather_than_ignored():
    with pytest.raises(UserError, match="dynamic negatives are not available"):
        bpr(config_dict={"train_neg_sample_args": {"dynamic": True}})


@pytest.mark.parametrize("none", [None, "None", {"distribution": "none"}, {"distribution": None}])
def test_several_spellings_turn_negatives_off(none):
    assert bpr(config_dict={"train_neg_sample_args": none})["train_neg_sample_args"] is None


def test_values_are_not_shared_between_configs():
    first = bpr()
    first["metrics"].append("X")
    first["load_col"]["inter"].append("X")
    assert "X" not in bpr()["metrics"] and "X" not in bpr()["load_col"]["inter"]


def test_the_spam_settings_of_a_data_set_override_its_other_settings(tmp_path, monkeypatch):
    (tmp_path / "dataset").mkdir()
    (tmp_path / "model").mkdir()
    written(tmp_path, (REPOSITORY / "recbole/properties/overall.yaml").read_text(), "overall.yaml")
    written(tmp_path, "USER_ID_FIELD: user_id\nspam_fields: {USER_ID_FIELD: session_id}\n", "dataset/shop.yaml")
    monkeypatch.setattr(layers, "PROPERTIES", tmp_path)
    layers.packaged.cache_clear()
    try:
        assert Config("M", "shop")["USER_ID_FIELD"] == "user_id"
        assert "spam_fields" not in Config("M", "shop")
        spam = Config("M", "shop", command_line={"spam": "True"})
        assert (spam["USER_ID_FIELD"], spam.source("USER_ID_FIELD")) == (
            "session_id",
            "default: dataset/shop.yaml (spam_fields)",
        )
        over = Config("M", "shop", config_dict={"spam": True, "USER_ID_FIELD": "u"})
        assert over["USER_ID_FIELD"] == "u"
    finally:
        layers.packaged.cache_clear()


# --- unknown keys ----------------------------------------------------------------------------------------------------
def test_an_unknown_command_line_key_is_an_error_with_a_suggestion(tmp_path):
    with pytest.raises(UserError, match="--learning_rat on the command line, did you mean 'learning_rate'"):
        bpr(command_line={"learning_rat": "1"})
    with pytest.raises(UserError, match="did you mean 'config_files'"):
        bpr(command_line={"config_file": "x"}, also_known=["config_files"])
    with pytest.raises(UserError, match="write train_batch_size"):
        bpr(command_line={"training_batch_size": "1"})
    with pytest.raises(UserError, match="did you mean 'order'"):
        bpr(command_line={"eval_args": "{ordr: TO}"})
    with pytest.raises(UserError, match="--n_layers"):
        bpr(command_line={"n_layers": "1"})
    assert bpr(command_line={"mine": "1"}, config_file_list=[written(tmp_path, "mine: 0\n")])["mine"] == 1
    assert bpr(command_line={"damping": "0.5"}, extra_defaults={"damping": 0.01})["damping"] == 0.5


def test_unused_keys_in_files_give_a_warning_with_their_line(tmp_path):
    text = (
        "epochs: 3\nlearning_rat: 1\ntraining_batch_size: 7\nthreshold: {rating: 3.5}\nloss: bpr\n"
        "eval_args: {order: TO, topk: [5], splt: 1}\n"
    )
    path = written(tmp_path, text)
    config = bpr(config_file_list=[path])
    told = "\n".join(config.warnings)
    assert f"{path}, line 2: unknown key 'learning_rat' does nothing, did you mean 'learning_rate'?" in config.warnings
    assert f"{path}, line 3: 'training_batch_size' does nothing: write train_batch_size" in config.warnings
    assert "to filter, write val_interval" in told and "BPR has one loss" in told
    assert "'topk' inside eval_args does nothing: write it at the top level" in told
    assert "'splt' inside eval_args does nothing, did you mean 'split'" in told
    assert len(config.warnings) == 6
    assert sorted(config["eval_args"]) == ["group_by", "mode", "order", "split"]


def test_unknown_keys_are_hyper_parameters_of_a_model_that_has_no_properties(tmp_path):
    path = written(tmp_path, "my_temperature: 0.2\nearly_stop: True\n")
    config = Config("MyModel", "ml-100k", config_file_list=[path])
    assert config["my_temperature"] == 0.2
    assert len(config.warnings) == 1 and "stopping_step" in config.warnings[0]
    gru = Config("GRU4Rec", "ml-100k", config_file_list=[written(tmp_path, "n_layers: 1\n")])
    assert "num_layers" in gru.warnings[0]


# --- refusals --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"epochs": "many"}, "epochs (config_dict) should be an integer of at least 0, below 2^63, not 'many'"),
        ({"epochs": 1.5}, "epochs (config_dict) should be an integer"),
        ({"epochs": True}, "epochs (config_dict) should be an integer"),
        ({"epochs": None}, "epochs (config_dict) should be an integer"),
        ({"epochs": -1}, "epochs (config_dict) should be an integer of at least 0, below 2^63, not -1"),
        ({"train_batch_size": 0}, "should be an integer of at least 1"),
        ({"learning_rate": "fast"}, "learning_rate (config_dict) should be a number"),
        ({"learning_rate": float("nan")}, "should be a number"),
        ({"embedding_size": "64"}, "embedding_size (config_dict) should be an integer of at least 1"),
        ({"use_gpu": "no"}, "use_gpu (config_dict) should be True or False"),
        ({"adam_beta1": "x"}, "adam_beta1 (config_dict) should be a number"),
        ({"user_inter_num_interval": [5, 10]}, "user_inter_num_interval (config_dict) should be an interval"),
        ({"data_path": None}, "data_path (config_dict) should be text"),
        ({"gpu_id": "cuda"}, "gpu_id (config_dict) should be the number of a CUDA device"),
        ({"topk": 0}, "topk (config_dict)"),
        ({"topk": []}, "topk (config_dict)"),
        ({"topk": [10, "20"]}, "topk (config_dict)"),
        ({"topk": True}, "topk (config_dict)"),
        ({"metrics": ["Recall", 5]}, "metrics (config_dict)"),
        ({"eval_args": None}, "eval_args (config_dict)"),
        ({"eval_args": {"split": {"RX": [1, 1, 1]}}}, "should have the key RS or LS, not 'RX'"),
        ({"eval_args": {"split": [0.8, 0.1, 0.1]}}, "eval_args split"),
        ({"eval_args": {"split": {"RS": [0.8, 0.2]}}}, "three shares"),
        ({"eval_args": {"split": {"RS": [0, 0, 0]}}}, "three shares"),
        ({"eval_args": {"split": {"RS": [1, -1, 1]}}}, "three shares"),
        ({"eval_args": {"split": {"RS": [True, 1, 1]}}}, "three shares"),
        ({"eval_args": {"split": {"RS": 0.8}}}, "three shares"),
        ({"eval_args": {"split": {"RS": [1e308, 1e308, 1]}}}, "three shares"),
        ({"eval_args": {"split": {"RS": [10**400, 0.5, 0.5]}}}, "three shares"),
        ({"eval_args": {"split": {"RS": [8, 1, 1], "LS": "valid_only"}}}, "eval_args split (config_dict) should be"),
        ({"eval_args": {"split": {}}}, "eval_args split (config_dict) should be"),
        ({"eval_args": {"split": None}}, "eval_args split (config_dict) should be"),
        ({"eval_args": {"split": {"LS": "test"}}}, "valid_and_test"),
        ({"eval_args": {"order": "XO"}}, "RO (random) or TO (by time)"),
        ({"eval_args": {"group_by": "item"}}, "group_by"),
        ({"threshold": 4}, "threshold (config_dict) should be null, or one column and a number, like {rating: 4}"),
        ({"threshold": {"rating": 4, "x": 3}}, "threshold (config_dict)"),
        ({"repeatable": "yes"}, "repeatable (config_dict) should be True or False"),
        ({"tail_ratio": -1}, "tail_ratio (config_dict) should be a number of at least 0"),
        ({"eval_args": {"mode": "fall"}}, "mode of valid"),
        ({"eval_args": {"mode": {"train": "full"}}}, "'train'"),
        ({"train_neg_sample_args": 3}, "train_neg_sample_args (config_dict)"),
        ({"train_neg_sample_args": {"sample_nun": 3}}, "did you mean 'sample_num'"),
        ({"train_neg_sample_args": {"sample_num": 0}}, "at least 1"),
        ({"train_neg_sample_args": {"alpha": 1e300}}, "from -40 to 40"),
        ({"train_neg_sample_args": {"alpha": -41}}, "from -40 to 40"),
        ({"train_neg_sample_args": {"distribution": "zipf"}}, "uniform, popularity"),
        ({"task_type": "cf"}, "one of CF, SBR, NBR, null"),
        ({"time_precision": "double"}, "one of exact, single"),
        ({"unlearning_fraction": 0}, "unlearning_fraction (config_dict) should be a number in (0, 1]"),
        ({"unlearning_fraction": 1.5}, "in (0, 1]"),
        ({"retrain_checkpoint_idx_to_match": 4}, "should be 0, 1, 2 or 3"),
    ],
)
def test_invalid_settings_give_a_one_line_error(settings, told):
    with pytest.raises(UserError) as error:
        bpr(config_dict=settings)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_errors_name_the_line_of_the_file(tmp_path):
    path = written(tmp_path, "seed: 3\nepochs: many\n")
    with pytest.raises(UserError, match=r"epochs \(.*x\.yaml, line 2\)"):
        bpr(config_file_list=[path])
    path = written(tmp_path, "seed: 3\nlearner: adan\n")
    with pytest.raises(UserError, match=r"learner \(.*x\.yaml, line 2\) should be one of adam, .*, not 'adan'"):
        bpr(config_file_list=[path])


# --- derived ---------------------------------------------------------------------------------------------------------
def test_settings_that_are_derived_from_others():
    config = bpr(config_dict={"topk": 5, "metrics": "NDCG", "valid_metric": "ndcg@5", "gpu_id": 0, "seed": 7})
    assert (config["topk"], config["metrics"], config["gpu_id"]) == ([5], ["NDCG"], "0")
    assert config["data_path"] == "dataset/ml-100k"
    assert config["valid_metric_bigger"] is True and config.source("valid_metric_bigger") == "derived"
    assert config["unlearn_sample_selection_seed"] == 7
    assert bpr(config_dict={"valid_metric_bigger": False})["valid_metric_bigger"] is False
    assert bpr(command_line={"unlearn_sample_selection_seed": "3"})["unlearn_sample_selection_seed"] == 3


def test_the_device_is_the_cpu_unless_a_gpu_is_available_and_requested(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert bpr()["device"] == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert bpr()["device"] == torch.device("cuda:0")
    assert bpr(command_line={"gpu_id": "1"})["device"] == torch.device("cuda:1")
    assert bpr(config_dict={"use_gpu": False})["device"] == torch.device("cpu")
    assert bpr(command_line={"gpu_id": ""})["device"] == torch.device("cpu")
    with pytest.raises(UserError, match="2 CUDA devices"):
        bpr(command_line={"gpu_id": "2"})


class Pairs:
    """A model with pairwise input."""

    type = ModelType.GENERAL
    input_type = InputType.PAIRWISE


class Sequences:
    """A sequential model whose input type depends on its loss."""

    type = ModelType.SEQUENTIAL


def test_types_are_read_from_the_model_class():
    config = Config(Pairs, "ml-100k")
    assert config["model"] == "Pairs"
    assert (config["MODEL_TYPE"], config["MODEL_INPUT_TYPE"]) == (ModelType.GENERAL, InputType.PAIRWISE)
    softmax = Config(Sequences, "ml-100k", config_dict={"loss_type": "CE"})
    assert softmax["MODEL_INPUT_TYPE"] is InputType.POINTWISE and softmax["train_neg_sample_args"] is None
    ranked = Config(Sequences, "ml-100k", config_dict={"loss_type": "BPR"})
    assert ranked["MODEL_INPUT_TYPE"] is InputType.PAIRWISE and ranked["train_neg_sample_args"]["sample_num"] == 1
    with pytest.raises(UserError, match="train_neg_sample_args"):
        Config(Sequences, "ml-100k", config_dict={"loss_type": "CE", "train_neg_sample_args": {"sample_num": 1}})
    with pytest.raises(UserError, match="input_type"):
        Config(Sequences, "ml-100k")
    late = bpr()
    late.bind_model(Pairs)
    assert late["MODEL_TYPE"] is ModelType.GENERAL


# --- the dictionary -------------------------------------------------------------------------------------
def test_absent_keys_are_none():
    config = bpr()
    assert config["nowhere"] is None and config.get("nowhere", 3) == 3 and "nowhere" not in config
    assert config.epochs == config["epochs"] == config.get("epochs") == 300 and "epochs" in config
    with pytest.raises(AttributeError, match="nowhere"):
        _ = config.nowhere
    assert getattr(config, "nowhere", 5) == 5
    config["epochs"] = 4
    assert (config["epochs"], config.source("epochs")) == (4, "program")
    assert config.source("nowhere") is None
    assert list(config) == list(config.keys()) and len(config) == len(dict(config))


def test_copies_are_complete_and_independent():
    config = bpr()
    for twin in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        twin["metrics"].append("X")
        assert twin.as_dict()["epochs"] == 300 and "X" not in config["metrics"]


def test_settings_that_are_never_read_give_a_warning(caplog):
    config = bpr(config_dict={"epochs": 3, "seed": 4, "learning_rate": 0.1, "gpu_id": "0", "loss": "bpr"})
    str(config), repr(config), config.as_dict(), config.source("loss"), "loss" in config, list(config)
    assert {key for key, _ in config.unread()} == {"epochs", "seed", "learning_rate", "loss"}
    _ = config["epochs"], config.seed, config.get("learning_rate")
    config["loss"] = "x"
    assert config.unread() == [("loss", "config_dict")]
    with caplog.at_level(logging.WARNING, "recbole"):
        config.warn_unread(logging.getLogger("recbole"))
        _ = config["loss"]
        config.warn_unread(logging.getLogger("recbole"))
    assert [record.getMessage() for record in caplog.records] == [
        "these settings have no effect in this run: loss (config_dict)"
    ]


@pytest.mark.parametrize("key", ["hf_token", "wandb_api_key", "MY_PASSWORD", "client_secret", "apikey"])
def test_credentials_can_be_read_but_are_never_shown_or_stored(key):
    config = bpr(config_dict={key: "s3cr3t", "logger": {key: "s3cr3t", "url": "u"}})
    assert config[key] == "s3cr3t"
    for shown in (str(config), repr(config), json.dumps(config.as_dict())):
        assert "s3cr3t" not in shown
    assert config.as_dict()["logger"] == {"url": "u"}


def test_a_token_of_digits_stays_text():
    assert bpr(command_line={"hf_token": "123e4"})["hf_token"] == "123e4"
    assert bpr(command_line={"NEXT_BASKET_JSON": "5"})["NEXT_BASKET_JSON"] == "5"


def test_a_rejected_credential_is_not_shown():
    with pytest.raises(UserError, match=r"^hf_token \(config_dict\) should be text$"):
        bpr(config_dict={"hf_token": 1234})


def test_the_stored_form_is_plain_and_sorted_and_can_be_restored():
    config = Config(
        Pairs, "ml-100k", config_dict={"epochs": 3, "data_path": "elsewhere", "odd": {"b": {2, 1}, "a": Path("p")}}
    )
    stored = config.as_dict()
    assert list(stored) == sorted(stored)
    assert (stored["device"], stored["MODEL_TYPE"]) == (str(config["device"]), "GENERAL")
    assert stored["odd"] == {"a": "p", "b": [1, 2]}
    stored = json.loads(json.dumps(stored))
    restored = Config.restored(stored, use_gpu=False)
    restored.bind_model(Pairs)
    assert restored.as_dict() == {**stored, "use_gpu": False, "device": "cpu"}
    assert (restored.source("epochs"), restored.source("use_gpu")) == ("checkpoint", "program")
    assert restored.unread() == [] and restored.warnings == []
    assert Config.restored(stored, data_path="here")["data_path"] == "here/ml-100k"


# --- files of the package -------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["bpr", "lightgcn", "pop", "random"])
def test_the_committed_configs_have_no_unused_keys(name):
    model = {"bpr": "BPR", "lightgcn": "LightGCN", "pop": "Pop", "random": "Random"}[name]
    config = Config(model, "ml-100k", config_file_list=[REPOSITORY / f"configs/config_{name}.yaml"])
    assert config.warnings == []
    assert (config["valid_metric"], config["eval_args"]["order"]) == ("Recall@20", "TO")
    assert config["user_inter_num_interval"] == "[5,inf)"


@pytest.mark.parametrize("model", ["WMF", "BPR", "LightGCN"])
@pytest.mark.parametrize("dataset", ["ml-1m_receraser", "ml-10m_receraser", "yelp2018"])
def test_receraser_s_configs_use_the_split_in_files_and_have_no_unused_keys(model, dataset):
    path = REPOSITORY / f"configs/receraser/config_{model.lower()}.yaml"
    config = Config(model, dataset, config_file_list=[path])
    assert config.warnings == []
    assert (config["benchmark_filename"], config["topk"]) == (["train", "valid", "test"], [10, 20, 50])
    if config["learner"] == "adagrad":
        assert (config["learning_rate"], config["adagrad_accumulator"]) == (0.05, 1e-8)


def test_the_lightgcn_config_overrules_recboles_regulariser():
    assert Config("LightGCN", "ml-100k")["reg_weight"] == 1e-5
    path = REPOSITORY / "configs/config_lightgcn.yaml"
    assert Config("LightGCN", "ml-100k", config_file_list=[path])["reg_weight"] == 1e-4


@pytest.mark.parametrize("model", ["GRU4Rec", "NARM", "SASRec", "SRGNN"])
def test_the_spam_config_of_a_sequential_model_is_its_config_on_sessions(model):
    path = REPOSITORY / f"configs/config_{model.lower()}_spam.yaml"
    plain, _ = read_yaml(REPOSITORY / f"configs/config_{model.lower()}.yaml")
    spam, _ = read_yaml(path)
    fields = {"USER_ID_FIELD": "session_id", "load_col": {"inter": ["session_id", "item_id", "timestamp"]}}
    assert spam == plain | fields
    config = Config(model, "30music", config_file_list=[path])
    assert config.warnings == [] and config["USER_ID_FIELD"] == "session_id"
    with_flag = Config(model, "30music", command_line={"spam": True})
    assert {key: with_flag[key] for key in fields} == fields


def test_every_packaged_file_is_read_without_warnings():
    paths = sorted((REPOSITORY / "recbole/properties").rglob("*.yaml"))
    assert len(paths) >= 7
    for path in paths:
        read_yaml(path)
