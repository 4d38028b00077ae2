"""Settings as plain values that may be stored and shown, without secrets."""

import re
from enum import Enum
from typing import Any

from recbole.utils import UserError

_ODD = re.compile("[\0\ud800-\udfff]")
_SECRET = re.compile(r"token$|password|passwd|secret|api_?key", re.IGNORECASE)


def is_secret(key: str) -> bool:
    """Return whether a key by its name holds a credential."""
    return bool(_SECRET.search(str(key)))


def refuse_odd_text(value: Any, where: str) -> None:
    """Refuse text that is in no file name and no UTF-8: a NUL, or half of a character (bytes of another encoding).

    Args:
        value: a setting, nested ones too.
        where: what messages call it.

    Raises:
        UserError: there is some.
    """
    if isinstance(value, dict):
        for key, part in value.items():
            refuse_odd_text(key, where)
            refuse_odd_text(part, where)
    elif isinstance(value, (list, tuple)):
        for part in value:
            refuse_odd_text(part, where)
    elif isinstance(value, str) and _ODD.search(value):
        raise UserError(f"{where} holds a NUL or what is no UTF-8")


def plain(value: Any) -> Any:
    """Return ``value`` made of dict, list, str, int, float, bool and None; keys of credentials are left out."""
    if isinstance(value, dict):
        return {str(key): plain(value[key]) for key in sorted(value, key=str) if not is_secret(key)}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, Enum):
        return value.name
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
