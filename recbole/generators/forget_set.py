"""Forget sets: which users request the removal of which interactions with sensitive items.

The users who interacted with sensitive items are shuffled. One after the other requests to forget all of the user's
interactions with these items, until the given fraction of the log is reached. Rules, names and contents of the files
follow ERASE (Lubitzsch, de Rijke and Schelter, SIGIR 2026, arXiv 2603.08341), with two differences. ERASE by default
ignores interactions with ratings below a threshold; here ratings are ignored by default. And in ERASE all next-basket
categories share one random stream, so that leaving out a category changes the others; here every set is drawn
independently.
"""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole.generators.raw_log import RawBaskets, RawInteractions
from recbole.utils import UserError

RULES = {"CF": "A", "SBR": "B", "NBR": "B"}
"""Dict from the task to the rule of `choose` that is used by default, as in ERASE."""


def choose(
    users: np.ndarray,
    items_sensitive: np.ndarray,
    seed: int,
    fraction: float,
    rule: str = "A",
    n_total: int | None = None,
) -> np.ndarray:
    """Draw the rows (interactions) of a forget set.

    Users are ordered by their first sensitive row and then shuffled by ``random.Random(seed)``. They are taken one
    after the other, each with all of their sensitive rows, until there are ``T = int(n_total * fraction)`` rows (or all
    sensitive rows, if there are fewer). The last user may bring the number of rows above ``T``. With rule ``A`` this
    user is taken only if the number of rows is then strictly closer to ``T`` than without the user; with rule ``B``
    always. With ``T = 0``, rule A takes nobody and rule B the first user. For the same seed, the set of a smaller
    fraction is part of the set of a larger one.

    Args:
        users: int array [n], the user of each row, in file order.
        items_sensitive: bool array [n], whether a row is sensitive, so that its user may request to forget it.
        seed: any int.
        fraction: share of the log that is to be forgotten, from 0 to 1.
        rule: ``A`` or ``B``.
        n_total: number of rows of the whole log; None means ``len(users)``.

    Returns:
        int64 array: indices of the chosen rows, grouped by user in shuffled order, and in file order within a user.
    """
    rows = np.flatnonzero(items_sensitive)
    if not len(rows):
        return rows
    _, first, user, sizes = np.unique(users[rows], return_index=True, return_inverse=True, return_counts=True)
    shuffled = np.argsort(first).tolist()
    random.Random(seed).shuffle(shuffled)
    rank = np.empty(len(shuffled), np.int64)
    rank[shuffled] = np.arange(len(shuffled))
    wanted = target(len(users) if n_total is None else n_total, fraction, len(rows))
    turn = rank[user]
    taken = turn < _how_many(sizes[shuffled], wanted, rule)
    return rows[taken][np.argsort(turn[taken], kind="stable")]


def target(n_total: int, fraction: float, available: int) -> int:
    """Return how many rows to forget: ``int(n_total * fraction)``, but at most ``available``."""
    return min(int(n_total * fraction), available)


def _how_many(sizes: np.ndarray, wanted: int, rule: str) -> int:
    """Return how many users are taken.

    Args:
        sizes: int array [users], number of sensitive rows of each user, in shuffled order.
        wanted: number of rows to reach.
        rule: ``A`` or ``B``, see `choose`.
    """
    total = np.cumsum(sizes)
    last = int(np.searchsorted(total, wanted))  # the first user who brings the total to `wanted` or beyond
    over = total[last] - wanted
    short = wanted - (total[last - 1] if last else 0)
    if rule == "A" and over and over >= short:
        return last
    return last + 1


def generate(
    log: RawInteractions | RawBaskets, sensitive: np.ndarray, path: str | Path, seed: int, fraction: float, rule: str
) -> dict[str, Any]:
    """Draw a forget set (rows of a log that users request to forget) and write it.

    Args:
        log: the log to draw from.
        sensitive: bool array [n], whether each row may be drawn, from ``log.sensitive(items)``.
        path: the file to write, see `recbole.generators.artefact_names.forget_set_name`.
        seed: any int.
        fraction: share of the log to forget, from 0 to 1.
        rule: ``A`` or ``B``, see `choose`; ``RULES`` has the rule of each task.

    Returns:
        dict: ``users``, ``rows`` and ``items`` (numbers of distinct users, rows and distinct items in the set),
        ``target`` (number of rows to reach), ``available`` (number of sensitive rows), ``rule``, ``fraction`` (as
        given) and ``achieved`` (the set's share of the log).

    Raises:
        UserError: the fraction is not between 0 and 1, or no row is sensitive.
    """
    if not 0 <= fraction <= 1:
        raise UserError(f"the unlearning fraction must be between 0 and 1, not {fraction}")
    available = int(sensitive.sum())
    if not available:
        raise UserError(
            f"{log.path}: no forget set can be drawn, because no user with enough interactions has a sensitive item"
        )
    rows = choose(log.users, sensitive, seed, fraction, rule, log.n_total)
    log.write(path, rows)
    return {
        "users": len(np.unique(log.users[rows])),
        "rows": len(rows),
        "items": len(pc.unique(log.items.take(pa.array(rows)))),
        "target": target(log.n_total, fraction, available),
        "available": available,
        "rule": rule,
        "fraction": float(fraction),
        "achieved": len(rows) / log.n_total,
    }
