"""The columnar log: what everybody did, read once, numbered once, labelled once."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from recbole.data.arrow_arrays import filled, numbers, strings
from recbole.data.atomic import read_atomic, release_memory
from recbole.data.filters import core, first_or_last, within
from recbole.data.ids import grouped, ordered
from recbole.data.split import TRAIN, order_key, split_labels
from recbole.data.split_files import joined, split_files
from recbole.data.vocabulary import Vocabulary, number_tokens
from recbole.utils import FeatureType, UserError
from recbole.utils.intervals import parse_intervals

if TYPE_CHECKING:
    from recbole.config import Config

logger = logging.getLogger("recbole")

Codes = tuple[np.ndarray, pa.Array]
"""Of a token column: for each row the place of its token in the Arrow string array; -1 where there is none."""

Columns = dict[str, Any]
"""What was read, by field name: :data:`Codes` of tokens, an array of numbers."""


@dataclass(frozen=True)
class InteractionLog:
    """Interactions sorted by user and, within a user, by time (or the order asked for). Never changed, never copied.

    Attributes:
        user, item: int64 ids [n_rows]; 0 is padding and does not occur.
        columns: further columns by field name [n_rows]: ids of tokens (int64), or numbers (int64, float64).
        offsets: int64 [n_users + 1]; the rows of user ``u`` are ``offsets[u]:offsets[u + 1]``.
        vocabulary: field name to :class:`~recbole.data.vocabulary.Vocabulary`.
        split: int8 [n_rows], the label of the example whose target the row is; empty until the task has set it, unless
            the files say it (``benchmark_filename``).
        features: ``"user"`` and ``"item"`` to the Arrow table of their atomic file, if loaded.
    """

    name: str
    user: np.ndarray
    item: np.ndarray
    columns: dict[str, np.ndarray]
    offsets: np.ndarray
    vocabulary: dict[str, Vocabulary]
    split: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int8))
    features: dict[str, pa.Table] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.user)

    def rows_of(self, users: npt.ArrayLike) -> np.ndarray:
        """Return the rows (int64, ascending within each user) of an array of user ids."""
        users = np.asarray(users, dtype=np.int64)
        return ranges(self.offsets[users], self.offsets[users + 1])

    @cached_property
    def by_item(self) -> tuple[np.ndarray, np.ndarray]:
        """``(rows, offsets)``: row numbers grouped by item id, and the int64 offsets [n_items + 1] into them."""
        n_items = len(self.vocabulary["item"])
        return grouped(self.item), np.concatenate([[0], np.cumsum(np.bincount(self.item, minlength=n_items))])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over tokens, ids, times and split labels: equal for equal data, filters, order and split."""
        digest = hashlib.sha256()
        for side in ("user", "item"):
            for token in self.vocabulary[side].token_array.to_pylist():
                digest.update(token.encode() + b"\n")
        for array in (self.user, self.item, *(self.columns[name] for name in sorted(self.columns)), self.split):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def ranges(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the concatenation of ``arange(start, end)`` over pairs, without a loop."""
    sizes = ends - starts
    total = int(sizes.sum())
    shift = np.repeat(starts - np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes)
    return np.arange(total, dtype=np.int64) + shift


def group_offsets(groups: np.ndarray, n_groups: int) -> np.ndarray:
    """Return the int64 offsets [n_groups + 1] of an ascending array of group numbers."""
    return np.concatenate([[0], np.cumsum(np.bincount(groups, minlength=n_groups))]).astype(np.int64)


def load_log(config: Config) -> InteractionLog:
    """Read, filter, number and sort the atomic files of ``config["dataset"]``; the split labels are left to the task.

    With ``benchmark_filename`` the labels are those of the files. No row is filtered then, and a user's rows are in the
    files' order.

    Raises:
        UserError: for a missing file or column, a malformed line, a row without user or item, or a filter that leaves
            nothing.
    """
    fields = {"user": config["USER_ID_FIELD"], "item": config["ITEM_ID_FIELD"], "time": config["TIME_FIELD"]}
    return _sort(_unsorted(config, fields), config, fields["time"])


def load_more(config: Config, path: Path) -> InteractionLog:
    """Read a file of further interactions, unfiltered, as a sorted log with ids of its own; it has no split labels.

    It has the columns that are loaded of the data set's own file. Where files say the split of that, all of these are
    for training.

    Raises:
        UserError: for a missing file or column, a malformed line, or a row without user or item.
    """
    fields = {"user": config["USER_ID_FIELD"], "item": config["ITEM_ID_FIELD"], "time": config["TIME_FIELD"]}
    table = _read(path, (config["load_col"] or {}).get("inter"), config, fields, ("user", "item"))
    if not len(table):
        raise UserError(f"{path}: holds no interaction")
    log = _number(path.stem, _columns(table), fields, {}, np.arange(len(table)))
    if config["benchmark_filename"]:
        log = replace(log, split=np.full(len(log), TRAIN, dtype=np.int8))
    return _sort(log, config, fields["time"])


def _unsorted(config: Config, fields: Mapping[str, str]) -> InteractionLog:
    """Return the log in the order of the file, without offsets and labels; ids are int32, to be sorted."""
    name, folder, wanted = config["dataset"], Path(config["data_path"]), config["load_col"] or {}
    files, split = split_files(config), np.empty(0, dtype=np.int8)
    sides = ("user", "item")
    if files is None:
        columns = _columns(_read(folder / f"{name}.inter", wanted.get("inter"), config, fields, sides))
    else:
        tables = {path: _read(path, wanted.get("inter"), config, fields, sides) for path in files}
        table, split = joined(tables, list(files.values()))
        columns = _columns(table)
        del tables, table
    features = {
        side: _read(folder / f"{name}.{side}", wanted[side], config, fields, (side,))
        for side in ("user", "item")
        if side in wanted
    }
    rows = _kept_rows(config, columns, fields, features) if files is None else np.arange(len(split))
    if not len(rows):
        raise UserError(f"{folder / f'{name}.inter'}: the filters leave no interaction; look at *_inter_num_interval")
    return replace(_number(name, columns, fields, features, rows), split=split)


def _read(
    path: Path, columns: Iterable[str] | None, config: Config, fields: Mapping[str, str], sides: Iterable[str]
) -> pa.Table:
    """Return the Arrow table of an atomic file that must hold the ids of ``sides``."""
    table = read_atomic(path, columns, config["field_separator"], config["seq_separator"], path.suffix == ".inter")
    for side in sides:
        column, key = fields[side], f"{side.upper()}_ID_FIELD"
        if column not in table.types:
            raise UserError(f"{path}: no column '{column}' ({key}) is loaded")
        if table.types[column] is not FeatureType.TOKEN:
            raise UserError(f"{path}:1: column '{column}' ({key}) should be a token: write '{column}:token'")
    if path.suffix != ".inter":
        return table.table
    for column, kind in table.types.items():
        if kind in (FeatureType.TOKEN_SEQ, FeatureType.FLOAT_SEQ):
            raise UserError(f"{path}: column '{column}' is a sequence; interactions hold single tokens and numbers")
    if table.types.get(fields["time"]) is FeatureType.TOKEN:
        raise UserError(f"{path}:1: column '{fields['time']}' (TIME_FIELD) should be a number: write it with ':float'")
    for side in sides:
        _refuse_missing(path, table.table, fields[side], f"{side.upper()}_ID_FIELD")
    return table.table


def _refuse_missing(path: Path, table: pa.Table, column: str, key: str) -> None:
    """Raise a UserError that names the first line without a user or an item; RecBole drops such rows silently."""
    missing = table[column].null_count
    if not missing:
        return
    row = pc.index(pc.is_null(table[column]), True).as_py()
    with open(path, "rb") as file:
        filled = (number for number, line in enumerate(file, start=1) if line.strip(b"\r\n"))
        number = next(islice(filled, row + 1, None))  # the first is the header
    raise UserError(
        f"{path}:{number}: column '{column}' ({key}) has no value, in {missing} of {len(table)} rows; "
        "fill it in, or remove the rows"
    )


def _columns(table: pa.Table) -> Columns:
    """Return the columns as arrays, in the table's order, so that what Arrow parsed can be let go."""
    numeric = (pa.types.is_integer, pa.types.is_floating)
    return {
        name: numbers(column) if any(kind(column.type) for kind in numeric) else _encode(column)
        for name, column in zip(table.column_names, table.columns, strict=True)
    }


def _encode(column: pa.ChunkedArray) -> Codes:
    """Return ``(codes, dictionary)`` of an Arrow column of strings or their dictionary; a missing token is -1."""
    encoded = column.dictionary_encode().combine_chunks()
    return filled(encoded.indices), encoded.dictionary


def _kept_rows(
    config: Config, columns: Columns, fields: Mapping[str, str], features: Mapping[str, pa.Table]
) -> np.ndarray:
    """Apply RecBole's filters in its order; return the kept rows."""
    (user, user_tokens), (item, item_tokens) = columns[fields["user"]], columns[fields["item"]]
    rows = np.arange(len(user))
    if config["rm_dup_inter"]:
        time = columns.get(fields["time"])
        rows = rows[first_or_last(user[rows], item[rows], None if time is None else time[rows], config["rm_dup_inter"])]
    for column, text in (config["val_interval"] or {}).items():
        if column not in columns:
            raise UserError(f"val_interval: '{column}' is not among the loaded columns {list(columns)}")
        if isinstance(columns[column], tuple):
            raise UserError(f"val_interval: '{column}' holds tokens; only numbers lie in intervals")
        values = columns[column][rows].astype(np.float64)
        rows = rows[within(values, parse_intervals(text, f"val_interval: {column}"))]
    if config["filter_inter_by_user_or_item"]:
        for side, (code, tokens) in (("user", (user, user_tokens)), ("item", (item, item_tokens))):
            if side in features:
                known = pc.is_in(tokens, value_set=features[side][fields[side]].combine_chunks())
                rows = rows[known.to_numpy(zero_copy_only=False)[code[rows]]]
    intervals = [parse_intervals(config[f"{s}_inter_num_interval"] or "[0,inf)", f"{s}_inter_num_interval")
                 for s in ("user", "item")]  # fmt: skip
    if len(rows) == len(user):
        del rows
        return core(user, item, *intervals)
    return rows[core(user[rows], item[rows], *intervals)]


def _number(
    name: str, columns: Columns, fields: Mapping[str, str], features: dict[str, pa.Table], rows: np.ndarray
) -> InteractionLog:
    """Return the log of the chosen rows; its columns are taken out of ``columns``."""
    numbered: dict[str, np.ndarray] = {}
    vocabulary: dict[str, Vocabulary] = {}
    sides = {fields["user"]: "user", fields["item"]: "item"}
    everything = len(rows) == len(columns[fields["user"]][0])
    chosen = slice(None) if everything else rows
    for column in list(columns):
        side, values = sides.get(column), columns.pop(column)
        if isinstance(values, tuple):
            code, dictionary = values
            code = np.where(code < 0, len(dictionary), code)[chosen] if code.min(initial=0) < 0 else code[chosen]
            extra = features[side][column].combine_chunks().drop_null() if side in features else None
            numbered[side or column], vocabulary[side or column] = number_tokens(code, _with_missing(dictionary), extra)
        else:
            numbered[side or column] = values[chosen]
    time = numbered.get(fields["time"])
    if time is not None and time.dtype.kind == "f" and np.isnan(time).any():
        raise UserError(f"{name}.inter: column '{fields['time']}' has empty values; every interaction needs its time")
    user, item = numbered.pop("user"), numbered.pop("item")
    return InteractionLog(name, user, item, numbered, np.empty(0), vocabulary, features=features)


def _with_missing(dictionary: pa.Array) -> pa.Array:
    return pa.concat_arrays([dictionary.cast(pa.string()), strings([""])])


def _sort(log: InteractionLog, config: Config, time_field: str) -> InteractionLog:
    """Sort rows by user, then by the order of ``eval_args`` (stable, so equal keys keep file order).

    Rows that have labels already stay in file order within a user. Where ``eval_args`` does not group by user they
    are labelled here, as long as their order in the file is known; the examples of sequences get labels of their own.
    """
    key = None if len(log.split) else sort_key(log, config, time_field)
    user, item, split, columns = log.user, log.item, log.split, dict(log.columns)
    if key is not None and together(config):
        split = labels_in_order(key, config)
    log = replace(log, user=np.empty(0), item=np.empty(0), columns={})  # what has been sorted is let go, one by one
    release_memory()
    order = grouped(user) if key is None else ordered(key, user)
    del key
    release_memory()
    offsets = group_offsets(user, len(log.vocabulary["user"]))
    del user
    item = _taken(item, order)
    columns = {name: _taken(columns.pop(name), order) for name in list(columns)}
    split = split[order] if len(split) else split
    del order
    user = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return replace(log, user=user, item=item, columns=columns, offsets=offsets, split=split)


def together(config: Config) -> bool:
    """Return whether ``eval_args`` splits all interactions together: by ratio, without regard to whose they are."""
    return config["eval_args"]["group_by"] == "none" and "RS" in config["eval_args"]["split"]


def labels_in_order(key: np.ndarray, config: Config) -> np.ndarray:
    """Return the labels (int8 [n]) of rows that are split together in the order of a key [n]; equal ones stay."""
    labels = np.empty(len(key), dtype=np.int8)
    labels[np.argsort(key, kind="stable")] = split_labels([len(key)], config["eval_args"]["split"])
    return labels


def sort_key(log: InteractionLog, config: Config, time_field: str) -> np.ndarray:
    """Return what the order of ``eval_args`` sorts a user's rows by, [n_rows]."""
    time = log.columns.get(time_field)
    if time is not None and config["time_precision"] == "single":
        logger.info("time_precision: single: interactions are ordered by float32 timestamps, as the original does")
        time = _single_precision(
            time, normalised=config["normalize_all"] or time_field in (config["normalize_field"] or ())
        )
    return order_key(config["eval_args"]["order"], time, len(log), config["seed"])


def _taken(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the chosen values; ids as int64."""
    return values[rows].astype(np.int64 if values.dtype == np.int32 else values.dtype, copy=False)


def _single_precision(time: np.ndarray, normalised: bool) -> np.ndarray:
    """Return the times as RecBole compares them: scaled to [0, 1] where its configuration says so, then float32."""
    time = time.astype(np.float64)
    if normalised:
        low, high = time.min(), time.max()
        time = (time - low) / (high - low) if high > low else np.ones_like(time)
    return time.astype(np.float32)
