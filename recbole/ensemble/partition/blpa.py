"""GraphEraser's balanced label propagation (BLPA), applied to users."""

from collections import deque

import numpy as np
import torch
from scipy import sparse

from recbole.ensemble.partition.base import EntityPartition, PartitionInput
from recbole.ensemble.partition.bekm import graph_capacity
from recbole.utils import stream
from recbole.utils.keyed import bits, key

_ITERATIONS = 100
_WEIGHT = 2**32
"""The weight of an item, which is divided evenly among its rows. It is an integer, so that sums and ties are exact."""


class LabelPropagation(EntityPartition):
    """Groups users who have items in common, with GraphEraser's shard capacity; needs no embeddings.

    M. Chen et al., "Graph Unlearning", CCS 2022. The nodes start in random shards of equal size. In each iteration the
    target of a node is the shard that has most of its neighbours; ties are broken at random. Nodes move to their
    targets in descending order of the number of neighbours there. If the target is full, a node waits until there is
    room. The algorithm ends when no node moves, or after 100 iterations.

    Here the nodes are users, since an item in a single shard would be missing from all others. The similarity of two
    users is the sum, over their common items, of one over the item's number of rows, and replaces the number of
    neighbours. Summing over items first takes O(N K) for N rows and K shards, and needs no edges between users, nearly
    all of which would come from popular items. Users without common items stay in their shard (GraphEraser's code moves
    such nodes to shard 0). Only users who move are processed one by one.

    If nearly all users have items in common, as in MovieLens, all users soon have the largest shard as target. It is
    full after a few moves, the others wait, and the result is close to the random start. RecEraser's capacity factor
    and iterations are ignored.
    """

    name = "blpa"
    by = "user"

    def _place(self, ids: np.ndarray, given: PartitionInput) -> np.ndarray:
        graph = _Neighbours(given, ids)
        shards = np.empty(len(ids), dtype=np.int16)
        order = stream(given.seed, "partition", self.name).permutation(len(ids))
        shards[order] = np.arange(len(ids)) % given.n_shards
        limit, state = graph_capacity(len(ids), given.n_shards), key(given.seed, "partition", self.name)
        for iteration in range(_ITERATIONS):
            near = graph.in_shards(shards, given.n_shards)
            wanted = _most(near, shards, bits(state, iteration))
            moves = np.flatnonzero(wanted != shards)
            moves = moves[np.argsort(-near[moves, wanted[moves]], kind="stable")]
            moved = exchange(shards, wanted, moves, limit)
            if np.array_equal(moved, shards):
                break
            shards = moved
        return shards


class _Neighbours:
    """Computes the similarity of each user with the users of each shard, see :class:`LabelPropagation`.

    Args:
        given: the training rows.
        ids: ids of the users that have rows, int64 [n], ascending.
    """

    def __init__(self, given: PartitionInput, ids: np.ndarray) -> None:
        place = np.zeros(given.n_users, dtype=np.int32)
        place[ids] = np.arange(len(ids), dtype=np.int32)
        ones = np.ones(len(given.users), dtype=np.int64)
        self._rows = sparse.csr_array((ones, (place[given.users], given.items)), shape=(len(ids), given.n_items))
        self._columns = self._rows.T  # a view: the arrays are not copied
        self._weight = _WEIGHT // np.maximum(np.bincount(given.items, minlength=given.n_items), 1)
        squares = sparse.csr_array((self._rows.data**2, self._rows.indices, self._rows.indptr), shape=self._rows.shape)
        self._own = squares @ self._weight

    def in_shards(self, shards: np.ndarray, n_shards: int) -> np.ndarray:
        """Return the summed similarity of each user with each shard's other users, int64 [n, K], in units of 2^-32.

        Args:
            shards: int16 [n], the shard of each user.
            n_shards: the number of shards, K.
        """
        member = np.zeros((len(shards), n_shards), dtype=np.int64)
        member[np.arange(len(shards)), shards] = 1
        near = self._rows @ ((self._columns @ member) * self._weight[:, None])
        near[np.arange(len(shards)), shards] -= self._own
        return near


def _most(near: np.ndarray, shards: np.ndarray, state: torch.Tensor) -> np.ndarray:
    """Return the shard with which each user has the highest similarity, int16 [n].

    Ties are broken at random. A user who is similar to nobody keeps the current shard.

    Args:
        near: int64 [n, K], each user's similarity with each shard.
        shards: int16 [n], the users' current shards.
        state: the key of the random numbers that break ties, see :func:`~recbole.utils.keyed.bits`.
    """
    wanted, most = near.argmax(axis=1).astype(np.int16), near.max(axis=1)
    several = np.flatnonzero((near == most[:, None]).sum(axis=1) > 1)
    users, shard = torch.as_tensor(several, device="cpu"), torch.arange(near.shape[1], device="cpu")
    drawn = bits(state, users[:, None], shard).cpu().numpy()
    drawn[near[several] < most[several, None]] = np.iinfo(np.int64).min
    wanted[several] = drawn.argmax(axis=1)
    return np.where(most > 0, wanted, shards)


def exchange(shards: np.ndarray, wanted: np.ndarray, moves: np.ndarray, limit: int) -> np.ndarray:
    """Move users to their target shards one after another, as far as there is room; return the shards, int16 [n].

    A user whose target is full waits in a queue for the target. When a user leaves a shard, the first user in the queue
    for this shard moves in. This makes room in the shard from which the second user came, and so on.

    Args:
        shards: int16 [n], the users' current shards.
        wanted: int16 [n], the users' target shards.
        moves: int [m], indices of the users whose target is another shard, in the order in which they move.
        limit: the largest number of users in a shard.
    """
    now, to = shards.tolist(), wanted.tolist()
    sizes = np.bincount(shards, minlength=1 + max(to)).tolist()
    waiting: dict[int, deque[int]] = {}
    for user in moves.tolist():
        aim = to[user]
        if sizes[aim] >= limit:
            waiting.setdefault(aim, deque()).append(user)
            continue
        free, now[user] = now[user], aim
        sizes[free] -= 1
        sizes[aim] += 1
        while queue := waiting.get(free):
            follower = queue.popleft()
            free, now[follower] = now[follower], free
            sizes[free] -= 1
            sizes[to[follower]] += 1
    return np.array(now, dtype=np.int16)
