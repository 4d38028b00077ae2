"""Which people ask for what: forget sets drawn from the sensitive items of a log.

People who interacted with sensitive items are shuffled, and each in turn asks for all of those interactions to be
forgotten, until a fraction of the log is reached. Rules, names and contents of the files follow ERASE (Lubitzsch, de
Rijke and Schelter, SIGIR 2026, arXiv 2603.08341). Deviations: ERASE drops ratings below a threshold by default, and its
next-basket categories share one random stream, so that leaving one out changes the others; here each set stands alone.
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


def choose(
    users: np.ndarray,
    items_sensitive: np.ndarray,
    seed: int,
    fraction: float,
    rule: str = "A",
    n_total: int | None = None,
) -> np.ndarray:
    """Choose the rows of a forget set.

    Users are taken in the order of their first sensitive row, shuffled by ``random.Random(seed)``, each with all of
    their sensitive rows, until ``T = int(n_total * fraction)`` rows (all there are, if fewer) are reached. Rule ``A``:
    the user who would exceed ``T`` is taken only if that comes strictly closer to ``T``. Rule ``B``: always.
    With ``T = 0``, rule A takes nobody and rule B the first user. For one seed, the sets of growing fractions contain
    each other.

    Args:
        users: int array [n], the user of each row, in file order.
        items_sensitive: bool array [n].
        seed: any int.
        fraction: share of the log that is to be forgotten, from 0 to 1.
        rule: ``A`` or ``B``.
        n_total: rows of the whole log, if ``users`` does not hold them all.

    Returns:
        int64 array: indices of the rows, grouped by user in shuffled order, within a user in file order.
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
    """Return how many rows to forget: ``int(n_total * fraction)``, or all there are if that is less."""
    return min(int(n_total * fraction), available)


def _how_many(sizes: np.ndarray, wanted: int, rule: str) -> int:
    """Return how many of the users, in this order, are taken; ``sizes`` int array [users] of rows of each."""
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
    """Draw a forget set and write it.

    Args:
        log: a `RawInteractions` or a `RawBaskets`.
        sensitive: bool array [n], from ``log.sensitive(items)``.
        path: the file to write, see `recbole.generators.artefact_names.forget_set_name`.
        seed: any int.
        fraction: share of the log, from 0 to 1.
        rule: ``A`` or ``B``, see `choose`; ``RULES`` has the task's.

    Returns:
        dict: ``users``, ``rows``, ``items`` (distinct), ``target``, ``available``, ``rule``, ``fraction`` (as
        asked) and ``achieved`` (the share of the log that the set is).

    Raises:
        UserError: the fraction is not a share, or no row is sensitive.
    """
    if not 0 <= fraction <= 1:
        raise UserError(f"the unlearning fraction must be between 0 and 1, not {fraction}")
    available = int(sensitive.sum())
    if not available:
        raise UserError(
            f"{log.path}: no interaction can be asked for, the list of sensitive items has none of its items"
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
