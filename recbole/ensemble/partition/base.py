"""What a partition is given, and what it answers."""

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
"""Shards are int16."""

_LARGEST = 1e8
"""Of a vector's components, so that products of squared distances are float32."""


@dataclass(frozen=True, kw_only=True)
class PartitionInput:
    """The training rows, what is known of their users and items, and how to divide them.

    Attributes:
        users: int32 [N], the user of each row, from 1.
        items: int32 [N], its item, from 1.
        n_users: number of users, the padding 0 included.
        n_items: number of items, the padding 0 included.
        n_shards: number of shards, K.
        seed: of everything that is drawn, and the key of hashes.
        user_tokens: the users' names [n_users], None where there is none.
        item_tokens: the items' names [n_items].
        user_vectors: finite float32 [n_users, d], pretrained.
        item_vectors: finite float32 [n_items, d], pretrained.
        capacity_factor: a shard of ``ubp``, ``ibp`` and ``inbp`` holds so many times its even share of the objects, the
            next whole number at most.
        iterations: of ``ubp``, ``ibp`` and ``inbp``, at most; the others have a number of their own.
        anchor_update: the anchor of a shard of ``ubp``, ``ibp`` and ``inbp`` becomes its objects' mean vector
            ("vector"), or, in every component, the mean of all components of all its objects ("scalar_compat"), which
            is what RecEraser's released code does.

    Raises:
        UserError: when the number of shards, the capacity factor, the iterations or the update are out of bounds.
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
            raise UserError(f"--capacity_factor: {self.capacity_factor} leaves no room for every row; 1 is the least")
        if self.iterations < 1:
            raise UserError(f"the partition's iterations: {self.iterations} is no number from 1")
        if self.anchor_update not in get_args(AnchorUpdate):
            known = ", ".join(get_args(AnchorUpdate))
            raise UserError(f"--anchor_update: there is no '{self.anchor_update}', but {known}")


def check_shards(n_shards: int) -> None:
    """Raise a :class:`~recbole.utils.UserError` when there cannot be so many shards, whatever the data."""
    if not 1 <= n_shards <= MOST_SHARDS:
        raise UserError(f"--num_shards: {n_shards} is not from 1 to {MOST_SHARDS}")


def capacity(n: int, n_shards: int, factor: float) -> int:
    """Return how many of ``n`` objects a shard holds: ``factor`` (as it is written) times n / K, rounded up."""
    return ceil(Fraction(str(factor)) * n / n_shards)


class Partition(ABC):
    """A division of the training rows. To add one: a file of this folder, named as the ``name`` of the class in it.

    Attributes:
        name: what ``--partition`` calls it.
        exact_level: "E2" where the shard of a row follows from its own tokens and the seed, "E1" where it follows from
            other rows, or from their number, too: what is unlearned leaves its trace in the partition then.
        needs_vectors: whether it reads pretrained vectors.
        by: what an object is, of which each is in one shard with all its rows: a "row", a "user" or an "item".
    """

    name: ClassVar[str]
    exact_level: ClassVar[ExactLevel] = "E1"
    needs_vectors: ClassVar[bool] = False
    by: ClassVar[Kind]

    def assign(self, given: PartitionInput) -> np.ndarray:
        """Return the shard of each row, int16 [N].

        Raises:
            UserError: when there are more shards than objects, or something that the partition needs is not given.
        """
        self._check(given, len(given.users))
        return self._divide(given)

    @abstractmethod
    def _divide(self, given: PartitionInput) -> np.ndarray:
        """Return the shard of each row, int16 [N], for an input that has been checked."""

    def _check(self, given: PartitionInput, n: int) -> None:
        """Check an input of ``n`` objects."""
        if given.n_shards > n:
            raise UserError(f"--num_shards: {given.n_shards} is more than there are {self.by}s in training, {n}")
        both = {"user": given.user_vectors, "item": given.item_vectors}
        for whose, vectors in both.items() if self.needs_vectors else ():
            if self.by not in ("row", whose):
                continue
            if vectors is None:
                raise UserError(f"--partition {self.name} needs {whose} vectors of a pretrained model")
            if not (np.abs(vectors) <= _LARGEST).all():
                raise UserError(f"--partition {self.name}: pretrained {whose} vectors are not finite, or beyond 1e8")

    def _drawn(self, n: int, given: PartitionInput) -> np.ndarray:
        """Return K of ``n`` objects, int64 [K], drawn evenly: where the first anchors are."""
        return stream(given.seed, "partition", self.name).choice(n, given.n_shards, replace=False)


class EntityPartition(Partition):
    """A division of the users or of the items, each of whom brings all its rows."""

    def of_entities(self, given: PartitionInput) -> np.ndarray:
        """Return the shard of each user (item), int16 [n_users] ([n_items]); -1 for one that has no row, as padding.

        Raises:
            UserError: as :meth:`assign`.
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
        """Return whose each row is, int32 [N], and more than the largest id."""
        return (given.users, given.n_users) if self.by == "user" else (given.items, given.n_items)

    @abstractmethod
    def _place(self, ids: np.ndarray, given: PartitionInput) -> np.ndarray:
        """Return the shards, int16 [n], of the users (items) that have rows: int64 [n], ascending."""
