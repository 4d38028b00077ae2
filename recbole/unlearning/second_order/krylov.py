"""The space that products of a symmetric map span, and conjugate gradients in it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

LinearMap = Callable[[torch.Tensor], torch.Tensor]
"""A linear map of flat vectors, the same at every call."""


@dataclass(frozen=True)
class Solution:
    """What an iterative solver found.

    Attributes:
        x: the flat solution.
        iterations: how many products it took.
        residual: ``|b - A x| / |b|``, as the recursion has it, from which rounding parts it.
        ended: ``converged``, ``iterations`` (the limit), ``progress`` (too little of it), ``negative curvature``,
            ``growth`` or ``timeout``.
        damping: what was added to the diagonal.
        bend: after ``negative curvature``, the damped operator's Rayleigh quotient along the direction that showed it;
            after ``growth``, the eigenvalue of ``A``, about, along which the series grows.
        replaced: whether ``positive_solution`` has put another map in the place of ``A``.
        raised: whether it has raised the damping.
        scale: of a Neumann series.
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
    """A :class:`Solution` by its coordinates in a Krylov space's basis; it says no word of other maps or dampings."""

    x: list[float]
    iterations: int
    residual: float
    ended: str
    damping: float = 0.0
    bend: float = 0.0


class KrylovSpace:
    """The space that the powers of a symmetric map span on a vector ``b``, with its Lanczos basis.

    C. Lanczos, "An Iteration Method for the Solution of the Eigenvalue Problem", J. Res. NBS 1950 (equation numbers
    not checked): in an orthonormal basis, one product a vector, the map is a tridiagonal matrix. Adding to its
    diagonal leaves the space as it is, so that systems with another damping cost numbers, not products.

    Args:
        product: the same linear map at every call.
        b: flat vector, not zero.
        out_of_time: asked before every product.

    Attributes:
        norm: of ``b``.
        diagonal: of the tridiagonal matrix, ``beside`` right of it: one more than belongs to the matrix.
        n_products: so far.
    """

    MOST_BYTES = 2**30
    """A basis that would take more is not kept: another damping than the first then costs its products again."""

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
        """Return the :class:`Coordinates` of the solution in the basis, which grows as far as is needed.

        The iterates and residuals are those of M. Hestenes and E. Stiefel's recursion, from the factors ``L D L'`` of
        the tridiagonal matrix: its pivots ``D`` are the curvatures along the conjugate directions. The first damping's
        solution is added up on the way.

        Args:
            damping, tolerance, iterations: as of ``conjugate_gradients``.
            progress: stop where ``b . x``, twice what the quadratic model has fallen by, has risen by a smaller share
                per iteration over the last tenth of them, at least ten: J. Martens, "Deep Learning via Hessian-free
                Optimization", ICML 2010 (equation numbers not checked).
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
        """Add a basis vector at the cost of a product; return whether there was time for it."""
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
        """Return the row ``at`` of the tridiagonal matrix, right of its diagonal, and the basis vector after it."""
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
        """Yield the basis vectors that were not kept; stop when the time is up."""
        last: tuple[torch.Tensor, ...] = (self.b / self.norm,)
        for at in range(len(self.diagonal)):
            yield last[-1]
            if self.out_of_time():
                return
            last = (last[-1], self._next(at, *last)[2])

    def lift(self, found: Coordinates) -> Solution:
        """Return the solution that coordinates stand for."""
        x, ended = self._sum(found)
        return Solution(x, found.iterations, found.residual, ended, found.damping, found.bend)

    def _sum(self, found: Coordinates) -> tuple[torch.Tensor, str]:
        """Return the vector of coordinates, and how it ended: as they did, unless the time is up in between."""
        if self.first and found.damping == self.first[0]:
            return self.first[1], found.ended
        x, left = torch.zeros_like(self.b), list(found.x)
        for vector in self.vectors if self.kept else self._again():
            if not left:
                break
            x.add_(vector, alpha=left.pop(0))
        return x, "timeout" if left else found.ended


def norm(vector: torch.Tensor) -> float:
    """Return the Euclidean norm, summed in double precision: squares of single numbers underflow below 1e-22."""
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))
