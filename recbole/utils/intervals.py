"""Parses intervals in the values of settings, such as ``[5,inf)``."""

import re

from recbole.utils.errors import UserError

Interval = tuple[float, float, bool, bool]
"""``(low, high, closed_left, closed_right)``: the two ends, and whether each of them belongs to the interval."""

_INTERVAL = re.compile(r"^\s*([\[(])\s*([^,\s]+)\s*,\s*([^,\s]+)\s*([\])])\s*$")


def parse_intervals(text: str, key: str) -> list[Interval]:
    """Parse a text such as ``"[5,inf)"`` or ``"(0,3];[7,9)"`` into a list of intervals.

    Args:
        text: the setting's value.
        key: the setting's name, for the message.

    Returns:
        One :data:`Interval` for each part between semicolons.

    Raises:
        UserError: the text does not have this form.
    """
    intervals = []
    wrong = UserError(f"{key}: '{text}' is not an interval such as [5,inf) or (0,3];[7,9)")
    for part in str(text).split(";"):
        match = _INTERVAL.match(part)
        if match is None:
            raise wrong
        try:
            low, high = float(match[2]), float(match[3])
        except ValueError:
            raise wrong from None
        intervals.append((low, high, match[1] == "[", match[4] == "]"))
    return intervals
