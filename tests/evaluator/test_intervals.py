"""Bootstrap intervals over users, compared with SciPy's bootstrap, and their coverage."""

import numpy as np
import pytest
from scipy import stats

from recbole.evaluator.intervals import MANY, mean_intervals


def rows(seed, n_people, most=6):
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n_people), rng.integers(1, most, n_people))
    level = rng.gamma(2.0, size=n_people)
    return level[person, None] + rng.normal(size=(len(person), 2)) * 0.3, person


def of_scipy(values, person, method):
    sums, counts = np.bincount(person, values), np.bincount(person).astype(float)
    found = stats.bootstrap(
        (sums, counts), lambda s, c, axis=-1: s.sum(axis=axis) / c.sum(axis=axis), paired=True, vectorized=True,
        n_resamples=20_000, method=method, rng=np.random.default_rng(3),
    )  # fmt: skip
    return found.confidence_interval


@pytest.mark.parametrize(("n_people", "method"), [(12, "BCa"), (40, "BCa"), (80, "percentile"), (400, "percentile")])
def test_intervals_equal_those_of_scipy(n_people, method):
    values, person = rows(n_people, n_people)
    low, high = mean_intervals(values, person)
    for at in range(2):
        expected = of_scipy(values[:, at], person, method)
        width = expected.high - expected.low
        assert abs(low[at] - expected.low) < 0.06 * width and abs(high[at] - expected.high) < 0.06 * width


def test_the_normal_approximation_agrees_for_many_users():
    values, person = rows(1, MANY + 500, most=3)
    low, high = mean_intervals(values, person)
    expected = of_scipy(values[:2000, 0], person[:2000], "percentile")
    scale = np.sqrt(len(np.unique(person[:2000])) / (MANY + 500))
    assert high[0] - low[0] == pytest.approx((expected.high - expected.low) * scale, rel=0.15)
    assert np.all(low < values.mean(axis=0)) and np.all(values.mean(axis=0) < high)


def test_rows_of_a_user_are_resampled_together():
    values, person = rows(2, 60)
    thrice = mean_intervals(np.repeat(values, 3, axis=0), np.repeat(person, 3))
    np.testing.assert_allclose(thrice, mean_intervals(values, person))


def test_intervals_have_the_stated_coverage():
    inside = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        low, high = mean_intervals(rng.exponential(size=(30, 1)), np.arange(30))
        inside += bool(low[0] <= 1.0 <= high[0])
    assert 0.87 <= inside / 200 <= 0.99


def test_equal_values_give_zero_width_and_no_users_give_nan():
    assert mean_intervals(np.ones((9, 1)), np.arange(9)) == (np.ones(1), np.ones(1))
    assert np.isnan(mean_intervals(np.ones((3, 1)), np.zeros(3, dtype=int))).all()
    assert np.isnan(mean_intervals(np.array([[1.0], [np.nan], [2.0]]), np.arange(3))).all()


def test_resamples_equal_to_the_mean_count_half_on_either_side():
    """With few users and small integers, many resamples equal the mean exactly.

    The bias correction must count each as half.
    """
    rng = np.random.default_rng(4)
    for n in (9, 22, 40):
        values = rng.integers(0, 3, size=(n, 1)).astype(float)
        low, high = mean_intervals(values, np.arange(n))
        expected = of_scipy(values[:, 0], np.arange(n), "BCa")
        width = expected.high - expected.low
        assert abs(low[0] - expected.low) < 0.1 * width and abs(high[0] - expected.high) < 0.1 * width
