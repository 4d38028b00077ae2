"""Columns that hold sequences, and token columns that share the ids of users or items (``alias_of_*_id``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole.data.arrow_arrays import filled, strings
from recbole.data.ragged import Ragged
from recbole.data.tables import SIDES
from recbole.data.vocabulary import number_tokens
from recbole.utils import UserError, suggest

if TYPE_CHECKING:
    from recbole.config import Config
    from recbole.data.log import InteractionLog


_EMPTY = strings([""])


def with_lists(log: InteractionLog, lists: Mapping[str, pa.ListArray], rows: np.ndarray) -> InteractionLog:
    """Return a log whose attribute ``lists`` has the columns of the interaction file that hold a sequence in each row.

    Tokens become ids (int64, from 1), numbered for each column in the order in which they first appear in it.

    Args:
        log: the interactions that the filters keep, in the order of the file, without sequence columns.
        lists: dict from a column's name to an Arrow array with a list of strings or numbers for each row of the file.
        rows: int64 [len(log)], index in the file of each row of the log.
    """
    found, vocabulary = {}, dict(log.vocabulary)
    for name, column in lists.items():
        flat, sizes = column.flatten(), np.diff(column.offsets.to_numpy())
        all_of = Ragged(np.arange(len(flat)), np.concatenate([[0], np.cumsum(sizes)])).take(rows)
        if pa.types.is_string(flat.type):
            encoded = flat.dictionary_encode()
            values, vocabulary[name] = number_tokens(filled(encoded.indices)[all_of.values], encoded.dictionary)
            values = values.astype(np.int64)
        else:
            values = flat.to_numpy(zero_copy_only=False)[all_of.values]
        found[name] = Ragged(values, all_of.offsets)
    return replace(log, lists=found, vocabulary=vocabulary) if found else log


def share_ids(log: InteractionLog, config: Config) -> InteractionLog:
    """Return a log in which other columns use the ids of users or items, as ``alias_of_user_id`` in RecBole.

    The settings ``alias_of_user_id`` and ``alias_of_item_id`` list the columns whose tokens are users or items, for
    example a column of friends. A token in such a column that is not yet a user (item) is added with the next id. A
    missing token gets id 0.

    Raises:
        UserError: a column that one of these settings names is not loaded or holds no tokens.
    """
    columns, lists, vocabulary = dict(log.columns), dict(log.lists), dict(log.vocabulary)
    for side in SIDES:
        names = config.get(f"alias_of_{side}_id") or ()
        for name in names:
            if name not in vocabulary or name in SIDES:
                known = [column for column in vocabulary if column not in SIDES]
                raise UserError(f"alias_of_{side}_id: no token column '{name}' is loaded{suggest(name, known)}")
            own = vocabulary[name].token_array
            known_ones = pa.concat_arrays([vocabulary[side].token_array, _EMPTY])
            new = own.filter(pc.invert(pc.is_in(own, value_set=known_ones)))
            vocabulary[side] = vocabulary[side].extended(new)
            ids = np.maximum(vocabulary[side].ids(own.to_pylist()), 0)
            if name in columns:
                columns[name] = ids[columns[name]]
            else:
                lists[name] = Ragged(ids[lists[name].values], lists[name].offsets)
        vocabulary |= {name: vocabulary[side] for name in names}
    return replace(log, columns=columns, lists=lists, vocabulary=vocabulary)
