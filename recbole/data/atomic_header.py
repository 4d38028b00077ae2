"""The first line of an atomic file, which gives the name and type of each column."""

from collections.abc import Container
from pathlib import Path

from recbole.utils import FeatureType, UserError, suggest

SEPARATOR_NAMES = {"\t": "tab", ",": "comma", ";": "semicolon", " ": "space", "|": "bar"}

QUOTING = ",;"
"""The separators (comma, semicolon) of files in which values may be quoted."""


def read_header(path: str | Path, separator: str = "\t") -> dict[str, FeatureType]:
    """Return the columns of an atomic file as a dict from name to `FeatureType`, in the file's order.

    Args:
        path: the file.
        separator: the character between columns.

    Raises:
        UserError: the file cannot be read, is empty or not UTF-8, or a column has no type, an unknown type, or a name
            that appears twice.
    """
    try:
        with open(path, "rb") as file:
            line = file.readline()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if not line:
        raise UserError(f"{path}: empty file, expected a header such as 'user_id:token{separator}item_id:token'")
    try:
        names = [_unquoted(name, separator) for name in line.decode("utf-8-sig").rstrip("\r\n").split(separator)]
    except UnicodeDecodeError as error:
        raise UserError(f"{path}:1: not UTF-8 text") from error
    known = {kind.value: kind for kind in FeatureType}
    types: dict[str, FeatureType] = {}
    for column in names:
        name, colon, kind = column.rpartition(":")
        if not colon or not name:
            raise UserError(
                f"{path}:1: column '{column}' has no type, expected '{column.strip(':')}:token' or ':float'"
            )
        if len(names) == 1 and (other := _other_separator(names, known)):
            raise UserError(f"{path}:1: the columns are separated by {other}s: set field_separator")
        if kind not in known:
            hint = suggest(kind, known) or f", known are {', '.join(known)}"
            raise UserError(f"{path}:1: column '{name}' has the unknown type '{kind}'{hint}")
        if name in types:
            raise UserError(f"{path}:1: column '{name}' appears twice")
        types[name] = known[kind]
    return types


def _unquoted(name: str, separator: str) -> str:
    """Return a column's name without the quotes around it, if there are any."""
    quoted = separator in QUOTING and len(name) > 1 and name[0] == name[-1] == '"'
    return name[1:-1] if quoted else name


def _other_separator(names: list[str], known: Container[str]) -> str | None:
    """Return the name of the separator that a header seems to use instead, or None if no other one fits."""
    line = "".join(names)
    for character, title in SEPARATOR_NAMES.items():
        columns = [name.strip('" ') for name in line.split(character)]
        if len(columns) > 1 and all(column.rpartition(":")[2] in known for column in columns):
            return title
    return None
