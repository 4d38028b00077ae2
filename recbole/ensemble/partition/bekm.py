"""GraphEraser's balanced partition by k-means (BEKM), of users."""

from fractions import Fraction
from math import ceil

import numpy as np

from recbole.ensemble.partition.base import EntityPartition, PartitionInput
from recbole.ensemble.partition.greedy import Anchors, around_anchors

_SLACK = Fraction(5, 1000)
_ITERATIONS = 20


def graph_capacity(n: int, n_shards: int) -> int:
    """Return how many of ``n`` nodes a shard holds: n / K and .005 of all others, rounded up."""
    even = Fraction(n, n_shards)
    return ceil(even + _SLACK * (n - even))


class KMeansPartition(EntityPartition):
    """Keeps users together whose vectors are near each other, as ``ubp`` does, in GraphEraser's capacity.

    M. Chen et al., "Graph Unlearning", CCS 2022: at most n / K + .005 (n - n / K) users a shard, mean vectors as
    anchors, 20 iterations at most, until no anchor moves. Their objects are a graph's nodes; users take the nodes'
    place here, as an item that is in one shard only would leave the others without it. Capacity factor, iterations and
    the anchors' update of RecEraser's partitions mean nothing here.
    """

    name = "bekm"
    needs_vectors = True
    by = "user"

    def _place(self, ids: np.ndarray, given: PartitionInput) -> np.ndarray:
        assert given.user_vectors is not None
        first = ids[self._drawn(len(ids), given)]
        anchors = Anchors(given.user_vectors, first)
        return around_anchors(anchors, ids, graph_capacity(len(ids), given.n_shards), _ITERATIONS, least=0)
