"""Checks that the fields of a run, which are columns of its files and of its batches, have different names."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from recbole.utils import UserError

_OF_FILES = ("USER_ID_FIELD", "ITEM_ID_FIELD", "TIME_FIELD", "RATING_FIELD", "LABEL_FIELD")


class Field(NamedTuple):
    """A field: a column of files or batches.

    Attributes:
        name: its name.
        told: what it is, for messages, such as ``ITEM_ID_FIELD + LIST_SUFFIX``.
        key: the setting that can change the name; None if no setting can.
    """

    name: str
    told: str
    key: str | None = None


def check_field_names(
    values: Mapping[str, Any], where: Callable[[str], str | None], others: Iterable[Field] = ()
) -> None:
    """Check that no two fields have the same name, because in a batch one would replace the other.

    The fields are those that settings name, such as ``USER_ID_FIELD``, and the negative item. ``RATING_FIELD`` and
    ``LABEL_FIELD`` may name the same column, since ratings can serve as labels.

    Args:
        values: all settings, a dict from name to value.
        where: function from a setting's name to the place that set its value, for the message.
        others: further fields.

    Raises:
        UserError: two fields have the same name.
    """
    fields = [Field(values[key], key, key) for key in _OF_FILES if values[key] is not None]
    if values["RATING_FIELD"] == values["LABEL_FIELD"]:
        fields = [field for field in fields if field.key != "LABEL_FIELD"]
    negative = Field(values["NEG_PREFIX"] + values["ITEM_ID_FIELD"], "NEG_PREFIX + ITEM_ID_FIELD", "NEG_PREFIX")
    seen: dict[str, str] = {}
    for name, told, key in (*fields, negative, *others):
        here = told if key is None else f"{told} ({where(key)})"
        if name in seen:
            raise UserError(f"{seen[name]} and {here} have the same name, {name!r}; give them different names")
        seen[name] = here
