"""Iterative solvers for a symmetric linear map that is known by its products alone; each tells its residual."""

import math
from dataclasses import dataclass, replace

import torch


@dataclass(frozen=True)
class Solution:
    """What an iterative solver found.

    Attributes:
        x: the flat solution.
        iterations: how many products it took.
        residual: ``|b - A x| / |b|``.
        ended: ``converged``, ``iterations`` (the limit), ``negative curvature``, ``growth`` or ``timeout``.
        damping: what was added to the diagonal.
        bend: after ``negative curvature``, the damped operator's Rayleigh quotient along the direction that showed it.
    """

    x: torch.Tensor
    iterations: int
    residual: float
    ended: str
    damping: float = 0.0
    bend: float = 0.0


def conjugate_gradients(product, b, damping, tolerance=1e-6, iterations=100, out_of_time=lambda: False):
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
    x, r = torch.zeros_like(b), b.clone()
    p, rs = r.clone(), float(r @ r)
    start = rs**0.5
    ended, done, rayleigh = "iterations", 0, 0.0
    if start == 0:
        return Solution(x, 0, 0.0, "converged", damping)
    while done < iterations:
        if out_of_time():
            ended = "timeout"
            break
        q = product(p) + damping * p
        done += 1
        bend = float(p @ q)
        if not bend > 0:
            ended, rayleigh = "negative curvature", bend / float(p @ p)
            break
        step = rs / bend
        x, r = x + step * p, r - step * q
        rs, before = float(r @ r), rs
        if rs**0.5 <= tolerance * start:
            ended = "converged"
            break
        p = r + (rs / before) * p
    return Solution(x, done, rs**0.5 / start, ended, damping, rayleigh)


def positive_solution(product, b, damping, tolerance=1e-6, iterations=100, out_of_time=lambda: False):
    """Solve ``(A + d I) x = b`` by conjugate gradients, ``d`` the first from ``damping`` up that makes it a safe step.

    Away from a minimum a Hessian has negative eigenvalues, along which a Newton step climbs, or all but none, along
    which it goes too far and the iteration does not settle. As in Levenberg's and Marquardt's methods the diagonal is
    raised, by twice the negative curvature met and at least to the double, until the operator is positive wherever the
    solver looks and the residual is a tenth or less. The arguments are those of :func:`conjugate_gradients`.

    Returns:
        :class:`Solution`; its ``damping`` says whether anything had to be raised, ``iterations`` counts all products.
    """
    spent = 0
    while True:
        found = conjugate_gradients(product, b, damping, tolerance, iterations, out_of_time)
        spent += found.iterations
        unsafe = found.ended == "negative curvature" or (found.ended == "iterations" and found.residual > 0.1)
        if not unsafe or not math.isfinite(found.bend + found.residual):
            return replace(found, iterations=spent)
        damping = max(damping - 2 * found.bend, 2 * damping, torch.finfo(b.dtype).tiny)


def neumann(products, b, scale, damping=0.0, iterations=100, tolerance=1e-6, out_of_time=lambda: False):
    """Solve ``(A + scale damping I) x = b`` by the Neumann series ``1/s sum_j (I - A/s - damping I)^j b``.

    In the form ``x <- x + r / s`` with the residual ``r = b - A x - s damping x``. It converges if the eigenvalues of
    ``A / s + damping`` lie between 0 and 2; the residual then never grows, so one that does is the sign that they do
    not. Cut off early, the series has not yet moved along directions of little curvature: that too regularises.

    With several products it is LiSSA, which takes another part of the data in each iteration (N. Agarwal, B. Bullins,
    E. Hazan, "Second-Order Stochastic Optimization for Machine Learning in Linear Time", JMLR 2017; equation numbers
    not checked). The residual is then that of a round through the parts.

    Args:
        products: linear maps, taken in turn, whose mean is ``A``.
        b: flat right-hand side.
        scale: ``s``, at least half the largest eigenvalue of ``A``.
        damping: as above; relative to ``scale``.
        iterations: most terms after the first.
        tolerance: of the residual relative to ``b``.
        out_of_time: asked before every product.
    """
    x, start = torch.zeros_like(b), float(b.norm())
    turn, done, residual, least, ended = torch.zeros_like(b), 0, 1.0, 1.0, "iterations"
    if start == 0:
        return Solution(x, 0, 0.0, "converged", scale * damping)
    while True:
        if out_of_time():
            ended = "timeout"
            break
        r = b - products[done % len(products)](x) - scale * damping * x if done else b
        turn = turn + r
        if (done + 1) % len(products) == 0:
            residual, turn = float(turn.norm()) / len(products) / start, torch.zeros_like(b)
            if not residual <= 2 * least:
                ended = "growth"
                break
            least = min(least, residual) if len(products) == 1 else least  # parts of the data add noise
        if done == iterations or residual <= tolerance:
            ended = "converged" if residual <= tolerance else ended
            break
        x, done = x + r / scale, done + 1
    return Solution(x, done, residual, ended, scale * damping)


def dominant_curvature(product, start, iterations=20):
    """Return the eigenvalue of largest size, about: a Rayleigh quotient after some power iterations from ``start``."""
    v, bend = start / start.norm(), 0.0
    for _ in range(iterations):
        image = product(v)
        bend = float(v @ image)
        v = image / image.norm()
    return bend
