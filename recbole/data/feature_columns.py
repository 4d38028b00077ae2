"""User and item features as numeric arrays that are indexed by id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from recbole.data.arrow_arrays import filled
from recbole.data.ragged import Ragged
from recbole.data.shown_columns import filled as mean_filled
from recbole.data.shown_columns import scale, scaled_fields
from recbole.data.vocabulary import Vocabulary
from recbole.utils import FeatureType

if TYPE_CHECKING:
    from recbole.config import Config
    from recbole.data.log import InteractionLog


def feature_columns(config: Config, log: InteractionLog, side: str, id_field: str) -> dict[str, np.ndarray | Ragged]:
    """Return the features of all users or all items as numeric arrays that are indexed by id.

    Tokens become int64 ids from 1 on, 0 where one is missing. Numbers are float32; a missing number, and that of the
    padding (id 0), is the mean of the others. ``normalize_all`` and ``normalize_field`` scale numbers to [0, 1].

    Args:
        config: reads ``normalize_all`` and ``normalize_field``.
        log: the log with the loaded feature files.
        side: ``"user"`` or ``"item"``.
        id_field: name of the id column in the feature file.

    Returns:
        Dict from a feature's name to an array [n_ids], or to :class:`Ragged` with one list per id for sequences. It is
        empty if no feature file is loaded.
    """
    table = log.features.get(side)
    if table is None:
        return {}
    vocabulary = log.vocabulary[side]
    row = vocabulary.ids(table[id_field].to_pylist())
    names = [name for name in table.column_names if name != id_field]
    numbers = [name for name in names if kind_of(table[name].type) in (FeatureType.FLOAT, FeatureType.FLOAT_SEQ)]
    scaled = scaled_fields(config, numbers)
    found: dict[str, np.ndarray | Ragged] = {}
    for name in names:
        values, sizes = _numbers(table[name].combine_chunks())
        if name in scaled:
            values = scale(mean_filled(values), name).astype(np.float32)
        found[name] = _at_ids(values, sizes, row, len(vocabulary))
    return found


def feature_vocabulary(column: pa.ChunkedArray) -> Vocabulary:
    """Return the vocabulary of a token feature (Arrow column), with the ids that :func:`feature_columns` assigns."""
    array = column.combine_chunks()
    flat = array.flatten() if kind_of(column.type) is FeatureType.TOKEN_SEQ else array
    return Vocabulary(flat.dictionary_encode().dictionary)


def kind_of(arrow_type: pa.DataType) -> FeatureType:
    """Return the :class:`FeatureType` of a column that was read from an atomic file, given the column's Arrow type."""
    nested = pa.types.is_list(arrow_type) or pa.types.is_large_list(arrow_type)
    text = pa.types.is_string(arrow_type.value_type if nested else arrow_type)
    if nested:
        return FeatureType.TOKEN_SEQ if text else FeatureType.FLOAT_SEQ
    return FeatureType.TOKEN if text else FeatureType.FLOAT


def _numbers(column: pa.Array) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the values of a column as one flat array, and the length of each row's list (None for single values).

    The values are ids of tokens, int64 from 1 on and 0 where one is missing, or float32 numbers.
    """
    sizes, kind = None, kind_of(column.type)
    if kind in (FeatureType.TOKEN_SEQ, FeatureType.FLOAT_SEQ):
        sizes = np.diff(column.offsets.to_numpy())
        column = column.flatten()
    if kind in (FeatureType.TOKEN, FeatureType.TOKEN_SEQ):
        return filled(column.dictionary_encode().indices).astype(np.int64) + 1, sizes
    return column.to_numpy(zero_copy_only=False).astype(np.float32), sizes


def _at_ids(values: np.ndarray, sizes: np.ndarray | None, row: np.ndarray, n_ids: int) -> np.ndarray | Ragged:
    """Return the values (or lists) of a feature in the order of user or item ids.

    An id without a row gets the mean of the other numbers, token id 0, or an empty list.

    Args:
        values: flat values of all rows of the feature file.
        sizes: length of each row's list; None for single values.
        row: int64, the user or item id of each row; rows with an id below 0 are dropped.
        n_ids: number of ids, including the padding.
    """
    if sizes is None:
        missing = np.nan if values.dtype.kind == "f" else 0
        result = np.full(n_ids, missing, dtype=values.dtype)
        result[row[row >= 0]] = values[row >= 0]
        return mean_filled(result)
    place = np.full(n_ids, len(sizes))  # ids without a row get the empty list after the last one
    place[row[row >= 0]] = np.flatnonzero(row >= 0)
    return Ragged(values, np.concatenate([[0], np.cumsum(sizes), [len(values)]])).take(place)
