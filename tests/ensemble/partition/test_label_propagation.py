"""BLPA (balanced label propagation): neighbour counts, and the queues of users who wait for space in a shard."""

from dataclasses import replace

import numpy as np
import torch
from partition_worlds import world

from recbole.ensemble.partition import blpa
from recbole.ensemble.partition.registry import get_partition

BLPA = get_partition("blpa")()


def exchanged(shards, wanted, moves, limit):
    both = (np.array(one, dtype=np.int16) for one in (shards, wanted))
    return blpa.exchange(*both, np.array(moves), limit).tolist()


def test_a_user_who_leaves_makes_space_for_the_first_in_the_queue():
    # user 3 waits for shard 0, user 0 for shard 1. User 2 moves from 1 to 2; so 0 moves to 1, and 3 to 0.
    shards, wanted = [0, 0, 1, 1, 2], [1, 0, 2, 0, 2]
    assert exchanged(shards, wanted, [3, 0, 2], 2) == [1, 0, 2, 0, 2]


def test_one_free_space_moves_one_user_of_a_queue():
    # users 0 and 1 wait for shard 1, which one user leaves
    shards, wanted = [0, 0, 1, 1, 2], [1, 1, 2, 1, 2]
    assert exchanged(shards, wanted, [0, 1, 2], 2) == [1, 0, 2, 1, 2]
    assert exchanged(shards, wanted, [1, 0, 2], 2) == [0, 1, 2, 1, 2]


def test_a_chain_of_moves_may_visit_a_shard_twice():
    # user 4 moves from 1 to 2, so 0 moves to 1, 2 to 0, and then user 1, next in the queue, to 1
    shards, wanted = [0, 0, 1, 1, 1, 2, 0], [1, 1, 0, 1, 2, 2, 0]
    assert exchanged(shards, wanted, [0, 1, 2, 4], 3) == wanted


def test_users_move_only_if_there_is_space():
    assert exchanged([0, 0, 1, 1], [1, 0, 0, 1], [0, 2], 2) == [0, 0, 1, 1]
    assert exchanged([0, 0, 1, 1], [1, 0, 0, 1], [0, 2], 3) == [1, 0, 0, 1]


def test_neighbours_are_counted_by_common_items_excluding_the_user():
    given = world(1, n_rows=60, n_users=9, n_items=8)
    ids = np.unique(given.users)
    shards = (np.arange(len(ids)) % 3).astype(np.int16)
    near = blpa._Neighbours(given, ids).in_shards(shards, 3)
    right = np.zeros((len(ids), 3))
    degree = np.bincount(given.items)
    for user, item in zip(given.users, given.items, strict=True):
        for other, same in zip(given.users, given.items, strict=True):
            if item == same and user != other:
                right[np.searchsorted(ids, user), shards[np.searchsorted(ids, other)]] += 1 / degree[item]
    assert np.allclose(near / 2**32, right, atol=1e-6) and near.dtype == np.int64


def test_users_without_neighbours_stay_and_ties_are_random():
    near = np.array([[0, 0, 0]] + [[5, 1, 5]] * 200 + [[2, 3, 2]], dtype=np.int64)
    shards = np.full(len(near), 1, dtype=np.int16)
    wanted = blpa._most(near, shards, torch.tensor(5, device="cpu"))
    assert wanted[0] == 1 and wanted[-1] == 1 and wanted.dtype == np.int16
    assert set(wanted[1:-1].tolist()) == {0, 2} and 70 < np.count_nonzero(wanted[1:-1] == 0) < 130


def test_groups_without_common_items_are_separated():
    rng = np.random.default_rng(2)
    users = np.repeat(np.arange(1, 41, dtype=np.int32), 12)
    items = (1 + rng.integers(0, 10, len(users)) + 10 * (users % 2)).astype(np.int32)
    given = world(n_users=41, n_items=22, users=users, items=items, n_shards=2)
    apart = [len(set(BLPA.of_entities(replace(given, seed=seed))[1::2].tolist())) == 1 for seed in range(20)]
    assert np.mean(apart) > 0.3
