"""Data whose split is given by separate files, RecBole's ``benchmark_filename``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from recbole.data.split import TEST, TRAIN, VALID
from recbole.utils import UserError

if TYPE_CHECKING:
    from recbole.config import Config

logger = logging.getLogger("recbole")

_FILTERS = {
    **dict.fromkeys(("rm_dup_inter", "val_interval")),
    **dict.fromkeys(("user_inter_num_interval", "item_inter_num_interval"), "[0,inf)"),
}
"""Filters that RecBole does not apply to such files, each with the value that filters nothing."""


def split_files(config: Config) -> dict[Path, int] | None:
    """Return the files ``<dataset>.<name>.inter`` that ``benchmark_filename`` names, in order, with their split labels.

    Two names stand for training and test, three for training, validation and test. A missing validation file is left
    out.

    Returns:
        dict from path to ``TRAIN``, ``VALID`` or ``TEST``; None if ``benchmark_filename`` is null.
    """
    names = config["benchmark_filename"]
    if names is None:
        return None
    folder, dataset = Path(config["data_path"]), config["dataset"]
    paths = [folder / f"{dataset}.{name}.inter" for name in names]
    files = dict(zip(paths, (TRAIN, VALID, TEST) if len(paths) == 3 else (TRAIN, TEST), strict=True))
    if len(paths) == 3 and not paths[1].is_file():
        logger.info("benchmark_filename: there is no validation file %s", paths[1])
        del files[paths[1]]
    unused = [key for key, usual in _FILTERS.items() if config[key] not in (None, usual)]
    if unused:
        logger.info("benchmark_filename: all rows are used, so these filters have no effect: %s", ", ".join(unused))
    return files


def joined(tables: Mapping[Path, pa.Table], labels: list[int]) -> tuple[pa.Table, np.ndarray]:
    """Return the rows of the files one after the other, and the split label of each row (int8 [rows]).

    Args:
        tables: path to the table read from it.
        labels: the split label of each file, in the order of ``tables``.

    Raises:
        UserError: the files have different columns, or the training or test file has no rows.
    """
    first = next(iter(tables))
    names = tables[first].column_names
    for path, table in tables.items():
        if set(table.column_names) != set(names):
            raise UserError(
                f"{path} has the columns {table.column_names}, but {first} has {names}; choose common ones in load_col"
            )
    split = np.repeat(np.array(labels, dtype=np.int8), [len(table) for table in tables.values()])
    empty = [path for path, table in tables.items() if not len(table)]
    for path in empty:
        if labels[list(tables).index(path)] != VALID:
            raise UserError(f"{path}: the file holds no interactions")
    if not (split == VALID).any():
        logger.info("there are no interactions for validation: training runs for all epochs and keeps the last model")
    parts = [table.select(names) for path, table in tables.items() if path not in empty]
    if any(part.schema != parts[0].schema for part in parts):
        parts = [_decoded(part) for part in parts]
    return pa.concat_tables(parts, promote_options="permissive").unify_dictionaries(), split


def _decoded(table: pa.Table) -> pa.Table:
    """Return a table with text as strings, because Arrow returns dictionaries for some files only."""
    kinds = [pa.string() if pa.types.is_dictionary(kind) else kind for kind in table.schema.types]
    return table.cast(pa.schema(list(zip(table.column_names, kinds, strict=True))))
