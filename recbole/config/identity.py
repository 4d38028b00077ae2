"""Which settings determine a trained model, and how to compare them between two models."""

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
    """Return one of the lists in ``properties/deciding.yaml`` of the settings that determine a trained model.

    Args:
        kind: name of the list: ``deciding`` (settings that matter for every model), ``deciding_if_set`` and
            ``hyper_parameters_if_set`` (those that matter unless null), ``with_labels`` (only in the evaluation
            mode labeled) or ``of_ensembles`` (only for ensembles).
    """
    return frozenset(packaged("deciding.yaml").values[kind])


def marked_if_set() -> frozenset[str]:
    """Return the settings and hyper-parameters that determine a model only if they are not null."""
    return marked("deciding_if_set") | marked("hyper_parameters_if_set")


def deciding(values: Mapping[str, Any], model: str, undeclared: Collection[str] = ()) -> dict[str, Any]:
    """Return the settings that determine a trained model, as a dict of plain values sorted by name.

    They are those that :func:`marked` lists, the hyper-parameters in the model's properties file, and ``model``.
    Settings for ensembles and for labels are included only if the run has an ensemble or labels.

    Args:
        values: all settings.
        model: the model's name.
        undeclared: keys that no file in ``properties/`` declares. If the model has no properties file, they count as
            its hyper-parameters.
    """
    declared = packaged(f"model/{model}.yaml").values
    names = marked() | set(declared) | (set() if declared else set(undeclared))
    names = names - marked_if_set() | {key for key in marked_if_set() if values.get(key) is not None}
    names |= marked("with_labels") if _has_labels(values) else set()
    names |= marked("of_ensembles") if values.get("ensemble") else set()
    return plain({key: values.get(key) for key in sorted(names)}) | {"model": model}


def _has_labels(values: Mapping[str, Any]) -> bool:
    """Return whether the evaluation mode is ``labeled``; ``mode`` may also be a single name, as RecBole stores it."""
    mode = (values.get("eval_args") or {}).get("mode")
    return "labeled" in (mode.values() if isinstance(mode, Mapping) else [mode])


@dataclass(frozen=True)
class Identity:
    """Everything that determines a trained model; two runs with equal identities train the same model.

    Attributes:
        settings: dict from setting to plain value.
    """

    settings: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of the settings' canonical JSON, 64 hexadecimal digits."""
        return hashlib.sha256(canonical(self.settings).encode()).hexdigest()

    @property
    def shown(self) -> str:
        """The first eight digits of the digest, as shown in logs and messages."""
        return self.digest[:_SHOWN]

    def differences(self, other: "Identity", but: Collection[str] = ()) -> list[tuple[str, Any, Any]]:
        """Return (key, own value, other's value) for each setting that differs, sorted by key.

        Args:
            other: the identity to compare with.
            but: keys to ignore.
        """
        keys = sorted((set(self.settings) | set(other.settings)) - set(but))
        pairs = [(key, self.settings.get(key, _ABSENT), other.settings.get(key, _ABSENT)) for key in keys]
        return [pair for pair in pairs if canonical(pair[1]) != canonical(pair[2])]


def told(differences: list[tuple[str, Any, Any]], most: int = 4) -> str:
    """Return text for a message: for each key its value in the compared file and in the run's configuration.

    Args:
        differences: (key, value in the configuration, value in the file), as :meth:`Identity.differences` returns them.
        most: how many differences to list; the text gives the number of the others.
    """
    shown = [
        f"{key} is {_short(theirs)} in the file, {_short(ours)} in the configuration"
        for key, ours, theirs in differences[:most]
    ]
    left = len(differences) - most
    return "; ".join(shown) + (f"; and {left} more" if left > 0 else "")


def canonical(value: Any) -> str:
    """Return JSON text that is the same for equal plain values: sorted keys, no spaces, ``2.0`` written as ``2``."""
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
