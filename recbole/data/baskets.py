"""Next-basket data: the JSON file of baskets, and the log made from it."""

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recbole.data.log import InteractionLog, group_offsets
from recbole.data.split import TEST, TRAIN
from recbole.data.vocabulary import Vocabulary
from recbole.utils import UserError

logger = logging.getLogger("recbole")


@dataclass(frozen=True)
class Baskets:
    """The baskets of all users as flat arrays, in the file's order. A row is one item in one basket.

    Attributes:
        users: the users' tokens.
        baskets_per_user: int64 [users], how many baskets each user has.
        items_per_basket: int64 [baskets], how many items each basket has.
        items: int64 [rows], the items of all baskets, one basket after the other, as the numbers in the file. They are
            tokens, not the ids that models use.
    """

    users: list[str]
    baskets_per_user: np.ndarray
    items_per_basket: np.ndarray
    items: np.ndarray

    @property
    def owner(self) -> np.ndarray:
        """Index in ``users`` of each basket's user, int64 [baskets]."""
        return np.repeat(np.arange(len(self.users)), self.baskets_per_user)

    @property
    def basket(self) -> np.ndarray:
        """Index of each row's basket, int64 [rows], from 0."""
        return np.repeat(np.arange(len(self.items_per_basket)), self.items_per_basket)

    def only(self, baskets: np.ndarray, rows: np.ndarray | None = None) -> "Baskets":
        """Return only some of the baskets and, in these, only some of the rows.

        Baskets without any row left are dropped, and then users without any basket left.

        Args:
            baskets: bool [baskets], True for the baskets to keep.
            rows: bool [rows], True for the rows to keep; None keeps all rows of these baskets.
        """
        chosen = baskets[self.basket] if rows is None else rows & baskets[self.basket]
        sizes = np.bincount(self.basket[chosen], minlength=len(baskets))
        counts = np.bincount(self.owner[sizes > 0], minlength=len(self.users))
        users = [self.users[at] for at in np.flatnonzero(counts)]
        return Baskets(users, counts[counts > 0], sizes[sizes > 0], self.items[chosen])

    def distinct(self) -> "Baskets":
        """Return the baskets without repeated items: of equal items in a basket only the first is kept."""
        order = np.lexsort((self.items, self.basket))
        basket, item = self.basket[order], self.items[order]
        again = order[1:][(basket[1:] == basket[:-1]) & (item[1:] == item[:-1])]
        if not len(again):
            return self
        logger.info("baskets are sets: %d repeated items in a basket are dropped", len(again))
        first = np.ones(len(self.items), dtype=bool)
        first[again] = False
        return self.only(np.ones(len(self.items_per_basket), dtype=bool), first)

    def with_at_least(self, n: int) -> "Baskets":
        """Return the non-empty baskets of the users who have at least ``n`` non-empty baskets."""
        filled = self.items_per_basket > 0
        enough = np.bincount(self.owner[filled], minlength=len(self.users)) >= n
        if not enough.all():
            logger.info("%d of %d users have fewer than %d baskets and are left out", (~enough).sum(), len(enough), n)
        return self.only(filled & enough[self.owner])


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as a list of its (key, value) pairs, so that a repeated key can be detected."""


def read_baskets(path: str | Path) -> Baskets:
    """Read a JSON file ``{"user": [[item, ...], ...]}`` whose items are whole numbers from 0 to 2^63 - 1.

    Returns:
        The :class:`Baskets` in the file's order, empty ones included.

    Raises:
        UserError: the file cannot be read or is malformed. The message names the user and the basket, counted from 1.
    """
    path, number = Path(path), lru_cache(maxsize=None)(int)  # equal numbers share one object
    try:
        content = json.loads(path.read_bytes(), object_pairs_hook=_Pairs, parse_int=number)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a JSON file ({error})") from error
    if type(content) is not _Pairs:
        raise UserError(f"{path}: expected a JSON object with the baskets of each user, found {type(content).__name__}")
    users, lists = [user for user, _ in content], [baskets for _, baskets in content]
    if len(set(users)) < len(users):
        again = next(user for user, times in Counter(users).items() if times > 1)
        raise UserError(f"{path}: user '{again}' appears twice")
    _check(path, users, lists, lambda baskets: type(baskets) is list, "a list of baskets")
    flat = list(chain.from_iterable(lists))
    if not set(map(type, flat)) <= {list} or not set(map(type, chain.from_iterable(flat))) <= {int}:
        _blame(path, users, lists)
    try:
        items = np.fromiter(chain.from_iterable(flat), dtype=np.int64)
    except OverflowError:
        _blame(path, users, lists)
    if items.min(initial=0) < 0:
        _blame(path, users, lists)
    counts, sizes = (np.fromiter(map(len, rows), dtype=np.int64) for rows in (lists, flat))
    return Baskets(users, counts, sizes, items)


def _check(path: Path, users: Sequence[str], values: Iterable[Any], right: Callable[[Any], bool], what: str) -> None:
    for user, value in zip(users, values, strict=True):
        if not right(value):
            raise UserError(f"{path}: user '{user}': expected {what}, found {value!r:.40}")


def _blame(path: Path, users: Sequence[str], lists: Iterable[Any]) -> None:
    """Raise a UserError that names the first basket which is not a list of whole numbers from 0 to 2^63 - 1."""
    for user, baskets in zip(users, lists, strict=True):
        for number, basket in enumerate(baskets, start=1):
            where = f"{path}: user '{user}', basket {number}"
            if type(basket) is not list:
                raise UserError(f"{where}: expected a list of items, found {basket!r:.40}")
            for item in basket:
                if type(item) is not int or not 0 <= item < 2**63:
                    raise UserError(f"{where}: item {item!r:.40} is not a whole number from 0 to 2^63 - 1")


@dataclass(frozen=True)
class BasketLog(InteractionLog):
    """A log of (user, basket, item) rows, sorted by user and basket.

    Its attributes are those of :class:`InteractionLog`. ``columns["basket"]`` holds the number of each row's basket. A
    *target* basket is one that a model has to predict: each user's last three, see :meth:`targets`.
    """

    @property
    def basket(self) -> np.ndarray:
        """The number of the basket of each row, int64 [rows], ascending from 0."""
        return self.columns["basket"]

    @cached_property
    def basket_offsets(self) -> np.ndarray:
        """Int64 offsets [baskets + 1]: the rows of basket ``b`` are ``basket_offsets[b]:basket_offsets[b + 1]``."""
        return np.concatenate([np.flatnonzero(np.diff(self.basket, prepend=-1)), [len(self)]])

    @cached_property
    def basket_user(self) -> np.ndarray:
        """The user id of each basket, int64 [baskets]."""
        return self.user[self.basket_offsets[:-1]]

    @cached_property
    def user_baskets(self) -> np.ndarray:
        """Int64 offsets [n_users + 1]: the baskets of user ``u`` are ``user_baskets[u]:user_baskets[u + 1]``."""
        return group_offsets(self.basket_user, len(self.vocabulary["user"]))

    @cached_property
    def targets(self) -> dict[int, np.ndarray]:
        """Dict from split label to the numbers (int64, ascending) of its target baskets, at most one per user."""
        labels = self.split[self.basket_offsets[:-1]]
        return {label: np.flatnonzero(labels == label) for label in range(TRAIN, TEST + 1)}

    def target_of(self, users: npt.ArrayLike, label: int) -> np.ndarray:
        """Return the number (int64) of each user's target basket with the given split label.

        Users (int64 ids) without such a basket are left out.
        """
        found = self._target_by_user[label][np.asarray(users, dtype=np.int64)]
        return found[found >= 0]

    @cached_property
    def _target_by_user(self) -> dict[int, np.ndarray]:
        """Dict from split label to the target basket of each user id, int64 [n_users], -1 for none."""
        by_user = {label: np.full(len(self.offsets) - 1, -1) for label in self.targets}
        for label, targets in self.targets.items():
            by_user[label][self.basket_user[targets]] = targets
        return by_user


def make_log(name: str, baskets: Baskets) -> BasketLog:
    """Return the :class:`BasketLog` of some baskets, without split labels.

    Users get ids from 1 on in the order of ``baskets.users``, items in the order in which they first appear.

    Args:
        name: the data set's name.
        baskets: the baskets, in the order in which each user bought them.
    """
    encoded = pa.array(baskets.items).dictionary_encode()
    user = baskets.owner[baskets.basket] + 1
    vocabulary = {
        "user": Vocabulary(pa.array(baskets.users, pa.string())),
        "item": Vocabulary(encoded.dictionary.cast(pa.string())),
    }
    offsets = group_offsets(user, len(baskets.users) + 1)
    item = encoded.indices.to_numpy().astype(np.int64) + 1
    return BasketLog(name, user, item, {"basket": baskets.basket}, offsets, vocabulary)
