"""The interaction log as arrays, one for each column: reading, filtering, numbering and sorting it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recbole.data.aliases import share_ids, with_lists
from recbole.data.arrow_arrays import filled, numbers, strings
from recbole.data.atomic import release_memory
from recbole.data.ids import grouped, ordered
from recbole.data.kept_rows import Codes, Columns, kept_rows, refuse_times
from recbole.data.ragged import Ragged, ranges
from recbole.data.split import TRAIN, order_key, split_labels
from recbole.data.split_files import joined, split_files
from recbole.data.tables import SIDES, read_features, read_table, without_lists
from recbole.data.vocabulary import Vocabulary, number_tokens
from recbole.utils import UserError

if TYPE_CHECKING:
    from recbole.config import Config

logger = logging.getLogger("recbole")


@dataclass(frozen=True)
class InteractionLog:
    """Interactions sorted by user and, within a user, by the order in ``eval_args`` (time, or random). Immutable.

    Attributes:
        name: the data set's name.
        user, item: int64 ids [n_rows]; 0 is the padding and does not occur.
        columns: further columns [n_rows] by field name: ids of tokens (int64), or numbers (int64, float64).
        offsets: int64 [n_users + 1]; the rows of user ``u`` are ``offsets[u]:offsets[u + 1]``.
        vocabulary: field name to :class:`~recbole.data.vocabulary.Vocabulary`; users and items are ``"user"`` and
            ``"item"``.
        split: int8 [n_rows], the split label (see :mod:`recbole.data.split`) of the example whose target item is in
            this row. It may be empty until the task's data set class sets it.
        features: dict from ``"user"`` and ``"item"`` to the Arrow table of their atomic file, if it was loaded.
        lists: columns with a sequence in each row, by field name: ids of tokens, or numbers. No model of this package
            reads them.
    """

    name: str
    user: np.ndarray
    item: np.ndarray
    columns: dict[str, np.ndarray]
    offsets: np.ndarray
    vocabulary: dict[str, Vocabulary]
    split: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int8))
    features: dict[str, pa.Table] = field(default_factory=dict)
    lists: dict[str, Ragged] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.user)

    def rows_of(self, users: npt.ArrayLike) -> np.ndarray:
        """Return the indices (int64) of all rows of some users (ids), one user after the other."""
        users = np.asarray(users, dtype=np.int64)
        return ranges(self.offsets[users], self.offsets[users + 1])

    @cached_property
    def by_item(self) -> tuple[np.ndarray, np.ndarray]:
        """``(rows, offsets)``, both int64: the rows of item ``i`` are ``rows[offsets[i]:offsets[i + 1]]``."""
        n_items = len(self.vocabulary["item"])
        return grouped(self.item), np.concatenate([[0], np.cumsum(np.bincount(self.item, minlength=n_items))])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of user and item tokens, ids, further columns and split labels, as 64 hexadecimal digits.

        Two runs with the same data, filters, order and split have the same fingerprint.
        """
        digest = hashlib.sha256()
        for side in ("user", "item"):
            for token in self.vocabulary[side].token_array.to_pylist():
                digest.update(token.encode() + b"\n")
        for array in (self.user, self.item, *(self.columns[name] for name in sorted(self.columns)), self.split):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def group_offsets(groups: np.ndarray, n_groups: int) -> np.ndarray:
    """Return offsets, int64 [n_groups + 1]: the elements of group ``g`` are ``offsets[g]:offsets[g + 1]``.

    Args:
        groups: int [n], ascending group numbers from 0.
        n_groups: number of groups.
    """
    return np.concatenate([[0], np.cumsum(np.bincount(groups, minlength=n_groups))]).astype(np.int64)


def load_log(config: Config) -> InteractionLog:
    """Read the atomic files of ``config["dataset"]`` as a log: filtered, with tokens mapped to ids, and sorted.

    The task's data set class sets the split labels later. With ``benchmark_filename``, the files determine them here;
    then no row is filtered, and a user's rows keep the order of the files.

    Raises:
        UserError: a file or column is missing, a line is malformed, a row has no user or no item, a file has no rows,
            the filters leave none, or a time is missing or infinite.
    """
    fields = {"user": config["USER_ID_FIELD"], "item": config["ITEM_ID_FIELD"], "time": config["TIME_FIELD"]}
    return _sort(_unsorted(config, fields), config, fields["time"])


def load_more(config: Config, path: Path) -> InteractionLog:
    """Read a separate file of interactions (of a spam attack) as a sorted log, without filters.

    The log has its own user and item ids, from 1 on. The setting ``load_col`` selects columns as in the data set's own
    file. The task's data set class sets the split labels later; with ``benchmark_filename`` all rows are training rows.

    Raises:
        UserError: the file or a column is missing, a line is malformed, a row lacks user or item, there is no row,
            or a time is missing or infinite.
    """
    fields = {"user": config["USER_ID_FIELD"], "item": config["ITEM_ID_FIELD"], "time": config["TIME_FIELD"]}
    table = _interactions(path, config, fields)
    columns, rows = _columns(without_lists(table)[0]), np.arange(len(table))
    refuse_times(columns, rows, {path: len(table)}, config)
    log = _number(path.stem, columns, fields, {}, rows)
    if config["benchmark_filename"]:
        log = replace(log, split=np.full(len(log), TRAIN, dtype=np.int8))
    return _sort(log, config, fields["time"])


def _unsorted(config: Config, fields: Mapping[str, str]) -> InteractionLog:
    """Read and filter the files, and return the log in the order of the file, with int32 ids and without offsets.

    It has split labels only if separate files define the split (``benchmark_filename``). ``fields`` maps ``"user"``,
    ``"item"`` and ``"time"`` to the names of their columns.
    """
    name, files, split = config["dataset"], split_files(config), np.empty(0, dtype=np.int8)
    if files is None:
        path = Path(config["data_path"]) / f"{name}.inter"
        table = _interactions(path, config, fields)
        sizes = {path: len(table)}
    else:
        wanted = (config["load_col"] or {}).get("inter")
        tables = {file: read_table(file, wanted, config, fields, SIDES) for file in files}
        sizes = {file: len(part) for file, part in tables.items()}
        table, split = joined(tables, list(files.values()))
        del tables
    table, lists = without_lists(table)
    columns = _columns(table)
    del table
    features = read_features(config, fields)
    rows = np.arange(len(split))
    if files is None:
        rows, features = kept_rows(config, columns, fields, features)
    refuse_times(columns, rows, sizes, config)
    log = with_lists(_number(name, columns, fields, features, rows), lists, rows)
    return share_ids(replace(log, split=split), config)


def _interactions(path: Path, config: Config, fields: Mapping[str, str]) -> pa.Table:
    """Return the table of a file of interactions; raise a UserError if the file has no rows."""
    table = read_table(path, (config["load_col"] or {}).get("inter"), config, fields, SIDES)
    if not len(table):
        raise UserError(f"{path}: the file contains no interactions")
    return table


def _columns(table: pa.Table) -> Columns:
    """Return the columns as NumPy arrays or codes, in the table's order, so that the Arrow table can be freed."""
    numeric = (pa.types.is_integer, pa.types.is_floating)
    return {
        name: numbers(column) if any(kind(column.type) for kind in numeric) else _encode(column)
        for name, column in zip(table.column_names, table.columns, strict=True)
    }


def _encode(column: pa.ChunkedArray) -> Codes:
    """Return the :data:`Codes` of an Arrow column of strings, or of dictionaries of strings."""
    encoded = column.dictionary_encode().combine_chunks()
    return filled(encoded.indices), encoded.dictionary


def _number(
    name: str, columns: Columns, fields: Mapping[str, str], features: dict[str, pa.Table], rows: np.ndarray
) -> InteractionLog:
    """Map the tokens of the interactions ``rows`` (int64 indices) to ids, and return them as an unsorted log.

    Each of ``columns`` is removed once it is used, to free its memory. ``fields`` names the user, item and time column.
    """
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
    user, item = numbered.pop("user"), numbered.pop("item")
    return InteractionLog(name, user, item, numbered, np.empty(0), vocabulary, features=features)


def _with_missing(dictionary: pa.Array) -> pa.Array:
    return pa.concat_arrays([dictionary.cast(pa.string()), strings([""])])


def _sort(log: InteractionLog, config: Config, time_field: str) -> InteractionLog:
    """Sort rows by user, then in the order of ``eval_args``; rows with equal keys keep the order of the file.

    Rows that already have split labels keep the order of the file within a user. If ``eval_args`` does not group by
    user, rows get their split labels here, where the order of the file is still known. In SBR these labels are replaced
    later by the labels of the examples.
    """
    key = None if len(log.split) else sort_key(log, config, time_field)
    user, item, split, columns = log.user, log.item, log.split, dict(log.columns)
    if key is not None and together(config):
        split = labels_in_order(key, config)
    log = replace(log, user=np.empty(0), item=np.empty(0), columns={})  # each column is freed once it is sorted
    release_memory()
    order = grouped(user) if key is None else ordered(key, user)
    del key
    release_memory()
    offsets = group_offsets(user, len(log.vocabulary["user"]))
    del user
    item = _taken(item, order)
    columns = {name: _taken(columns.pop(name), order) for name in list(columns)}
    lists = {name: values.take(order) for name, values in log.lists.items()}
    split = split[order] if len(split) else split
    del order
    user = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return replace(log, user=user, item=item, columns=columns, offsets=offsets, split=split, lists=lists)


def together(config: Config) -> bool:
    """Return whether ``eval_args`` splits all interactions together by ratio, instead of each user's separately."""
    return config["eval_args"]["group_by"] == "none" and "RS" in config["eval_args"]["split"]


def labels_in_order(key: np.ndarray, config: Config) -> np.ndarray:
    """Split all rows together by the ratios in ``eval_args``, and return the label of each row, int8 [n].

    The rows with the smallest ``key`` [n] are for training, those with the largest for test. Among equal keys, earlier
    rows count as smaller.
    """
    labels = np.empty(len(key), dtype=np.int8)
    labels[np.argsort(key, kind="stable")] = split_labels([len(key)], config["eval_args"]["split"])
    return labels


def sort_key(log: InteractionLog, config: Config, time_field: str) -> np.ndarray:
    """Return the numbers [n_rows] by which rows are sorted: times or random ranks (``order`` in ``eval_args``)."""
    time = log.columns.get(time_field)
    if time is not None and config["time_precision"] == "single":
        logger.info("time_precision: single: interactions are ordered by float32 timestamps, as in ERASE")
        time = _single_precision(
            time, normalised=config["normalize_all"] or time_field in (config["normalize_field"] or ())
        )
    return order_key(config["eval_args"]["order"], time, len(log), config["seed"])


def _taken(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the values of the chosen rows; int32 ids become int64."""
    return values[rows].astype(np.int64 if values.dtype == np.int32 else values.dtype, copy=False)


def _single_precision(time: np.ndarray, normalised: bool) -> np.ndarray:
    """Return float32 times as RecBole compares them: first scaled to [0, 1] if its configuration says so."""
    time = time.astype(np.float64)
    if normalised:
        low, high = time.min(), time.max()
        time = (time - low) / (high - low) if high > low else np.ones_like(time)
    return time.astype(np.float32)
