"""Rows for the tests of partitions, and RecEraser's algorithm as it is written: a sort of all pairs."""

import numpy as np

from recbole.ensemble.partition.base import PartitionInput


def world(seed=0, n_rows=300, n_users=40, n_items=30, d=4, n_shards=4, whole=False, **settings):
    """Return an input of random rows and vectors; the last user and the last item have no row.

    Args:
        seed: of rows and vectors.
        n_rows: of them.
        n_users: the padding and one without rows included.
        n_items: likewise.
        d: size of the vectors.
        n_shards: number of shards.
        whole: whether the vectors' components are among 0, 1 and 2, so that many distances are equal.
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
    """Return the shards from a walk through all pairs by (distance, object, shard).

    Args:
        table: distances [K, n].
        limits: how many objects a shard holds.
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
    """Return the shards of RecEraser's algorithm, all distances held and all pairs sorted.

    Args:
        kinds: the objects' vectors, float32 [n, d], one array, or two whose distances are multiplied.
        first: whose vectors the anchors are at first.
        limit: objects a shard holds.
        iterations: at most.
        scalar: whether an anchor moves to one number.
        least: share of objects below which a change ends it.
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
