"""Configuration files of PoT-AU's ``attack.py``, translated to checkpoints of this program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recbole.quick_start.attribute_config import METHODS, MODELS, VARIANT
from recbole.utils import UserError, read_json, suggest

_KEYS = ("attack", "target_model", "method", "model", "dataset_path", "dataset", "device")
_ORIGINALS_FILE = "final_model.pth"


def read_attack_config(path: Path, saved: Path = Path("saved")) -> dict[str, str]:
    """Read a configuration file of PoT-AU's ``attack.py`` and find the checkpoint that it describes.

    If ``target_model`` is given and is not PoT-AU's ``final_model.pth``, it is the checkpoint. Otherwise the checkpoint
    with the file's ``model``, ``dataset`` and ``method`` (and the attribute gender) is looked up, whatever its seed,
    first among those that ``unlearn.py --attribute_config`` made. ``dataset_path`` is the folder of the data sets,
    ``device`` the device. ``attack``, if given, must be ``attack``.

    Args:
        path: the JSON file.
        saved: the folder of checkpoints.

    Returns:
        A dict with the key ``checkpoint``, and with ``data_path`` and ``device`` if the file gives them.

    Raises:
        UserError: the file cannot be read, has an unknown key or value, or matches no checkpoint or several.
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


def _read(path: Path) -> dict[str, str]:
    settings = read_json(path, dict)
    for key, value in settings.items():
        if key not in _KEYS:
            raise UserError(f"{path}: unknown key '{key}'{suggest(key, _KEYS)}; known keys: {', '.join(_KEYS)}")
        if not isinstance(value, str):
            raise UserError(f"{path}: {key} should be a text, not {value!r}")
    return settings


def _checkpoint(path: Path, settings: dict[str, str], saved: Path) -> Path:
    model, method = (
        _ours(path, settings, "model", "ncf", MODELS)[1],
        _ours(path, settings, "method", "original", METHODS),
    )
    begin = f"model_{model}_seed_*_dataset_{settings.get('dataset', 'ml-100k')}"
    of_method = f"_unlearning_algorithm_{method}_*attribute_gender_unlearn_epoch_*_to_match_3.pth"
    pattern = begin + ("_best.pth" if method is None else of_method)
    found = sorted((saved / VARIANT).rglob(pattern)) or sorted(saved.rglob(pattern))
    if len(found) != 1:
        names = ", ".join(map(str, found)) or f"none like {saved / pattern}"
        raise UserError(f"{path} must match exactly one checkpoint, found {names}; name its file as target_model")
    return found[0]


def _ours(path: Path, settings: dict[str, str], key: str, usual: str, names: dict[str, Any]) -> Any:
    """Return this program's counterpart of the value that the file gives for a key, or of ``usual`` without one."""
    value = settings.get(key, usual)
    if value not in names:
        raise UserError(f"{path}: {key} '{value}' is not one of {', '.join(names)}{suggest(value, names)}")
    return names[value]
