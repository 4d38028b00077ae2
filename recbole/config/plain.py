"""Settings as plain values that may be stored and shown, without secrets."""

import re
from enum import Enum
from typing import Any

_SECRET = re.compile(r"token$|password|passwd|secret|api_?key", re.IGNORECASE)


def is_secret(key: str) -> bool:
    """Return whether a key by its name holds a credential."""
    return bool(_SECRET.search(str(key)))


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
