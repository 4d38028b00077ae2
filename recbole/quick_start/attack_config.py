"""Configuration files of PoT-AU's ``attack.py``: finds the checkpoint of this program that such a file describes.

PoT-AU is the program of a paper on unlearning user attributes, see :mod:`recbole.quick_start.attribute_config`.
"""

from __future__ import annotations

from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole.config.plain import refuse_odd_text
from recbole.quick_start.attribute_config import METHODS, MODELS, ORIGINAL, VARIANT
from recbole.utils import UserError, read_json, suggest

if TYPE_CHECKING:
    from recbole.trainer.stored import Stored

_KEYS = ("attack", "target_model", "method", "model", "dataset_path", "dataset", "device")
_ORIGINALS_FILE = "final_model.pth"


def read_attack_config(path: Path, saved: Path = Path("saved")) -> dict[str, str]:
    """Read a configuration file of PoT-AU's ``attack.py`` and find the checkpoint that it describes.

    If the file's key ``target_model`` is given and is not ``final_model.pth`` (PoT-AU's default), it is the path of the
    checkpoint. Otherwise the checkpoint is searched for by the keys ``model``, ``dataset`` and ``method``, for the
    attribute gender and any seed: first among those that ``unlearn.py --attribute_config`` made, then among all. The
    key ``dataset_path`` is the folder of the data sets, and ``device`` the device. ``attack`` may only be ``attack``.

    Args:
        path: the JSON file.
        saved: the folder in which checkpoints are searched for, with all its subfolders.

    Returns:
        A dict with the path of the checkpoint under ``checkpoint``; if the file has the keys ``dataset_path`` and
        ``device``, also with their values under ``data_path`` and ``device``.

    Raises:
        UserError: the file cannot be read, or has an unknown key or value; or the search found no checkpoint or
            several.
    """
    settings = _read(path)
    if settings.get("attack", "attack") != "attack":
        raise UserError(f"{path}: attack should be 'attack', the only one available, not {settings['attack']!r}")
    target = settings.get("target_model", _ORIGINALS_FILE)
    found = {"checkpoint": target if target != _ORIGINALS_FILE else str(_checkpoint(path, settings, saved))}
    return found | {
        ours: settings[key]
        for key, ours in {"dataset_path": "data_path", "device": "device"}.items()
        if key in settings
    }


def check_described(path: Path, stored: Stored) -> None:
    """Check that the checkpoint that a configuration file names as ``target_model`` is the one that its keys describe.

    Args:
        path: the JSON file. Keys that it does not have are not compared.
        stored: the content of the checkpoint file; without settings, as in a file of another program, it is accepted.

    Raises:
        UserError: the checkpoint has another ``model``, ``dataset`` or ``method`` than the file.
    """
    settings, config = _read(path), stored.content.get("config") or {}
    if not config or settings.get("target_model", _ORIGINALS_FILE) == _ORIGINALS_FILE:
        return
    model, method = _described(path, settings)
    pairs = {"model": (model, config.get("model")), "dataset": (settings.get("dataset"), config.get("dataset"))}
    if stored.settings is not None:
        pairs["method"] = method, stored.settings.get("algorithm")
    for key, (wanted, found) in pairs.items():
        if key in settings and wanted != found:
            raise UserError(
                f"{path}: {key} {settings[key]} contradicts target_model: {stored.path} has {found or 'original'}; "
                "correct or remove one of the two keys"
            )


def _read(path: Path) -> dict[str, str]:
    settings = read_json(path, dict)
    refuse_odd_text(settings, str(path))
    for key, value in settings.items():
        if key not in _KEYS:
            raise UserError(f"{path}: unknown key '{key}'{suggest(key, _KEYS)}; known keys: {', '.join(_KEYS)}")
        if not isinstance(value, str) or not value:
            raise UserError(f"{path}: {key} should be a text that is not empty, not {value!r}")
    return settings


def _checkpoint(path: Path, settings: dict[str, str], saved: Path) -> Path:
    model, method = _described(path, settings)
    begin = f"model_{model}_seed_*_dataset_{escape(settings.get('dataset', 'ml-100k'))}"
    of_method = f"_unlearning_algorithm_{method}_*attribute_gender_unlearn_epoch_*_to_match_3.pth"
    pattern = begin + ("_best.pth" if method is None else of_method)
    found = sorted((saved / VARIANT).rglob(pattern)) or sorted(saved.rglob(pattern))
    if len(found) != 1:
        names = ", ".join(map(str, found)) or f"none like {saved / pattern}"
        raise UserError(f"{path} must match exactly one checkpoint, found {names}; name its file as target_model")
    return found[0]


def _described(path: Path, settings: dict[str, str]) -> tuple[str, str | None]:
    """Return the model's class name, and the algorithm's name (None for the base model), with PoT-AU's defaults."""
    model: tuple[str, ...] = _ours(path, settings, "model", "ncf", MODELS)
    return model[1], _ours(path, settings, "method", ORIGINAL, METHODS)


def _ours(path: Path, settings: dict[str, str], key: str, usual: str, names: dict[str, Any]) -> Any:
    """Translate the value of a key in PoT-AU's file to this program's value.

    Args:
        path: the file, for the message.
        settings: the content of the file.
        key: the key.
        usual: PoT-AU's value if the file does not have the key.
        names: dict from PoT-AU's values to this program's.
    """
    value = settings.get(key, usual)
    if value not in names:
        raise UserError(f"{path}: {key} '{value}' is not one of {', '.join(names)}{suggest(value, names)}")
    return names[value]
