"""Data whose split into training, validation and test is given by separate files (RecBole's ``benchmark_filename``)."""

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
"""The filters that ``benchmark_filename`` switches off, as in RecBole: setting to the value that filters nothing."""


def split_files(config: Config) -> dict[Path, int] | None:
    """Return the files that the setting ``benchmark_filename`` names, with their split labels.

    Each name stands for the file ``<dataset>.<name>.inter``. Two names are training and test, three are training,
    validation and test. If the validation file does not exist, it is left out.

    Returns:
        Dict from path to ``TRAIN``, ``VALID`` or ``TEST``, in the order of the setting; None if the setting is null.
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
    """Concatenate the tables of all files; return one table and the split label of each of its rows (int8 [rows]).

    Args:
        tables: dict from a file's path to its content.
        labels: the split label (``TRAIN``, ``VALID`` or ``TEST``) of each file, in the order of ``tables``.

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
            raise UserError(f"{path}: the file contains no interactions")
    if not (split == VALID).any():
        logger.info("no interactions for validation: training runs for all epochs, and the last model is kept")
    parts = [table.select(names) for path, table in tables.items() if path not in empty]
    if any(part.schema != parts[0].schema for part in parts):
        parts = [_decoded(part) for part in parts]
    return pa.concat_tables(parts, promote_options="permissive").unify_dictionaries(), split


def _decoded(table: pa.Table) -> pa.Table:
    """Return a table with strings in place of dictionary-encoded columns: Arrow's reader returns either for text."""
    kinds = [pa.string() if pa.types.is_dictionary(kind) else kind for kind in table.schema.types]
    return table.cast(pa.schema(list(zip(table.column_names, kinds, strict=True))))
