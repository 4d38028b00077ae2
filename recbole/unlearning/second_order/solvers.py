"""Iterative solvers for a symmetric linear map that is known by its products alone; each tells its residual."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch

from recbole.unlearning.second_order.krylov import KrylovSpace, LinearMap, Solution


def conjugate_gradients(
    product: LinearMap,
    b: torch.Tensor,
    damping: float,
    tolerance: float = 1e-6,
    iterations: int = 100,
    out_of_time: Callable[[], bool] = lambda: False,
) -> Solution:
    """Solve ``(A + damping I) x = b`` for a symmetric ``A`` given by its products.

    M. Hestenes, E. Stiefel, "Methods of Conjugate Gradients for Solving Linear Systems", J. Res. NBS 1952. Along a
    direction of negative curvature the iteration stops with what it has, as in truncated Newton methods.

    Args:
        product: the same linear map at every call.
        b: flat right-hand side.
        damping: added to the diagonal.
        tolerance: of the residual relative to ``b``.
        iterations: at most so many products.
        out_of_time: asked before every product.
    """
    if not b.any():
        return Solution(torch.zeros_like(b), 0, 0.0, "converged", damping)
    space = KrylovSpace(product, b, out_of_time)
    found = space.lift(space.conjugate_gradients(damping, tolerance, iterations))
    return replace(found, iterations=space.n_products)


def positive_solution(
    product: LinearMap,
    b: torch.Tensor,
    damping: float,
    tolerance: float = 1e-6,
    iterations: int = 100,
    out_of_time: Callable[[], bool] = lambda: False,
    progress: float = 0.0,
    instead: Callable[[], LinearMap | None] = lambda: None,
    trusted: Callable[[Solution], bool] = lambda found: True,
) -> Solution:
    """Solve ``(A + d I) x = b`` by conjugate gradients, ``d`` the first from ``damping`` up that makes it a safe step.

    Away from a minimum a Hessian has negative eigenvalues, along which a Newton step climbs, or all but none, along
    which it goes too far and the iteration does not settle. At the first negative curvature another ``A`` takes over if
    there is one. Otherwise, as in Levenberg's and Marquardt's methods, the diagonal is raised, by twice the negative
    curvature met and at least to the double, until the operator is positive wherever the solver looks, the residual is
    a tenth or less, and ``trusted`` accepts the solution (a caller can compare the losses themselves). All dampings
    share one Krylov space, so that a raised one costs hardly a product while the space's basis is kept.

    Args:
        product, b, damping, tolerance, iterations, out_of_time: as of :func:`conjugate_gradients`.
        progress: as of :meth:`~recbole.unlearning.second_order.krylov.KrylovSpace.conjugate_gradients`.
        instead: returns the product of a positive semidefinite ``A`` for where the first is not, or None.
        trusted: is given a :class:`Solution` and says whether it will do; must be true of one that is small enough.

    Returns:
        :class:`Solution`; its ``damping`` says whether anything had to be raised, ``iterations`` counts all products.
    """
    if not b.any():
        return Solution(torch.zeros_like(b), 0, 0.0, "converged", damping)
    space, before, replaced, asked = KrylovSpace(product, b, out_of_time), 0, False, damping
    while True:
        found = space.conjugate_gradients(damping, tolerance, iterations, progress)
        if out_of_time():
            found = replace(found, ended="timeout")
        bent = found.ended == "negative curvature"
        unsafe = bent or (found.ended == "iterations" and found.residual > 0.1)
        if not unsafe or not math.isfinite(found.bend + found.residual):
            lifted = replace(space.lift(found), replaced=replaced, raised=damping > asked)
            lifted = replace(lifted, iterations=before + space.n_products)
            if unsafe or lifted.ended == "timeout" or trusted(lifted):
                return lifted
        if bent and not replaced and (other := instead()) is not None:
            space, before, replaced = KrylovSpace(other, b, out_of_time), space.n_products, True
        else:
            damping = max(damping - 2 * found.bend, (2 if unsafe else 4) * damping, torch.finfo(b.dtype).tiny)
