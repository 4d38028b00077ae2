"""Intervals as they are written in settings."""

import re

from recbole.utils.errors import UserError

_INTERVAL = re.compile(r"^\s*([\[(])\s*([^,\s]+)\s*,\s*([^,\s]+)\s*([\])])\s*$")


def parse_intervals(text, key):
    """Parse ``"[5,inf)"`` or ``"(0,3];[7,9)"`` into a list of ``(low, high, closed_left, closed_right)``.

    Raises:
        UserError: naming ``key`` when the text is not of that form.
    """
    intervals = []
    for part in str(text).split(";"):
        match = _INTERVAL.match(part)
        try:
            low, high = float(match[2]), float(match[3])
        except (TypeError, ValueError):
            raise UserError(f"{key}: '{text}' is not an interval such as [5,inf) or (0,3];[7,9)") from None
        intervals.append((low, high, match[1] == "[", match[4] == "]"))
    return intervals
