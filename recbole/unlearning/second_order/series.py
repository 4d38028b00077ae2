"""Neumann series that solve damped linear systems: summed in a Krylov space, or with parts of the data (LiSSA)."""

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
    """Solve ``(A + s damping I) x = b`` by the Neumann series ``x = 1/s sum_j (I - A/s - damping I)^j b``.

    ``s`` is the scale. The series converges if the eigenvalues of ``A / s + damping I`` lie between 0 and 2. The
    residual ``b - A x - s damping x`` then never grows. Otherwise it grows without end once it has begun to grow, so a
    series whose residual grows by more than rounding error is rejected. A series that is cut off early has hardly moved
    along directions of little curvature, which acts as a regulariser.

    The sum is a polynomial in ``A``. It is evaluated on the tridiagonal matrix of a Krylov space (see
    :class:`~recbole.unlearning.second_order.krylov.KrylovSpace`), which is extended until the sum is known to within
    ``tolerance``. This takes a few products instead of one per term, and is as accurate in floating-point numbers (C.
    Musco, C. Musco, A. Sidford, "Stability of the Lanczos Method for Matrix Function Approximation", SODA 2018).

    Args:
        product: the function ``v -> A v`` for a symmetric matrix ``A``, the same at every call.
        b: the right-hand side, float [n].
        scale: ``s``, at least half of the largest eigenvalue of ``A``. ``None`` derives it from the eigenvalues found
            in the Krylov space, which grows until a further product changes the scale by at most one percent.
        damping: number that is added to the diagonal of ``A / s``.
        terms: the largest number of terms.
        tolerance: relative residual at which the series stops, and relative error of the sum.
        out_of_time: function that is called before every product; the series stops once it returns True.

    Returns:
        The solution. If ``ended`` is ``growth``, the series diverges or the scale is not known, and ``x`` is zero;
        ``bend`` is the eigenvalue of ``A`` that makes the series diverge, 0 if unknown. ``scale`` is 0 if it was not
        given and all eigenvalues found were 0.
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
    if sums.ended == "growth":  # a diverging series has no sum
        bend = _bend(space, chosen, damping)
        return replace(none, iterations=space.n_products, residual=sums.residual, bend=bend, scale=chosen)
    found = space.lift(Coordinates(sums.coordinates, 0, sums.residual, sums.ended, chosen * damping))
    return replace(found, iterations=space.n_products, scale=chosen)


def _finite(space: KrylovSpace) -> bool:
    """Return whether the last row of the tridiagonal matrix of a Krylov space has finite elements."""
    return math.isfinite(space.diagonal[-1] + space.beside[-1])


def _spectrum(space: KrylovSpace) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvalues (float64 [k]) of a Krylov space's tridiagonal matrix, and its eigenvectors as columns."""
    return eigh_tridiagonal(np.array(space.diagonal), np.array(space.beside[:-1]))


def _scaled(
    space: KrylovSpace, scale: float | None, damping: float, terms: int, tolerance: float
) -> tuple[float, "_Sums | None"]:
    """Return the scale of a Neumann series, and the sum of the series with this scale.

    If ``scale`` is ``None``, the scale is the largest absolute eigenvalue found so far. If the series diverges with
    this scale because of negative eigenvalues, the scale is raised until ``scale * damping``, which is added to all
    eigenvalues, outweighs them. The other arguments are those of :func:`neumann`.

    Returns:
        The scale and the sum; 0 and ``None`` if all eigenvalues found are 0.
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
    """Return the eigenvalue of ``A`` that makes a Neumann series diverge fastest.

    The estimate is refined by up to ``most`` further products, until one of them changes it by at most one percent.

    Args:
        space: Krylov space of ``A``, which is extended.
        scale, damping: those of the series, see :func:`neumann`.
        most: the largest number of further products.
    """
    bend, before = 0.0, math.inf
    for _ in range(most):
        if space.diagonal:
            values = _spectrum(space)[0]
            bend, before = float(values[np.abs(1 - values / scale - damping).argmax()]), bend
        if abs(bend - before) <= 0.01 * abs(bend) or not space.grow() or not _finite(space):
            break
    return bend


class _Sums:
    """The sum of a Neumann series, computed with the tridiagonal matrix of a Krylov space instead of ``A``.

    The sum ends at the term where the series converges or its residual begins to grow. The error of using the
    tridiagonal matrix is bounded as follows. Each term misses the part of ``A`` that leads out of the Krylov space: the
    last off-diagonal element (``space.beside[-1]``) times the last coordinate of the partial sum. The bound adds up
    these products, each multiplied by how much the following terms can enlarge it.

    Args:
        space, scale, damping, terms, tolerance: see :func:`neumann`; here ``scale`` must be given.

    Attributes:
        ended: ``converged``, ``growth`` (the series diverges), or ``iterations`` if all terms were used.
        residual: norm of the residual at the last term, relative to the norm of ``b``.
        coordinates: coordinates of the sum in the basis of the Krylov space.
        known: whether the error of using the tridiagonal matrix is within the tolerance. There is no error at all if
            the Krylov space has more dimensions than the sum has terms.
    """

    @np.errstate(over="ignore", invalid="ignore")  # terms after the last one that is used may overflow
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
    """Solve ``(A + scale damping I) x = b`` by LiSSA: the series of :func:`neumann` with one part of the data per term.

    N. Agarwal, B. Bullins, E. Hazan, "Second-Order Stochastic Optimization for Machine Learning in Linear Time", JMLR
    2017 (equation numbers not checked). Whether the series diverges is checked only at the end, from the true residual,
    which takes one product with each part.

    Args:
        products: functions ``v -> A_i v`` for symmetric matrices, one per part of the data, used in turn; ``A`` is the
            mean of the ``A_i``.
        b: the right-hand side, float [n].
        scale: at least half of the largest eigenvalue of ``A``; ``None`` estimates it by products with ``A``.
        damping: number that is added to the diagonal of ``A / scale``.
        terms: number of terms.
        out_of_time: function that is called before every term; the series stops once it returns True.

    Returns:
        The solution. Its ``iterations`` counts products with single parts. If ``ended`` is ``growth``, the series
        diverges, and ``bend`` is the eigenvalue of ``A`` that makes it diverge (0 if unknown).
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
    taken = before + done + len(products)
    found = Solution(x, taken, residual, "iterations", scale * damping, scale=scale)
    if residual <= 1:
        return found
    space = KrylovSpace(mean, b, out_of_time)
    bend = _bend(space, scale, damping)
    return replace(found, iterations=taken + space.n_products * len(products), ended="growth", bend=bend)
