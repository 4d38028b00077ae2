"""UltraRE's partition of users by optimal transport."""

import numpy as np

from recbole.ensemble.partition.base import EntityPartition, PartitionInput, capacity
from recbole.ensemble.partition.greedy import Anchors, by_table, fill, pieces, settle

_ROUNDS = 10
_SMOOTHNESS = 0.02
"""The weight of the entropy term, as a fraction of the mean cost (squared distance)."""

_SWEEPS = 300
_OFF_BY = 1e-3
"""Sinkhorn iterations end when no shard's total share of the users differs from n / K by this fraction or more."""

_USERS_AT_ONCE = 2**13


class TransportPartition(EntityPartition):
    """Groups users with similar embeddings in shards with equal numbers of users, by optimal transport.

    Y. Li et al., "UltraRE", NeurIPS 2023. The first centroids are the embeddings of K random users. Users are assigned
    to shards by a transport plan, which says what share of each user goes to each shard. It is the plan with the least
    total squared distance between users and centroids among those in which all shards receive the same total share.
    Then each centroid moves to the mean of its users. This is repeated until no user changes the shard, at most ten
    times.

    The paper computes the plan with a solver; here it is computed by Sinkhorn iterations, with an entropy term whose
    weight is a fiftieth of the mean cost. Each user goes to the shard with the user's largest share in the plan. If
    that shard already has n / K users (rounded up), the user goes to the one with the next largest share. Users with
    larger shares are assigned first. RecEraser's settings (capacity factor, iterations, anchor update) are ignored.
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
    """Return the weight of the entropy term: ``_SMOOTHNESS`` times the mean cost, or 1 if all costs are 0.

    Args:
        cost: float32 [K, n], the cost (squared distance) of each user in each shard.
    """
    return _SMOOTHNESS * float(cost.mean(dtype=np.float64)) or 1.0


def prices(cost: np.ndarray, smoothness: float, start: np.ndarray) -> np.ndarray:
    """Compute one price per shard, float64 [K], such that all shards receive the same total share of the users.

    A shard's price is added to its costs, so that an overloaded shard becomes less attractive. The prices are the
    shards' dual potentials in optimal transport with an entropy term, computed by Sinkhorn iterations in the log
    domain. The users' potentials follow from them and are not stored.

    Args:
        cost: float32 [K, n], the cost (squared distance) of each user in each shard.
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
    """Return minus the logarithm of the share of each user that goes to each shard, float32 [K, n].

    A user's shares are the softmax over shards of ``-(cost + price) / smoothness``; they sum to 1.

    Args:
        cost: float32 [K, n], the cost (squared distance) of each user in each shard.
        smoothness: the weight of the entropy term, in units of the cost.
        price: float64 [K], the price of each shard, which is added to its costs.
    """
    energy = (cost + price.astype(np.float32)[:, None]) / np.float32(smoothness)
    energy -= energy.min(axis=0)
    return energy + np.log(np.exp(-energy).sum(axis=0))
