"""Configuration files of PoT-AU's ``main.py``, translated to command lines of ``unlearn.py`` and ``run_recbole.py``.

PoT-AU is the program of Y. Li et al., a paper on unlearning user attributes after training (ACM Multimedia 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from recbole.utils import UserError, read_json, suggest

FLAG = "--attribute_config"
ORIGINAL = "original"
VARIANT = "attribute_config"
"""The variant (subfolder) into which runs with such a file write their checkpoints and logs."""

MODELS = {
    "ncf": ("--model", "NeuMF", "--mf_embedding_size", "32", "--mlp_embedding_size", "128",
            "--mlp_hidden_size", "[128, 64, 32]", "--dropout_prob", "0.0"),
    "lightgcn": ("--model", "LightGCN", "--embedding_size", "64", "--n_layers", "3", "--reg_weight", "0.0"),
}  # fmt: skip
METHODS = {ORIGINAL: None, "u2u": "u2u", "d2d": "d2d", "retrain": "mmd_training", "adv": "adv"}
"""PoT-AU's methods and the corresponding algorithms of this program; None: the base model is trained."""

_DEFAULTS = {
    "target_model": "final_model.pth", "method": ORIGINAL, "model": "ncf", "lr": 0.001, "batch_size": 256, "epochs": 25,
    "dataset_path": None, "dataset": "ml-100k", "num_ng": 4, "test_num_ng": 99, "device": None, "au_trade_off": 1e-6,
    "retrain_trade_off": 1,
}  # fmt: skip
_NUMBERS = ("lr", "batch_size", "epochs", "num_ng", "test_num_ng", "au_trade_off", "retrain_trade_off")
_PROTOCOL = (
    *("--variant", VARIANT, "--valid_metric", "Hit@10", "--topk", "5,10,15,20"),
    *("--metrics", "Hit,NDCG,HitAgainst,NDCGAgainst,HitExpected,NDCGExpected"),
    *("--user_inter_num_interval", "[5,inf)", "--item_inter_num_interval", "[5,inf)"),
)


def expanded(argv: list[str], say: Callable[[str], None] = print) -> tuple[list[str], bool]:
    """Replace ``--attribute_config FILE`` in a command line by flags with the file's settings.

    The other arguments come after these flags, so they override the file's settings.

    Args:
        argv: the arguments of unlearn.py, without the program's name.
        say: function that is called with one line of text for each setting that this program implements differently.

    Returns:
        The new arguments; without the flag, ``argv`` itself. And True if they are for training the base model
        (``run_recbole.py``), which is so if the file's method is ``original``; False if they are for ``unlearn.py``.

    Raises:
        UserError: the flag has no value, the file cannot be read, or one of its keys or values is unknown.
    """
    places = [at for at, word in enumerate(argv) if word == FLAG or word.startswith(f"{FLAG}=")]
    if not places:
        return argv, False
    at = places[0]
    joined, value = argv[at].partition("=")[1:]
    rest = argv[:at] + argv[at + (1 if joined else 2) :]
    if not joined:
        if at + 1 == len(argv) or argv[at + 1].startswith("--"):
            raise UserError(f"{FLAG} needs a file, such as exp_config.json")
        value = argv[at + 1]
    settings = _read(value)
    trains = settings["method"] == ORIGINAL
    return [*_words(settings, value, say), *rest], trains


def _read(path: str) -> dict[str, Any]:
    """Read a configuration file; return key to value, with PoT-AU's defaults for missing keys.

    Raises:
        UserError: the file cannot be read, or one of its keys or values is unknown.
    """
    found = read_json(path, dict)
    for key in found:
        if key not in _DEFAULTS:
            raise UserError(f"{path}: unknown key '{key}'{suggest(key, _DEFAULTS)}")
    for key in _NUMBERS:
        value = found.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise UserError(f"{path}: {key} should be a number, not {value!r}")
    settings: dict[str, Any] = {**_DEFAULTS, **found}
    choices: dict[str, tuple[str, ...]] = {"method": tuple(METHODS), "model": tuple(MODELS)}
    for key, known in choices.items():
        if settings[key] not in known:
            near = suggest(str(settings[key]), known)
            raise UserError(f"{path}: {key} should be one of {', '.join(known)}, not {settings[key]!r}{near}")
    return settings


def _words(settings: Mapping[str, Any], path: str, say: Callable[[str], None]) -> list[str]:
    """Translate the settings of a file to command-line arguments of this program.

    Args:
        settings: the settings, from :func:`_read`.
        path: the file, for messages.
        say: function that is called with one line of text for each setting that this program implements differently.
    """
    words = [*MODELS[settings["model"]], *_PROTOCOL, "--dataset", str(settings["dataset"])]
    words += ["--learning_rate", str(settings["lr"]), "--train_batch_size", str(settings["batch_size"])]
    words += ["--epochs", str(settings["epochs"]), "--stopping_step", str(settings["epochs"])]
    words += [f"--{ours}={settings[key]}" for key, ours in {"dataset_path": "data_path", "device": "device"}.items()
              if settings[key] is not None]  # fmt: skip
    if settings["model"] == "ncf":
        words += ["--train_neg_sample_args", f"{{sample_num: {settings['num_ng']}}}"]
    else:
        say(f"{path}: num_ng is ignored: LightGCN is trained here with the BPR loss and one negative per positive")
    words += ["--eval_args", f"{{split: {{LS: valid_and_test}}, order: RO, mode: uni{settings['test_num_ng']}}}"]
    say(f"{path}: the best epoch is selected on validation rows, not on test rows")
    if settings["method"] == ORIGINAL:
        return words
    algorithm = str(METHODS[settings["method"]])
    words += ["--attribute", "gender", "--protect_batches", "1", "--protect_view", "table"]
    words += ["--unlearning_algorithm", algorithm]
    if settings["target_model"] != _DEFAULTS["target_model"]:
        words += ["--base_checkpoint", str(settings["target_model"])]
    if algorithm in ("u2u", "d2d"):
        words += ["--protect_weight", str(settings["au_trade_off"])]
    if algorithm == "mmd_training":
        words += ["--mmd_weight", str(settings["retrain_trade_off"])]
    return words
