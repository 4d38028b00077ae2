"""Tables for people (text, Markdown) and for programs (.csv), and numbers in them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recbole.utils import atomic_write, check_replaceable

if TYPE_CHECKING:
    import pandas as pd

"""Characters of a file that are looked at to see whether it is a table."""


def shown(value: float) -> str:
    """Return a number as people are shown it: to four digits."""
    return f"{value:.4g}"


def as_text(table: pd.DataFrame) -> str:
    """Return a table for a terminal: numbers with four digits, nothing for NaN."""
    return table.to_string(index=False, na_rep="", float_format=shown)


def as_short_text(table: pd.DataFrame, once: Collection[str]) -> str:
    """Return a table for a terminal: what is the same in all rows is told above it, and empty columns are left out.

    Args:
        table: with a column for each of ``once``.
        once: the columns that are told above where they have one value; of a column that has none nothing is told.
    """
    empty = [name for name in table if (table[name].isna() | table[name].isin([""])).all()]
    single = [name for name in once if name not in empty and table[name].nunique(dropna=False) == 1]
    told = ", ".join(f"{name} {table[name].iloc[0]}" for name in single)
    rest = table.drop(columns=[*empty, *single]).astype(object)
    rest = rest.where(rest.notna(), None).map(_cell)
    return "\n".join([*([told] if told else []), rest.to_string(index=False)])


def _cell(value: object) -> object:
    if value is None:
        return ""
    return shown(value) if isinstance(value, float) else value


def as_markdown(table: pd.DataFrame) -> str:
    """Return a table in Markdown; cells are shown as ``str`` has them."""
    header = [" | ".join(["", *table.columns, ""]).strip(), "|" + "---|" * len(table.columns)]
    body = ["| " + " | ".join(map(str, row)) + " |" for row in table.itertuples(index=False)]
    return "\n".join([*header, *body])


def write_csv(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as .csv, at full precision.

    Raises:
        UserError: when it cannot be written.
    """
    with atomic_write(path) as file:
        table.to_csv(file, index=False)


def check_own_table(path: str | Path, beginnings: Collection[str]) -> None:
    """Find out whether a table may be written to ``path``: where nothing is, or over a table of ours.

    Args:
        path: of a .csv file that is to be written.
        beginnings: what the first line of such a table of ours begins with.

    Raises:
        UserError: when something else is there.
    """
    check_replaceable(path, "|".join(map(re.escape, beginnings)), "table")


def write_markdown(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table in Markdown.

    Raises:
        UserError: when it cannot be written.
    """
    with atomic_write(path) as file:
        file.write(as_markdown(table) + "\n")


def mean_and_deviation(values: Iterable[float], digits: str) -> str:
    """Return the mean and the standard deviation of repeated runs as text, such as "0.1145 ± 0.0012".

    Args:
        values: one a run; NaN are left out.
        digits: how both are formatted, such as ".4f".

    Returns:
        The mean alone of a single value; an empty text without any.
    """
    known = np.array([value for value in values if not np.isnan(value)])
    if not len(known):
        return ""
    deviation = f" ± {known.std(ddof=1):{digits}}" if len(known) > 1 else ""
    return f"{known.mean():{digits}}{deviation}"
