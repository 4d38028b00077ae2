"""Formats numbers and tables as text, Markdown or .csv."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recbole.utils import atomic_write, check_replaceable

if TYPE_CHECKING:
    import pandas as pd


def shown(value: float) -> str:
    """Return a number as text with four significant digits."""
    return f"{value:.4g}"


def as_text(table: pd.DataFrame) -> str:
    """Return a table as text: numbers with four significant digits, empty cells for NaN."""
    return table.to_string(index=False, na_rep="", float_format=shown)


def as_short_text(table: pd.DataFrame, once: Collection[str]) -> str:
    """Return a table as text, without empty columns and with constant columns moved into a line above the table.

    Args:
        table: the table.
        once: names of columns. Those that have the same value in all rows are printed only above the table.
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
    """Return a table in Markdown, with cells formatted by ``str``."""
    header = [" | ".join(["", *table.columns, ""]).strip(), "|" + "---|" * len(table.columns)]
    body = ["| " + " | ".join(map(str, row)) + " |" for row in table.itertuples(index=False)]
    return "\n".join([*header, *body])


def write_csv(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as .csv, at full precision.

    Raises:
        UserError: the file cannot be written.
    """
    with atomic_write(path) as file:
        table.to_csv(file, index=False)


def check_own_table(path: str | Path, beginnings: Collection[str]) -> None:
    """Check that a .csv file can be written, and that a file that would be replaced is a table of this program.

    Args:
        path: the .csv file to write.
        beginnings: texts with which the first line of such a table can begin.

    Raises:
        UserError: the file exists and is no table of this program, or it cannot be written.
    """
    check_replaceable(path, "|".join(map(re.escape, beginnings)), "table")


def write_markdown(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table in Markdown.

    Raises:
        UserError: the file cannot be written.
    """
    with atomic_write(path) as file:
        file.write(as_markdown(table) + "\n")


def mean_and_deviation(values: Iterable[float], digits: str) -> str:
    """Return the mean and the standard deviation of repeated runs as text, such as "0.1145 ± 0.0012".

    Args:
        values: one value per run; NaN are left out.
        digits: the format of both numbers, such as ".4f".

    Returns:
        Only the mean for a single value; an empty text if there is no value.
    """
    known = np.array([value for value in values if not np.isnan(value)])
    if not len(known):
        return ""
    deviation = f" ± {known.std(ddof=1):{digits}}" if len(known) > 1 else ""
    return f"{known.mean():{digits}}{deviation}"
