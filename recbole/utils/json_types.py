"""Declares which types the values in a JSON file have, and finds the first value that has another one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple

_LEVELS = 100
"""How deeply lists and objects may be nested in values whose type is not declared."""

_SHOWN = 60
"""Largest number of characters of a wrong value in a message."""


class Fault(NamedTuple):
    """What is wrong with a value. As text it is one phrase, such as ``k in row 3 in metrics is -1, but should be ...``.

    Attributes:
        place: where the value is: its key or number, then that of the list or object around it, and so on outwards.
        told: what is wrong, such as ``is missing``.
    """

    place: tuple[str, ...]
    told: str

    def inside(self, name: str) -> Fault:
        """Return the same fault, as seen from the list or object that contains the value under the given name."""
        return Fault((*self.place, name), self.told)

    def __str__(self) -> str:
        return f"{' in '.join(self.place)} {self.told}"


JsonType = Callable[[Any], Fault | None]
"""A function that returns the first fault of a value from ``json.loads``, or None if the value has the right type."""


def text(value: Any) -> Fault | None:
    """Accept a string that can be encoded as UTF-8, unlike half of a character that JSON writes as two escapes."""
    if not isinstance(value, str):
        return _other(value, "a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        return _other(value, "valid Unicode")
    return None


def number(value: Any) -> Fault | None:
    """Accept a finite number; whole numbers must fit into 64 bits, because NumPy has no larger ones."""
    finite = math.isfinite(value) if isinstance(value, float) else _is_whole(value)
    return None if finite else _other(value, "a finite number")


def whole(lowest: int) -> JsonType:
    """Return the type of whole numbers, of at most 64 bits, that are at least ``lowest``."""
    right = f"a whole number of {lowest} or more"
    return lambda value: None if _is_whole(value) and value >= lowest else _other(value, right)


def one_of(*values: Any) -> JsonType:
    """Return the type of values that are one of the given strings, booleans or None."""
    right = f"one of {', '.join(map(json.dumps, values))}"

    def check(value: Any) -> Fault | None:
        known = any(type(value) is type(each) and value == each for each in values)
        return None if known else _other(value, right)

    return check


def nullable(kind: JsonType) -> JsonType:
    """Return the type of values that are either None (``null`` in JSON) or of the given type."""

    def check(value: Any) -> Fault | None:
        fault = None if value is None else kind(value)
        return fault if fault is None or fault.place else Fault((), f"{fault.told}, or null")

    return check


def list_of(kind: JsonType, entry: str = "entry") -> JsonType:
    """Return the type of lists whose entries have the given type.

    Args:
        kind: the type of each entry.
        entry: what messages call an entry, before its number, which counts from 1.
    """

    def check(value: Any) -> Fault | None:
        if not isinstance(value, list):
            return _other(value, "a list")
        found = ((at, kind(part)) for at, part in enumerate(value, start=1))
        return next((fault.inside(f"{entry} {at}") for at, fault in found if fault), None)

    return check


def object_of(kind: JsonType) -> JsonType:
    """Return the type of objects that may have any keys, whose values have the given type."""
    return _object(lambda key: kind)


def object_with(keys: Mapping[str, JsonType], needed: Collection[str] = ()) -> JsonType:
    """Return the type of objects with the given keys.

    Args:
        keys: key to the type of its value. Other keys are accepted with :func:`anything`.
        needed: keys that must be there.
    """
    return _object(lambda key: keys.get(key, anything), needed)


def anything(value: Any, levels: int = _LEVELS) -> Fault | None:
    """Accept any value that can be written again: its texts are :func:`text`, and it is not nested too deeply.

    Args:
        value: the value.
        levels: how deeply lists and objects in it may be nested.
    """
    if isinstance(value, str):
        return text(value)
    if not isinstance(value, (dict, list)):
        return None
    if not levels:
        return Fault((), f"is nested too deeply: there should be at most {_LEVELS} levels")
    part = partial(anything, levels=levels - 1)
    return (object_of if isinstance(value, dict) else list_of)(part)(value)


def _object(type_of: Callable[[str], JsonType], needed: Collection[str] = ()) -> JsonType:
    """Return the type of objects; ``type_of`` returns the type of the value of a key, ``needed`` keys must be there."""

    def check(value: Any) -> Fault | None:
        if not isinstance(value, dict):
            return _other(value, "an object")
        missing = (Fault((key,), "is missing") for key in needed if key not in value)
        found = ((key, text(key) or type_of(key)(part)) for key, part in value.items())
        wrong = (fault.inside(key) for key, fault in found if fault)
        return next(missing, None) or next(wrong, None)

    return check


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _other(value: Any, right: str) -> Fault:
    """Return the fault of a value that is something else than what ``right`` says."""
    if isinstance(value, (dict, list)):
        shown = "an object" if isinstance(value, dict) else "a list"
    else:
        shown = json.dumps(value, ensure_ascii=False)
    shown = shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 3]}..."
    return Fault((), f"is {shown}, but should be {right}")
