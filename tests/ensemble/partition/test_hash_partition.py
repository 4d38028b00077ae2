"""Hash partitions: a shard depends only on the seed and the token."""

from dataclasses import replace

import numpy as np
import pytest
from partition_worlds import world

from recbole.ensemble.partition.hash import shards_of_tokens
from recbole.ensemble.partition.registry import get_partition
from recbole.utils import UserError

HASH = get_partition("hash")()


def test_known_shards_do_not_change():
    """Stored ensembles depend on these values."""
    assert shards_of_tokens(["196", "186", "22", "Zoë", ""], 10, 2).tolist() == [6, 4, 3, 5, 5]


def test_shards_do_not_depend_on_other_tokens():
    tokens = [f"session {one}" for one in range(100)]
    shards = shards_of_tokens(tokens, 7, 3)
    assert shards.dtype == np.int16
    assert np.array_equal(shards_of_tokens(tokens[::-3], 7, 3), shards[::-3])
    assert shards_of_tokens([None, tokens[5], None, tokens[5]], 7, 3).tolist() == [-1, shards[5], -1, shards[5]]
    assert np.array_equal(shards_of_tokens(np.array(tokens, dtype=object), 7, 3), shards)
    assert len(shards_of_tokens([], 7, 3)) == 0


def test_seeds_give_different_shards_of_similar_size():
    tokens = [str(one) for one in range(20_000)]
    one, other = (shards_of_tokens(tokens, 10, seed) for seed in (1, 2))
    assert abs((one == other).mean() - 0.1) < 0.01
    for shards in (one, other):
        assert (((np.bincount(shards, minlength=10) - 2000) ** 2) / 2000).sum() < 40  # chi-squared, 9 degrees


def test_a_users_shard_does_not_depend_on_other_rows_or_ids():
    given = world(8, n_shards=3)
    of_token = dict(zip(given.user_tokens, HASH.of_entities(given).tolist(), strict=True))
    some = given.users > 20
    fewer = replace(given, users=given.users[some], items=given.items[some])
    assert np.array_equal(HASH.assign(fewer), HASH.assign(given)[some])
    order = np.random.default_rng(9).permutation(given.n_users - 1) + 1
    tokens = [None] * given.n_users
    for one, number in enumerate(order, start=1):
        tokens[number] = given.user_tokens[one]
    renumbered = replace(given, users=np.concatenate([[0], order]).astype(np.int32)[given.users], user_tokens=tokens)
    assert [of_token[tokens[user]] for user in renumbered.users] == HASH.assign(renumbered).tolist()
    assert np.array_equal(HASH.assign(renumbered), HASH.assign(given))


def test_a_shard_may_be_empty():
    given = world(n_rows=4, n_users=6, n_shards=2)
    twins = {seed: HASH.assign(replace(given, seed=seed)) for seed in range(40)}
    assert any(len(set(shards.tolist())) == 1 for shards in twins.values())


def test_missing_tokens_give_a_one_line_error():
    given = world()
    user = int(given.users[0])
    tokens = [None if one == user else token for one, token in enumerate(given.user_tokens)]
    with pytest.raises(UserError, match=rf"^--partition hash: user id {user} has rows, but no token$"):
        HASH.assign(replace(given, user_tokens=tokens))
    with pytest.raises(UserError, match=r"^--partition hash needs the users' tokens$"):
        HASH.assign(replace(given, user_tokens=None))
    with pytest.raises(UserError, match=r"^--num_shards: 0 "):
        shards_of_tokens(["a"], 0, 1)
