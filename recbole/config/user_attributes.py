"""Checks the setting ``attributes``, which says how columns of a ``.user`` file divide the users into groups."""

import math
from collections.abc import Mapping
from itertools import chain
from typing import Any

from recbole.config.rules import NAME, Rule, is_number
from recbole.utils import UserError, suggest


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _are_values(values: Any) -> bool:
    return all(isinstance(value, str) or is_number(value) for value in _listed(values))


def _are_bins(bins: Any) -> bool:
    bounds = _listed(bins)
    numbers = bool(bounds) and all(is_number(bound) and math.isfinite(bound) for bound in bounds)
    return numbers and bounds == sorted(set(bounds))


def _are_groups(groups: Any) -> bool:
    if not isinstance(groups, dict) or not (_are_values(list(groups)) and all(map(_are_values, groups.values()))):
        return False
    united = [str(value) for value in chain.from_iterable(map(_listed, groups.values()))]
    return len(set(united)) == len(united)


_KEYS = {
    "column": NAME,
    "bins": Rule("ascending numbers, like [35, 45]", _are_bins, _listed),
    "groups": Rule(
        "lists of text or numbers, each value in one list only, like {young: [teen, child]}",
        _are_groups,
        lambda groups: {group: _listed(values) for group, values in groups.items()},
    ),
    "missing": Rule("a list of text or numbers, like [unknown]", _are_values, _listed),
}
"""Dict from each key that the settings of an attribute can have to the rule for its value, which may also be null."""


def checked_attributes(attributes: Any, where: str) -> dict[str, dict[str, Any]] | None:
    """Check the setting ``attributes`` (:func:`recbole.data.attributes.read_attribute` explains it).

    Args:
        attributes: the setting's value, a dict from an attribute's name to its settings, or None.
        where: the place that set the value, for messages.

    Returns:
        The same dict, in which settings that are null are left out, and a single value where a list is expected is a
        list of one. None if the setting is None.

    Raises:
        UserError: a key is unknown, or a name or value has another type or form.
    """
    if attributes is None:
        return None
    of = f"attributes ({where})"
    if not isinstance(attributes, dict):
        raise UserError(f"{of} should map attributes to settings, like {{age: {{bins: [35]}}}}, not {attributes!r}")
    for name in attributes:
        if not isinstance(name, str):
            raise UserError(f"{of}: the name {name!r} of an attribute should be text: put it in quotes")
    return {name: _checked(spec, f"{of}: {name}") for name, spec in attributes.items()}


def _checked(spec: Any, of: str) -> dict[str, Any]:
    """Return the settings of one attribute, checked as in :func:`checked_attributes`; ``of`` begins messages."""
    given: Mapping[Any, Any] = {} if spec is None else spec
    if not isinstance(given, dict):
        raise UserError(f"{of} should be a dictionary with the keys {', '.join(_KEYS)}, not {spec!r}")
    found = {}
    for key, value in given.items():
        if key not in _KEYS:
            raise UserError(f"{of} has the unknown key {key!r}{suggest(str(key), _KEYS)}")
        if value is not None and not _KEYS[key].meets(value):
            raise UserError(f"{of}: {key} should be {_KEYS[key].told}, not {value!r}")
        if value is not None:
            found[key] = _KEYS[key].kind(value)
    if "bins" in found and "groups" in found:
        raise UserError(f"{of} has both bins and groups: remove one of them")
    return found
