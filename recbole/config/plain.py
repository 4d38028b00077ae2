"""Converts settings to plain JSON values, without passwords and other credentials, and checks their text."""

import re
from enum import Enum
from typing import Any

from recbole.utils import UserError

_ODD = re.compile("[\0\ud800-\udfff]")
_SECRET = re.compile(r"token$|password|passwd|secret|api_?key", re.IGNORECASE)


def is_secret(key: str) -> bool:
    """Return whether a setting's name suggests that it holds a credential."""
    return bool(_SECRET.search(str(key)))


def refuse_odd_text(value: Any, where: str) -> None:
    """Check that text has no character that file names or UTF-8 cannot contain: NUL or an unpaired surrogate.

    Args:
        value: the value of a setting; the elements of lists and dicts are checked too.
        where: the setting's name and the place that set it, for the message.

    Raises:
        UserError: there is such a character.
    """
    if isinstance(value, dict):
        for key, part in value.items():
            refuse_odd_text(key, where)
            refuse_odd_text(part, where)
    elif isinstance(value, (list, tuple)):
        for part in value:
            refuse_odd_text(part, where)
    elif isinstance(value, str) and _ODD.search(value):
        raise UserError(f"{where} contains a NUL character or invalid UTF-8; remove it")


def plain(value: Any) -> Any:
    """Convert a value, with all its elements, to the types that JSON has: dict, list, str, int, float, bool and None.

    Tuples become lists, sets sorted lists, members of enumerations their names, and other objects strings. Dicts are
    sorted by key, and entries whose keys suggest a credential (:func:`is_secret`) are left out.
    """
    if isinstance(value, dict):
        return {str(key): plain(value[key]) for key in sorted(value, key=str) if not is_secret(key)}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, Enum):
        return value.name
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
