"""Which settings decide a model, and whether two models' agree."""

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from recbole.config.layers import packaged
from recbole.config.plain import plain

_SHOWN = 8
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ABSENT = "not set"


@cache
def marked(kind: str = "deciding") -> frozenset[str]:
    """Return the settings of overall.yaml that decide a model, as ``properties/deciding.yaml`` lists them.

    Args:
        kind: the list: ``deciding`` any model, ``deciding_if_set`` where they are not null, ``with_labels`` or
            ``of_ensembles``.
    """
    return frozenset(packaged("deciding.yaml").values[kind])


def marked_if_set() -> frozenset[str]:
    """Return those that decide a model where they are not null."""
    return marked("deciding_if_set")


def deciding(values: Mapping[str, Any], model: str, undeclared: Collection[str] = ()) -> dict[str, Any]:
    """Return the settings that decide a model, plain and sorted: those marked and those that the model declares.

    Those of ensembles and of labels stand there only where there are any.

    Args:
        values: all settings.
        model: the model's name.
        undeclared: keys that no packaged file knows; the hyper-parameters of a model that has no such file.
    """
    declared = packaged(f"model/{model}.yaml").values
    covered = marked() | set(declared) | (set() if declared else set(undeclared))
    covered |= {key for key in marked_if_set() if values.get(key) is not None}
    covered |= marked("with_labels") if _has_labels(values) else set()
    covered |= marked("of_ensembles") if values.get("ensemble") else set()
    return plain({key: values.get(key) for key in sorted(covered)}) | {"model": model}


def _has_labels(values: Mapping[str, Any]) -> bool:
    """Return whether settings, also those of another program's file, ask for an evaluation by labels."""
    mode = (values.get("eval_args") or {}).get("mode")
    return "labeled" in (mode.values() if isinstance(mode, Mapping) else [mode])


@dataclass(frozen=True)
class Identity:
    """What made a model: two models are the same if these agree.

    Attributes:
        settings: name to plain value.
    """

    settings: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of the settings' canonical JSON, in hexadecimal digits."""
        return hashlib.sha256(canonical(self.settings).encode()).hexdigest()

    @property
    def shown(self) -> str:
        """The digest as it is shown: its first eight digits."""
        return self.digest[:_SHOWN]

    def differences(self, other: "Identity", but: Collection[str] = ()) -> list[tuple[str, Any, Any]]:
        """Return (key, own value, other's value) of what differs, sorted by key; ``but`` are keys to pass over."""
        keys = sorted((set(self.settings) | set(other.settings)) - set(but))
        pairs = [(key, self.settings.get(key, _ABSENT), other.settings.get(key, _ABSENT)) for key in keys]
        return [pair for pair in pairs if canonical(pair[1]) != canonical(pair[2])]


def told(differences: list[tuple[str, Any, Any]], most: int = 4) -> str:
    """Return differences in words: each key with both values, the file's first; of many the first ones."""
    shown = [f"{key} {_short(theirs)} there, {_short(ours)} here" for key, ours, theirs in differences[:most]]
    left = len(differences) - most
    return "; ".join(shown) + (f"; and {left} more" if left > 0 else "")


def canonical(value: Any) -> str:
    """Return the one JSON text of a plain value: keys sorted, no spaces, whole numbers without a fraction."""
    return json.dumps(_whole(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _whole(part) for key, part in value.items()}
    return [_whole(part) for part in value] if isinstance(value, (list, tuple)) else value


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else canonical(value)
    if _SHA256.fullmatch(text):
        return text[:_SHOWN]
    return text if len(text) <= 40 else f"{text[:37]}..."
