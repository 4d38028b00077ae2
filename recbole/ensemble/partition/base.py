"""The input of a partition, and the base classes of partitions."""

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
"""The largest number of shards, since shard numbers are int16."""

_LARGEST = 1e8
"""The largest absolute value of an embedding component for which products of squared distances fit in float32."""


@dataclass(frozen=True, kw_only=True)
class PartitionInput:
    """The training rows, what is known of their users and items, and settings of the partition.

    Attributes:
        users: int32 [N], the user id of each row, from 1.
        items: int32 [N], the item id of each row, from 1.
        n_users: the number of user ids, including padding (0).
        n_items: the number of item ids, including padding (0).
        n_shards: the number of shards, K.
        seed: the seed for random draws and the key for hashes.
        user_tokens: the users' tokens [n_users]; None for an id without one.
        item_tokens: the items' tokens [n_items]; None for an id without one.
        user_vectors: pretrained user embeddings, finite float32 [n_users, d].
        item_vectors: pretrained item embeddings, finite float32 [n_items, d].
        capacity_factor: for ``ubp``, ``ibp`` and ``inbp``: a shard holds at most this many times its even share of the
            users, items or rows, rounded up.
        iterations: for ``ubp``, ``ibp`` and ``inbp``: the most iterations. Other partitions ignore it.
        anchor_update: for ``ubp``, ``ibp`` and ``inbp``: how a shard's anchor moves. "vector" moves it to the mean
            embedding of the shard's members. "scalar_compat" sets every component to the mean over all components of
            all members, as RecEraser's released code does.

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
        """Check the settings."""
        check_shards(self.n_shards)
        if not 1 <= self.capacity_factor < np.inf:
            raise UserError(f"--capacity_factor: {self.capacity_factor} is not a finite number of 1 or more")
        if self.iterations < 1:
            raise UserError(f"the partition's iterations: {self.iterations} is less than 1")
        if self.anchor_update not in get_args(AnchorUpdate):
            known = ", ".join(get_args(AnchorUpdate))
            raise UserError(f"--anchor_update: there is no '{self.anchor_update}'; known: {known}")


def check_shards(n_shards: int) -> None:
    """Raise a :class:`~recbole.utils.UserError` if the number of shards is not from 1 to :data:`MOST_SHARDS`."""
    if not 1 <= n_shards <= MOST_SHARDS:
        raise UserError(f"--num_shards: {n_shards} is not from 1 to {MOST_SHARDS}")


def capacity(n: int, n_shards: int, factor: float) -> int:
    """Return how many of ``n`` objects fit in a shard: ``factor`` (as an exact decimal) times n / K, rounded up."""
    return ceil(Fraction(str(factor)) * n / n_shards)


class Partition(ABC):
    """A way to divide the training rows into shards. To add one, add a file here named like the class's ``name``.

    The objects that are divided are rows, users or items; a user or an item takes all its rows along.

    Attributes:
        name: its name in ``--partition``.
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
        """Return the shard of each row, int16 [N].

        Raises:
            UserError: there are more shards than objects, or an input that the partition needs is missing.
        """
        self._check(given, len(given.users))
        return self._divide(given)

    @abstractmethod
    def _divide(self, given: PartitionInput) -> np.ndarray:
        """Return the shard of each row, int16 [N]; the input has been checked."""

    def _check(self, given: PartitionInput, n: int) -> None:
        """Check an input with ``n`` objects.

        Raises:
            UserError: there are fewer than K objects, or embeddings are missing, not finite or too large.
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
                raise UserError(f"--partition {self.name}: pretrained {whose} embeddings are not finite, or beyond 1e8")

    def _drawn(self, n: int, given: PartitionInput) -> np.ndarray:
        """Return K distinct random indices below ``n``, int64 [K]: the objects at which the anchors start."""
        return stream(given.seed, "partition", self.name).choice(n, given.n_shards, replace=False)


class EntityPartition(Partition):
    """A partition that divides users or items, each of which takes all its rows along."""

    def of_entities(self, given: PartitionInput) -> np.ndarray:
        """Return the shard of each user or item id, int16 [n_users] or [n_items]; -1 for ids without rows and padding.

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
        """Return the shard of each row, int16 [N]; see :meth:`Partition.assign`."""
        return self._divide(given)

    def _divide(self, given: PartitionInput) -> np.ndarray:
        return self.of_entities(given)[self._entities(given)[0]]

    def _entities(self, given: PartitionInput) -> tuple[np.ndarray, int]:
        """Return the user (or item) id of each row, int32 [N], and the number of such ids."""
        return (given.users, given.n_users) if self.by == "user" else (given.items, given.n_items)

    @abstractmethod
    def _place(self, ids: np.ndarray, given: PartitionInput) -> np.ndarray:
        """Return the shard of each user (or item), int16 [n], given the ids that have rows, int64 [n], ascending."""
