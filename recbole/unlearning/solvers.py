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
        residual: ``|b - A x| / |b|``; of conjugate gradients as their recursion has it, which rounding parts from it.
        ended: ``converged``, ``iterations`` (the limit), ``negative curvature``, ``growth`` or ``timeout``.
        damping: what was added to the diagonal.
        bend: after ``negative curvature``, the damped operator's Rayleigh quotient along the direction that showed it.
        replaced: whether :func:`positive_solution` has put another map in the place of ``A``.
        raised: whether it has raised the damping.
    """

    x: torch.Tensor
    iterations: int
    residual: float
    ended: str
    damping: float = 0.0
    bend: float = 0.0
    replaced: bool = False
    raised: bool = False


class KrylovSpace:
    """The space that the powers of a symmetric map span on a vector ``b``, with its Lanczos basis.

    C. Lanczos, "An Iteration Method for the Solution of the Eigenvalue Problem", J. Res. NBS 1950 (equation numbers
    not checked): in an orthonormal basis, one product a vector, the map is a tridiagonal matrix. Adding to its
    diagonal leaves the space as it is, so that systems with another damping cost numbers, not products.

    Args:
        product: the same linear map at every call.
        b: flat vector.
        out_of_time: asked before every product.
    """

    MOST_BYTES = 2**30
    """A basis that would take more is not kept: another damping than the first then costs its products again."""

    def __init__(self, product, b, out_of_time):
        self.product, self.b, self.out_of_time = product, b, out_of_time
        self.norm = _norm(b)
        self.n_products = 0
        self.diagonal, self.beside = [], []
        self.vectors, self.kept = [b / self.norm], True
        self.first = None

    def conjugate_gradients(self, damping, tolerance, iterations):
        """Return a :class:`Solution` whose ``x`` are coordinates in the basis, which grows as far as is needed.

        The iterates and residuals are those of :func:`conjugate_gradients`, from the factors ``L D L'`` of the
        tridiagonal matrix: its pivots ``D`` are the curvatures along the conjugate directions. The first damping's
        solution is added up on the way.
        """
        first = not self.diagonal
        x, direction = (torch.zeros_like(self.b), torch.zeros_like(self.b)) if first else (None, None)
        links, steps, ended, bend = [], [], "iterations", 0.0
        residual, forward, square, pivot, before = 1.0, self.norm, 0.0, 1.0, 0.0
        while len(links) < iterations:
            if len(links) == len(self.diagonal) and not self._grow():
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
            if residual <= tolerance:
                ended = "converged"
                break
        self.first = (damping, x) if first else self.first
        for at in reversed(range(len(steps) - 1)):
            steps[at] -= links[at + 1] * steps[at + 1]
        return Solution(steps, len(links), residual, ended, damping, bend)

    def _grow(self):
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

    def _next(self, at, *last):
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

    def _again(self):
        """Yield the basis vectors that were not kept; stop when the time is up."""
        last = (self.b / self.norm,)
        for at in range(len(self.diagonal)):
            yield last[-1]
            if self.out_of_time():
                return
            last = (last[-1], self._next(at, *last)[2])

    def lift(self, found):
        """Return a solution with the vector that its coordinates stand for."""
        if found.damping == self.first[0]:
            return replace(found, x=self.first[1])
        x, left = torch.zeros_like(self.b), list(found.x)
        for vector in self.vectors if self.kept else self._again():
            if not left:
                break
            x.add_(vector, alpha=left.pop(0))
        return replace(found, x=x, ended="timeout" if left else found.ended)


def _norm(vector):
    """Return the Euclidean norm, summed in double precision: squares of single numbers underflow below 1e-22."""
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))


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
    if not b.any():
        return Solution(torch.zeros_like(b), 0, 0.0, "converged", damping)
    space = KrylovSpace(product, b, out_of_time)
    found = space.lift(space.conjugate_gradients(damping, tolerance, iterations))
    return replace(found, iterations=space.n_products)


def positive_solution(
    product,
    b,
    damping,
    tolerance=1e-6,
    iterations=100,
    out_of_time=lambda: False,
    instead=lambda: None,
    trusted=lambda found: True,
):
    """Solve ``(A + d I) x = b`` by conjugate gradients, ``d`` the first from ``damping`` up that makes it a safe step.

    Away from a minimum a Hessian has negative eigenvalues, along which a Newton step climbs, or all but none, along
    which it goes too far and the iteration does not settle. At the first negative curvature another ``A`` takes over
    if there is one. Otherwise, as in Levenberg's and Marquardt's methods, the diagonal is raised, by twice the negative
    curvature met and at least to the double, until the operator is positive wherever the solver looks, the residual is
    a tenth or less, and whoever knows more than the operator trusts the solution. All dampings share one Krylov space,
    so that a raised one costs hardly a product while the space's basis is kept.

    Args:
        product, b, damping, tolerance, iterations, out_of_time: as of :func:`conjugate_gradients`.
        instead: returns the product of a positive semidefinite ``A`` for where the first is not, or None.
        trusted: is given a :class:`Solution` and says whether it will do; must be true of one that is small enough.

    Returns:
        :class:`Solution`; its ``damping`` says whether anything had to be raised, ``iterations`` counts all products.
    """
    if not b.any():
        return Solution(torch.zeros_like(b), 0, 0.0, "converged", damping)
    space, before, replaced, asked = KrylovSpace(product, b, out_of_time), 0, False, damping
    while True:
        found = space.conjugate_gradients(damping, tolerance, iterations)
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


def neumann(products, b, scale, damping=0.0, iterations=100, tolerance=1e-6, out_of_time=lambda: False):
    """Solve ``(A + scale damping I) x = b`` by the Neumann series ``1/s sum_j (I - A/s - damping I)^j b``.

    In the form ``x <- x + r / s`` with the residual ``r = b - A x - s damping x``. It converges if the eigenvalues of
    ``A / s + damping`` lie between 0 and 2; the residual then never grows, and otherwise, once it has begun to, never
    stops: one that grows, by more than rounding, is refused. Cut off early, the series has not yet moved along
    directions of little curvature: that too regularises.

    With several products it is LiSSA, which takes another part of the data in each iteration (N. Agarwal, B. Bullins,
    E. Hazan, "Second-Order Stochastic Optimization for Machine Learning in Linear Time", JMLR 2017; equation numbers
    not checked). Whether that grew is known only from its last residual, which takes a product of every part.

    Args:
        products: linear maps, taken in turn, whose mean is ``A``.
        b: flat right-hand side.
        scale: ``s``, at least half the largest eigenvalue of ``A``.
        damping: as above; relative to ``scale``.
        iterations: most terms.
        tolerance: of the residual relative to ``b``.
        out_of_time: asked before every product.
    """
    x, start, single = torch.zeros_like(b), _norm(b), len(products) == 1
    done, residual, least, ended = 0, 1.0, 1.0, "iterations"
    if start == 0:
        return Solution(x, 0, 0.0, "converged", scale * damping)
    while True:
        if out_of_time():
            ended = "timeout"
            break
        r = b - products[done % len(products)](x) - scale * damping * x if done else b
        residual = _norm(r) / start
        if not math.isfinite(residual) or (single and residual > max(1.001 * least, 1e-4)):
            ended = "growth"
            break
        least = min(least, residual)
        if done == iterations or (single and residual <= tolerance):
            ended = "converged" if residual <= tolerance else ended
            break
        x, done = x + r / scale, done + 1
    if not single and ended == "iterations":
        image = sum(product(x) for product in products) / len(products)
        residual = _norm(b - image - scale * damping * x) / start
        ended = "growth" if not residual <= 1 else ended
    return Solution(x, done, residual, ended, scale * damping)


def dominant_curvature(product, start, iterations=20):
    """Return the eigenvalue of largest size, about: a Rayleigh quotient after some power iterations from ``start``."""
    v, bend = start / start.norm(), 0.0
    for _ in range(iterations):
        image = product(v)
        bend = float(v @ image)
        v = image / image.norm()
    return bend
