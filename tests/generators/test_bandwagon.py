"""Random draws of the bandwagon attack, compared with their formulas on large samples."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recbole.generators import bandwagon
from recbole.generators.bandwagon import ProfileClock

N = 200_000
LENGTHS = st.lists(st.integers(4, 40), min_size=1, max_size=12).map(np.array)
SEEDS = st.integers(0, 99)


@pytest.fixture
def generator():
    return np.random.default_rng(5)


@given(st.floats(1e-6, 0.9), st.integers(1, 10**7))
@example(0.05, 19)  # floats would give two
def test_the_fraction_of_fakes_is_reached_exactly(ratio, n_real):
    n, share = bandwagon.n_fake(ratio, n_real), Fraction(str(ratio))
    assert Fraction(n, n + n_real) >= share > Fraction(n - 1, n - 1 + n_real)


def test_the_number_of_fakes_for_tafeng():
    assert (bandwagon.n_fake(0.01, 13_858), bandwagon.n_fake(0.05, 19)) == (140, 1)


@given(st.lists(st.tuples(st.integers(1, 4), st.booleans()), min_size=1, max_size=40), SEEDS)
def test_popularity_fifths_equal_those_of_a_sorted_list(items, seed):
    counts, among = (np.array(column) for column in zip(*items, strict=True))
    rank = np.random.default_rng(seed).permutation(len(items))
    ordered = sorted(np.flatnonzero(among).tolist(), key=lambda item: (-counts[item], rank[item]))
    size = int(0.2 * len(ordered))
    popular, unpopular = bandwagon.fifths(counts, rank, among)
    assert popular.tolist() == ordered[:size] and unpopular.tolist() == ordered[len(ordered) - size :]


def test_profile_lengths_have_the_moments_of_the_mixture(generator):
    observed = np.array([80, 120])  # mean 100, standard deviation 20
    drawn = bandwagon.profile_lengths(generator, N, observed, 10**6)
    assert drawn.mean() == pytest.approx(80, rel=0.005)
    assert drawn.var() == pytest.approx(20**2 + 80, rel=0.03)  # variance of the log-normal plus that of the Poisson
    skewness = ((drawn - drawn.mean()) ** 3).mean() / drawn.std() ** 3
    assert skewness > 0.5  # with a normal distribution it would be 1 / 8


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=9), st.integers(1, 50), SEEDS)
@example([1, 10**18], 10**6, 0)
@example([1, 1], 1, 0)
def test_profile_lengths_stay_within_their_limits(observed, longest, seed):
    drawn = bandwagon.profile_lengths(np.random.default_rng(seed), 50, np.array(observed), longest)
    assert drawn.min() >= 4 and drawn.max() <= max(4, longest)


def test_baskets(generator):
    number = bandwagon.baskets_per_user(
        generator, N, np.array([30, 10, 21])
    )  # average A = 20: N(16, 4), truncated to integers
    assert number.mean() == pytest.approx(15.5, abs=0.05) and number.std() == pytest.approx(4, rel=0.03)
    assert (number.min(), number.max()) == (4, 30)
    few = bandwagon.baskets_per_user(generator, N, np.array([1, 2]))  # average A = 4
    assert (few.min(), few.max()) == (4, 6)
    size = bandwagon.basket_sizes(generator, N, np.array([40, 60]), 1000)  # N(45, 10)
    at_least = [0.5 * math.erfc((k - 45) / 10 / 2**0.5) for k in range(1, 49)]
    assert size.mean() == pytest.approx(sum(at_least), abs=0.05) and size.max() == int(0.8 * 60)
    assert bandwagon.basket_sizes(generator, N, np.array([40, 60]), 7).max() == 7
    assert set(bandwagon.basket_sizes(generator, 100, np.array([1, 2]), 9)) == {2}


@given(LENGTHS, st.integers(1, 4), SEEDS)
def test_targets_are_not_at_the_ends_of_a_profile(lengths, n_targets, seed):
    slots = bandwagon.target_slots(np.random.default_rng(seed), lengths, n_targets)
    for own in np.split(slots, np.cumsum(lengths)[:-1]):
        length, places = len(own), np.flatnonzero(own)
        assert 1 <= len(places) <= (2 if length >= 6 and n_targets > 1 else 1)
        assert max(1, length // 5) <= places.min() and places.max() < max(2, length * 9 // 10)
        assert places.min() > 0 and places.max() < length - 1


def test_positions_of_targets_are_uniform(generator):
    slots = bandwagon.target_slots(generator, np.full(N, 20), 2).reshape(N, 20)
    once = 1 - (13 / 14) ** 2  # two draws from the 14 positions 4 to 17
    np.testing.assert_allclose(slots.mean(axis=0), [0] * 4 + [once] * 14 + [0] * 2, atol=0.004)


def test_the_number_of_targets_in_baskets(generator):
    sizes = np.array([2, 4, 5, 9])
    starts = np.cumsum(sizes) - sizes
    assert np.add.reduceat(bandwagon.leading_slots(sizes, 3), starts).tolist() == [1, 1, 2, 2]
    assert np.add.reduceat(bandwagon.leading_slots(sizes, 1), starts).tolist() == [1, 1, 1, 1]
    sizes = np.full(N // 10, 5)
    where = bandwagon.leading_slots(sizes, 3)[bandwagon.shuffled_order(generator, sizes)].reshape(-1, 5)
    assert set(where.sum(axis=1)) == {2}
    np.testing.assert_allclose(where.mean(axis=0), 0.4, atol=0.02)


@given(LENGTHS, st.integers(1, 5), st.booleans(), SEEDS)
def test_profiles_contain_targets_and_popular_items(lengths, n_targets, distinct, seed):
    targets, popular = np.arange(100, 100 + n_targets), np.arange(50)
    generator = np.random.default_rng(seed)
    slots = bandwagon.target_slots(generator, lengths, n_targets)
    items = bandwagon.fill(generator, lengths, slots, targets, popular, distinct)
    assert np.isin(items[slots], targets).all() and np.isin(items[~slots], popular).all()
    if distinct:
        assert all(len(set(own)) == len(own) for own in np.split(items, np.cumsum(lengths)[:-1]))


@pytest.mark.parametrize("distinct", [True, False])
def test_every_target_is_promoted_equally_often(generator, distinct):
    lengths = np.full(N // 10, 10)
    slots = bandwagon.target_slots(generator, lengths, 4)
    items = bandwagon.fill(generator, lengths, slots, np.arange(4), np.arange(4, 20), distinct)
    shares = np.bincount(items[slots]) / slots.sum()
    np.testing.assert_allclose(shares, 0.25, atol=0.015)


@given(st.lists(st.integers(0, 12), max_size=12), st.integers(12, 60), SEEDS)
def test_samples_without_replacement_do_not_repeat(sizes, pool, seed):
    sizes = np.array(sizes, int)
    drawn = bandwagon.draw_distinct(np.random.default_rng(seed), sizes, pool)
    assert len(drawn) == sizes.sum() and set(drawn) <= set(range(pool))
    assert all(len(set(own)) == len(own) for own in np.split(drawn, np.cumsum(sizes)[:-1]))


@pytest.mark.parametrize(("size", "pool"), [(2, 5), (3, 12)], ids=["shuffling the pool", "drawing again"])
def test_samples_without_replacement_are_uniform(generator, size, pool):
    n = 100_000
    drawn = bandwagon.draw_distinct(generator, np.full(n, size), pool).reshape(n, size)
    for one, other in {(0, 1), (size - 1, 0)}:
        seen = np.bincount(drawn[:, one] * pool + drawn[:, other], minlength=pool**2).reshape(pool, pool)
        expected = n / (pool * (pool - 1))
        off = seen[~np.eye(pool, dtype=bool)] - expected
        assert not seen.diagonal().any() and abs(off).max() < 5 * math.sqrt(expected)


def test_timestamps_equal_those_of_a_loop(generator):
    owner, time = generator.integers(0, 30, 300), generator.integers(-50, 10**6, 300)
    gaps = np.concatenate([np.diff(np.sort(time[owner == own])) for own in range(30)])
    clock = ProfileClock.of(owner, time)
    assert (clock.first, clock.last) == (time.min(), time.max())
    assert (clock.mean_gap, clock.std_gap) == pytest.approx((gaps.mean(), gaps.std()))
    assert ProfileClock.of(np.arange(5), np.full(5, 2.5)) == ProfileClock(2, 2, 0.0, 0.0)


@pytest.mark.parametrize("variation", [0.3, 1.0])
def test_gaps_follow_a_weibull_distribution_with_0_7_of_the_mean(generator, variation):
    clock = ProfileClock(10**9, 2 * 10**9, 5000.0, 5000.0 * variation)
    lengths = np.full(N // 10, 10)
    times = clock.times(generator, lengths).reshape(-1, 10)
    gaps = np.diff(times)
    mean, shape = 3500.0, 1.2 / (variation / 0.7)
    assert gaps.mean() == pytest.approx(mean, rel=0.02)
    median = mean / math.gamma(1 + 1 / shape) * math.log(2) ** (1 / shape)
    assert np.median(gaps) == pytest.approx(median, rel=0.02)
    start = times[:, 0]
    assert start.min() >= 10**9 and start.max() < 2 * 10**9 and start.mean() == pytest.approx(1.5e9, rel=0.01)


@given(st.integers(-(10**12), 10**12), st.integers(0, 10**12), st.floats(1e-6, 1e9), st.floats(0, 1e15), SEEDS)
@example(0, 0, 0.0, 0.0, 0)
@example(0, 1000, 1e-9, 1e15, 0)  # with a shape near 0 the Gamma function would overflow
def test_times_increase_and_are_finite(first, span, mean, std, seed):
    lengths = np.array([4, 7])
    times = ProfileClock(first, first + span, mean, std).times(np.random.default_rng(seed), lengths)
    assert times.dtype == np.int64
    for own in np.split(times, [4]):
        gaps = np.diff(own)
        assert first <= own[0] <= max(first, first + span - 1)
        assert gaps.min() >= 1 and gaps.max() <= max(1, span)
