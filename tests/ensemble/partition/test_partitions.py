"""All partitions: they follow the published algorithms, respect capacities, and reject invalid input."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from partition_worlds import by_definition, world

from recbole.ensemble.partition.base import MOST_SHARDS, EntityPartition, capacity
from recbole.ensemble.partition.bekm import graph_capacity
from recbole.ensemble.partition.registry import get_partition, partition_names
from recbole.utils import UserError, stream

NAMES = ("bekm", "blpa", "hash", "ibp", "inbp", "ot", "random", "ubp")
BY = {"random": "row", "inbp": "row", "ibp": "item"}
VECTORS = {"ubp", "ibp", "inbp", "bekm", "ot"}
SEEDS = st.integers(0, 2**32 - 1)


def owners(name, given):
    """Return what a partition assigns to shards, for each row: the row number, the user or the item."""
    kinds = {"row": np.arange(len(given.users)), "user": given.users, "item": given.items}
    return kinds[BY.get(name, "user")]


def assigned(name, given):
    return get_partition(name)().assign(given)


def test_partitions_are_found_by_file_name():
    assert partition_names() == NAMES
    classes = {name: get_partition(name) for name in NAMES}
    assert all(one.name == name and one.by == BY.get(name, "user") for name, one in classes.items())
    assert {name for name, one in classes.items() if one.needs_vectors} == VECTORS
    assert {name for name, one in classes.items() if one.exact_level == "E2"} == {"hash"}
    assert {one.exact_level for one in classes.values()} == {"E1", "E2"}
    assert {name for name, one in classes.items() if not issubclass(one, EntityPartition)} == {"random", "inbp"}


@pytest.mark.parametrize("name", ["greedy", "ubq"])
def test_an_unknown_name_gives_a_one_line_error(name):
    with pytest.raises(UserError, match=f"^--partition: there is no '{name}'") as caught:
        get_partition(name)
    assert name == "greedy" or "'ubp'" in str(caught.value)


@drawn(SEEDS, st.sampled_from(("ubp", "ibp", "inbp")), st.integers(1, 5), st.sampled_from((1, 1.2, 2)),
       st.integers(1, 6), st.sampled_from(("vector", "scalar_compat")), st.integers(1, 3))  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_receraser_equals_the_reference_implementation(seed, name, n_shards, factor, iterations, update, d):
    given = world(seed, 40, 12, 11, d, n_shards, whole=True, capacity_factor=factor, iterations=iterations,
                  anchor_update=update)  # fmt: skip
    entities = owners(name, given)
    objects = np.unique(entities)
    users, items = given.user_vectors, given.item_vectors
    both = [users[given.users], items[given.items]]
    kinds = both if name == "inbp" else [(users if name == "ubp" else items)[objects]]
    first = stream(given.seed, "partition", name).choice(len(objects), n_shards, replace=False)
    limit = capacity(len(objects), n_shards, factor)
    right = by_definition(kinds, first, limit, iterations, scalar=update == "scalar_compat")
    assert np.array_equal(assigned(name, given), right[np.searchsorted(objects, entities)])


@drawn(SEEDS, st.integers(1, 5), st.integers(1, 3))
@settings(deadline=None, max_examples=50)
def test_bekm_is_the_same_algorithm_with_another_capacity(seed, n_shards, d):
    given = world(seed, 60, 25, 11, d, n_shards, whole=True, iterations=1, capacity_factor=5)
    users = np.unique(given.users)
    first = stream(given.seed, "partition", "bekm").choice(len(users), n_shards, replace=False)
    limit = graph_capacity(len(users), n_shards)
    right = by_definition([given.user_vectors[users]], first, limit, 20, least=0)
    assert np.array_equal(assigned("bekm", given), right[np.searchsorted(users, given.users)])


def test_bekm_runs_until_no_object_changes():
    given = world(1, 20_000, 3000, 11, 1, 2)
    users = np.unique(given.users)
    first = stream(given.seed, "partition", "bekm").choice(len(users), 2, replace=False)
    settings = [given.user_vectors[users]], first, graph_capacity(len(users), 2), 20
    to_the_end, sooner = by_definition(*settings, least=0), by_definition(*settings, least=0.001)
    assert not np.array_equal(to_the_end, sooner)
    assert np.array_equal(get_partition("bekm")().of_entities(given)[users], to_the_end)


def test_bekm_has_the_capacity_of_grapheraser():
    assert graph_capacity(6040, 10) == 632  # 604 + .005 * 5436 = 631.18
    assert graph_capacity(1000, 5) == 204
    assert graph_capacity(7, 1) == 7


@pytest.mark.parametrize("name", NAMES)
@drawn(SEEDS, st.integers(1, 9), st.sampled_from((1, 1.2)))
@settings(deadline=None, max_examples=15)
def test_each_object_is_in_one_shard_within_its_capacity(name, seed, n_shards, factor):
    given = world(seed, n_shards=n_shards, capacity_factor=factor)
    shards, whose = assigned(name, given), owners(name, given)
    assert shards.dtype == np.int16 and shards.shape == given.users.shape and shards.min() >= 0
    objects = np.unique(np.stack([whose, shards]), axis=1)
    n = len(np.unique(whose))
    assert objects.shape[1] == n
    limits = {"random": capacity(n, n_shards, 1), "ot": capacity(n, n_shards, 1), "hash": n,
              "bekm": graph_capacity(n, n_shards), "blpa": graph_capacity(n, n_shards)}  # fmt: skip
    sizes = np.bincount(objects[1], minlength=n_shards)
    assert len(sizes) == n_shards and sizes.max() <= limits.get(name, capacity(n, n_shards, factor))


@pytest.mark.parametrize("name", NAMES)
def test_a_single_shard_contains_everything(name):
    given = world(n_shards=1, capacity_factor=1)
    assert not assigned(name, given).any()


@pytest.mark.parametrize("name", NAMES)
def test_as_many_shards_as_objects_is_possible(name):
    given = world(capacity_factor=1)
    whose = owners(name, given)
    n = len(np.unique(whose))
    shards = assigned(name, replace(given, n_shards=n, iterations=2))
    pairs = np.unique(np.stack([whose, shards]), axis=1)
    assert pairs.shape[1] == n
    if name not in ("hash", "blpa", "bekm"):  # in these, a shard may contain several objects
        assert np.array_equal(np.sort(pairs[1]), np.arange(n))


@pytest.mark.parametrize("name", NAMES)
def test_the_same_input_gives_the_same_shards_and_another_seed_others(name):
    given = world(3)
    before = [array.copy() for array in (given.users, given.items, given.user_vectors, given.item_vectors)]
    shards = assigned(name, given)
    assert np.array_equal(shards, assigned(name, world(3)))
    assert not np.array_equal(shards, assigned(name, replace(given, seed=8)))
    after = (given.users, given.items, given.user_vectors, given.item_vectors)
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


@pytest.mark.parametrize("name", [name for name in NAMES if BY.get(name) != "row"])
def test_users_have_the_shard_of_their_rows_and_none_without_rows(name):
    given, partition = world(4), get_partition(name)()
    of_entities, whose = partition.of_entities(given), owners(name, given)
    assert of_entities.shape == ((given.n_items if name == "ibp" else given.n_users),)
    assert of_entities.dtype == np.int16 and of_entities[0] == of_entities[-1] == -1
    assert np.array_equal(of_entities[whose], partition.assign(given))
    assert np.array_equal(np.flatnonzero(of_entities >= 0), np.unique(whose))


def test_random_shards_differ_by_one_row_and_may_split_a_user():
    given = world(n_rows=103, n_shards=10)
    everything = replace(given, users=np.full(103, 5, dtype=np.int32))
    shards = assigned("random", everything)
    assert np.array_equal(np.sort(np.bincount(shards)), [10] * 7 + [11] * 3)
    assert np.array_equal(shards, assigned("random", given))  # depends only on the number of rows
    assert (np.diff(shards) != 1).any()


def test_an_empty_shard_is_allowed():
    vectors = np.repeat(np.array([[0.0], [1], [5]], dtype=np.float32), [1, 20, 19], axis=0)
    given = world(capacity_factor=4, user_vectors=vectors)
    sizes = np.bincount(get_partition("ubp")().of_entities(given)[given.users], minlength=4)
    assert (
        np.count_nonzero(sizes) == 2
    )  # users have only two distinct vectors, each assigned to the first shard with an anchor there


def test_scalar_anchors_give_other_shards_than_vectors():
    for name in ("ubp", "ibp", "inbp"):
        given = world(5, n_rows=400)
        vector, scalar = (
            assigned(name, replace(given, anchor_update=one, iterations=20)) for one in ("vector", "scalar_compat")
        )
        assert not np.array_equal(vector, scalar)
        once = [assigned(name, replace(given, anchor_update=one, iterations=1)) for one in ("vector", "scalar_compat")]
        assert np.array_equal(*once)


def test_vectors_of_a_group_stay_together():
    rng = np.random.default_rng(6)
    group = np.arange(40) % 4
    vectors = (10 * np.eye(4)[group] + rng.normal(size=(40, 4)) / 10).astype(np.float32)
    given = world(6, n_rows=2000, user_vectors=vectors)
    # two anchors that start in one group divide it: use a seed whose anchors start in all four groups
    users = np.unique(given.users)
    names = ("ubp", "bekm", "ot")
    for name in names:
        starts = (stream(seed, "partition", name).choice(len(users), 4, replace=False) for seed in range(1000))
        seed = next(seed for seed, first in enumerate(starts) if len(set(group[users[first]])) == 4)
        shards = get_partition(name)().of_entities(replace(given, seed=seed))
        assert len({(one, other) for one, other in zip(group[users], shards[users], strict=True)}) == 4, name


@pytest.mark.parametrize("n_shards", [0, -1, MOST_SHARDS + 1])
def test_an_invalid_number_of_shards_gives_a_one_line_error(n_shards):
    with pytest.raises(UserError, match=rf"^--num_shards: {n_shards} is not from 1 to 32767$"):
        world(n_shards=n_shards)


@pytest.mark.parametrize("name", NAMES)
def test_more_shards_than_objects_are_rejected(name):
    given = world()
    n = len(np.unique(owners(name, given)))
    by = BY.get(name, "user")
    with pytest.raises(UserError, match=rf"^--num_shards: {n + 1} is more than the {n} {by}s in the training data$"):
        assigned(name, replace(given, n_shards=n + 1))


@pytest.mark.parametrize("factor", [0.999, 0, -1, np.nan, np.inf])
def test_a_capacity_below_an_equal_share_gives_a_one_line_error(factor):
    with pytest.raises(UserError, match=r"^--capacity_factor: "):
        world(capacity_factor=factor)


def test_other_invalid_settings_give_one_line_errors():
    with pytest.raises(UserError, match=r"^--anchor_update: there is no 'mean'; known: vector, scalar_compat$"):
        world(anchor_update="mean")
    with pytest.raises(UserError, match=r"^--partition_iterations: 0 is less than 1$"):
        world(iterations=0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("whose", ["user", "item"])
def test_missing_or_non_finite_vectors_give_one_line_errors(name, whose):
    given, field = world(), f"{whose}_vectors"
    broken = getattr(given, field).copy()
    broken[3, 1] = np.nan
    needed = name in VECTORS and BY.get(name, "user") in ("row", whose)
    for vectors, message in (
        (None, f"needs pretrained {whose} embeddings"),
        (broken, f"{whose} embeddings contain NaN, infinity"),
    ):
        if needed:
            with pytest.raises(UserError, match=f"^--partition {name}.* {message}"):
                assigned(name, replace(given, **{field: vectors}))
        else:
            assert np.array_equal(assigned(name, replace(given, **{field: vectors})), assigned(name, given))
