"""Tables for people (text, Markdown) and for programs (.csv), and numbers in them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from recbole.utils import atomic_write


def as_text(table: pd.DataFrame) -> str:
    """Return a table for a terminal: numbers with four digits, nothing for NaN."""
    return table.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.4g}")


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
