"""Read a data set's atomic files as tables: interactions, and features of users and items."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole.data.arrow_arrays import integers
from recbole.data.atomic import read_atomic
from recbole.data.filters import within
from recbole.utils import FeatureType, UserError
from recbole.utils.intervals import parse_intervals

if TYPE_CHECKING:
    from recbole.config import Config

logger = logging.getLogger("recbole")

SIDES = ("user", "item")


def read_table(
    path: Path, columns: Iterable[str] | None, config: Config, fields: Mapping[str, str], sides: Iterable[str]
) -> pa.Table:
    """Return the Arrow table of an atomic file.

    Args:
        path: the file.
        columns: names of the columns to read; None for all.
        config: reads ``field_separator``, ``seq_separator`` and ``bad_lines``. With ``bad_lines: leave_out``, extra
            values are cut off and rows of an ``.inter`` file without a user or an item are dropped, with a warning.
        fields: dict from ``"user"``, ``"item"`` and ``"time"`` to the name of their column.
        sides: which of the columns ``"user"`` and ``"item"`` the file must have, with the type token.

    Raises:
        UserError: the file or a column is missing, a line is malformed, or a row of an ``.inter`` file has no user or
            no item, or such a file has a column ``user`` or ``item`` that is not the one with the ids.
    """
    lenient, interactions = config["bad_lines"] == "leave_out", path.suffix == ".inter"
    separators = config["field_separator"], config["seq_separator"]
    table = read_atomic(path, columns, *separators, encoded=interactions, surplus=lenient)
    for side in sides:
        column, key = fields[side], f"{side.upper()}_ID_FIELD"
        if column not in table.types:
            raise UserError(f"{path}: column '{column}' ({key}) is not loaded; add it to load_col, or correct {key}")
        if table.types[column] is not FeatureType.TOKEN:
            raise UserError(f"{path}:1: column '{column}' ({key}) should have the type token: write '{column}:token'")
    if not interactions:
        return table.table
    for side in SIDES:
        if side in table.types and side not in (fields["user"], fields["item"]):
            raise UserError(
                f"{path}: a column called '{side}' should be the one with the {side}s' ids: set "
                f"{side.upper()}_ID_FIELD, rename the column, or leave it out of load_col"
            )
    if table.types.get(fields["time"], FeatureType.FLOAT) is not FeatureType.FLOAT:
        raise UserError(
            f"{path}:1: column '{fields['time']}' (TIME_FIELD) should have the type float: "
            f"write '{fields['time']}:float'"
        )
    if lenient:
        return _without_missing(path, table.table, [fields[side] for side in sides])
    for side in sides:
        _refuse_missing(path, table.table, fields[side], f"{side.upper()}_ID_FIELD")
    return table.table


def _without_missing(path: Path, table: pa.Table, columns: Iterable[str]) -> pa.Table:
    """Return the rows with a value in all of ``columns``; log a warning with the number of rows that are dropped."""
    for column in columns:
        if missing := table[column].null_count:
            logger.warning("%s: %d rows without %s are dropped", path, missing, column)
            table = table.filter(pc.is_valid(table[column]))
    return table.combine_chunks()


def _refuse_missing(path: Path, table: pa.Table, column: str, key: str) -> None:
    """Raise a UserError if a row has no value in ``column`` (RecBole drops such rows), naming the first such line.

    ``key`` is the setting with the column's name, such as ``USER_ID_FIELD``, for the message.
    """
    missing = table[column].null_count
    if not missing:
        return
    row = pc.index(pc.is_null(table[column]), True).as_py()
    with open(path, "rb") as file:
        filled = (number for number, line in enumerate(file, start=1) if line.strip(b"\r\n"))
        number = next(islice(filled, row + 1, None))  # the first is the header
    raise UserError(
        f"{path}:{number}: column '{column}' ({key}) has no value, in {missing} of {len(table)} rows; "
        "fill it in or remove these rows"
    )


# --- features of users and items -----------------------------------------------------------------------------------


def read_features(config: Config, fields: Mapping[str, str]) -> dict[str, pa.Table]:
    """Read the feature files ``<dataset>.user`` and ``<dataset>.item``; rows without an id are left out.

    The files that ``load_col`` names are read; if it is null, those that exist. ``fields`` maps ``"user"`` and
    ``"item"`` to the names of their id columns.

    Returns:
        Dict from ``"user"`` and ``"item"`` to the table of the file, for the files that were read.

    Raises:
        UserError: a file or column is missing, or a line is malformed.
    """
    folder, name, wanted = Path(config["data_path"]), config["dataset"], config["load_col"]
    paths = {side: folder / f"{name}.{side}" for side in SIDES}
    chosen = [side for side in SIDES if (paths[side].is_file() if wanted is None else side in wanted)]
    found = {}
    for side in chosen:
        table = read_table(paths[side], None if wanted is None else wanted[side], config, fields, (side,))
        found[side] = table.filter(pc.is_valid(table[fields[side]]))
    return found


def features_within(
    features: Mapping[str, pa.Table], intervals: Mapping[str, str], loaded: Iterable[str]
) -> dict[str, pa.Table]:
    """Filter users and items by the setting ``val_interval``: keep those whose feature values lie in the intervals.

    Args:
        features: the tables that :func:`read_features` returned.
        intervals: dict from a column's name to its interval, such as ``"[3,inf)"``.
        loaded: names of the columns of the interactions. Intervals of these columns are not applied here.

    Returns:
        Dict like ``features``, with the rows that are kept.

    Raises:
        UserError: a column in ``intervals`` is loaded neither for interactions nor for features, or it holds tokens.
    """
    kept, columns = dict(features), set(loaded)
    for column, text in intervals.items():
        of = [side for side in SIDES if side in kept and column in kept[side].column_names]
        if column not in columns and not of:
            known = [*columns, *(name for table in features.values() for name in table.column_names)]
            raise UserError(f"val_interval: '{column}' is not among the loaded columns {sorted(known)}")
        for side in of:
            values = kept[side][column]
            if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
                raise UserError(f"val_interval: column '{column}' holds tokens, not numbers")
            number = values.to_numpy().astype(np.float64)
            kept[side] = kept[side].filter(pa.array(within(number, parse_intervals(text, f"val_interval: {column}"))))
    return kept


def features_of(table: pa.Table, column: str, tokens: pa.Array, before: np.ndarray, after: np.ndarray) -> pa.Table:
    """Return a feature table without the users (or items) that lost all interactions through a filter.

    Args:
        table: the features of users or of items.
        column: name of the table's id column.
        tokens: Arrow string array of the users (or items) in the interactions.
        before, after: int64 [tokens], number of interactions of each before and after the filter.
    """
    banned = np.flatnonzero((before > 0) & (after == 0))
    gone = tokens.take(integers(banned)).cast(pa.string())
    return table.filter(pc.invert(pc.is_in(table[column].cast(pa.string()), value_set=gone))) if len(gone) else table


# --- sequences of an interaction ------------------------------------------------------------------------------------


def without_lists(table: pa.Table) -> tuple[pa.Table, dict[str, pa.ListArray]]:
    """Split a table by columns: return a table of those with single values, and a dict of those with sequences."""
    names = [name for name, kind in zip(table.column_names, table.schema.types, strict=True) if pa.types.is_list(kind)]
    lists = {name: table[name].combine_chunks() for name in names}
    return (table.drop_columns(names) if names else table), lists
