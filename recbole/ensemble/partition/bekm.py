"""GraphEraser's balanced embedding k-means (BEKM), applied to users."""

from fractions import Fraction
from math import ceil

import numpy as np

from recbole.ensemble.partition.base import EntityPartition, PartitionInput
from recbole.ensemble.partition.greedy import Anchors, around_anchors

_SLACK = Fraction(5, 1000)
_ITERATIONS = 20


def graph_capacity(n: int, n_shards: int) -> int:
    """Return the largest number of nodes in a shard by GraphEraser's rule: n / K + .005 (n - n / K), rounded up.

    Args:
        n: the number of nodes to divide.
        n_shards: the number of shards, K.
    """
    even = Fraction(n, n_shards)
    return ceil(even + _SLACK * (n - even))


class KMeansPartition(EntityPartition):
    """Groups users with similar embeddings, like ``ubp``, but with GraphEraser's shard capacity.

    M. Chen et al., "Graph Unlearning", CCS 2022. A shard has at most n / K + .005 (n - n / K) of the n users, rounded
    up, for K shards. Its anchor (centre) is the mean embedding of its users. There are at most 20 iterations, fewer if
    no user changes the shard. The paper divides a graph's nodes. Here only users are divided, since an item in a single
    shard would be missing from all others. RecEraser's settings (capacity factor, iterations, anchor update) are
    ignored.
    """

    name = "bekm"
    needs_vectors = True
    by = "user"

    def _place(self, ids: np.ndarray, given: PartitionInput) -> np.ndarray:
        assert given.user_vectors is not None
        first = ids[self._drawn(len(ids), given)]
        anchors = Anchors(given.user_vectors, first)
        return around_anchors(anchors, ids, graph_capacity(len(ids), given.n_shards), _ITERATIONS, least=0)
