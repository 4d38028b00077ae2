"""Command lines: flags, other settings, and errors."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole.config import Config
from recbole.config.layers import packaged
from recbole.quick_start import flags
from recbole.quick_start.command_line import (
    config_values,
    declared_defaults,
    train_arguments,
    unlearn_arguments,
    without_secrets,
)
from recbole.quick_start.main import train_main
from recbole.scenario.known_scenarios import scenario_of
from recbole.utils import UserError


def hyper_parameter(name, kind, default, *algorithms):
    return SimpleNamespace(
        name=name, type=kind, default=default, help=f"the {name} (100%)", algorithms=list(algorithms)
    )


REGISTRY = SimpleNamespace(
    algorithm_names=lambda: ["scif", "kookmin", "fanchuan", "gif", "ceu", "idea", "seif"],
    hyper_parameters=lambda: [
        hyper_parameter("max_norm", float, None, "scif", "gif"),
        hyper_parameter("damping", float, 1, "scif"),
        hyper_parameter("kookmin_init_rate", float, 0.01, "kookmin"),
        hyper_parameter("kookmin_careful", bool, False, "kookmin"),
    ],
)


def train(text):
    return train_arguments(text.split())


def unlearn(text):
    return unlearn_arguments(text.split(), REGISTRY)


def configured(parsed):
    namespace, overrides = parsed
    return Config(
        namespace.model,
        "ml-100k",
        namespace.config_files,
        command_line={**config_values(namespace), **overrides},
        extra_defaults=declared_defaults(namespace, REGISTRY),
        also_known=namespace.flag_names,
    )


def test_defaults_of_absent_flags():
    namespace, overrides = train("")
    assert (namespace.model, namespace.dataset, namespace.seed, namespace.n_target_items) == ("BPR", "ml-100k", 2, 10)
    assert namespace.topk == [10, 20] and namespace.config_files == [] and namespace.spam is False
    for absent in ("gpu_id", "epochs", "task_type", "forget_set_seed", "result_file", "unlearning_fraction"):
        assert getattr(namespace, absent) is None
    assert overrides == {} and config_values(namespace) == {} and namespace.ignored == []
    namespace, overrides = unlearn("")
    assert (namespace.unlearning_algorithm, namespace.unlearning_batchsize) == ("scif", 1)
    assert (namespace.unlearning_fraction, namespace.seed, namespace.max_norm) == (1e-5, 2, None)
    assert overrides == {} and config_values(namespace) == {}


def test_only_given_flags_override_yaml_files(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("seed: 5\nspam: True\nn_target_items: 3\ntopk: [10]\nunlearning_fraction: 0.5\ndamping: 7\n")
    config = configured(unlearn(f"--config_files {path}"))
    assert [config[key] for key in ("seed", "spam", "n_target_items", "topk", "unlearning_fraction", "damping")] == [
        *(5, True, 3, [10], 0.5, 7.0)
    ]
    config = configured(unlearn(f"--config_files {path} --seed 6 --topk 10 30 --damping 0.5 --spam False"))
    assert [config[key] for key in ("seed", "topk", "damping", "spam")] == [6, [10, 30], 0.5, False]
    assert {config.source(key) for key in ("seed", "topk", "damping", "spam")} == {"command line"}


def test_declared_defaults_reach_the_config():
    config = configured(unlearn(""))
    assert config["unlearning_fraction"] == 1e-5 and config["kookmin_init_rate"] == 0.01 and config["max_norm"] is None
    assert (config["damping"], type(config["damping"])) == (1.0, float)
    assert config.source("seed") == "default: overall.yaml"


def test_flags_of_settings_agree_with_their_defaults():
    overall = packaged("overall.yaml").values
    groups = [*flags.train_flags().values(), *flags.unlearn_flags(["scif"]).values()]
    for flag in {flag.name: flag for group in groups for flag in group if flag.key}.values():
        assert flag.key in overall
        if flag.default is not None and flag.name != "unlearning_fraction":
            assert flag.setting(flag.default) == overall[flag.key]


KEYS = st.sampled_from(["learning_rate", "show_progress", "my_key", "load_col"])
VALUES = st.one_of(
    st.floats(allow_nan=False).map(repr), st.sampled_from(["a", "[1, 2]", "{a: 1}", "[5,inf)", "x=y", "", " ", "0"])
)


@given(st.dictionaries(KEYS, VALUES), st.booleans(), st.lists(st.booleans(), min_size=4, max_size=4))
def test_values_can_follow_a_space_or_an_equals_sign(settings, flag_first, with_equals):
    tokens = ["--seed", "3"] if flag_first else []
    for (key, value), equals in zip(settings.items(), with_equals, strict=False):
        tokens += [f"--{key}={value}"] if equals else [f"--{key}", value]
    tokens += [] if flag_first else ["--seed", "3"]
    namespace, overrides = train_arguments(tokens)
    assert overrides == settings and namespace.seed == 3


def test_negative_numbers_are_values_and_a_key_without_a_value_is_true():
    namespace, overrides = train("--learning_rate -1e-4 --adam_eps -1e-8 --show_progress --seed -3 --x -.5 --last")
    assert overrides == {"learning_rate": "-1e-4", "show_progress": True, "x": "-.5", "last": True}
    assert (namespace.adam_eps, namespace.seed) == (-1e-8, -3)


def test_lists_and_switches_in_both_spellings():
    for text in ("--topk 5 10", "--topk=[5,10]", "--topk 5,10"):
        assert train(text)[0].topk == [5, 10]


def test_metrics_are_parsed_in_all_spellings():
    for words in (["Recall", "Toy"], ["[Recall, 'Toy']"], ["Recall,Toy"]):
        namespace, overrides = train_arguments(["--metrics", *words, "--seed", "3"])
        assert config_values(namespace) == {"metrics": ["Recall", "Toy"], "seed": 3} and overrides == {}
    assert configured(train("--metrics=Hit --valid_metric Hit@10"))["metrics"] == ["Hit"]
    assert configured(train("")).source("metrics") == "default: overall.yaml"
    for text, value in (("--spam", True), ("--spam=True", True), ("--spam False", False), ("--eval_only --spam", True)):
        assert train(text)[0].spam is value
    assert train("-m Pop -d x")[0].model == "Pop"
    namespace, _ = unlearn("--dont_save_interaction_probabilities")
    assert config_values(namespace) == {"save_interaction_probabilities": False}


def test_config_files_may_be_one_word_with_spaces_or_several_words(tmp_path):
    odd = tmp_path / "my file.yaml"
    odd.touch()
    namespace, _ = train_arguments(["--config_files", "a.yaml  b.yaml", str(odd), "c.yaml"])
    assert namespace.config_files == ["a.yaml", "b.yaml", str(odd), "c.yaml"]


def test_the_forget_set_is_named_after_the_category_by_default():
    for parse in (train, unlearn):
        namespace, _ = parse("--sensitive_category meat --forget_set_seed 7 --seed 2")
        config = scenario_of(configured((namespace, {}))).config
        assert config["unlearning_sample_selection_method"] == "sensitive_category_meat"
        assert (config["unlearn_sample_selection_seed"], config["seed"]) == (7, 2)
        namespace, _ = parse("--sensitive_category meat --unlearning_sample_selection_method mine")
        config = scenario_of(configured((namespace, {}))).config
        assert config["unlearning_sample_selection_method"] == "mine"


@pytest.mark.parametrize(
    ("parse", "text", "told"),
    [
        (train, "stray", "stray"),
        (train, "--learning_rate 1 stray", "stray"),
        (train, "--config_files a.yaml --learning_rate 1 stray.yaml", r"stray\.yaml"),
        (train, "--seed 1 2", "'2'"),
        (train, "-x", "'-x'"),
        (train, "--", "'--'"),
        (train, "--=3", "--=3"),
        (train, "--rmia_out_model_flag", "not available yet"),
        (unlearn, "--ruli_privacy_k=8", "not available yet"),
    ],
)
def test_invalid_command_lines_are_errors(parse, text, told):
    with pytest.raises(UserError, match=told) as error:
        parse(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("parse", "text", "told"),
    [
        (train, "--seed two", "--seed"),
        (train, "--topk five", "--topk"),
        (train, "--spam maybe", "--spam"),
        (train, "--task_type XYZ", "--task_type"),
        (train, "--retrain_checkpoint_idx_to_match 4", "--retrain_checkpoint_idx_to_match"),
        (train, "--retrain_checkpoint_idx_to_match -1", "--retrain_checkpoint_idx_to_match"),
        (train, "--hf_token", "--hf_token"),
        (unlearn, "--unlearning_algorithm sief", "seif"),
        (unlearn, "--max_norm big", "--max_norm"),
    ],
)
def test_bad_values_of_flags_end_with_status_2_and_one_line(parse, text, told, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(text)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and told in said and said.count("\n") == 1


@pytest.mark.parametrize("parse", [train, unlearn])
def test_a_device_is_selected_by_one_flag(parse, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    for text, use_gpu, device in (
        ("--device cpu", False, "cpu"),
        ("--device cpu --use_gpu False", False, "cpu"),
        ("--device cuda:1", True, "cuda:1"),
        ("--device=cuda:1 --gpu_id 1 --use_gpu", True, "cuda:1"),
        ("--gpu_id 1", True, "cuda:1"),
    ):
        config = configured(parse(text))
        assert (config["use_gpu"], str(config["device"])) == (use_gpu, device), text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("--device cpu --gpu_id 0", "--device cpu and --gpu_id 0 contradict each other"),
        ("--device cpu --use_gpu", "--device cpu and --use_gpu True contradict each other"),
        ("--device cuda:1 --gpu_id 0", "--device cuda:1 and --gpu_id 0 contradict each other"),
        ("--device cuda:0 --use_gpu=false", "--device cuda:0 and --use_gpu false contradict each other"),
        ("--device cuda:2", "--device cuda:2 does not exist: there are 2 CUDA devices"),
        ("--device gpu", "--device should be cpu or cuda:N, like cuda:0, not 'gpu'"),
        ("--device cuda:", "--device should be cpu or cuda:N, like cuda:0, not 'cuda:'"),
        ("--device cuda:0 --nproc 2", "--device cuda:0 names one GPU"),
    ],
)
def test_an_invalid_device_gives_a_one_line_error(text, told, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert train_main(text.split()) == 2
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1


def test_a_flag_for_the_device_overrides_files(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("use_gpu: True\ngpu_id: 3\n")
    assert str(configured(train(f"--config_files {path} --device cpu"))["device"]) == "cpu"


def test_a_missing_gpu_is_an_error_and_not_replaced_by_the_cpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="--device cuda:0 does not exist: there are 0 CUDA devices"):
        train("--device cuda:0")


def test_abbreviations_and_mistyped_flags_are_errors():
    assert train("--epoch 3")[1] == {"epoch": "3"}
    with pytest.raises(UserError, match="did you mean 'epochs'"):
        configured(train("--epoch 3"))
    with pytest.raises(UserError, match="did you mean 'config_files'"):
        configured(train("--config-files x"))
    with pytest.raises(UserError, match="did you mean 'kookmin_init_rate'"):
        configured(unlearn("--kookmin_init_rat 3"))


def test_hyper_parameters_are_overrides_when_given():
    namespace, overrides = unlearn(
        "--unlearning_algorithm kookmin --kookmin_init_rate=0.5 --kookmin_careful --max_norm -1"
    )
    assert overrides == {"kookmin_init_rate": 0.5, "kookmin_careful": True, "max_norm": -1.0}
    assert config_values(namespace) == {"unlearning_algorithm": "kookmin"}


def test_hyper_parameters_given_to_training_give_a_warning():
    config = configured(train("--damping 0.5"))
    assert config.unread() == [("damping", "command line")]


def test_flags_without_effect_are_accepted_with_and_without_a_value():
    namespace, overrides = unlearn(
        "--ind 100 --LOCAL --gif_use_true_khop=1 --retrain_checkpoint_idx_to_match 2 --seed 3"
    )
    assert namespace.ignored == ["ind", "LOCAL", "gif_use_true_khop", "retrain_checkpoint_idx_to_match"]
    assert overrides == {} and namespace.seed == 3
    assert train("--retrain_flag --nproc 1")[0].ignored == ["retrain_flag"]


@pytest.mark.parametrize("parse", [train, unlearn])
def test_help_names_every_flag_and_shows_three_examples(parse, capsys):
    with pytest.raises(SystemExit) as stop:
        parse("-h")
    shown = capsys.readouterr().out
    assert stop.value.code == 0 and shown.count("\n  python ") >= 3
    names = (
        {flag.name for group in flags.train_flags().values() for flag in group}
        if parse is train
        else {"max_norm", "damping"}
    )
    assert all(f"--{name} " in shown for name in names)


def test_examples_in_the_help_can_be_parsed(capsys):
    for parse in (train_arguments, lambda argv: unlearn_arguments(argv, REGISTRY)):
        with pytest.raises(SystemExit):
            parse(["-h"])
        for command in capsys.readouterr().out.replace("\\\n", " ").split("python ")[1:]:
            line = command.split("\n")[0].split()
            namespace, overrides = parse(line[1:])
            assert configured((SimpleNamespace(**{**vars(namespace), "config_files": []}), overrides))["model"] == "BPR"


def test_logged_arguments_contain_no_token():
    argv = ["--hf_token", "s3cr3t", "--seed", "3", "--hf_token=s3cr3t", "--wandb_api_key", "--spam"]
    assert without_secrets(argv) == ["--hf_token", "***", "--seed", "3", "--hf_token=***", "--wandb_api_key", "--spam"]


def test_flags_are_declared_once():
    assert not flags.TRAIN_DEAD & {flag.name for group in flags.train_flags().values() for flag in group}
    live = {flag.name for group in flags.unlearn_flags(["scif"]).values() for flag in group}
    assert not flags.UNLEARN_DEAD & live
