"""95 % intervals in the report: separate columns in the .csv table, and cells ``value [low, high]`` when printed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from recbole.report.columns import FORGOTTEN_PAIRS, HEADROOM, Wanted, matching, rows_of
from recbole.report.tables import shown

if TYPE_CHECKING:
    import pandas as pd

    from recbole.evaluator.kinds import Row

HEADROOM_ENDS = ("headroom low", "headroom high")
"""Headings of the columns with the lower and upper end of the headroom's 95 % interval.

The headroom is the mean difference "base minus retrained" between the log-odds of the forgotten user-item pairs that
were in the training data.
"""

NOTHING_TO_FORGET = "nothing to forget here"
"""Text that is printed instead of metrics of forgotten user-item pairs if the headroom's interval contains 0."""

_METRICS = ("ndcg", "forgotten_log_odds", "target_rank")
"""Metrics (in lower case) whose intervals are printed."""

_YARDSTICKS = ("base", "retrained", "clean")


def ends(heading: str) -> tuple[str, str]:
    """Return the headings of the two columns with the lower and upper ends of a column's 95 % intervals."""
    return f"{heading} low", f"{heading} high"


def with_intervals(columns: Mapping[str, Wanted]) -> list[str]:
    """Return the headings, among those of the given columns, whose intervals are printed."""
    return [heading for heading, wanted in columns.items() if wanted["metric"] in _METRICS]


def intervals_of(rows: Iterable[Row], columns: Mapping[str, Wanted]) -> dict[str, float]:
    """Return the ends of the 95 % intervals of one model at one checkpoint.

    Args:
        rows: result rows of the model at the checkpoint.
        columns: heading of a column to the values by which its result row is found.

    Returns:
        For each column whose intervals are printed, the two headings from :func:`ends` to the ends; NaN where the
        result row has no interval or does not exist.
    """
    found, told = rows_of(rows, columns), with_intervals(columns)
    values: dict[str, float] = {}
    for heading in told:
        row = found.get(heading, {})
        values |= dict(zip(ends(heading), interval(row), strict=True))
    return values


def headroom_of(base: Iterable[Row]) -> dict[str, float]:
    """Return the 95 % interval of the headroom (see :data:`HEADROOM_ENDS`).

    Args:
        base: result rows of the base model at one checkpoint.

    Returns:
        The two headings in ``HEADROOM_ENDS`` to the ends; NaN if unknown.
    """
    row = next(iter(matching(base, HEADROOM)), {})
    return dict(zip(HEADROOM_ENDS, interval(row), strict=True))


def interval(row: Row) -> tuple[float, float]:
    """Return the lower and the upper end of a result row's 95 % interval; NaN for an end that is None or missing."""
    low, high = (math.nan if row.get(end) is None else float(row[end]) for end in ("low", "high"))
    return low, high


def as_told(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table of a comparison for printing, with each value and its interval in one cell.

    If base and retrained do not differ in the log-odds of forgotten user-item pairs, the metrics of these pairs say
    nothing about the other models. The text :data:`NOTHING_TO_FORGET` then replaces them.

    Args:
        table: the table of a :class:`~recbole.report.comparison.Comparison`, which is not changed.
    """
    told = table.drop(columns=list(HEADROOM_ENDS))
    for heading in map(str, table):
        low, high = ends(heading)
        if low in told:
            cells = zip(table[heading], table[low], table[high], strict=True)
            told[heading] = [cell(*numbers) for numbers in cells]
            told = told.drop(columns=[low, high])
    first, last = (table[name].astype(float) for name in HEADROOM_ENDS)
    nothing = (first <= 0) & (last >= 0) & ~table["model"].isin(_YARDSTICKS)
    for heading in FORGOTTEN_PAIRS:
        if heading in told:
            known = nothing & table[heading].notna()
            told[heading] = told[heading].astype(object).where(~known, NOTHING_TO_FORGET)
    return told


def cell(value: float, low: float, high: float) -> str:
    """Return the text ``value [low, high]``, only ``value`` if ``low`` is NaN, or "" if ``value`` is NaN."""
    if math.isnan(value):
        return ""
    return shown(value) if math.isnan(low) else f"{shown(value)} [{shown(low)}, {shown(high)}]"
