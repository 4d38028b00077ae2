"""Configuration files of the original's ``attack.py``: which of our checkpoints they mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recbole.quick_start.attribute_config import METHODS, MODELS, VARIANT
from recbole.utils import UserError, read_json, suggest

_KEYS = ("attack", "target_model", "method", "model", "dataset_path", "dataset", "device")
_ORIGINALS_FILE = "final_model.pth"


def read_attack_config(path: Path, saved: Path = Path("saved")) -> dict[str, str]:
    """Return what such a file means here.

    ``model``, ``dataset`` and ``method`` name a model of ours in a folder of checkpoints, gender's, whatever its seed,
    one of ``unlearn.py --attribute_config`` first; ``target_model`` the file itself, unless it is the original's
    ``final_model.pth``. ``dataset_path`` is the folder of data sets, ``device`` the device; ``attack`` may be
    ``attack`` alone.

    Args:
        path: the JSON file.
        saved: the folder of checkpoints.

    Returns:
        ``checkpoint``, and ``data_path`` and ``device`` where the file says them.

    Raises:
        UserError: the file cannot be read, says what there is nothing for, or means no checkpoint or several.
    """
    said = _read(path)
    if said.get("attack", "attack") != "attack":
        raise UserError(f"{path}: attack should be 'attack', not {said['attack']!r}: there is nothing else")
    target = said.get("target_model", _ORIGINALS_FILE)
    found = {"checkpoint": target if target != _ORIGINALS_FILE else str(_checkpoint(path, said, saved))}
    return found | {
        ours: said[key] for key, ours in {"dataset_path": "data_path", "device": "device"}.items() if key in said
    }


def _read(path: Path) -> dict[str, str]:
    said = read_json(path, dict)
    for key, value in said.items():
        if key not in _KEYS:
            raise UserError(
                f"{path}: there is nothing for '{key}' here{suggest(key, _KEYS)}; known: {', '.join(_KEYS)}"
            )
        if not isinstance(value, str):
            raise UserError(f"{path}: {key} should be text, not {value!r}")
    return said


def _checkpoint(path: Path, said: dict[str, str], saved: Path) -> Path:
    model, method = _ours(path, said, "model", "ncf", MODELS)[1], _ours(path, said, "method", "original", METHODS)
    begin = f"model_{model}_seed_*_dataset_{said.get('dataset', 'ml-100k')}"
    of_method = f"_unlearning_algorithm_{method}_*attribute_gender_unlearn_epoch_*_to_match_3.pth"
    pattern = begin + ("_best.pth" if method is None else of_method)
    found = sorted((saved / VARIANT).rglob(pattern)) or sorted(saved.rglob(pattern))
    if len(found) != 1:
        names = ", ".join(map(str, found)) or f"none like {saved / pattern}"
        raise UserError(f"{path} should mean one checkpoint, and there is {names}: give its file as target_model")
    return found[0]


def _ours(path: Path, said: dict[str, str], key: str, usual: str, names: dict[str, Any]) -> Any:
    """Return what is called here what the file says of a key."""
    value = said.get(key, usual)
    if value not in names:
        raise UserError(f"{path}: {key} '{value}' is none of {', '.join(names)}{suggest(value, names)}")
    return names[value]
