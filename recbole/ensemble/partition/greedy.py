"""Shards of limited size around anchors: the exact greedy fill, and the anchors' distances and moves.

Algorithm 2 of C. Chen et al., "Recommendation Unlearning" (RecEraser), WWW 2022, walks all K * N pairs of a shard and
an object by distance and puts an object in the first shard that has room. :func:`fill` finds the same shards without
sorting, or holding, the pairs: as long as no shard is full, each object goes to its nearest. So the moment at which a
shard fills up is the key (distance, object) of its last object, and the first such moment of all is known. The shard
closes there, who came later goes to the nearest that is open, and so on: K closings at most.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

Some = TypeVar("Some", slice, np.ndarray)
Distances = Callable[[slice | np.ndarray], Callable[[int], np.ndarray]]
"""Of some objects (a slice, or int32 [n]): a function of a shard that gives their distances from it, float32 [n]."""

Moment = tuple[float, int]
"""When a pair's turn is: by distance, then by object. (Of one object, the shards follow by number.)"""

_NEVER: Moment = (np.inf, 2**31)  # after any object's, at whatever distance
_AT_ONCE = 2**14
"""Objects whose distances are computed at a time: a few arrays of them fit in a processor's cache."""

_ROWS_COUNTED_AT_ONCE = 2**22
_VECTORS_AT_ONCE = 2**12
CHANGED_AT_LEAST = 0.001
"""Of the objects: when fewer than these change their shard, the iterations end."""


def pieces(n: int, at_once: int) -> Iterator[slice]:
    """Yield slices that cover ``n`` places, so many at a time."""
    return (slice(start, min(start + at_once, n)) for start in range(0, n, at_once))


def fill(distances: Distances, n: int, limits: Sequence[int]) -> np.ndarray:
    """Return the shards that a walk through all pairs gives, in the order of (distance, object, shard).

    Args:
        distances: of some objects; of any sign, infinite ones too, but numbers.
        n: number of objects.
        limits: how many objects each shard holds, from 1; together n at least.

    Returns:
        int16 [n]
    """
    shards, nearest = np.empty(n, dtype=np.int16), np.empty(n, dtype=np.float32)
    is_open = list(range(len(limits)))
    for part in pieces(n, _AT_ONCE):
        nearest[part], shards[part] = _nearest(distances(part), is_open)
    members, full_at = [np.empty(0, dtype=np.int32)] * len(limits), [_NEVER] * len(limits)

    def join(shard: int, more: np.ndarray) -> None:
        members[shard] = np.concatenate([members[shard], more])
        full_at[shard] = _full_at(members[shard], nearest, limits[shard])

    for shard, first in _grouped(shards):
        join(shard, first)
    while (moment := min(full_at)) < _NEVER:
        closing = full_at.index(moment)
        is_open.remove(closing)
        full_at[closing] = _NEVER
        late = _later(members[closing], nearest, moment)
        for part in pieces(len(late), _AT_ONCE):
            some = late[part]
            nearest[some], shards[some] = _nearest(distances(some), is_open)
        for shard, came in _grouped(shards[late]):
            join(shard, late[came])
    return shards


def _nearest(distance: Callable[[int], np.ndarray], is_open: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance, float32 [n], from the nearest open shard, and which that is, int16 [n]; of equals the first.

    ``is_open`` ascends.
    """
    least = distance(is_open[0])
    which = np.full(len(least), is_open[0], dtype=np.int16)
    for shard in is_open[1:]:
        other = distance(shard)
        np.copyto(which, shard, where=other < least)
        least = np.minimum(least, other)
    return least, which


def _grouped(shards: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each shard that there is, and its places, int32, ascending."""
    order = shards.argsort(kind="stable").astype(np.int32)  # of int16 in linear time
    sizes = np.bincount(shards)
    ends = sizes.cumsum()
    return ((shard, order[ends[shard] - sizes[shard] : ends[shard]]) for shard in np.flatnonzero(sizes).tolist())


def _full_at(members: np.ndarray, nearest: np.ndarray, limit: int) -> Moment:
    """Return the moment of a shard's last object if it has too many, else never."""
    if len(members) <= limit:
        return _NEVER
    distance = nearest[members]
    last = np.partition(distance, limit - 1)[limit - 1]
    equal = members[distance == last]
    place = limit - 1 - np.count_nonzero(distance < last)
    return float(last), int(np.partition(equal, place)[place])


def _later(members: np.ndarray, nearest: np.ndarray, moment: Moment) -> np.ndarray:
    """Return those of a shard's objects whose turn is after a moment."""
    distance = nearest[members]
    last, member = np.float32(moment[0]), moment[1]
    return members[(distance > last) | ((distance == last) & (members > member))]


class Anchors:
    """One anchor a shard, among the vectors of users or of items.

    Args:
        vectors: float32 [m, d].
        first: whose vectors the anchors are at first, int [K].
        scalar: whether an anchor moves to one number in all components; see ``PartitionInput.anchor_update``.
    """

    def __init__(self, vectors: np.ndarray, first: np.ndarray, scalar: bool = False) -> None:
        self._vectors, self._scalar = vectors, scalar
        self.places = vectors[first].astype(np.float32)

    def distances(self) -> np.ndarray:
        """Return the squared Euclidean distances, float32 [K, m]: exactly 0 of a vector from its like."""
        table = np.empty((len(self.places), len(self._vectors)), dtype=np.float32)
        for part in pieces(len(self._vectors), _VECTORS_AT_ONCE):
            for shard, place in enumerate(self.places):
                apart = self._vectors[part] - place
                np.einsum("nd,nd->n", apart, apart, out=table[shard, part])
        return table

    def move(self, owners: np.ndarray, shards: np.ndarray) -> None:
        """Move each anchor to the mean of its shard's vectors; that of an empty shard stays.

        Args:
            owners: whose vector each object has, int [n]; whoever has several counts as often.
            shards: int16 [n].
        """
        sums, sizes = np.zeros(self.places.shape), np.zeros(len(self.places))
        counts = _counts(owners, shards, len(self._vectors), len(self.places))
        for part in pieces(len(self._vectors), _VECTORS_AT_ONCE):
            sums += counts[part].T @ self._vectors[part].astype(np.float64)
            sizes += counts[part].sum(axis=0)
        there = sizes > 0
        means = sums[there] / sizes[there, None]
        self.places[there] = means.mean(axis=1, keepdims=True) if self._scalar else means


def _counts(owners: np.ndarray, shards: np.ndarray, m: int, n_shards: int) -> np.ndarray:
    """Return how many objects each owner has in each shard, float64 [m, K]."""
    counts = np.zeros(m * n_shards)
    for part in pieces(len(owners), max(_ROWS_COUNTED_AT_ONCE, len(counts))):
        counts += np.bincount(owners[part].astype(np.int64) * n_shards + shards[part], minlength=len(counts))
    return counts.reshape(m, n_shards)


def settle(step: Callable[[], np.ndarray], iterations: int, least: float = CHANGED_AT_LEAST) -> np.ndarray:
    """Return the shards, int16 [n], after the last of some steps.

    Args:
        step: returns the shards for the anchors as they are, and moves these.
        iterations: at most so many steps.
        least: the steps end when less than this share of the objects has changed its shard, and when none has.
    """
    shards = step()
    for _ in range(iterations - 1):
        before, shards = shards, step()
        changed = np.count_nonzero(shards != before)
        if not changed or changed < least * len(shards):
            break
    return shards


def around_anchors(
    anchors: Anchors, ids: np.ndarray, limit: int, iterations: int, least: float = CHANGED_AT_LEAST
) -> np.ndarray:
    """Return the shards of users or items, int16 [n], by turns filled around anchors, which then move.

    Args:
        anchors: as they start.
        ids: whose vector each object has, int [n].
        limit: objects that a shard holds.
        iterations: see :func:`settle`.
        least: see :func:`settle`.
    """

    def step() -> np.ndarray:
        table = anchors.distances()
        shards = fill(by_table(table, ids), len(ids), [limit] * len(table))
        anchors.move(ids, shards)
        return shards

    return settle(step, iterations, least)


def by_table(table: np.ndarray, ids: np.ndarray) -> Distances:
    """Return the distances of objects that have them in a table [K, m], each in the column of its id, int [n]."""

    def of(some: slice | np.ndarray) -> Callable[[int], np.ndarray]:
        at = ids[some].astype(np.intp)
        return lambda shard: table[shard].take(at)

    return of
