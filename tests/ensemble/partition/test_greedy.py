"""The greedy assignment of objects to shards equals a sort of all pairs; anchors, stopping and capacities."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from partition_worlds import walked

from recbole.ensemble.partition import greedy
from recbole.ensemble.partition.base import capacity

SEEDS = st.integers(0, 2**32 - 1)


def filled(table, limits):
    return greedy.fill(greedy.by_table(table, np.arange(table.shape[1])), table.shape[1], limits)


def limits_for(rng, n_shards, n):
    """Return random capacities of at least 1 whose sum is at least ``n``, often only slightly more."""
    limits = rng.multinomial(n + rng.integers(0, 3), np.ones(n_shards) / n_shards)
    return np.maximum(limits, 1).tolist()


@pytest.fixture(params=[3, 2**14], autouse=True, scope="module")
def at_once(request):
    """Run a test with distances computed for few objects at a time, and for all at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(greedy, "_AT_ONCE", request.param)
        yield


@given(SEEDS, st.integers(1, 40), st.integers(1, 8), st.integers(1, 6))
@settings(deadline=None, max_examples=60)
def test_many_equal_distances(seed, n, n_shards, kinds):
    rng = np.random.default_rng(seed)
    table = rng.integers(0, kinds, (n_shards, n)).astype(np.float32)
    limits = limits_for(rng, n_shards, n)
    assert np.array_equal(filled(table, limits), walked(table, limits))


@given(SEEDS, st.integers(1, 40), st.integers(1, 8))
@settings(deadline=None, max_examples=60)
def test_zero_products_along_rows_and_columns(seed, n, n_shards):
    rng = np.random.default_rng(seed)
    one, other = (rng.random((n_shards, 5)) * (rng.random((n_shards, 5)) < 0.6) for _ in range(2))
    left, right = rng.integers(0, 5, (2, n))
    table = one.astype(np.float32)[:, left] * other.astype(np.float32)[:, right]
    limits = limits_for(rng, n_shards, n)
    assert np.array_equal(filled(table, limits), walked(table, limits))


@given(SEEDS, st.integers(1, 60), st.integers(1, 8))
@settings(deadline=None, max_examples=50)
def test_random_distances_within_the_capacities(seed, n, n_shards):
    rng = np.random.default_rng(seed)
    table = (rng.normal(size=(n_shards, n)) + rng.normal(size=(n_shards, 1))).astype(np.float32)
    limits = limits_for(rng, n_shards, n)
    shards = filled(table, limits)
    assert np.array_equal(shards, walked(table, limits)) and shards.dtype == np.int16
    assert (np.bincount(shards, minlength=n_shards) <= limits).all()


def test_objects_that_do_not_fit_go_to_the_next_nearest_shard():
    table = np.array([[3, 1, 2, 1], [9, 9, 4, 9], [8, 9, 9, 9]], dtype=np.float32)
    assert filled(table, [2, 1, 4]).tolist() == [2, 0, 1, 0]


def test_objects_with_infinite_distances_are_assigned_too():
    table = np.full((2, 4), np.inf, dtype=np.float32)
    assert filled(table, [2, 2]).tolist() == [0, 0, 1, 1]


def test_distances_are_squared_and_zero_between_equal_vectors():
    vectors = np.random.default_rng(1).normal(size=(5000, 64)).astype(np.float32)
    vectors[17] = vectors[4500]
    anchors = greedy.Anchors(vectors, np.array([4500, 3]))
    table = anchors.distances()
    right = ((vectors.astype(np.float64)[None] - vectors[[4500, 3]].astype(np.float64)[:, None]) ** 2).sum(axis=2)
    assert table.dtype == np.float32 and np.allclose(table, right, rtol=1e-5)
    assert table[0, 17] == table[0, 4500] == table[1, 3] == 0 < table[0, 3]


@pytest.mark.parametrize("scalar", [False, True])
def test_anchors_move_to_the_mean_of_their_objects_unless_the_shard_is_empty(scalar, monkeypatch):
    monkeypatch.setattr(greedy, "_VECTORS_AT_ONCE", 3)
    monkeypatch.setattr(greedy, "_ROWS_COUNTED_AT_ONCE", 2)
    rng = np.random.default_rng(2)
    vectors, owners = rng.normal(size=(8, 5)).astype(np.float32), rng.integers(0, 8, 100)
    shards = rng.choice([0, 2, 3], 100).astype(np.int16)
    anchors = greedy.Anchors(vectors, np.array([0, 1, 2, 3]), scalar)
    anchors.move(owners, shards)
    for shard in (0, 2, 3):
        members = vectors[owners[shards == shard]].astype(np.float64)
        right = np.full(5, members.mean()) if scalar else members.mean(axis=0)
        assert np.allclose(anchors.places[shard], right, atol=1e-6)
    assert np.array_equal(anchors.places[1], vectors[1]) and anchors.places.shape == (4, 5)


def test_iterations_end_when_few_objects_change_or_at_the_limit():
    def steps(changes):
        """Yield the shards of 10,000 objects after each iteration, given how many objects change in each."""
        shards = np.zeros(10_000, dtype=np.int16)
        for change in [0, *changes]:
            shards = shards.copy()
            shards[:change] += 1
            yield shards

    def taken(changes, iterations, least):
        step = steps(changes)
        greedy.settle(lambda: next(step), iterations, least)
        return 1 + len(changes) - len(list(step))

    assert taken([500, 10, 9, 500], 50, 0.001) == 4
    assert taken([500, 10, 9, 0, 500], 50, 0) == 5
    assert taken([500, 500, 500, 500], 3, 0.001) == 3
    assert taken([500], 1, 0.001) == 1


def test_capacities_are_exact_decimal_numbers_rounded_up():
    assert capacity(6040, 10, 1.2) == 725
    assert capacity(10, 1, 1.1) == 11 < math.ceil(1.1 * 10 + 1e-12)
    assert [capacity(n, 4, 1) for n in (4, 5, 8)] == [1, 2, 2]
