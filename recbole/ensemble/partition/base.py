"""The input of a partition, and the base classes of partitions, which divide the training rows into shards."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import ClassVar, Literal, get_args

import numpy as np

from recbole.data.ids import distinct
from recbole.utils import UserError, stream

AnchorUpdate = Literal["vector", "scalar_compat"]
ExactLevel = Literal["E1", "E2"]
Kind = Literal["row", "user", "item"]
MOST_SHARDS = 2**15 - 1
"""The largest number of shards: shard numbers are stored as int16."""

_LARGEST = 1e8
"""The largest absolute value of an embedding's component. Products of two squared distances then fit in float32."""


@dataclass(frozen=True, kw_only=True)
class PartitionInput:
    """The input of a partition: the training rows, tokens and embeddings of users and items, and settings.

    Attributes:
        users: int32 [N], the user id of each row, from 1.
        items: int32 [N], the item id of each row, from 1.
        n_users: the number of user ids, including padding (0).
        n_items: the number of item ids, including padding (0).
        n_shards: the number of shards, K.
        seed: the seed for random draws and the key for hashes.
        user_tokens: the raw token of each user id, [n_users], with None for an id without one; None for no tokens at
            all.
        item_tokens: the raw token of each item id, [n_items], with None for an id without one; None for no tokens at
            all.
        user_vectors: pretrained user embeddings, finite float32 [n_users, d]; None for partitions without embeddings.
        item_vectors: pretrained item embeddings, finite float32 [n_items, d]; None for partitions without embeddings.
        capacity_factor: for ``ubp``, ``ibp`` and ``inbp``: a shard holds at most this many times its even share of the
            users, items or rows, rounded up. Other partitions ignore it.
        iterations: for ``ubp``, ``ibp`` and ``inbp``: the largest number of iterations. Other partitions ignore it.
        anchor_update: for ``ubp``, ``ibp`` and ``inbp``: how a shard's anchor (its centre) moves. "vector" moves it to
            the mean embedding of the shard's members. "scalar_compat" sets every component to the mean over all
            components of all members, as RecEraser's released code does. Other partitions ignore it.

    Raises:
        UserError: the number of shards, the capacity factor, the iterations or the anchor update is invalid.
    """

    users: np.ndarray
    items: np.ndarray
    n_users: int
    n_items: int
    n_shards: int
    seed: int
    user_tokens: Sequence[str | None] | None = None
    item_tokens: Sequence[str | None] | None = None
    user_vectors: np.ndarray | None = None
    item_vectors: np.ndarray | None = None
    capacity_factor: float = 1.2
    iterations: int = 50
    anchor_update: AnchorUpdate = "vector"

    def __post_init__(self) -> None:
        """Check the settings; the class's docstring lists the errors."""
        check_shards(self.n_shards)
        if not 1 <= self.capacity_factor < np.inf:
            raise UserError(f"--capacity_factor: {self.capacity_factor} is not a finite number of 1 or more")
        if self.iterations < 1:
            raise UserError(f"--partition_iterations: {self.iterations} is less than 1")
        if self.anchor_update not in get_args(AnchorUpdate):
            known = ", ".join(get_args(AnchorUpdate))
            raise UserError(f"--anchor_update: there is no '{self.anchor_update}'; known: {known}")


def check_shards(n_shards: int) -> None:
    """Check the number of shards.

    Raises:
        UserError: the number is not from 1 to :data:`MOST_SHARDS`.
    """
    if not 1 <= n_shards <= MOST_SHARDS:
        raise UserError(f"--num_shards: {n_shards} is not from 1 to {MOST_SHARDS}")


def capacity(n: int, n_shards: int, factor: float) -> int:
    """Return the largest number of objects in a shard: ``factor`` times the even share ``n / n_shards``, rounded up.

    ``factor`` is taken as the decimal number that it is printed as, and the result is exact.

    Args:
        n: the number of objects to divide.
        n_shards: the number of shards.
        factor: 1 or more.
    """
    return ceil(Fraction(str(factor)) * n / n_shards)


class Partition(ABC):
    """Base class of partitions, which divide the training rows into K shards.

    The objects that are divided are rows, users or items. All rows of a user (or item) go to the same shard. To add a
    partition, add a file here with a subclass; the file's name is the class's ``name``.

    Attributes:
        name: the value of ``--partition`` that selects the class.
        exact_level: "E2" if a row's shard depends only on its own tokens and the seed. "E1" if it also depends on other
            rows or on their number, so that forgotten rows leave a trace in the partition.
        needs_vectors: whether it needs pretrained embeddings.
        by: what is divided: "row", "user" or "item".
    """

    name: ClassVar[str]
    exact_level: ClassVar[ExactLevel] = "E1"
    needs_vectors: ClassVar[bool] = False
    by: ClassVar[Kind]

    def assign(self, given: PartitionInput) -> np.ndarray:
        """Divide the training rows into shards; return the shard of each row, int16 [N].

        Args:
            given: the rows, and the settings.

        Raises:
            UserError: there are more shards than objects, or an input that the partition needs is missing.
        """
        self._check(given, len(given.users))
        return self._divide(given)

    @abstractmethod
    def _divide(self, given: PartitionInput) -> np.ndarray:
        """Return the shard of each row, int16 [N], for an input that has been checked."""

    def _check(self, given: PartitionInput, n: int) -> None:
        """Check the input of the partition.

        Args:
            given: the input.
            n: the number of rows, users or items to divide.

        Raises:
            UserError: ``n`` is smaller than the number of shards, or embeddings are missing, not finite or too large.
        """
        if given.n_shards > n:
            raise UserError(f"--num_shards: {given.n_shards} is more than the {n} {self.by}s in the training data")
        both = {"user": given.user_vectors, "item": given.item_vectors}
        for whose, vectors in both.items() if self.needs_vectors else ():
            if self.by not in ("row", whose):
                continue
            if vectors is None:
                raise UserError(f"--partition {self.name} needs pretrained {whose} embeddings")
            if not (np.abs(vectors) <= _LARGEST).all():
                raise UserError(
                    f"--partition {self.name}: the pretrained {whose} embeddings contain NaN, infinity or an absolute "
                    "value above 1e8"
                )

    def _drawn(self, n: int, given: PartitionInput) -> np.ndarray:
        """Draw K distinct objects, at whose embeddings the shards' anchors (centres) start.

        Args:
            n: the number of objects.
            given: the input, with the seed and the number of shards K.

        Returns:
            int64 [K], indices of the objects, below ``n``.
        """
        return stream(given.seed, "partition", self.name).choice(n, given.n_shards, replace=False)


class EntityPartition(Partition):
    """Base class of partitions that divide users or items; all rows of a user (or item) go to the same shard."""

    def of_entities(self, given: PartitionInput) -> np.ndarray:
        """Return the shard of each user (or item) id.

        Args:
            given: the rows, and the settings.

        Returns:
            int16 [n_users] or [n_items]; -1 for padding and for ids without rows.

        Raises:
            UserError: there are more shards than users or items with rows, or a needed input is missing.
        """
        of_rows, size = self._entities(given)
        ids = distinct(of_rows, size)
        self._check(given, len(ids))
        shards = np.full(size, -1, dtype=np.int16)
        shards[ids] = self._place(ids, given)
        return shards

    def assign(self, given: PartitionInput) -> np.ndarray:
        """Return the shard of each row, int16 [N].

        Args:
            given: the rows, and the settings.

        Raises:
            UserError: there are more shards than users or items with rows, or a needed input is missing.
        """
        return self._divide(given)

    def _divide(self, given: PartitionInput) -> np.ndarray:
        return self.of_entities(given)[self._entities(given)[0]]

    def _entities(self, given: PartitionInput) -> tuple[np.ndarray, int]:
        """Return the user (or item) id of each row, int32 [N], and the number of user (or item) ids."""
        return (given.users, given.n_users) if self.by == "user" else (given.items, given.n_items)

    @abstractmethod
    def _place(self, ids: np.ndarray, given: PartitionInput) -> np.ndarray:
        """Return the shard of each user (or item) that has rows, int16 [n].

        Args:
            ids: int64 [n], ascending, ids of the users (or items) with rows.
            given: the input, which has been checked.
        """
