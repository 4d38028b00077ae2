"""Random draws by key: the hash, the distributions, and independence of other draws."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recbole.utils import keyed

_WRAP = 2**64


def _reference(state: int, *counters: int) -> int:
    """SplitMix64's output function over whole numbers modulo 2^64."""
    for counter in counters:
        z = (state + counter * 0x9E3779B97F4A7C15) % _WRAP
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % _WRAP
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % _WRAP
        state = z ^ (z >> 31)
    return state


@given(st.integers(0, 2**63 - 1), st.lists(st.integers(0, 2**40), min_size=1, max_size=4))
def test_the_hash_is_splitmix64_chained(state, counters):
    found = keyed.bits(state, *(torch.tensor([c]) for c in counters))
    assert int(found) % _WRAP == _reference(state, *counters)


def test_the_first_outputs_are_the_published_ones_of_splitmix64():
    # state 1234567; the outputs that its reference implementation prints
    found = keyed.bits(1234567, torch.arange(1, 6))
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert [int(z) % _WRAP for z in found] == published


def test_a_draw_does_not_know_which_others_are_made():
    rows = torch.tensor([3, 17, 4, 1000])
    everybody = keyed.uniform(keyed.key(2, "negatives", 5), torch.arange(2000))
    assert torch.equal(keyed.uniform(keyed.key(2, "negatives", 5), rows), everybody[rows])


def test_counters_broadcast_and_their_order_counts():
    rows, columns = torch.arange(5).unsqueeze(1), torch.arange(3)
    table = keyed.bits(7, rows, columns)
    assert table.shape == (5, 3)
    assert int(table[4, 2]) == int(keyed.bits(7, 4, torch.tensor(2)))
    assert not torch.equal(keyed.bits(7, columns, rows), table)


@pytest.mark.parametrize("name", [("a",), ("b",), ("a", 1), ("a", 2)])
def test_draws_follow_their_distributions(name):
    state, places = keyed.key(11, *name), torch.arange(20_000)
    assert stats.kstest(keyed.uniform(state, places).numpy(), "uniform").pvalue > 1e-4
    assert stats.kstest(keyed.normal(state, places).numpy(), "norm").pvalue > 1e-4
    counts = np.bincount(keyed.integers(50, state, places).numpy(), minlength=51)
    assert counts[50] == 0 and stats.chisquare(counts[:50]).pvalue > 1e-4


def test_keys_and_neighbouring_counters_are_uncorrelated():
    n = 40_000
    draws = [keyed.uniform(keyed.key(seed, "x", epoch), torch.arange(n)) for seed in (2, 3) for epoch in (0, 1)]
    draws += [draws[0].roll(1), keyed.uniform(keyed.key(2, "x", 0), torch.arange(n), 1)]
    correlations = np.corrcoef(torch.stack(draws).numpy())
    np.fill_diagonal(correlations, 0.0)
    assert np.abs(correlations).max() < 5 / np.sqrt(n)


def test_normal_is_finite_at_both_ends(monkeypatch):
    for end, side in ((0, -1), (-1, 1)):  # all bits 0, and all bits 1
        monkeypatch.setattr(keyed, "bits", lambda *_, end=end: torch.tensor([end]))
        value = float(keyed.normal(0, 0))
        assert side * value == pytest.approx(8.2, abs=0.1)
