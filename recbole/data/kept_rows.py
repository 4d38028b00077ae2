"""Chooses the rows of the interactions that remain: RecBole's filters, and a check of the remaining times."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole.data.atomic import line_of
from recbole.data.filters import core, first_or_last, within
from recbole.data.tables import SIDES, features_of, features_within
from recbole.utils import UserError
from recbole.utils.intervals import parse_intervals

if TYPE_CHECKING:
    from recbole.config import Config

Codes = tuple[np.ndarray, pa.Array]
"""A column of tokens as (codes, tokens): ``tokens`` is an Arrow string array of the distinct tokens, and ``codes`` has
for each row the index of its token, or -1 if it is missing."""

Columns = dict[str, Any]
"""The columns read from a file, by field name: :data:`Codes` for tokens, a NumPy array for numbers."""


def kept_rows(
    config: Config, columns: Columns, fields: Mapping[str, str], features: dict[str, pa.Table]
) -> tuple[np.ndarray, dict[str, pa.Table]]:
    """Apply RecBole's filters to the interactions and to the feature tables, in RecBole's order.

    Args:
        config: the run's settings, among them those of the filters.
        columns: the columns of the interactions.
        fields: dict from ``"user"``, ``"item"`` and ``"time"`` to the names of their columns.
        features: dict from ``"user"`` and ``"item"`` to their feature table, for those that are loaded.

    Returns:
        The indices (int64, ascending) of the interactions that are kept, and the filtered feature tables.

    Raises:
        UserError: a filter leaves no interaction, or ``val_interval`` names a column that is not loaded or holds
            tokens.
    """
    coded = {side: columns[fields[side]] for side in SIDES}
    (user, _), (item, _) = coded["user"], coded["item"]
    rows = np.arange(len(user))
    if config["rm_dup_inter"]:
        time = columns.get(fields["time"])
        rows = rows[first_or_last(user[rows], item[rows], None if time is None else time[rows], config["rm_dup_inter"])]
    intervals = config["val_interval"] or {}
    features = features_within(features, intervals, columns)
    for column, text in intervals.items():
        if isinstance(columns.get(column), tuple):
            raise UserError(f"val_interval: column '{column}' holds tokens, not numbers")
        if column in columns:
            values = columns[column][rows].astype(np.float64)
            rows = rows[within(values, parse_intervals(text, f"val_interval: {column}"))]
            _refuse_none(rows, f"val_interval: no remaining interaction has a {column} in {text}")
    if config["filter_inter_by_user_or_item"]:
        for side in features:
            code, tokens = coded[side]
            known = pc.is_in(tokens, value_set=features[side][fields[side]].combine_chunks())
            rows = rows[known.to_numpy(zero_copy_only=False)[code[rows]]]
            _refuse_none(
                rows,
                f"filter_inter_by_user_or_item: no remaining interaction has a {side} of {config['dataset']}.{side}, "
                "of which val_interval may leave out some; set it to False, or correct the file",
            )
    return _core(config, coded, fields, features, rows)


def _refuse_none(rows: np.ndarray, told: str) -> None:
    """Raise a UserError with the message ``told`` if no row is left."""
    if not len(rows):
        raise UserError(told)


def _core(
    config: Config,
    coded: dict[str, Codes],
    fields: Mapping[str, str],
    features: dict[str, pa.Table],
    rows: np.ndarray,
) -> tuple[np.ndarray, dict[str, pa.Table]]:
    """Filter the interactions ``rows`` (int64 indices) by the number of interactions of users and items.

    Return those that are kept, and the feature tables without the users and items that lost all interactions hereby.
    ``coded`` has the token columns of users and items, ``fields`` the names of these columns.
    """
    intervals = [parse_intervals(config[f"{s}_inter_num_interval"] or "[0,inf)", f"{s}_inter_num_interval")
                 for s in SIDES]  # fmt: skip
    (user, _), (item, _) = coded["user"], coded["item"]
    if len(rows) == len(user):
        kept = core(user, item, *intervals)
    else:
        kept = rows[core(user[rows], item[rows], *intervals)]
    _refuse_none(
        kept,
        f"{config['dataset']}: no user and item have as many interactions as required by user_inter_num_interval "
        f"{config['user_inter_num_interval']} and item_inter_num_interval {config['item_inter_num_interval']}",
    )
    if len(kept) < len(rows):
        for side, table in features.items():
            code, tokens = coded[side]
            counts = [np.bincount(code[some], minlength=len(tokens)) for some in (rows, kept)]
            features = features | {side: features_of(table, fields[side], tokens, *counts)}
    return kept, features


def refuse_times(columns: Columns, rows: np.ndarray, files: Mapping[Path, int], config: Config) -> None:
    """Check that each remaining interaction has a time, and a finite one, if there is a column of times.

    Args:
        columns: the columns of the interactions.
        rows: int64, the indices of the interactions that the filters keep.
        files: dict from the path of each file to its number of rows, in the order in which they were read.
        config: reads ``TIME_FIELD`` and ``bad_lines``. The line is not known if ``leave_out`` dropped lines.

    Raises:
        UserError: a time is missing or infinite. The message names the file and the line.
    """
    name = config["TIME_FIELD"]
    times = columns.get(name)
    if times is None or times.dtype.kind != "f":
        return
    odd = ~np.isfinite(times)
    wrong = rows[odd[rows]] if odd.any() else rows[:0]
    if not len(wrong):
        return
    at, time = int(wrong[0]), times[wrong[0]]
    what = "is missing" if np.isnan(time) else f"is {time}, not a finite number"
    for path, size in files.items():
        if at < size:
            line = "" if config["bad_lines"] == "leave_out" else f":{line_of(path, at)}"
            raise UserError(f"{path}{line}: column '{name}' (TIME_FIELD) {what}; every interaction needs a time")
        at -= size
