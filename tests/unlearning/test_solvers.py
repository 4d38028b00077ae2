"""Iterative solvers, compared with dense linear algebra, and their reports when there is no solution."""

import pytest
import torch
from maps import diagonal, matrix

from recbole.unlearning.second_order.krylov import KrylovSpace
from recbole.unlearning.second_order.solvers import conjugate_gradients, positive_solution


def test_as_many_iterations_as_there_are_eigenvalues():
    a, b = matrix([1.0, 1.0, 3.0, 3.0, 9.0, 9.0])
    found = conjugate_gradients(lambda v: a @ v, b, 0.0, 1e-10)
    assert (found.ended, found.iterations) == ("converged", 3)
    torch.testing.assert_close(found.x, torch.linalg.solve(a, b), rtol=1e-8, atol=1e-8)
    assert found.residual < 1e-10


def test_the_iteration_limit_and_its_residual():
    a, b = matrix([1.0, 10.0, 100.0, 1000.0])
    found = conjugate_gradients(lambda v: a @ v, b, 0.5, 1e-12, 2)
    assert (found.ended, found.iterations) == ("iterations", 2)
    left = b - a @ found.x - 0.5 * found.x
    assert found.residual == pytest.approx(float(left.norm() / b.norm()), rel=1e-8)
    assert conjugate_gradients(lambda v: a @ v, b, 0.5, iterations=0).ended == "iterations"


def test_negative_curvature_stops_with_what_it_has():
    a, b = matrix([-1.0, -2.0, -3.0])
    found = conjugate_gradients(lambda v: a @ v, b, 0.5)
    assert (found.ended, found.iterations) == ("negative curvature", 1) and not found.x.any()
    assert conjugate_gradients(lambda v: a @ v, b, 3.5).ended == "converged"
    a, b = matrix([5.0, 4.0, 3.0, -0.1])
    found = conjugate_gradients(lambda v: a @ v, b, 0.0)
    assert found.ended == "negative curvature"
    if found.x.any():  # a descent direction of the quadratic
        assert float(0.5 * found.x @ a @ found.x - b @ found.x) < 0


def test_time_is_asked_before_every_product():
    a, b = matrix([1.0, 10.0, 100.0, 1000.0])
    for allowed in (0, 2):
        left = iter([False] * allowed + [True])
        asked = []
        found = conjugate_gradients(lambda v: asked.append(1) or a @ v, b, 0.0, out_of_time=lambda: next(left))  # noqa: B023
        assert (found.ended, found.iterations, len(asked)) == ("timeout", allowed, allowed)


def test_nothing_to_solve():
    a, b = matrix([1.0, 2.0])
    found = conjugate_gradients(lambda v: a @ v, torch.zeros_like(b), 0.0)
    assert (found.ended, found.iterations, found.residual) == ("converged", 0, 0.0) and not found.x.any()


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


def test_iterations_end_where_they_hardly_pay():
    """What the step promises is within a few percent of all there is, at half the price; without it, nothing ends."""
    a, b = matrix(torch.logspace(-4, 0, 200).tolist())
    full = conjugate_gradients(lambda v: a @ v, b, 1e-4, 1e-8, 1000)
    found = positive_solution(lambda v: a @ v, b, 1e-4, 1e-8, 1000, progress=2e-3)
    assert (found.ended, full.ended) == ("progress", "converged") and 10 <= found.iterations <= full.iterations / 2
    assert 0.9 * (b @ full.x) < b @ found.x < b @ full.x
    assert positive_solution(lambda v: a @ v, b, 1e-4, 1e-8, 1000).ended == "converged"
