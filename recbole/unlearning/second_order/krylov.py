"""Conjugate gradients for symmetric linear systems, computed in a Krylov space that several systems can share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

LinearMap = Callable[[torch.Tensor], torch.Tensor]
"""A function that multiplies a vector (float [n]) by a symmetric matrix, the same at every call."""


@dataclass(frozen=True)
class Solution:
    """The result of an iterative solver for ``(A + damping I) x = b``.

    Attributes:
        x: the (approximate) solution, float [n].
        iterations: number of multiplications of a vector by ``A``.
        residual: the relative residual ``|b - (A + damping I) x| / |b|``; lower is better, NaN if it is not known. It
            is the solver's running estimate, which rounding errors can make differ from the true residual.
        ended: why the solver stopped: ``converged`` (the tolerance was reached), ``iterations`` (their limit was
            reached), ``progress`` (further iterations would improve the solution too little), ``negative curvature`` (a
            direction ``d`` with ``d . (A + damping I) d <= 0`` was found), ``growth`` (a Neumann series diverges) or
            ``timeout``.
        damping: the number that was added to the diagonal of ``A``.
        bend: the curvature because of which the solver failed. If ``ended`` is ``negative curvature``, it is
            ``d . (A + damping I) d / d . d`` for the direction ``d`` that was found: 0 or less, or NaN if a number was
            not finite. If ``ended`` is ``growth``, it is approximately the eigenvalue of ``A`` that makes the Neumann
            series diverge; 0 if it is not known. Otherwise it is 0.
        replaced: whether :func:`~recbole.unlearning.second_order.solvers.positive_solution` replaced ``A`` by another
            matrix.
        raised: whether :func:`~recbole.unlearning.second_order.solvers.positive_solution` raised the damping.
        scale: the scale of a Neumann series; 0 for other solvers.
    """

    x: torch.Tensor
    iterations: int
    residual: float
    ended: str
    damping: float = 0.0
    bend: float = 0.0
    replaced: bool = False
    raised: bool = False
    scale: float = 0.0


@dataclass(frozen=True)
class Coordinates:
    """A solution of ``(A + damping I) x = b``, with ``x`` given by its coordinates in the basis of a Krylov space.

    Attributes:
        x: the coordinates, one number for each of the first basis vectors.
        iterations: number of iterations; each iteration uses one basis vector.
        residual, ended, damping, bend: as in :class:`Solution`.
    """

    x: list[float]
    iterations: int
    residual: float
    ended: str
    damping: float = 0.0
    bend: float = 0.0


class KrylovSpace:
    """The space spanned by ``b, A b, A^2 b, ...`` for a symmetric matrix ``A``, with its Lanczos basis.

    The basis is orthonormal, and each vector takes one product with ``A``. In this basis ``A`` is a tridiagonal matrix.
    Adding damping to the diagonal of ``A`` does not change the space, so systems ``(A + damping I) x = b`` with another
    damping need no further products. C. Lanczos, "An Iteration Method for the Solution of the Eigenvalue Problem", J.
    Res. NBS 1950 (equation numbers not checked).

    Args:
        product: the function ``v -> A v``, the same at every call.
        b: float [n], not zero.
        out_of_time: function that is called before every product; no basis vector is added once it returns True.

    Attributes:
        norm: Euclidean norm of ``b``.
        diagonal: diagonal of the tridiagonal matrix as far as it is known, one number for each product.
        beside: off-diagonal of the tridiagonal matrix. It is as long as ``diagonal``: the last number belongs to the
            next row.
        n_products: number of products with ``A`` so far.
        vectors: the basis vectors; only the last two if the basis is too large to be kept.
        kept: whether the whole basis is kept.
        first: the damping of the first system that :meth:`conjugate_gradients` solved, and the solution as a vector;
            ``None`` if the basis had more than one vector before its first call.
    """

    MOST_BYTES = 2**30
    """Largest size in bytes of a basis that is kept. A larger basis is computed again for each further damping."""

    def __init__(self, product: LinearMap, b: torch.Tensor, out_of_time: Callable[[], bool]) -> None:
        self.product, self.b, self.out_of_time = product, b, out_of_time
        self.norm = norm(b)
        self.n_products = 0
        self.diagonal: list[float] = []
        self.beside: list[float] = []
        self.vectors, self.kept = [b / self.norm], True
        self.first: tuple[float, torch.Tensor] | None = None

    def conjugate_gradients(
        self, damping: float, tolerance: float, iterations: int, progress: float = 0.0
    ) -> Coordinates:
        """Solve ``(A + damping I) x = b`` by conjugate gradients; return the coordinates of ``x`` in the basis.

        The results are those of the usual recursion (M. Hestenes, E. Stiefel). They are computed from the factors
        ``L D L'`` of the tridiagonal matrix; ``D`` holds the curvatures along the conjugate directions.

        Args:
            damping: number that is added to the diagonal of ``A``.
            tolerance: the iteration stops when the residual's norm, relative to that of ``b``, is at most this.
            iterations: the largest number of iterations.
            progress: the iteration stops when the mean growth of ``b . x`` per iteration, over the last ten iterations
                (or a tenth of all, if that is more), is less than this fraction of ``b . x``. ``b . x`` is twice the
                decrease of the quadratic function that the iteration minimises (J. Martens, "Deep Learning via
                Hessian-free Optimization", ICML 2010; equation numbers not checked).
        """
        first = not self.diagonal
        x, direction = (torch.zeros_like(self.b if first else self.b[:0]) for _ in range(2))
        links: list[float] = []
        steps: list[float] = []
        gains, ended, bend = [0.0], "iterations", 0.0
        residual, forward, square, pivot, before = 1.0, self.norm, 0.0, 1.0, 0.0
        while len(links) < iterations:
            if len(links) == len(self.diagonal) and not self.grow():
                ended = "timeout"
                break
            at = len(links)
            links.append(before / pivot)
            square = 1 + links[at] ** 2 * square
            pivot = self.diagonal[at] + damping - links[at] * before
            if not pivot > 0:
                ended, bend = "negative curvature", pivot / square
                break
            forward = -links[at] * forward if at else forward
            steps.append(forward / pivot)
            if first:
                direction = self.vectors[-2] - links[at] * direction
                x.add_(direction, alpha=steps[at])
            before = self.beside[at]
            residual = before * abs(steps[at]) / self.norm
            gains.append(gains[-1] + forward * steps[at])
            back = max(10, len(links) // 10)
            if residual <= tolerance:
                ended = "converged"
                break
            if len(links) >= back and gains[-1] - gains[-1 - back] < back * progress * gains[-1]:
                ended = "progress"
                break
        self.first = (damping, x) if first else self.first
        for at in reversed(range(len(steps) - 1)):
            steps[at] -= links[at + 1] * steps[at + 1]
        return Coordinates(steps, len(links), residual, ended, damping, bend)

    def grow(self) -> bool:
        """Add a basis vector and a row of the tridiagonal matrix, with one product.

        Returns:
            True. If the time is up, nothing is computed, and the result is False.
        """
        if self.out_of_time():
            return False
        coefficient, length, vector = self._next(len(self.diagonal), *self.vectors[-2:])
        self.diagonal.append(coefficient)
        self.beside.append(length)
        self.vectors.append(vector)
        self.kept = self.kept and len(self.vectors) * vector.numel() * vector.element_size() <= self.MOST_BYTES
        if not self.kept:
            del self.vectors[:-2]
        return True

    def _next(self, at: int, *last: torch.Tensor) -> tuple[float, float, torch.Tensor]:
        """Compute a row of the tridiagonal matrix and the next basis vector, with one product.

        Args:
            at: index of the row, from 0.
            last: the two latest basis vectors, the latest one last; for row 0 only one.

        Returns:
            The element of the row on the diagonal, the element to the right of it, and the next basis vector.
        """
        vector = last[-1]
        self.n_products += 1
        image = self.product(vector)
        coefficient = float(vector @ image)
        image = image - coefficient * vector
        if at:
            image -= self.beside[at - 1] * last[0]
        length = float(image.norm())
        return coefficient, length, image / length if length else image

    def _again(self) -> Iterator[torch.Tensor]:
        """Compute the basis vectors once more, and yield one after another; stop when the time is up."""
        last: tuple[torch.Tensor, ...] = (self.b / self.norm,)
        for at in range(len(self.diagonal)):
            yield last[-1]
            if self.out_of_time():
                return
            last = (last[-1], self._next(at, *last)[2])

    def lift(self, found: Coordinates) -> Solution:
        """Return the solution with ``x`` as a vector, given the solution with ``x`` as coordinates in the basis.

        ``ended`` is ``timeout`` if the basis had to be computed once more and the time did not suffice.
        """
        x, ended = self._sum(found)
        return Solution(x, found.iterations, found.residual, ended, found.damping, found.bend)

    def _sum(self, found: Coordinates) -> tuple[torch.Tensor, str]:
        """Return ``x`` as a vector, and the value of ``ended``, see :meth:`lift`."""
        if self.first and found.damping == self.first[0]:
            return self.first[1], found.ended
        x, left = torch.zeros_like(self.b), list(found.x)
        for vector in self.vectors if self.kept else self._again():
            if not left:
                break
            x.add_(vector, alpha=left.pop(0))
        return x, "timeout" if left else found.ended


def norm(vector: torch.Tensor) -> float:
    """Return the Euclidean norm of a vector, added up in double precision.

    In single precision, squares of numbers below 1e-22 would underflow.
    """
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))
