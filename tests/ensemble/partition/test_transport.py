"""UltraRE's optimal transport: equal loads, at nearly the minimum cost."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from partition_worlds import world
from scipy.optimize import linear_sum_assignment

from recbole.ensemble.partition import ot
from recbole.ensemble.partition.registry import get_partition
from recbole.utils import stream


def costs(seed, n_shards, n, d=6):
    rng = np.random.default_rng(seed)
    users = rng.normal(size=(n, d)) + 2 * (rng.random((n, 1)) < 0.2)
    return ((users[None] - users[:n_shards, None]) ** 2).sum(axis=2).astype(np.float32)


@drawn(st.integers(0, 1000), st.integers(1, 8), st.integers(20, 120))
@settings(deadline=None, max_examples=25)
def test_the_plan_has_equal_loads_and_assigns_each_user_completely(seed, n_shards, n):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ot, "_USERS_AT_ONCE", 7)
        patch.setattr(ot, "_SWEEPS", 3000)
        cost = costs(seed, n_shards, n)
        smoothness = ot.smoothness_of(cost)
        price = ot.prices(cost, smoothness, np.zeros(n_shards))
    plan = np.exp(-ot.unlikeliness(cost, smoothness, price).astype(np.float64))
    assert np.allclose(plan.sum(axis=0), 1, atol=1e-5)
    assert np.allclose(plan.sum(axis=1), n / n_shards, rtol=2e-3)


def test_the_first_round_costs_little_more_than_the_best_balanced_assignment(monkeypatch):
    monkeypatch.setattr(ot, "_ROUNDS", 1)
    given = world(1, n_rows=5000, n_users=202, d=8, n_shards=5)
    users = np.unique(given.users)
    assert len(users) == 200
    first = users[stream(given.seed, "partition", "ot").choice(200, 5, replace=False)]
    vectors = given.user_vectors.astype(np.float64)
    cost = ((vectors[users][:, None] - vectors[first][None]) ** 2).sum(axis=2)
    rows, columns = linear_sum_assignment(np.repeat(cost, 40, axis=1))
    least = cost[rows, columns // 40].sum()
    shards = get_partition("ot")().of_entities(given)[users]
    assert np.bincount(shards).tolist() == [40] * 5
    assert least <= cost[np.arange(200), shards].sum() < 1.01 * least


def test_users_with_equal_vectors_are_divided_evenly():
    given = world(n_users=34, n_rows=3000)
    same = replace(given, user_vectors=np.ones_like(given.user_vectors))
    assert np.bincount(get_partition("ot")().of_entities(same)[1:-1]).tolist() == [8] * 4
