"""Iterative solvers for symmetric linear systems whose matrix is known only through matrix-vector products."""

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
    """Solve ``(A + damping I) x = b`` by conjugate gradients, for a symmetric ``A`` given by its products with vectors.

    M. Hestenes, E. Stiefel, "Methods of Conjugate Gradients for Solving Linear Systems", J. Res. NBS 1952. As in
    truncated Newton methods, the iteration stops when it finds a direction of negative curvature.

    Args:
        product: the function ``v -> A v``, the same at every call.
        b: the right-hand side, float [n].
        damping: number that is added to the diagonal of ``A``.
        tolerance: the iteration stops when the residual's norm, relative to that of ``b``, is at most this.
        iterations: the largest number of products.
        out_of_time: function that is called before every product; the iteration stops once it returns True.

    Returns:
        The solution that was reached when the iteration stopped; ``ended`` says why it stopped.
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
    """Solve ``(A + d I) x = b`` by conjugate gradients, with the damping ``d`` raised until ``x`` is a safe step.

    Away from a minimum a Hessian ``A`` can have negative eigenvalues, along which a Newton step increases the loss. It
    can also have very small ones, along which a step goes too far and the iteration does not converge. When negative
    curvature is found for the first time, ``A`` is replaced by the matrix ``G`` behind ``instead``, if there is one.
    Otherwise the damping is raised, as in the methods of Levenberg and Marquardt: by twice the negative curvature, but
    at least to twice its value (to four times its value if only ``trusted`` rejects the solution).

    This is repeated until a solution is safe: there is no negative curvature, the iteration did not end at its limit
    with a relative residual above 0.1, and ``trusted`` accepts the solution. It also ends if the time is up or a number
    is not finite. All dampings share one Krylov space, so another damping takes few further products as long as the
    basis of this space is kept.

    Args:
        product: the function ``v -> A v`` for a symmetric ``A``, the same at every call.
        b: the right-hand side, float [n].
        damping: the first damping to try.
        tolerance: the iteration stops when the residual's norm, relative to that of ``b``, is at most this.
        iterations: the largest number of iterations for one damping.
        out_of_time: function that is called before every product; the iteration stops once it returns True.
        progress: the iteration stops when ``b . x`` grows by less than this fraction per iteration, see
            :meth:`~recbole.unlearning.second_order.krylov.KrylovSpace.conjugate_gradients`.
        instead: returns the function ``v -> G v`` for a positive semidefinite ``G`` that can replace ``A``, or ``None``
            if there is none.
        trusted: returns whether a solution is acceptable. It must accept every solution that is small enough.

    Returns:
        The solution. ``damping`` is the last damping; ``raised`` and ``replaced`` say whether the damping was raised
        and ``A`` replaced; ``iterations`` counts all products.
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
