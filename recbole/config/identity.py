"""The settings that determine a trained model, and their comparison between two models.

They are stored in the file of each model. Before a run uses or replaces a file, it compares them with its own.
"""

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from recbole.config.layers import packaged
from recbole.config.plain import plain
from recbole.utils.errors import on_one_line

_SHOWN = 8
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ABSENT = "not set"


@cache
def marked(kind: str = "deciding") -> frozenset[str]:
    """Return the names of settings that determine a trained model, from one list in ``properties/deciding.yaml``.

    Args:
        kind: the name of the list. ``deciding``: settings that matter for every model. ``deciding_if_set`` and
            ``hyper_parameters_if_set``: settings and models' hyper-parameters that matter unless they are null.
            ``with_labels``: settings that matter only with the evaluation mode ``labeled``. ``of_ensembles``: settings
            that matter only for ensembles. ``of_programs``: settings that determine no model, and that only the
            command-line programs read.
    """
    return frozenset(packaged("deciding.yaml").values[kind])


def marked_if_set() -> frozenset[str]:
    """Return the names of the settings and hyper-parameters that determine a model only if they are not null."""
    return marked("deciding_if_set") | marked("hyper_parameters_if_set")


def deciding(values: Mapping[str, Any], model: str, undeclared: Collection[str] = ()) -> dict[str, Any]:
    """Select the settings that determine a trained model.

    These are the settings whose names :func:`marked` returns, the model's hyper-parameters, and ``model``. The settings
    for ensembles and for labels are included only if the run has an ensemble, or the evaluation mode ``labeled``.

    Args:
        values: all settings of the run, name to value.
        model: the model's class name. Its hyper-parameters are the keys in ``properties/model/<model>.yaml``.
        undeclared: names of settings that no packaged file contains. They count as the hyper-parameters of a model
            without such a file, for example of another package.

    Returns:
        A dict from name to plain value.
    """
    declared = packaged(f"model/{model}.yaml").values
    names = marked() | set(declared) | (set() if declared else set(undeclared))
    names = names - marked_if_set() | {key for key in marked_if_set() if values.get(key) is not None}
    names |= marked("with_labels") if _has_labels(values) else set()
    names |= marked("of_ensembles") if values.get("ensemble") else set()
    return plain({key: values.get(key) for key in sorted(names)}) | {"model": model}


def _has_labels(values: Mapping[str, Any]) -> bool:
    """Return whether the evaluation mode in the settings is ``labeled`` for validation or test.

    ``mode`` in ``eval_args`` is a dict with one mode for each, or a single mode, as in files that RecBole has written.
    """
    mode = (values.get("eval_args") or {}).get("mode")
    return "labeled" in (mode.values() if isinstance(mode, Mapping) else [mode])


@dataclass(frozen=True)
class Identity:
    """Everything that determines the parameters of a model. Two runs with equal identities make the same model.

    Attributes:
        settings: dict from name to plain value. It has the settings that matter for the result, digests of the data and
            of the forgotten interactions, and for an unlearned model the digest of its base model.
    """

    settings: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """The SHA-256 of :attr:`settings` as JSON text, 64 hexadecimal digits."""
        return hashlib.sha256(canonical(self.settings).encode()).hexdigest()

    @property
    def shown(self) -> str:
        """The first eight digits of the digest, as shown in logs and messages."""
        return self.digest[:_SHOWN]

    def differences(self, other: "Identity", but: Collection[str] = ()) -> list[tuple[str, Any, Any]]:
        """Return what differs between two identities: (name, value here, value in ``other``), sorted by name.

        A value that is missing is given as ``not set``.

        Args:
            other: the identity to compare with.
            but: names to ignore.
        """
        keys = sorted((set(self.settings) | set(other.settings)) - set(but))
        pairs = [(key, self.settings.get(key, _ABSENT), other.settings.get(key, _ABSENT)) for key in keys]
        return [pair for pair in pairs if canonical(pair[1]) != canonical(pair[2])]


def told(differences: list[tuple[str, Any, Any]], most: int = 4) -> str:
    """Return text for a message that lists in what the settings of a run and those in a file differ.

    Args:
        differences: (name, value in the run, value in the file) for each, as from :meth:`Identity.differences`.
        most: the largest number of differences to list. If there are more, the text says how many.
    """
    shown = [
        f"{key} is {_short(theirs)} in the file, {_short(ours)} in the configuration"
        for key, ours, theirs in differences[:most]
    ]
    left = len(differences) - most
    return "; ".join(shown) + (f"; and {left} more" if left > 0 else "")


def canonical(value: Any) -> str:
    """Return a plain value as JSON text, such that equal values have equal texts.

    Keys are sorted, there are no spaces, and whole numbers are written as integers (``2.0`` as ``2``).
    """
    return json.dumps(_whole(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _whole(part) for key, part in value.items()}
    return [_whole(part) for part in value] if isinstance(value, (list, tuple)) else value


def _short(value: Any) -> str:
    text = on_one_line(value) if isinstance(value, str) else canonical(value)
    if _SHA256.fullmatch(text):
        return text[:_SHOWN]
    return text if len(text) <= 40 else f"{text[:37]}..."
