"""Inputs for the tests of partitions, and a reference implementation of RecEraser's algorithm that sorts all pairs."""

import numpy as np

from recbole.ensemble.partition.base import PartitionInput


def world(seed=0, n_rows=300, n_users=40, n_items=30, d=4, n_shards=4, whole=False, **settings):
    """Return a partition input with random rows and vectors; the last user and the last item have no row.

    Args:
        seed: random seed of rows and vectors.
        n_rows: number of rows.
        n_users: number of users, including the padding and one without rows.
        n_items: number of items, including the padding and one without rows.
        d: size of the vectors.
        n_shards: number of shards.
        whole: draw the components of the vectors from 0, 1 and 2, so that many distances are equal.
        settings: further fields of the input.
    """
    rng = np.random.default_rng(seed)
    vectors = [rng.integers(0, 3, (n, d)) if whole else rng.normal(size=(n, d)) for n in (n_users, n_items)]
    fields = {
        "users": rng.integers(1, n_users - 1, n_rows).astype(np.int32),
        "items": rng.integers(1, n_items - 1, n_rows).astype(np.int32),
        "n_users": n_users,
        "n_items": n_items,
        "n_shards": n_shards,
        "seed": 7,
        "user_tokens": [None, *(f"u{one}" for one in range(1, n_users))],
        "item_tokens": [None, *(f"i{one}" for one in range(1, n_items))],
        "user_vectors": vectors[0].astype(np.float32),
        "item_vectors": vectors[1].astype(np.float32),
    }
    return PartitionInput(**fields | settings)


def walked(table, limits):
    """Assign objects greedily: go through all pairs in order of (distance, object, shard).

    Args:
        table: distances, float [K, n].
        limits: capacity of each shard.

    Returns:
        The shard of each object, int [n].
    """
    n_shards, n = table.shape
    pairs = sorted((table[k, one], one, k) for k in range(n_shards) for one in range(n))
    shards, sizes = [-1] * n, [0] * n_shards
    for _, one, k in pairs:
        if shards[one] < 0 and sizes[k] < limits[k]:
            shards[one] = k
            sizes[k] += 1
    return np.array(shards)


def by_definition(kinds, first, limit, iterations, scalar=False, least=0.001):
    """Return the shards by RecEraser's algorithm, with all distances in memory and all pairs sorted.

    Args:
        kinds: list of the objects' vectors, float32 [n, d]: one array, or two whose distances are multiplied.
        first: objects whose vectors are the initial anchors.
        limit: capacity of a shard.
        iterations: maximum number of iterations.
        scalar: whether an anchor moves to a single number, the mean of all components.
        least: stop if a smaller fraction of objects changes shards.
    """
    anchors = [vectors[first] for vectors in kinds]
    n, before = len(kinds[0]), None
    for _ in range(iterations):
        table = np.ones((len(first), n), dtype=np.float32)
        for vectors, places in zip(kinds, anchors, strict=True):
            for k, place in enumerate(places):
                table[k] *= np.einsum("nd,nd->n", vectors - place, vectors - place)
        shards = walked(table, [limit] * len(first))
        for vectors, places in zip(kinds, anchors, strict=True):
            for k in set(shards.tolist()):
                members = vectors[shards == k].astype(np.float64)
                places[k] = members.mean() if scalar else members.mean(axis=0)
        if before is not None and ((changed := (shards != before).sum()) == 0 or changed < least * n):
            break
        before = shards
    return shards
