"""Neumann series, compared with their recursion and dense linear algebra."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from maps import diagonal, matrix

from recbole.unlearning.second_order.krylov import KrylovSpace
from recbole.unlearning.second_order.series import lissa, neumann


def recursion(a, b, scale, damping, terms):
    """Return the partial sum and the relative residual, one term after the other."""
    x = torch.zeros_like(b)
    for _ in range(terms):
        x = x + (b - a @ x - scale * damping * x) / scale
    return x, float((b - a @ x - scale * damping * x).norm() / b.norm())


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.floats(1e-6, 1.98), min_size=1, max_size=40),
    st.sampled_from([0.0, 0.01]),
    st.sampled_from([1, 2, 3, 30, 100]),
    st.sampled_from([0.01, 1.0, 1000.0]),
)
def test_the_sum_is_that_of_the_recursion(eigenvalues, damping, terms, scale):
    a, b = matrix([scale * value for value in eigenvalues])
    found = neumann(lambda v: a @ v, b, scale, damping, terms, tolerance=1e-9)
    x, residual = recursion(a, b, scale, damping, terms)
    torch.testing.assert_close(found.x, x, rtol=1e-5, atol=1e-5 * float(x.norm()))
    assert found.residual == pytest.approx(residual, rel=1e-3, abs=1e-6)
    assert found.iterations <= terms + 1 and found.damping == scale * damping


def test_a_hundred_terms_take_a_few_products():
    draw = torch.Generator().manual_seed(0)
    for dtype, close in ((torch.float64, 1e-5), (torch.float32, 1e-4)):
        values = torch.logspace(-6, 0.25, 300, dtype=dtype)
        b = torch.randn(300, generator=draw, dtype=dtype)
        found = neumann(lambda v, a=values: a * v, b, scale=1.0, damping=0.01, terms=100)
        x, residual = recursion(torch.diag(values), b, 1.0, 0.01, 100)
        assert found.ended == "iterations" and found.iterations <= 45
        assert found.residual == pytest.approx(residual, rel=1e-3)
        assert (found.x - x).norm() <= close * x.norm()


def test_it_converges_to_the_damped_inverse():
    b = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    found = neumann(diagonal(0.5, 4.0, 9.0), b, scale=10.0, damping=0.02, terms=2000)
    assert found.ended == "converged" and found.residual <= 1e-6 and found.damping == pytest.approx(0.2)
    assert torch.allclose(found.x, b / torch.tensor([0.7, 4.2, 9.2]), rtol=1e-5) and found.iterations == 3


def test_a_scale_that_is_not_given_is_the_largest_eigenvalue():
    values = torch.logspace(-2, 5, 80, dtype=torch.float64)
    b = torch.randn(80, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = neumann(lambda v: values * v, b, damping=0.01, terms=4000)
    assert found.scale == pytest.approx(1e5, rel=0.02) and found.ended == "converged"
    torch.testing.assert_close(found.x, b / (values + 0.01 * found.scale), rtol=1e-4, atol=0)
    parts = [lambda v: values * v] * 2
    of_parts = lissa(parts, b, damping=0.01, terms=4000)
    assert of_parts.scale == pytest.approx(1e5, rel=0.02) and of_parts.residual < 0.01
    assert of_parts.iterations > 4001
    same = neumann(diagonal(3.0, 3.0), torch.ones(2, dtype=torch.float64), damping=0.1)
    assert same.scale == pytest.approx(3.0) and same.iterations <= 2


@pytest.mark.parametrize("lowest", [-0.5, -0.001])
def test_a_scale_that_is_not_given_leaves_the_damping_outweigh_negative_curvature(lowest):
    values = torch.cat([torch.tensor([lowest]), torch.linspace(0.1, 10, 30)]).double()
    found = neumann(lambda v: values * v, torch.ones(31).double(), damping=0.01, terms=100)
    assert found.ended == "iterations" and found.residual < 1
    assert found.scale == pytest.approx(10.0 if lowest == -0.001 else -105 * lowest, rel=0.02)
    assert neumann(lambda v: values * v, torch.ones(31).double(), terms=5000).ended == "growth"


def test_without_curvature_there_is_no_scale():
    for found in (neumann(diagonal(0.0, 0.0), torch.ones(2)), lissa([diagonal(0.0, 0.0)] * 2, torch.ones(2))):
        assert (found.ended, found.scale, found.bend) == ("growth", 0.0, 0.0) and not found.x.any()
    assert neumann(diagonal(0.0, 0.0), torch.ones(2), scale=1.0).ended == "iterations"


@pytest.mark.parametrize("eigenvalues", [(1.0, 25.0), (1.0, -3.0), (1e-6, 20.06)])
def test_a_series_that_grows_is_noticed(eigenvalues):
    found = neumann(diagonal(*eigenvalues), torch.ones(2, dtype=torch.float64), scale=10.0, terms=100)
    assert found.ended == "growth" and found.iterations <= 4
    assert found.bend == pytest.approx(eigenvalues[1])


def test_growth_is_told_from_the_eigenvalue_that_makes_it():
    """Not from the largest: here a small negative one, whose growth shows after dozens of terms."""
    values = torch.linspace(-0.05, 1.0, 60, dtype=torch.float64)
    found = neumann(lambda v: values * v, torch.ones(60, dtype=torch.float64), scale=1.0, terms=100)
    assert found.ended == "growth" and found.bend == pytest.approx(-0.05, rel=0.02) and found.iterations < 40


def test_a_map_that_is_not_finite_and_time_that_is_up():
    b = torch.ones(2, dtype=torch.float64)
    found = neumann(lambda v: v * torch.nan, b, scale=1.0)
    assert found.ended == "growth" and math.isnan(found.residual)
    left = itertools.chain([False] * 3, itertools.repeat(True))
    values = torch.logspace(-4, 0, 50, dtype=torch.float64)
    found = neumann(lambda v: values * v, torch.ones(50).double(), scale=1.0, out_of_time=lambda: next(left))
    assert (found.ended, found.iterations) == ("timeout", 3)


def test_a_basis_that_is_not_kept_is_made_again(monkeypatch):
    values, b = torch.logspace(-3, 0, 50, dtype=torch.float64), torch.ones(50, dtype=torch.float64)
    kept = neumann(lambda v: values * v, b, scale=1.0)
    monkeypatch.setattr(KrylovSpace, "MOST_BYTES", 0)
    again = neumann(lambda v: values * v, b, scale=1.0)
    assert torch.equal(again.x, kept.x) and again.iterations == 2 * kept.iterations


def test_a_vanishing_right_hand_side_is_solved():
    """The squares of its numbers are zero in single precision."""
    b = torch.full((2,), 1e-30)
    found = neumann(diagonal(3.0, 1.0), b, scale=8.0, damping=1 / 8, terms=500)
    torch.testing.assert_close(found.x * 1e30, torch.tensor([0.25, 0.5]), rtol=1e-4, atol=0)
    assert neumann(diagonal(3.0, 1.0), torch.zeros(2), scale=8.0).ended == "converged"


@pytest.mark.parametrize("terms", [3, 5, 9])
def test_lissa_that_grows_is_noticed(terms):
    parts = [diagonal(1.0, 24.0), diagonal(1.0, 24.0)]
    found = lissa(parts, torch.ones(2, dtype=torch.float64), scale=10.0, terms=terms)
    assert found.ended == "growth"
    assert found.residual == pytest.approx(math.hypot(0.9**terms, 1.4**terms) / math.sqrt(2))
    assert found.bend == pytest.approx(24.0)


def test_lissa_stops_where_its_numbers_end():
    products, asked = [diagonal(1.0, 2e4), diagonal(1.0, 2e4)], []
    counted = [lambda v, product=product: asked.append(1) or product(v) for product in products]
    found = lissa(counted, torch.ones(2), scale=1.0, terms=100)
    assert found.ended == "growth" and found.bend == pytest.approx(2e4, rel=1e-3)
    assert found.iterations == len(asked) < 30
    broken = lissa([lambda v: v * torch.nan] * 2, torch.ones(2), scale=1.0)
    assert broken.ended == "growth" and not broken.bend and math.isnan(broken.residual)


def test_lissa_takes_the_parts_in_turn():
    b = torch.ones(2, dtype=torch.float64)
    found = lissa([diagonal(1.0, 6.0), diagonal(3.0, 2.0)], b, scale=200.0, terms=4000)
    assert torch.allclose(found.x, torch.tensor([0.5, 0.25], dtype=torch.float64), rtol=0.02) and found.residual < 0.02
