"""Negative sampling: never a positive, and with the right distribution."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole.data import Negatives, create_dataset, sampler
from recbole.data.sampler import NegativeSampler, NextItemSampler, PairSet, in_turn
from recbole.utils import InputType, ModelType, UserError, stream


@pytest.fixture(params=["bitmap", "sorted search"])
def variant(request, monkeypatch):
    """Run a test with both ways of storing the pairs: a bitmap, and sorted pairs with binary search."""
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
def test_both_ways_of_storing_discard_the_same_pairs(small_dataset, seed):
    rng, users_items = np.random.default_rng(seed), grid(small_dataset)
    bitmap = PairSet(small_dataset)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampler, "_BITMAP_BYTES", 0)
        sorted_search = PairSet(small_dataset)
    left = matrix(small_dataset)
    for _ in range(3):
        users, items = rng.integers(25, size=60), rng.integers(41, size=60)  # includes absent and repeated pairs
        left[users, items] = False
        for pairs in (bitmap, sorted_search):
            pairs.discard(users, items)
            assert np.array_equal(pairs.contains(*users_items), left.ravel())


@pytest.mark.parametrize("distribution", ["uniform", "popularity"])
def test_no_negative_is_a_positive_or_padding(small_dataset, variant, distribution):
    users = np.repeat(np.arange(1, small_dataset.n_users), 300)
    items = NegativeSampler(small_dataset, distribution, 0.75).sample(users, in_turn(stream(2, "test")))
    assert items.min() >= 1 and items.max() < small_dataset.n_items and items.dtype == np.int64
    assert not matrix(small_dataset)[users, items].any()


def test_both_ways_of_storing_sample_the_same_negatives(small_dataset, monkeypatch):
    users = np.repeat(np.arange(1, small_dataset.n_users), 20)
    bitmap = NegativeSampler(small_dataset).sample(users, in_turn(stream(2, "test")))
    monkeypatch.setattr(sampler, "_BITMAP_BYTES", 0)
    assert np.array_equal(bitmap, NegativeSampler(small_dataset).sample(users, in_turn(stream(2, "test"))))
    assert not np.array_equal(bitmap, NegativeSampler(small_dataset).sample(users, in_turn(stream(3, "test"))))


def test_a_discarded_pair_can_be_sampled(small_dataset, variant):
    drawn_from = NegativeSampler(small_dataset)
    item = int(np.flatnonzero(matrix(small_dataset)[5])[0])
    users = np.full(2000, 5)
    assert item not in drawn_from.sample(users, in_turn(stream(2, "a")))
    rows = np.flatnonzero((small_dataset.log.user == 5) & (small_dataset.log.item == item))
    drawn_from.forget(rows)
    assert item in drawn_from.sample(users, in_turn(stream(2, "a")))


@pytest.mark.parametrize("distribution", ["uniform", "popularity"])
@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_forgetting_equals_a_sampler_built_under_the_mask(small_dataset, distribution, seed):
    """After several requests, some with repeated rows, it draws like a sampler built under the final mask."""
    dataset = small_dataset.masked(np.zeros(len(small_dataset.log), dtype=bool))
    old, rng = NegativeSampler(dataset, distribution, 0.5), np.random.default_rng(seed)
    users = rng.integers(1, dataset.n_users, 500)
    gone = rng.choice(len(dataset.log), 90, replace=False)
    for rows in (gone[:30], gone[30:], gone[20:40]):
        dataset.forgotten[rows] = True
        old.forget(rows)
        fresh = NegativeSampler(dataset, distribution, 0.5)
        assert np.array_equal(old.sample(users, in_turn(stream(2, "a"))), fresh.sample(users, in_turn(stream(2, "a"))))


def test_an_item_without_retained_rows_is_no_popularity_based_negative(small_dataset):
    log, drawn_from = small_dataset.log, NegativeSampler(small_dataset, "popularity")
    train = small_dataset.train_rows
    item = int(np.argmax(np.bincount(log.item[train])))
    users = np.flatnonzero(~matrix(small_dataset)[:, item])[1:].repeat(300)
    assert item in drawn_from.sample(users, in_turn(stream(2, "a")))
    drawn_from.forget(np.flatnonzero(log.item == item))
    assert item not in drawn_from.sample(users, in_turn(stream(2, "a")))


def chi_square(counts, expected):
    """Return the chi-square statistic as a number of standard deviations from its mean."""
    freedom = len(counts) - 1
    return (((counts - expected) ** 2 / expected).sum() - freedom) / np.sqrt(2 * freedom)


def test_uniform_negatives_are_uniform(small_dataset, variant):
    allowed = np.flatnonzero(~matrix(small_dataset)[20])[1:]
    items = NegativeSampler(small_dataset).sample(np.full(20_000, 20), in_turn(stream(2, "uniform")))
    counts = np.bincount(items, minlength=small_dataset.n_items)[allowed]
    assert counts.sum() == 20_000 and abs(chi_square(counts, 20_000 / len(allowed))) < 4


@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_popular_negatives_follow_the_training_counts(small_dataset, variant, alpha):
    popularity = matrix(small_dataset).sum(axis=0) ** alpha
    popularity[matrix(small_dataset)[20] | (matrix(small_dataset).sum(axis=0) == 0)] = 0
    items = NegativeSampler(small_dataset, "popularity", alpha).sample(
        np.full(20_000, 20), in_turn(stream(2, "popular"))
    )
    counts, likely = np.bincount(items, minlength=small_dataset.n_items), np.flatnonzero(popularity)
    expected = 20_000 * popularity[likely] / popularity.sum()
    assert counts[likely].sum() == 20_000 and abs(chi_square(counts[likely], expected)) < 4


# --- sequences ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("distribution", ["uniform", "popularity"])
def test_the_negative_of_a_next_item_is_any_item_but_the_target(sessions, distribution):
    """RecBole's rule for sequences: any item except the target, even if the session contains it."""
    walks = [[1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1], [1, 3, 5, 2, 4, 6], [2, 1, 4, 3, 6, 5]]
    settings = {"distribution": distribution, "sample_num": 1, "alpha": 1.0, "dynamic": False, "candidate_num": 0}
    dataset = sessions(walks, model="GRU4Rec", loss_type="BPR", train_neg_sample_args=settings)
    batch = dataset.collate(dataset.train_examples())
    negatives = Negatives(dataset.config, dataset, InputType.PAIRWISE)
    drawn = negatives.add(batch, in_turn(stream(2, "a")), 400)
    target, negative = drawn["item_id"].numpy(), drawn["neg_item_id"].numpy()
    assert (target != negative).all() and negative.min() >= 1
    for item in np.unique(target):
        expected = (
            set(np.unique(dataset.log.item[dataset.train_rows])) if distribution == "popularity" else set(range(1, 40))
        )
        assert set(negative[target == item]) == expected - {item}


def test_with_a_single_item_there_is_no_negative(sessions):
    dataset = sessions([[1, 1, 1, 1]])
    with pytest.raises(UserError, match="fewer than two items"):
        NextItemSampler(dataset, "popularity")


# --- errors -------------------------------------------------------------------------------------------------
def test_a_user_with_all_items_is_rejected(tmp_path, write_inter, config):
    rows = [("a", item, time) for time, item in enumerate("xyz")] + [("b", "x", 1)]
    write_inter(tmp_path, rows)
    all_train = {"order": "TO", "split": {"RS": [1, 0, 0]}}
    dataset = create_dataset(config(tmp_path, eval_args=all_train), ModelType.GENERAL)
    with pytest.raises(UserError, match="small: a user has interacted with every item"):
        NegativeSampler(dataset)
    dataset.forget([0])
    assert set(NegativeSampler(dataset).sample(np.ones(50, dtype=np.int64), in_turn(stream(2, "t")))) == {1}


def test_a_user_with_all_items_of_nonzero_popularity_gives_an_error_instead_of_a_loop(tmp_path, write_inter, config):
    write_inter(tmp_path, [("a", item, time) for time, item in enumerate("xyzw")] + [("b", "x", 1), ("b", "y", 2)])
    dataset = create_dataset(
        config(tmp_path, eval_args={"order": "TO", "split": {"LS": "valid_and_test"}}), ModelType.GENERAL
    )
    assert NegativeSampler(dataset) is not None, "uniform negatives reach the items that nobody trains on"
    with pytest.raises(UserError, match="small: a user has interacted with every item"):
        NegativeSampler(dataset, "popularity")


def test_a_mask_that_leaves_a_user_all_popular_items_gives_an_error_instead_of_a_loop(tmp_path, write_inter, config):
    write_inter(tmp_path, [("a", item, time) for time, item in enumerate("xyz")] + [("b", "w", 1)])
    all_train = {"order": "TO", "split": {"RS": [1, 0, 0]}}
    dataset = create_dataset(config(tmp_path, eval_args=all_train), ModelType.GENERAL)
    drawn_from, users = NegativeSampler(dataset, "popularity"), np.ones(5, dtype=np.int64)
    assert set(drawn_from.sample(users, in_turn(stream(2, "a")))) == {4}
    drawn_from.forget(np.array([3]))
    with pytest.raises(UserError, match="small: a user has interacted with every item"):
        drawn_from.sample(users, in_turn(stream(2, "a")))


def test_repeated_pairs_count_once(tmp_path, write_inter, config):
    write_inter(tmp_path, [("a", "x", time) for time in range(9)] + [("b", "y", 1), ("b", "z", 2)])
    dataset = create_dataset(config(tmp_path, eval_args={"order": "TO", "split": {"RS": [1, 0, 0]}}), ModelType.GENERAL)
    users = np.ones(50, dtype=np.int64)
    assert set(NegativeSampler(dataset).sample(users, in_turn(stream(2, "t"))).tolist()) == {2, 3}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("alpha", [-40, -30, 30, 40])
def test_an_exponent_that_leaves_a_user_hardly_any_negative_gives_an_error_instead_of_a_loop(
    tmp_path, write_inter, config, alpha
):
    write_inter(tmp_path, [("u0", "x", 1), *((f"u{user}", item, 1) for user in range(1, 10) for item in "yzw")])
    dataset = create_dataset(config(tmp_path, eval_args={"order": "TO", "split": {"RS": [1, 0, 0]}}), ModelType.GENERAL)
    with pytest.raises(UserError, match=f"alpha {alpha}: .* choose an alpha nearer to 0"):
        NegativeSampler(dataset, "popularity", alpha)


@pytest.mark.filterwarnings("error")
@given(alpha=st.floats(-40, 40))
@settings(max_examples=30)
def test_with_any_exponent_negatives_are_drawn_or_an_error_is_given(small_dataset, alpha):
    users = np.arange(1, small_dataset.n_users)
    try:
        drawn = NegativeSampler(small_dataset, "popularity", alpha).sample(users, in_turn(stream(2, "a")))
    except UserError as error:
        assert "nearer to 0" in str(error) and abs(alpha) > 2
    else:
        assert not matrix(small_dataset)[users, drawn].any()


def test_an_exponent_that_leaves_a_target_hardly_any_negative_gives_an_error_instead_of_a_loop(sessions):
    dataset = sessions([[1, 2, 2, 2, 2, 2, 2, 3, 2, 2]] * 5)
    with pytest.raises(UserError, match=r"alpha 30: .* nearer to 0"):
        NextItemSampler(dataset, "popularity", 30)
    assert NextItemSampler(dataset, "popularity", 1) is not None


@pytest.mark.parametrize("alpha", [-3.0, 0.5, 1.0, 4.0])
def test_the_bound_by_numbers_of_items_never_exceeds_the_share_that_is_free(small_dataset, alpha):
    for kind in (NegativeSampler, NextItemSampler):
        made = kind(small_dataset, "popularity", alpha)
        bound = made.popularity.free_at_least(made._most_excluded())
        assert 0 <= bound <= made.popularity.least_free(*made._excluded(small_dataset)) + 1e-12
