"""Negatives: never a positive, and otherwise exactly as likely as they should be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole.data import create_dataset, sampler
from recbole.data.sampler import NegativeSampler, PairSet
from recbole.utils import ModelType, UserError, stream


@pytest.fixture(params=["bitmap", "sorted search"])
def variant(request, monkeypatch):
    """Run a test with each way to hold the pairs."""
    if request.param == "sorted search":
        monkeypatch.setattr(sampler, "_BITMAP_BYTES", 0)
    return request.param


def matrix(dataset):
    return dataset.inter_matrix("csr").toarray() > 0


def grid(dataset):
    """Return all (user, item) ids as two flat arrays."""
    return tuple(part.ravel() for part in np.indices((dataset.n_users, dataset.n_items)))


def test_the_pairs_are_the_retained_training_pairs(small_dataset, variant):
    dataset = small_dataset.masked(np.arange(len(small_dataset.log)) % 3 == 0)
    pairs = PairSet(dataset)
    assert (pairs.bitmap is None) == (variant == "sorted search")
    assert np.array_equal(pairs.contains(*grid(dataset)), matrix(dataset).ravel())


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_discarded_pairs_are_gone_alike_in_both_ways(small_dataset, seed):
    rng, users_items = np.random.default_rng(seed), grid(small_dataset)
    bitmap = PairSet(small_dataset)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampler, "_BITMAP_BYTES", 0)
        sorted_search = PairSet(small_dataset)
    left = matrix(small_dataset)
    for _ in range(3):
        users, items = rng.integers(25, size=60), rng.integers(41, size=60)  # pairs that are not there, and repeats
        left[users, items] = False
        for pairs in (bitmap, sorted_search):
            pairs.discard(users, items)
            assert np.array_equal(pairs.contains(*users_items), left.ravel())


@pytest.mark.parametrize("distribution", ["uniform", "popularity"])
def test_no_negative_is_a_positive_or_padding(small_dataset, variant, distribution):
    users = np.repeat(np.arange(1, small_dataset.n_users), 300)
    items = NegativeSampler(small_dataset, distribution, 0.75).sample(users, stream(2, "test"))
    assert items.min() >= 1 and items.max() < small_dataset.n_items and items.dtype == np.int64
    assert not matrix(small_dataset)[users, items].any()


def test_both_ways_draw_the_same(small_dataset, monkeypatch):
    users = np.repeat(np.arange(1, small_dataset.n_users), 20)
    bitmap = NegativeSampler(small_dataset).sample(users, stream(2, "test"))
    monkeypatch.setattr(sampler, "_BITMAP_BYTES", 0)
    assert np.array_equal(bitmap, NegativeSampler(small_dataset).sample(users, stream(2, "test")))
    assert not np.array_equal(bitmap, NegativeSampler(small_dataset).sample(users, stream(3, "test")))


def test_a_discarded_pair_may_be_drawn(small_dataset, variant):
    drawn_from = NegativeSampler(small_dataset)
    item = int(np.flatnonzero(matrix(small_dataset)[5])[0])
    users = np.full(2000, 5)
    assert item not in drawn_from.sample(users, stream(2, "a"))
    drawn_from.pairs.discard(np.array([5]), np.array([item]))
    assert item in drawn_from.sample(users, stream(2, "a"))


def chi_square(counts, expected):
    """Return how many standard deviations the chi-square statistic is from its mean."""
    freedom = len(counts) - 1
    return (((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom)


def test_uniform_negatives_are_uniform(small_dataset, variant):
    allowed = np.flatnonzero(~matrix(small_dataset)[20])[1:]
    items = NegativeSampler(small_dataset).sample(np.full(20_000, 20), stream(2, "uniform"))
    counts = np.bincount(items, minlength=small_dataset.n_items)[allowed]
    assert counts.sum() == 20_000 and abs(chi_square(counts, 20_000 / len(allowed))) < 4


@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_popular_negatives_follow_the_training_counts(small_dataset, variant, alpha):
    popularity = matrix(small_dataset).sum(axis=0) ** alpha
    popularity[matrix(small_dataset)[20] | (matrix(small_dataset).sum(axis=0) == 0)] = 0
    items = NegativeSampler(small_dataset, "popularity", alpha).sample(np.full(20_000, 20), stream(2, "popular"))
    counts, likely = np.bincount(items, minlength=small_dataset.n_items), np.flatnonzero(popularity)
    expected = 20_000 * popularity[likely] / popularity.sum()
    assert counts[likely].sum() == 20_000 and abs(chi_square(counts[likely], expected)) < 4


# --- what is refused -------------------------------------------------------------------------------------------------
def test_another_distribution(small_dataset):
    with pytest.raises(UserError, match="distribution 'normal' is not uniform or popularity"):
        NegativeSampler(small_dataset, "normal")


def test_somebody_who_has_everything(tmp_path, write_inter, config):
    rows = [("a", item, time) for time, item in enumerate("xyz")] + [("b", "x", 1)]
    write_inter(tmp_path, rows)
    all_train = {"order": "TO", "split": {"RS": [1, 0, 0]}}
    dataset = create_dataset(config(tmp_path, eval_args=all_train), ModelType.GENERAL)
    with pytest.raises(UserError, match="small: a user has every item"):
        NegativeSampler(dataset)
    dataset.forget([0])
    assert set(NegativeSampler(dataset).sample(np.ones(50, dtype=np.int64), stream(2, "t"))) == {1}


def test_somebody_who_has_everything_popular_is_no_endless_loop(tmp_path, write_inter, config):
    write_inter(tmp_path, [("a", item, time) for time, item in enumerate("xyzw")] + [("b", "x", 1), ("b", "y", 2)])
    dataset = create_dataset(
        config(tmp_path, eval_args={"order": "TO", "split": {"LS": "valid_and_test"}}), ModelType.GENERAL
    )
    assert NegativeSampler(dataset) is not None, "uniform negatives reach the items that nobody trains on"
    with pytest.raises(UserError, match="small: a user has every item"):
        NegativeSampler(dataset, "popularity")


def test_repeated_pairs_are_one(tmp_path, write_inter, config):
    write_inter(tmp_path, [("a", "x", time) for time in range(9)] + [("b", "y", 1), ("b", "z", 2)])
    dataset = create_dataset(config(tmp_path, eval_args={"order": "TO", "split": {"RS": [1, 0, 0]}}), ModelType.GENERAL)
    users = np.ones(50, dtype=np.int64)
    assert set(NegativeSampler(dataset).sample(users, stream(2, "t")).tolist()) == {2, 3}
