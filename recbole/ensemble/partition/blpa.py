"""GraphEraser's balanced partition by label propagation (BLPA), of users."""

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
"""Of an item, which its rows share evenly, as whole numbers: so sums are exact, and equal ones are found equal."""


class LabelPropagation(EntityPartition):
    """Keeps users together who have the same items, in GraphEraser's capacity; it needs no vectors.

    M. Chen et al., "Graph Unlearning", CCS 2022: nodes start in a random equal split; each then wants to be where most
    of its neighbours are (of several at random), and in the order of how many these are they move, or wait for a place;
    until nobody moves, 100 iterations at most. The nodes are users here, since an item that is in one shard only would
    leave the others without it, and the graph is the bipartite one of users and items: an item carries the shares of
    its rows in each shard, and a user has the sum of what the own items carry, less the own part in it. That is the
    projection on users, in which two of them are as near as the sum over common items of one over the item's rows, in
    O(N K) and without its edges, which popular items make nearly complete. Whoever has no item in common with anybody
    stays (GraphEraser's code sends such nodes to shard 0). Only users who move are walked through one by one.

    Where everybody has items in common with nearly everybody, as in MovieLens, all soon want the shard of the most
    rows. It is full after few of them, the others wait, and the iterations end near the random start.
    Capacity factor and iterations of RecEraser's partitions mean nothing here.
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
    """How much each user has in common with the users of each shard.

    Args:
        given: the rows.
        ids: the users that have rows, int64 [n], ascending.
    """

    def __init__(self, given: PartitionInput, ids: np.ndarray) -> None:
        place = np.zeros(given.n_users, dtype=np.int32)
        place[ids] = np.arange(len(ids), dtype=np.int32)
        ones = np.ones(len(given.users), dtype=np.int64)
        self._rows = sparse.csr_array((ones, (place[given.users], given.items)), shape=(len(ids), given.n_items))
        self._columns = self._rows.T  # shares the arrays
        self._weight = _WEIGHT // np.maximum(np.bincount(given.items, minlength=given.n_items), 1)
        squares = sparse.csr_array((self._rows.data**2, self._rows.indices, self._rows.indptr), shape=self._rows.shape)
        self._own = squares @ self._weight

    def in_shards(self, shards: np.ndarray, n_shards: int) -> np.ndarray:
        """Return it, int64 [n, K], in parts of 1 / 2^32."""
        member = np.zeros((len(shards), n_shards), dtype=np.int64)
        member[np.arange(len(shards)), shards] = 1
        near = self._rows @ ((self._columns @ member) * self._weight[:, None])
        near[np.arange(len(shards)), shards] -= self._own
        return near


def _most(near: np.ndarray, shards: np.ndarray, state: torch.Tensor) -> np.ndarray:
    """Return where the most of each user's neighbours are, int16 [n]; of several at random, of none where the user is.

    Args:
        near: int64 [n, K].
        shards: int16 [n], where the users are.
        state: of the random numbers.
    """
    wanted, most = near.argmax(axis=1).astype(np.int16), near.max(axis=1)
    several = np.flatnonzero((near == most[:, None]).sum(axis=1) > 1)
    users, shard = torch.as_tensor(several, device="cpu"), torch.arange(near.shape[1], device="cpu")
    drawn = bits(state, users[:, None], shard).cpu().numpy()
    drawn[near[several] < most[several, None]] = np.iinfo(np.int64).min
    wanted[several] = drawn.argmax(axis=1)
    return np.where(most > 0, wanted, shards)


def exchange(shards: np.ndarray, wanted: np.ndarray, moves: np.ndarray, limit: int) -> np.ndarray:
    """Return the shards after users have moved one after the other, int16 [n].

    A user moves where there is room, else joins the queue of the shard. Who leaves a shard makes room for the head of
    its queue, who leaves a place to the head of the next queue, and so on until a shard has nobody waiting.

    Args:
        shards: where the users are, int16 [n].
        wanted: where they want to be, int16 [n].
        moves: who wants to move, int [m], in order.
        limit: users that a shard holds.
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
