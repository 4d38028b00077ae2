"""Intervals in the comparison: columns of their own in the table, and ``value [low, high]`` where people read it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from recbole.report.columns import FORGOTTEN_PAIRS, HEADROOM, Wanted, matching, rows_of
from recbole.report.tables import shown

if TYPE_CHECKING:
    import pandas as pd

    from recbole.evaluator.kinds import Row

HEADROOM_ENDS = ("headroom low", "headroom high")
"""Headings of the interval of base minus retrained, of the log-odds of the forgotten pairs that were trained on."""

NOTHING_TO_FORGET = "nothing to forget here"

_METRICS = ("ndcg", "forgotten_log_odds", "target_rank")
"""Metrics whose intervals are shown."""

_YARDSTICKS = ("base", "retrained", "clean")


def ends(heading: str) -> tuple[str, str]:
    """Return the headings of the ends of a column's intervals."""
    return f"{heading} low", f"{heading} high"


def with_intervals(columns: Mapping[str, Wanted]) -> list[str]:
    """Return the headings of the columns whose intervals are shown."""
    return [heading for heading, wanted in columns.items() if wanted["metric"] in _METRICS]


def intervals_of(rows: Iterable[Row], columns: Mapping[str, Wanted]) -> dict[str, float]:
    """Return the ends of the intervals of one model at one checkpoint by heading, NaN where there is none."""
    found, told = rows_of(rows, columns), with_intervals(columns)
    values: dict[str, float] = {}
    for heading in told:
        row = found.get(heading, {})
        values |= dict(zip(ends(heading), map(_number, (row.get("low"), row.get("high"))), strict=True))
    return values


def headroom_of(base: Iterable[Row]) -> dict[str, float]:
    """Return the ends of the interval of what the base has more than the retrained model, from the base's rows."""
    row = next(iter(matching(base, HEADROOM)), {})
    return dict(zip(HEADROOM_ENDS, map(_number, (row.get("low"), row.get("high"))), strict=True))


def as_told(table: pd.DataFrame) -> pd.DataFrame:
    """Return a comparison with each interval beside its value in one cell.

    Where base and retrained do not differ, what others show of the forgotten pairs is not to be interpreted: the cell
    says so.
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
    """Return a value with the ends of its interval, where there is one, as people are shown them."""
    if math.isnan(value):
        return ""
    return shown(value) if math.isnan(low) else f"{shown(value)} [{shown(low)}, {shown(high)}]"


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
