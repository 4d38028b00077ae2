"""The features of users and items as numbers, at their ids."""

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
    """Return the features of ``"user"`` or ``"item"``, a row for each id: name to array [n], or to lists.

    Tokens are their ids from 1 on, 0 where there is none. A missing number, and the padding's, is the mean of the
    others; numbers are scaled where ``normalize_all`` or ``normalize_field`` says so.
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
    """Return the tokens of a feature, numbered as :func:`feature_columns` numbers them."""
    array = column.combine_chunks()
    flat = array.flatten() if kind_of(column.type) is FeatureType.TOKEN_SEQ else array
    return Vocabulary(flat.dictionary_encode().dictionary)


def kind_of(arrow_type: pa.DataType) -> FeatureType:
    """Return which type of an atomic file's column an Arrow type holds."""
    nested = pa.types.is_list(arrow_type) or pa.types.is_large_list(arrow_type)
    text = pa.types.is_string(arrow_type.value_type if nested else arrow_type)
    if nested:
        return FeatureType.TOKEN_SEQ if text else FeatureType.FLOAT_SEQ
    return FeatureType.TOKEN if text else FeatureType.FLOAT


def _numbers(column: pa.Array) -> tuple[np.ndarray, np.ndarray | None]:
    """Return an Arrow column as numbers: flat values, and the length of each row's list (None for single values)."""
    sizes, kind = None, kind_of(column.type)
    if kind in (FeatureType.TOKEN_SEQ, FeatureType.FLOAT_SEQ):
        sizes = np.diff(column.offsets.to_numpy())
        column = column.flatten()
    if kind in (FeatureType.TOKEN, FeatureType.TOKEN_SEQ):
        return filled(column.dictionary_encode().indices).astype(np.int64) + 1, sizes
    return column.to_numpy(zero_copy_only=False).astype(np.float32), sizes


def _at_ids(values: np.ndarray, sizes: np.ndarray | None, row: np.ndarray, n_ids: int) -> np.ndarray | Ragged:
    """Put values (or lists) at the ids of their rows; ids below 0 are not in the data."""
    if sizes is None:
        missing = np.nan if values.dtype.kind == "f" else 0
        result = np.full(n_ids, missing, dtype=values.dtype)
        result[row[row >= 0]] = values[row >= 0]
        return mean_filled(result)
    place = np.full(n_ids, len(sizes))  # who has no row has the empty list behind the last one
    place[row[row >= 0]] = np.flatnonzero(row >= 0)
    return Ragged(values, np.concatenate([[0], np.cumsum(sizes), [len(values)]])).take(place)
