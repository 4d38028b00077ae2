"""Append the interactions of a spam attack to a clean log, whose own rows stay unchanged."""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa

from recbole.data.log import InteractionLog
from recbole.data.vocabulary import Vocabulary
from recbole.utils import UserError

Log = TypeVar("Log", bound=InteractionLog)


def append(clean: Log, spam: InteractionLog, path: str | Path) -> Log:
    """Return a clean log followed by the rows of a spam attack.

    The fake users (or sessions) get ids above those of the clean log. So every clean row keeps its position, ids and
    split label, and masking all spam rows gives the clean log. In sequence columns (``lists``) fake rows are empty.

    Args:
        clean: :class:`~recbole.data.log.InteractionLog` with split labels.
        spam: the attack as a log with split labels, whose ids are independent of the clean log.
        path: the attack's file, for messages.

    Raises:
        UserError: a fake user is also in the clean log, an item is not in the clean log, or a column is missing.
    """
    _refuse_known_users(clean, spam, path)
    n_clean = len(clean.vocabulary["user"])
    vocabulary = clean.vocabulary | {"user": clean.vocabulary["user"].extended(_tokens(spam, "user"))}
    columns = {}
    for name, values in clean.columns.items():
        if name not in spam.columns:
            raise UserError(f"{path}: there is no column '{name}', but the clean data have it; generate the spam again")
        more = spam.columns[name]
        if name in clean.vocabulary:
            vocabulary[name], more = _extended(clean, spam, name)
        columns[name] = np.concatenate([values, more])
    return replace(
        clean,
        user=np.concatenate([clean.user, spam.user + n_clean - 1]),
        item=np.concatenate([clean.item, _items(clean, spam, path)]),
        columns=columns,
        lists={name: rows.followed_by_empty(len(spam)) for name, rows in clean.lists.items()},
        offsets=np.concatenate([clean.offsets, len(clean) + spam.offsets[2:]]),
        vocabulary=vocabulary,
        split=np.concatenate([clean.split, spam.split]),
    )


def _tokens(log: InteractionLog, side: str) -> pa.Array:
    """Return the tokens of a column (``"user"``, ``"item"`` or another), without the padding."""
    return log.vocabulary[side].token_array[1:]


def _refuse_known_users(clean: InteractionLog, spam: InteractionLog, path: str | Path) -> None:
    """Raise a UserError if a user (or session) of the spam is also in the clean log."""
    tokens = _tokens(spam, "user").to_pylist()
    known = np.flatnonzero(clean.vocabulary["user"].ids(tokens) >= 0)
    if len(known):
        raise UserError(
            f"{path}: '{tokens[known[0]]}' is not a fake user or session, because the clean data contain it too; "
            "generate the spam again"
        )


def _items(clean: InteractionLog, spam: InteractionLog, path: str | Path) -> np.ndarray:
    """Return for each spam row the id that its item has in the clean log, int64 [len(spam)].

    Raises:
        UserError: an item is not in the clean log.
    """
    tokens = _tokens(spam, "item").to_pylist()
    ids = clean.vocabulary["item"].ids(tokens)
    unknown = np.flatnonzero(ids <= 0)
    if len(unknown):
        raise UserError(
            f"{path}: item '{tokens[unknown[0]]}' is not in the clean data after filtering: the spam was made "
            "for other data, or with another *_inter_num_interval"
        )
    return ids[spam.item - 1]


def _extended(clean: InteractionLog, spam: InteractionLog, name: str) -> tuple[Vocabulary, np.ndarray]:
    """Extend the clean vocabulary of a token column by the spam's tokens; return it and the ids of the spam rows."""
    tokens = _tokens(spam, name)
    new = tokens.filter(clean.vocabulary[name].ids(tokens.to_pylist()) < 0)
    both = clean.vocabulary[name].extended(new)
    return both, both.ids(tokens.to_pylist())[spam.columns[name] - 1]
