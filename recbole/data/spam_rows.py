"""The interactions of a spam attack, put after a clean log that they leave as it is."""

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

    The fake users (or sessions) get the ids after the clean ones, so every clean row keeps its place, ids and label,
    and the log with all spam masked is the clean log.

    Args:
        clean: :class:`~recbole.data.log.InteractionLog`, labelled.
        spam: the attack as a labelled log with ids of its own.
        path: where it was read from, for messages.

    Raises:
        UserError: when a fake user is a user of the clean log, an item is none of it, or a column is missing.
    """
    _refuse_known_users(clean, spam, path)
    n_clean = len(clean.vocabulary["user"])
    vocabulary = clean.vocabulary | {"user": clean.vocabulary["user"].extended(_tokens(spam, "user"))}
    columns = {}
    for name, values in clean.columns.items():
        if name not in spam.columns:
            raise UserError(f"{path}: no column '{name}', which the clean data have and load")
        more = spam.columns[name]
        if name in clean.vocabulary:
            vocabulary[name], more = _extended(clean, spam, name)
        columns[name] = np.concatenate([values, more])
    return replace(
        clean,
        user=np.concatenate([clean.user, spam.user + n_clean - 1]),
        item=np.concatenate([clean.item, _items(clean, spam, path)]),
        columns=columns,
        offsets=np.concatenate([clean.offsets, len(clean) + spam.offsets[2:]]),
        vocabulary=vocabulary,
        split=np.concatenate([clean.split, spam.split]),
    )


def _tokens(log: InteractionLog, side: str) -> pa.Array:
    return log.vocabulary[side].token_array[1:]


def _refuse_known_users(clean: InteractionLog, spam: InteractionLog, path: str | Path) -> None:
    tokens = _tokens(spam, "user").to_pylist()
    known = np.flatnonzero(clean.vocabulary["user"].ids(tokens) >= 0)
    if len(known):
        raise UserError(f"{path}: '{tokens[known[0]]}' is no fake user or session: the clean data have it too")


def _items(clean: InteractionLog, spam: InteractionLog, path: str | Path) -> np.ndarray:
    """Return the clean ids of the spam's rows."""
    tokens = _tokens(spam, "item").to_pylist()
    ids = clean.vocabulary["item"].ids(tokens)
    unknown = np.flatnonzero(ids <= 0)
    if len(unknown):
        raise UserError(
            f"{path}: item '{tokens[unknown[0]]}' is not among those that the filters leave of the clean data: the "
            "spam is of other data, or of another *_inter_num_interval"
        )
    return ids[spam.item - 1]


def _extended(clean: InteractionLog, spam: InteractionLog, name: str) -> tuple[Vocabulary, np.ndarray]:
    """Return the vocabulary of a further token column with the spam's tokens, and the ids of the spam's rows."""
    tokens = _tokens(spam, name)
    new = tokens.filter(clean.vocabulary[name].ids(tokens.to_pylist()) < 0)
    both = clean.vocabulary[name].extended(new)
    return both, both.ids(tokens.to_pylist())[spam.columns[name] - 1]
