"""UltraRE's partition of users by optimal transport."""

import numpy as np

from recbole.ensemble.partition.base import EntityPartition, PartitionInput, capacity
from recbole.ensemble.partition.greedy import Anchors, by_table, fill, pieces, settle

_ROUNDS = 10
_SMOOTHNESS = 0.02
"""The weight of the entropy term, as a share of the mean cost."""

_SWEEPS = 300
_OFF_BY = 1e-3
"""The iterations end when each shard's load is within this share of the even load."""

_USERS_AT_ONCE = 2**13


class TransportPartition(EntityPartition):
    """Groups users with similar embeddings in shards with equal numbers of users.

    Y. Li et al., "UltraRE", NeurIPS 2023: K random users are the first centroids. A transport plan with the least total
    squared distance, in which users have equal weights and shards equal loads, assigns users to shards, and centroids
    move to the means. This is repeated until no user changes, at most ten times.

    Here the plan comes from Sinkhorn iterations with an entropy weight of a fiftieth of the mean cost, where the paper
    uses a solver. Each user goes to the shard with the largest share in the plan, the surest users first, or to the
    next one if that shard has n / K users (rounded up) already. Only this limit differs from an argmax per user.
    RecEraser's settings (capacity factor, iterations, anchor update) are ignored.
    """

    name = "ot"
    needs_vectors = True
    by = "user"

    def _place(self, ids: np.ndarray, given: PartitionInput) -> np.ndarray:
        assert given.user_vectors is not None
        first = ids[self._drawn(len(ids), given)]
        anchors = Anchors(given.user_vectors, first)
        limits = [capacity(len(ids), given.n_shards, 1)] * given.n_shards
        price = np.zeros(given.n_shards)

        def step() -> np.ndarray:
            nonlocal price
            cost = anchors.distances()[:, ids]
            smoothness = smoothness_of(cost)
            price = prices(cost, smoothness, price)
            shards = fill(by_table(unlikeliness(cost, smoothness, price), np.arange(len(ids))), len(ids), limits)
            anchors.move(ids, shards)
            return shards

        return settle(step, _ROUNDS, least=0)


def smoothness_of(cost: np.ndarray) -> float:
    """Return the weight of the entropy term for a table of costs, or 1 if all costs are 0."""
    return _SMOOTHNESS * float(cost.mean(dtype=np.float64)) or 1.0


def prices(cost: np.ndarray, smoothness: float, start: np.ndarray) -> np.ndarray:
    """Return one price per shard, float64 [K], that evens out the shards' loads: Sinkhorn iterations in the log domain.

    The users' potentials follow from the shards' prices and are not stored.

    Args:
        cost: float32 [K, n].
        smoothness: the weight of the entropy term, in units of the cost.
        start: the prices to start from, float64 [K].
    """
    price, (n_shards, n) = start.copy(), cost.shape
    for _ in range(_SWEEPS):
        load = np.zeros(n_shards)
        for part in pieces(n, _USERS_AT_ONCE):
            load += np.exp(-unlikeliness(cost[:, part], smoothness, price)).sum(axis=1, dtype=np.float64)
        share = load * n_shards / n
        if np.abs(share - 1).max() < _OFF_BY:
            break
        price += smoothness * np.log(np.maximum(share, 1e-30))
    return price


def unlikeliness(cost: np.ndarray, smoothness: float, price: np.ndarray) -> np.ndarray:
    """Return minus the logarithm of the share of each user's weight that goes to each shard, float32 [K, n].

    A user's shares sum to 1; the transport plan is the shares times the user's weight 1 / n.
    """
    energy = (cost + price.astype(np.float32)[:, None]) / np.float32(smoothness)
    energy -= energy.min(axis=0)
    return energy + np.log(np.exp(-energy).sum(axis=0))
