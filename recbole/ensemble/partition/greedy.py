"""Fills shards of limited size around anchors (one centre per shard): RecEraser's greedy algorithm, exact but faster.

Algorithm 2 in C. Chen et al., "Recommendation Unlearning" (RecEraser), WWW 2022, sorts all K * N (shard, object) pairs
by distance, and puts each object in the first shard that has room. Objects are users, items or rows. :func:`fill`
computes the same shards without sorting or storing the pairs. First each object goes to its nearest shard. If a shard
has too many objects, only the nearest of them fit, where equal distances are ordered by the objects' indices. Among the
shards with too many objects, the one is closed whose last fitting object has the smallest (distance, index). The
objects that do not fit go to their nearest shards that are still open. This is repeated, at most K times.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

Some = TypeVar("Some", slice, np.ndarray)
Distances = Callable[[slice | np.ndarray], Callable[[int], np.ndarray]]
"""Maps objects (a slice, or indices int32 [n]) to a function from a shard's number to distances, float32 [n]."""

Moment = tuple[float, int]
"""The sort key of an object in its shard: the distance from the shard's anchor, then the object's index."""

_NEVER: Moment = (np.inf, 2**31)  # larger than the sort key of any object
_AT_ONCE = 2**14
"""The number of objects whose distances are computed at once. Some arrays of this size fit in a processor's cache."""

_ROWS_COUNTED_AT_ONCE = 2**22
_VECTORS_AT_ONCE = 2**12
CHANGED_AT_LEAST = 0.001
"""The iterations end when less than this fraction of the objects changes its shard."""


def pieces(n: int, at_once: int) -> Iterator[slice]:
    """Yield successive slices of at most ``at_once`` indices that together cover ``range(n)``."""
    return (slice(start, min(start + at_once, n)) for start in range(0, n, at_once))


def fill(distances: Distances, n: int, limits: Sequence[int]) -> np.ndarray:
    """Assign objects to shards greedily, in ascending order of (distance, object, shard) over all pairs.

    Each object goes to the shard of its first pair in this order whose shard has room.

    Args:
        distances: the distances; negative and infinite ones are allowed, NaN is not.
        n: the number of objects.
        limits: the largest number of objects in each shard, at least 1; together at least n.

    Returns:
        int16 [n], the shard of each object.
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
    """Return each object's distance from the nearest open shard, float32 [n], and the number of this shard, int16 [n].

    A shard is open until it is full. Its distance is that of its anchor.

    Args:
        distance: maps a shard's number to the objects' distances from its anchor, float32 [n].
        is_open: numbers of the open shards, ascending; in a tie the first is taken.
    """
    least = distance(is_open[0])
    which = np.full(len(least), is_open[0], dtype=np.int16)
    for shard in is_open[1:]:
        other = distance(shard)
        np.copyto(which, shard, where=other < least)
        least = np.minimum(least, other)
    return least, which


def _grouped(shards: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Group the positions of an array by value.

    Args:
        shards: int16, shard numbers.

    Yields:
        Each shard number that occurs, ascending, with its positions in ``shards``, int32, ascending.
    """
    order = shards.argsort(kind="stable").astype(np.int32)  # int16 sorts in linear time
    sizes = np.bincount(shards)
    ends = sizes.cumsum()
    return ((shard, order[ends[shard] - sizes[shard] : ends[shard]]) for shard in np.flatnonzero(sizes).tolist())


def _full_at(members: np.ndarray, nearest: np.ndarray, limit: int) -> Moment:
    """Return the sort key (distance, index) of the last object that fits in a shard; ``_NEVER`` if all objects fit.

    Objects enter the shard in ascending order of their distance from its anchor; equal distances are ordered by index.

    Args:
        members: int32, indices of the shard's objects.
        nearest: float32 [n], the distance of each of all n objects from the anchor of its shard.
        limit: the largest number of objects in the shard.
    """
    if len(members) <= limit:
        return _NEVER
    distance = nearest[members]
    last = np.partition(distance, limit - 1)[limit - 1]
    equal = members[distance == last]
    place = limit - 1 - np.count_nonzero(distance < last)
    return float(last), int(np.partition(equal, place)[place])


def _later(members: np.ndarray, nearest: np.ndarray, moment: Moment) -> np.ndarray:
    """Return the objects of a shard whose sort key (distance, index) is larger than a given one; int32 indices.

    Args:
        members: int32, indices of the shard's objects.
        nearest: float32 [n], the distance of each of all n objects from the anchor of its shard.
        moment: the given sort key.
    """
    distance = nearest[members]
    last, member = np.float32(moment[0]), moment[1]
    return members[(distance > last) | ((distance == last) & (members > member))]


class Anchors:
    """The anchors of all shards: one point per shard (its centre) in the space of the user or item embeddings.

    Args:
        vectors: embeddings, float32 [m, d].
        first: indices of the embeddings at which the anchors start, int [K].
        scalar: True if :meth:`move` sets all components of an anchor to one number, the mean over all components of the
            objects' embeddings, as RecEraser's released code does.

    Attributes:
        places: the anchors, float32 [K, d].
    """

    def __init__(self, vectors: np.ndarray, first: np.ndarray, scalar: bool = False) -> None:
        self._vectors, self._scalar = vectors, scalar
        self.places = vectors[first].astype(np.float32)

    def distances(self) -> np.ndarray:
        """Return squared Euclidean distances from anchors to embeddings, float32 [K, m].

        The distance between equal points is exactly 0.
        """
        table = np.empty((len(self.places), len(self._vectors)), dtype=np.float32)
        for part in pieces(len(self._vectors), _VECTORS_AT_ONCE):
            for shard, place in enumerate(self.places):
                apart = self._vectors[part] - place
                np.einsum("nd,nd->n", apart, apart, out=table[shard, part])
        return table

    def move(self, owners: np.ndarray, shards: np.ndarray) -> None:
        """Move each anchor to the mean embedding of its shard's objects; the anchor of an empty shard stays.

        Args:
            owners: int [n], the index of each object's embedding. An embedding counts once for each of its objects.
            shards: int16 [n], the shard of each object.
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
    """Return the number of objects that each embedding has in each shard, float64 [m, K].

    Args:
        owners: int [n], the index of each object's embedding.
        shards: int16 [n], the shard of each object.
        m: the number of embeddings.
        n_shards: the number of shards, K.
    """
    counts = np.zeros(m * n_shards)
    for part in pieces(len(owners), max(_ROWS_COUNTED_AT_ONCE, len(counts))):
        counts += np.bincount(owners[part].astype(np.int64) * n_shards + shards[part], minlength=len(counts))
    return counts.reshape(m, n_shards)


def settle(step: Callable[[], np.ndarray], iterations: int, least: float = CHANGED_AT_LEAST) -> np.ndarray:
    """Repeat a step until few objects change their shard; return the shards of the last step, int16 [n].

    Args:
        step: computes the shards of all objects for the current anchors, moves the anchors, and returns the shards,
            int16 [n].
        iterations: the largest number of steps.
        least: the steps end when less than this fraction of the objects changes its shard, or none does.
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
    """Alternate between filling shards around anchors and moving the anchors; return the objects' shards, int16 [n].

    Args:
        anchors: the anchors at their start; they are moved in place.
        ids: int [n], the index of each object's embedding.
        limit: the largest number of objects in each shard.
        iterations: the largest number of iterations.
        least: the iterations end when less than this fraction of the objects changes its shard, or none does.
    """

    def step() -> np.ndarray:
        table = anchors.distances()
        shards = fill(by_table(table, ids), len(ids), [limit] * len(table))
        anchors.move(ids, shards)
        return shards

    return settle(step, iterations, least)


def by_table(table: np.ndarray, ids: np.ndarray) -> Distances:
    """Return the distances of objects from the shards' anchors, looked up in a table.

    Args:
        table: float32 [K, m], the distance of each shard's anchor from each embedding.
        ids: int [n], the index of each object's embedding.

    Returns:
        A function of objects and shards, see :data:`Distances`.
    """

    def of(some: slice | np.ndarray) -> Callable[[int], np.ndarray]:
        at = ids[some].astype(np.intp)
        return lambda shard: table[shard].take(at)

    return of
