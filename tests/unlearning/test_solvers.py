"""The solvers against dense linear algebra, and what they say when there is no solution."""

import math

import pytest
import torch

from recbole.unlearning.solvers import (
    KrylovSpace,
    conjugate_gradients,
    dominant_curvature,
    neumann,
    positive_solution,
)


def diagonal(*values):
    return lambda v: torch.tensor(values).to(v) * v


def test_the_neumann_series_converges_to_the_damped_inverse():
    b = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    found = neumann([diagonal(0.5, 4.0, 9.0)], b, scale=10.0, damping=0.02, iterations=2000)
    assert found.ended == "converged" and found.residual <= 1e-6 and found.damping == pytest.approx(0.2)
    assert torch.allclose(found.x, b / torch.tensor([0.7, 4.2, 9.2]), rtol=1e-5)


def test_a_cut_series_is_the_polynomial_and_its_residual_exact():
    b = torch.tensor([1.0, -2.0], dtype=torch.float64)
    found = neumann([diagonal(1.0, 6.0)], b, scale=10.0, iterations=3)
    shrink = 1 - torch.tensor([0.1, 0.6], dtype=torch.float64)
    assert torch.allclose(found.x, b * (1 + shrink + shrink**2) / 10) and found.iterations == 3
    assert found.residual == pytest.approx(float((b * shrink**3).norm() / b.norm()))


@pytest.mark.parametrize("eigenvalues", [(1.0, 25.0), (1.0, -3.0)])
def test_a_series_that_cannot_converge_is_noticed(eigenvalues):
    b = torch.ones(2, dtype=torch.float64)
    assert neumann([diagonal(*eigenvalues)], b, scale=10.0, iterations=500).ended == "growth"
    assert dominant_curvature(diagonal(*eigenvalues), b) == pytest.approx(eigenvalues[1], rel=1e-3)


def test_a_series_that_grows_slowly_is_noticed():
    b = torch.ones(2, dtype=torch.float64)
    assert neumann([diagonal(1e-6, 20.06)], b, scale=10.0, iterations=100).ended == "growth"


@pytest.mark.parametrize("iterations", [3, 5, 9])
def test_lissa_that_grows_is_noticed(iterations):
    parts = [diagonal(1.0, 24.0), diagonal(1.0, 24.0)]
    found = neumann(parts, torch.ones(2, dtype=torch.float64), scale=10.0, iterations=iterations)
    assert found.ended == "growth"
    assert found.residual == pytest.approx(math.hypot(0.9**iterations, 1.4**iterations) / math.sqrt(2))


def test_lissa_takes_the_parts_in_turn():
    b = torch.ones(2, dtype=torch.float64)
    found = neumann([diagonal(1.0, 6.0), diagonal(3.0, 2.0)], b, scale=200.0, iterations=4000)
    assert torch.allclose(found.x, torch.tensor([0.5, 0.25], dtype=torch.float64), rtol=0.02) and found.residual < 0.02


def test_negative_curvature_is_damped_away():
    b = torch.tensor([1.0, 1.0], dtype=torch.float64)
    found = positive_solution(diagonal(3.0, -1.0), b, damping=0.1)
    assert found.ended == "converged" and found.damping > 1.0
    assert torch.allclose(found.x, b / (torch.tensor([3.0, -1.0]) + found.damping))
    assert positive_solution(diagonal(3.0, 1.0), b, damping=0.1).damping == 0.1
    assert positive_solution(lambda v: v * torch.nan, b, damping=0.1).ended == "negative curvature"


def test_another_map_takes_over_at_negative_curvature():
    b = torch.tensor([1.0, 1.0], dtype=torch.float64)
    found = positive_solution(diagonal(3.0, -1.0), b, damping=0.1, instead=lambda: diagonal(3.0, 0.5))
    assert found.replaced and found.damping == 0.1 and found.iterations == 4
    assert torch.allclose(found.x, b / torch.tensor([3.1, 0.6]))
    kept = positive_solution(diagonal(3.0, 1.0), b, damping=0.1, instead=lambda: diagonal(3.0, 0.5))
    assert not kept.replaced and torch.allclose(kept.x, b / torch.tensor([3.1, 1.1]))


def test_a_solution_that_is_not_trusted_is_damped():
    b, asked = torch.tensor([1.0, 1.0], dtype=torch.float64), []

    def short(found):
        asked.append(found.damping)
        return found.x.norm() < 0.1

    found = positive_solution(diagonal(3.0, 1.0), b, damping=0.1, trusted=short)
    assert found.damping == asked[-1] > asked[0] == 0.1 and found.iterations == 2, "no more products than before"
    assert torch.allclose(found.x, b / (torch.tensor([3.0, 1.0]) + found.damping))


def test_time_is_asked_for_between_the_dampings():
    b, asked = torch.tensor([1.0, 1.0], dtype=torch.float64), []

    def never(found):
        asked.append(found.damping)
        return False

    found = positive_solution(diagonal(3.0, 1.0), b, damping=0.1, out_of_time=lambda: len(asked) == 3, trusted=never)
    assert found.ended == "timeout" and len(asked) == 3


def test_raised_tells_a_raised_damping_from_rounding():
    b = torch.tensor([1.0, 1.0])
    assert not positive_solution(diagonal(3.0, 1.0), b, damping=0.1).raised
    assert positive_solution(diagonal(3.0, -1.0), b, damping=0.1).raised


def test_a_vanishing_right_hand_side_is_solved():
    """The squares of its numbers are zero in single precision."""
    b = torch.full((2,), 1e-30)
    for found in (
        positive_solution(diagonal(3.0, 1.0), b, damping=1.0),
        conjugate_gradients(diagonal(3.0, 1.0), b, damping=1.0),
        neumann([diagonal(3.0, 1.0)], b, scale=8.0, damping=1 / 8, iterations=500),
    ):
        assert found.ended == "converged"
        torch.testing.assert_close(found.x * 1e30, torch.tensor([0.25, 0.5]), rtol=1e-4, atol=0)


def test_a_solution_that_does_not_settle_is_damped_until_it_does():
    eigenvalues = torch.logspace(-9, 0, 40, dtype=torch.float64)
    found = positive_solution(lambda v: eigenvalues * v, torch.ones(40, dtype=torch.float64), 1e-12, iterations=10)
    assert found.residual <= 0.1 and found.damping > 1e-6 and found.iterations == 10


def test_dampings_share_their_products(monkeypatch):
    """The solution is that of conjugate gradients at the last damping, after as many products as these take alone."""
    draw = torch.Generator().manual_seed(0)
    a = torch.randn(30, 30, generator=draw, dtype=torch.float64)
    a, b = a + a.T, torch.randn(30, generator=draw, dtype=torch.float64)
    asked = []

    def product(v):
        asked.append(v)
        return a @ v

    found = positive_solution(product, b, damping=0.1)
    alone = conjugate_gradients(lambda v: a @ v, b, found.damping)
    assert found.damping > 1 and found.ended == "converged" and len(asked) == found.iterations <= alone.iterations
    torch.testing.assert_close(found.x, alone.x, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found.x, torch.linalg.solve(a + found.damping * torch.eye(30), b), rtol=1e-4, atol=1e-5)
    monkeypatch.setattr(KrylovSpace, "MOST_BYTES", 0)  # the basis is made again, not kept
    asked.clear()
    again = positive_solution(product, b, damping=0.1)
    assert torch.equal(again.x, found.x) and again.iterations == len(asked) > found.iterations
    asked.clear()
    once = conjugate_gradients(product, b, damping=30.0)
    assert once.ended == "converged" and len(asked) == once.iterations < 30, "the first damping's costs no more"
    torch.testing.assert_close(once.x, torch.linalg.solve(a + 30 * torch.eye(30), b))
    left = iter([False] * (found.iterations + 3) + [True] * 9)
    assert positive_solution(product, b, damping=0.1, out_of_time=lambda: next(left)).ended == "timeout"
