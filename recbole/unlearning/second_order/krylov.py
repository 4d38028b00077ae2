"""The Krylov space of a symmetric linear map and a vector, and conjugate gradients in it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

LinearMap = Callable[[torch.Tensor], torch.Tensor]
"""A linear map from flat vectors to flat vectors, the same at every call."""


@dataclass(frozen=True)
class Solution:
    """The result of an iterative solver for ``(A + damping I) x = b``.

    Attributes:
        x: the solution, a flat vector.
        iterations: number of products with ``A``.
        residual: ``|b - (A + damping I) x| / |b|`` as the recursion gives it, up to rounding errors.
        ended: why the solver stopped: ``converged``, ``iterations`` (their limit was reached), ``progress`` (there was
            too little of it), ``negative curvature``, ``growth`` (a series diverges) or ``timeout``.
        damping: the number added to the diagonal of ``A``.
        bend: after ``negative curvature``, the Rayleigh quotient of ``A + damping I`` along the direction found.
            After ``growth``, approximately the eigenvalue of ``A`` along which the series diverges. Otherwise 0.
        replaced: whether ``positive_solution`` replaced ``A`` by another map.
        raised: whether ``positive_solution`` raised the damping.
        scale: scale of a Neumann series; 0 for other solvers.
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
    """A :class:`Solution` whose ``x`` is given by its coordinates in the basis of a Krylov space.

    Attributes:
        x: the coordinates, one number per basis vector.
        iterations: number of iterations, of which each uses one basis vector.
        residual, ended, damping, bend: the same as in :class:`Solution`.
    """

    x: list[float]
    iterations: int
    residual: float
    ended: str
    damping: float = 0.0
    bend: float = 0.0


class KrylovSpace:
    """The space spanned by a vector ``b`` and the powers of a symmetric map on it, with its Lanczos basis.

    C. Lanczos, "An Iteration Method for the Solution of the Eigenvalue Problem", J. Res. NBS 1950 (equation numbers not
    checked). In an orthonormal basis, which takes one product with the map per vector, the map is a tridiagonal matrix.
    Adding damping to its diagonal does not change the space, so systems with another damping need no further products.

    Args:
        product: the linear map, the same at every call.
        b: flat vector, not zero.
        out_of_time: called before every product; the space stops growing once it returns True.

    Attributes:
        norm: Euclidean norm of ``b``.
        diagonal: diagonal of the tridiagonal matrix.
        beside: off-diagonal of the tridiagonal matrix, and as last element the one for its next row.
        n_products: number of products so far.
    """

    MOST_BYTES = 2**30
    """Largest size in bytes of a basis that is kept. A larger one is computed again for each further damping."""

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

        The basis grows as far as necessary. Iterates and residuals are those of the recursion by M. Hestenes and E.
        Stiefel, computed from the factors ``L D L'`` of the tridiagonal matrix, whose pivots ``D`` are the curvatures
        along the conjugate directions. For the first damping, ``x`` is also summed up as a vector on the way.

        Args:
            damping: added to the diagonal of the map ``A``.
            tolerance: residual norm, relative to the norm of ``b``, at which the iteration stops.
            iterations: the largest number of iterations.
            progress: smallest relative growth of ``b . x`` per iteration. The iteration stops if the mean growth over
                the last tenth of all iterations (at least ten) is smaller. ``b . x`` is twice the decrease of the
                quadratic model. J. Martens, "Deep Learning via Hessian-free Optimization", ICML 2010 (equation numbers
                not checked).
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
        """Add a basis vector, which takes one product with the map.

        Returns:
            True; or False, without a product, if the time is up.
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
            at: index of the row.
            last: the last basis vector, preceded by the one before it if there is one.

        Returns:
            The row's diagonal element, its off-diagonal element to the right, and the next basis vector.
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
        """Compute and yield the basis vectors again if they were not kept; stop when the time is up."""
        last: tuple[torch.Tensor, ...] = (self.b / self.norm,)
        for at in range(len(self.diagonal)):
            yield last[-1]
            if self.out_of_time():
                return
            last = (last[-1], self._next(at, *last)[2])

    def lift(self, found: Coordinates) -> Solution:
        """Return the solution whose coordinates are given, with ``x`` as a flat vector."""
        x, ended = self._sum(found)
        return Solution(x, found.iterations, found.residual, ended, found.damping, found.bend)

    def _sum(self, found: Coordinates) -> tuple[torch.Tensor, str]:
        """Return the vector with the given coordinates, and why the solver stopped.

        The reason becomes ``timeout`` if the time runs out while the basis is computed again.
        """
        if self.first and found.damping == self.first[0]:
            return self.first[1], found.ended
        x, left = torch.zeros_like(self.b), list(found.x)
        for vector in self.vectors if self.kept else self._again():
            if not left:
                break
            x.add_(vector, alpha=left.pop(0))
        return x, "timeout" if left else found.ended


def norm(vector: torch.Tensor) -> float:
    """Return the Euclidean norm, summed in double precision.

    In single precision, squares of numbers below 1e-22 would underflow.
    """
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))
