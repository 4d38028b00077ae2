"""Build baskets from tables of purchases, and write them as ``<name>_merged.json``."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recbole.data.baskets import Baskets
from recbole.utils import atomic_write

_USERS_AT_ONCE = 1 << 13


def build_baskets(user: np.ndarray, basket: np.ndarray, item: np.ndarray, *when: np.ndarray) -> Baskets:
    """Return the `Baskets` of some purchases: users in ascending order, the baskets of each user in the order of time.

    If an item occurs twice in a basket, only the first occurrence is kept.

    Args:
        user, basket, item: int64 arrays [n], the numbers of each purchase's user, basket and item. A basket belongs to
            one user. The items of a basket keep the order of their rows.
        when: one or several arrays [n] that determine the order of a user's baskets, such as day and time of day, the
            most important first. A basket has the time of its earliest row; baskets with equal times are ordered by
            their numbers.
    """
    order = np.lexsort((*when[::-1], basket))
    number, first = np.unique(basket[order], return_index=True)
    earliest = order[first]
    sequence = np.lexsort((number, *(key[earliest] for key in when[::-1]), user[earliest]))
    place = np.empty(len(number), np.int64)
    place[sequence] = np.arange(len(number))
    row_place = place[np.searchsorted(number, basket)]
    rows = np.argsort(row_place, kind="stable")
    users, counts = np.unique(user[earliest], return_counts=True)
    return Baskets([str(own) for own in users.tolist()], counts, np.bincount(row_place), item[rows]).distinct()


def first_stranger(user: np.ndarray, basket: np.ndarray) -> int | None:
    """Find a basket with two users: return the first row whose user differs from that of its basket's first row.

    Args:
        user, basket: int64 arrays [n], the numbers of each row's user and basket.

    Returns:
        The index of the row; None if every basket has a single user.
    """
    _, first, code = np.unique(basket, return_index=True, return_inverse=True)
    strangers = np.flatnonzero(user != user[first][code])
    return int(strangers[0]) if len(strangers) else None


def keep_frequent(baskets: Baskets, n: int) -> Baskets:
    """Remove all items that occur fewer than ``n`` times, counted over all users but without each user's last basket.

    If an item is twice in a basket, both occurrences count. Rare items are removed from last baskets too. Baskets that
    become empty are dropped, and so are users without any basket left.
    """
    last = np.cumsum(baskets.baskets_per_user) - 1
    history = ~np.isin(baskets.basket, last)
    items, code = np.unique(baskets.items, return_inverse=True)
    frequent = np.bincount(code[history], minlength=len(items)) >= n
    return baskets.only(np.ones(len(baskets.items_per_basket), bool), frequent[code])


def of_users(baskets: Baskets, chosen: np.ndarray) -> Baskets:
    """Return the baskets of the chosen users (bool [users])."""
    return baskets.only(chosen[baskets.owner])


def item_tokens(baskets: Baskets) -> pa.Array:
    """Return the distinct items of the baskets as an Arrow string array, in ascending order of their numbers."""
    return pa.array(np.unique(baskets.items)).cast(pa.string())


def write_baskets(path: str | Path, baskets: Baskets) -> None:
    """Write baskets as JSON, ``{user: [[item, …], …], …}``, a line per user; an interruption leaves no partial file."""
    of_basket = _offsets(baskets.items_per_basket)
    of_user = _offsets(baskets.baskets_per_user)
    with atomic_write(path) as file:
        file.write("{")
        for start in range(0, len(baskets.users), _USERS_AT_ONCE):
            users = baskets.users[start : start + _USERS_AT_ONCE]
            own = of_user[start : start + len(users) + 1]
            items = of_basket[own[0] : own[-1] + 1]
            lists = _as_lists(pa.array(baskets.items[items[0] : items[-1]]).cast(pa.string()), items - items[0])
            names = pa.array([json.dumps(user, ensure_ascii=False) for user in users])
            lines = pc.binary_join_element_wise(names, _as_lists(lists, own - own[0]), ": ")
            file.write((",\n" if start else "\n") + ",\n".join(lines.to_pylist()))
        file.write("\n}\n")


def _offsets(sizes: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)


def _as_lists(strings: pa.Array, offsets: np.ndarray) -> pa.Array:
    """Return ``strings[offsets[i]:offsets[i + 1]]`` for each i as the text of a JSON list (Arrow string array)."""
    joined = pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), strings), ", ")
    return pc.binary_join_element_wise("[", joined, "]", "")
