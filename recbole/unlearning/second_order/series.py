"""Neumann's series for a damped inverse: in a Krylov space, or over parts of the data in turn (LiSSA)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal

from recbole.unlearning.second_order.krylov import Coordinates, KrylovSpace, LinearMap, Solution, norm


def neumann(
    product: LinearMap,
    b: torch.Tensor,
    scale: float | None = None,
    damping: float = 0.0,
    terms: int = 100,
    tolerance: float = 1e-6,
    out_of_time: Callable[[], bool] = lambda: False,
) -> Solution:
    """Solve ``(A + scale damping I) x = b`` by the Neumann series ``1/s sum_j (I - A/s - damping I)^j b``.

    It converges if the eigenvalues of ``A / s + damping`` lie between 0 and 2; the residual ``b - A x - s damping x``
    then never grows, and otherwise, once it has begun to, never stops: one that grows, by more than rounding, is
    refused. Cut off early, the series has not yet moved along directions of little curvature: that too regularises.

    The sum is a polynomial of ``A``, which is evaluated on the tridiagonal matrix of a Krylov space as soon as that
    gives the sum to ``tolerance``: a few products where the recursion takes one for each term. In floating-point
    numbers that is as exact as the recursion (C. Musco, C. Musco, A. Sidford, "Stability of the Lanczos Method for
    Matrix Function Approximation", SODA 2018).

    Args:
        product: the same symmetric linear map ``A`` at every call.
        b: flat right-hand side.
        scale: ``s``, at least half the largest eigenvalue of ``A``; None: what the eigenvalues that show in the
            Krylov space ask for (:func:`_scaled`), once another product moves it by no more than a percent.
        damping: as above; relative to ``scale``.
        terms: at most so many.
        tolerance: of the residual relative to ``b``, where the series stops, and of the sum.
        out_of_time: asked before every product.

    Returns:
        :class:`~recbole.unlearning.second_order.krylov.Solution`; its ``bend`` tells along which eigenvalue a
        series grows. Where there is no eigenvalue to take for a scale, it grows with a ``scale`` of 0.
    """
    if not b.any():
        return Solution(torch.zeros_like(b), 0, 0.0, "converged", (scale or 0.0) * damping, scale=scale or 0.0)
    space = KrylovSpace(product, b, out_of_time)
    none = Solution(torch.zeros_like(b), 0, math.nan, "growth", scale=scale or 0.0)
    sums, chosen = None, math.inf
    while sums is None or not sums.known:
        in_time = space.grow()
        if not (in_time and _finite(space)):
            return replace(none, iterations=space.n_products, ended="growth" if in_time else "timeout")
        before, (chosen, sums) = chosen, _scaled(space, scale, damping, terms, tolerance)
        if not chosen:
            return replace(none, iterations=space.n_products, residual=1.0)
        if scale is None and abs(chosen - before) > 0.01 * chosen:
            sums = None
    if sums.ended == "growth":  # nobody will want the sum
        bend = _bend(space, chosen, damping)
        return replace(none, iterations=space.n_products, residual=sums.residual, bend=bend, scale=chosen)
    found = space.lift(Coordinates(sums.coordinates, 0, sums.residual, sums.ended, chosen * damping))
    return replace(found, iterations=space.n_products, scale=chosen)


def _finite(space: KrylovSpace) -> bool:
    return math.isfinite(space.diagonal[-1] + space.beside[-1])


def _spectrum(space: KrylovSpace) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvalues of the tridiagonal matrix and its eigenvectors, as columns."""
    return eigh_tridiagonal(np.array(space.diagonal), np.array(space.beside[:-1]))


def _scaled(
    space: KrylovSpace, scale: float | None, damping: float, terms: int, tolerance: float
) -> tuple[float, "_Sums | None"]:
    """Return a scale and the series' sums by it; where none is given, one that the eigenvalues so far ask for.

    That is the largest of them (absolute values); if the series grows by that, along negative ones, so much more that
    the damping, a share of the scale, outweighs these. 0 and None where all of them are 0.
    """
    values = _spectrum(space)[0]
    largest = float(np.abs(values).max()) if scale is None else scale
    if not largest:
        return 0.0, None
    sums = _Sums(space, largest, damping, terms, tolerance)
    outweighed = float(-1.05 * values.min() / damping) if damping else 0.0
    if scale is None and sums.ended == "growth" and outweighed > largest:
        return outweighed, _Sums(space, outweighed, damping, terms, tolerance)
    return largest, sums


def _bend(space: KrylovSpace, scale: float, damping: float, most: int = 10) -> float:
    """Return the eigenvalue that is worst for the series, after more products while it moves by a percent, or 0."""
    bend, before = 0.0, math.inf
    for _ in range(most):
        if space.diagonal:
            values = _spectrum(space)[0]
            bend, before = float(values[np.abs(1 - values / scale - damping).argmax()]), bend
        if abs(bend - before) <= 0.01 * abs(bend) or not space.grow() or not _finite(space):
            break
    return bend


class _Sums:
    """The partial sums of the series on the tridiagonal matrix of a Krylov space, up to where it stops.

    The error of the approximation obeys the recursion of the series: after each term the matrix leaves out the
    product of ``beside[-1]`` and the sum's last coordinate. They are added up, as they grow, to a bound.

    Attributes:
        ended: ``converged``, ``growth`` or ``iterations``, all terms.
        residual: there, over ``|b|``.
        coordinates: of the sum in the basis.
        known: whether the approximation is as good as the tolerance.
    """

    @np.errstate(over="ignore", invalid="ignore")  # of terms after the stop
    def __init__(self, space: KrylovSpace, scale: float, damping: float, terms: int, tolerance: float) -> None:
        values, vectors = _spectrum(space)
        shrink = 1 - values / scale - damping
        powers = shrink ** np.arange(terms + 1)[:, None]
        residuals = np.linalg.norm(powers * vectors[0], axis=1)
        grown = residuals[1:] > np.maximum(1.001 * np.minimum.accumulate(residuals), 1e-4)[:-1]
        stops = np.flatnonzero(grown | (residuals[1:] <= tolerance))
        stop = int(stops[0]) + 1 if len(stops) else terms
        sums = np.cumsum(powers[:stop], axis=0) * vectors[0] * (space.norm / scale)
        left_out = space.beside[-1] / scale * np.abs(sums @ vectors[-1])
        error = (left_out * max(1.0, np.abs(shrink).max()) ** np.arange(stop - 1, -1, -1)).sum()
        self.known = len(values) > stop or error <= tolerance * np.linalg.norm(sums[-1])
        self.residual = float(residuals[stop])
        self.ended = "iterations" if not len(stops) else "growth" if grown[stop - 1] else "converged"
        self.coordinates = list(vectors @ sums[-1])


def lissa(
    products: Sequence[LinearMap],
    b: torch.Tensor,
    scale: float | None = None,
    damping: float = 0.0,
    terms: int = 100,
    out_of_time: Callable[[], bool] = lambda: False,
) -> Solution:
    """Take another part of the data in each term of the series of :func:`neumann`.

    N. Agarwal, B. Bullins, E. Hazan, "Second-Order Stochastic Optimization for Machine Learning in Linear Time", JMLR
    2017 (equation numbers not checked). Whether the series grew is known only from its last residual, which takes a
    product of every part.

    Args:
        products: linear maps, taken in turn, whose mean is ``A``.
        b, damping, terms, out_of_time: as of :func:`neumann`.
        scale: likewise; products of the mean find the largest eigenvalue.
    """

    def mean(v: torch.Tensor) -> torch.Tensor:
        return sum((product(v) for product in products), torch.zeros(())) / len(products)

    x, before = torch.zeros_like(b), 0
    if scale is None:
        one = neumann(mean, b, None, damping, 1, out_of_time=out_of_time)
        scale, before = one.scale, one.iterations * len(products)
        if not scale:
            return replace(one, iterations=before)
    for done in range(terms):
        if out_of_time():
            return Solution(x, before + done, math.nan, "timeout", scale * damping, scale=scale)
        r = b - products[done % len(products)](x) - scale * damping * x if done else b
        if not math.isfinite(norm(r)):
            break
        x = x + r / scale
    residual = norm(b - mean(x) - scale * damping * x) / norm(b) if b.any() else 0.0
    products_taken = before + terms - 1 + len(products)
    found = Solution(x, products_taken, residual, "iterations", scale * damping, scale=scale)
    if residual <= 1:
        return found
    return replace(found, ended="growth", bend=_bend(KrylovSpace(mean, b, out_of_time), scale, damping))
