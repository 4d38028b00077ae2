"""UltraRE's partition of users by optimal transport."""

import numpy as np

from recbole.ensemble.partition.base import EntityPartition, PartitionInput, capacity
from recbole.ensemble.partition.greedy import Anchors, by_table, fill, pieces, settle

_ROUNDS = 10
_SMOOTHNESS = 0.02
"""The entropy's weight, as a share of the mean cost."""

_SWEEPS = 300
_OFF_BY = 1e-3
"""A shard's load may differ by this share from an even one when the sweeps end."""

_USERS_AT_ONCE = 2**13


class TransportPartition(EntityPartition):
    """Keeps users together whose vectors are near each other, in shards of equal numbers of users.

    Y. Li et al., "UltraRE", NeurIPS 2023: K users drawn are the first centroids; a transport plan at the least total of
    squared distances, each user of the same weight and each shard of the same load, says whose each user is; centroids
    move to the means; ten rounds at most, until nobody changes. The plan is that of Sinkhorn's iterations, with an
    entropy of a fiftieth of the mean cost, where theirs is a solver's. Users go to where the plan has most of them, the
    surest first, and to the next best where a shard has its n / K (rounded up) already: there alone this differs from
    an argmax of each row. Capacity factor, iterations and the anchors' update of RecEraser's partitions mean nothing
    here.
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
    """Return the entropy's weight for a table of costs."""
    return _SMOOTHNESS * float(cost.mean(dtype=np.float64)) or 1.0


def prices(cost: np.ndarray, smoothness: float, start: np.ndarray) -> np.ndarray:
    """Return what makes the shards' loads even, float64 [K]: Sinkhorn's iterations in the log domain.

    The potentials of users follow from those of shards, which alone are kept.

    Args:
        cost: float32 [K, n].
        smoothness: the entropy's weight, in the cost's unit.
        start: prices to begin with, float64 [K].
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
    """Return minus the logarithm of the share of each user that goes to each shard, float32 [K, n].

    The plan is these shares, which are 1 together, each times the weight 1 / n of a user.
    """
    energy = (cost + price.astype(np.float32)[:, None]) / np.float32(smoothness)
    energy -= energy.min(axis=0)
    return energy + np.log(np.exp(-energy).sum(axis=0))
