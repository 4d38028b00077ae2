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
    """Solve ``(A + damping I) x = b`` by conjugate gradients, for a symmetric ``A`` given by its products.

    M. Hestenes, E. Stiefel, "Methods of Conjugate Gradients for Solving Linear Systems", J. Res. NBS 1952. As in
    truncated Newton methods, the iteration stops at a direction of negative curvature, and returns the current iterate.

    Args:
        product: the linear map ``v -> A v``, the same at every call.
        b: the right-hand side, a flat vector.
        damping: added to the diagonal of ``A``.
        tolerance: residual norm, relative to the norm of ``b``, at which the iteration stops.
        iterations: the largest number of products.
        out_of_time: called before every product; the iteration stops once it returns True.

    Returns:
        The last iterate; its ``ended`` says why the iteration stopped.
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
    """Solve ``(A + d I) x = b`` by conjugate gradients, with the damping ``d`` raised until the step is safe.

    Away from a minimum a Hessian can have negative eigenvalues, along which a Newton step increases the loss. It can
    also have very small ones, along which a step goes too far and the iteration does not converge. At the first
    negative curvature, ``A`` is replaced by the map that ``instead`` returns, if any. Otherwise the damping is raised,
    as in the methods of Levenberg and Marquardt: by twice the negative curvature found, and at least to double its
    value (four times if only ``trusted`` rejects the solution). This is repeated until no negative curvature is found,
    the iteration has not ended at its limit with a relative residual above a tenth, and ``trusted`` accepts the
    solution. All dampings share one Krylov space, so raising the damping takes few products while its basis is kept.

    Args:
        product: the linear map ``v -> A v``, the same at every call.
        b: the right-hand side, a flat vector.
        damping: the first damping to try.
        tolerance: residual norm, relative to the norm of ``b``, at which the iteration stops.
        iterations: the largest number of products for one damping.
        out_of_time: called before every product; the iteration stops once it returns True.
        progress: relative progress per iteration below which the iteration stops, see
            :meth:`~recbole.unlearning.second_order.krylov.KrylovSpace.conjugate_gradients`.
        instead: returns the map ``v -> G v`` of a positive semidefinite replacement ``G`` for ``A``, or ``None``.
        trusted: returns whether a solution is acceptable. It must accept every sufficiently small one.

    Returns:
        The solution. Its ``damping`` is the last one, ``raised`` and ``replaced`` say whether the damping was raised
        and ``A`` was replaced, and ``iterations`` counts all products.
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
