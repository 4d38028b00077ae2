"""The linear system of an influence step, and what a model must have for one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from recbole.data import Interaction
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.unlearning.outcome import NotApplied
from recbole.unlearning.second_order.curvature import (
    HessianProduct,
    gradient,
    loss_and_gradient,
    second_order,
    total_loss,
)
from recbole.unlearning.second_order.gauss_newton import GaussNewtonProduct
from recbole.unlearning.second_order.subspace import Subspace


@dataclass(frozen=True)
class Scope:
    """What a request's system is made of.

    Attributes:
        hops: how far in the graph examples count as affected.
        n_affected: at most so many affected examples.
        n_hessian: at most so many examples of the others' in the Hessian.
        negatives: for each positive of a pairwise model; 0 takes all possible ones.
    """

    hops: float
    n_affected: int
    n_hessian: int
    negatives: int


@dataclass
class System:
    """The linear system of one request: ``(H + n damping I) x = difference``, in sums of losses.

    Attributes:
        n: number of training examples that are left.
        subspace: that it lives in.
        new: batches whose losses count after the change, with their ``weights``.
        sample: ``(batches, weights)`` that stand for all retained examples; ``H`` is the Hessian of their losses.
        moving: batches that look up the rows that may move; None for all that are read.
        complete: whether neither ``sample`` nor the examples whose losses change leave one out.
        difference: flat, the gradient of the losses before the change; minus that after it once :meth:`settle` is
            called.
        new_negatives: of how many (person, item) pairs the item has become a possible negative of the person.
        certified: whether the gradient where a step ends will be wanted too.
        unread: rows that nothing reads any more, which stay out of the system.
    """

    n: int
    subspace: Subspace
    new: list[Interaction]
    weights: list[float]
    sample: tuple[list[Interaction], list[float]]
    moving: list[Interaction] | None
    complete: bool
    difference: torch.Tensor = field(repr=False)
    new_negatives: int = 0
    certified: bool = False
    unread: Mapping[str, torch.Tensor] = field(default_factory=dict, repr=False)
    _here: tuple[float, torch.Tensor] = field(init=False, repr=False)
    _there: tuple[torch.Tensor, tuple[float, torch.Tensor]] | None = field(default=None, init=False, repr=False)

    def settle(self, unread: Mapping[str, torch.Tensor] | None = None) -> None:
        """Take the gradient after the change off, now that the model holds nothing of the forgotten rows any more.

        Args:
            unread: rows (int64, by parameter) that nothing reads any more. No example that is left has a derivative in
                them, so that with no ``difference`` there they are out of the system.
        """
        with second_order(self.subspace.model):
            self.difference -= gradient(self.subspace, self.new, self.weights)
        self.unread = unread or {}
        self.subspace.clear(self.difference, self.unread)

    def product(self, part: slice = slice(None), times: int = 1) -> HessianProduct:
        """Return ``v -> H v``, estimated from a slice of each batch's rows, which counts ``times``."""
        batches, weights = self.sample
        return HessianProduct(self.subspace, [b[part] for b in batches], times, weights)

    def gauss_newton(self) -> GaussNewtonProduct:
        """Return ``v -> G v``, ``G`` the Gauss-Newton form of ``H``."""
        batches, weights = self.sample
        return GaussNewtonProduct(self.subspace, batches, 1.0, weights)

    def look(self, product: HessianProduct | GaussNewtonProduct) -> None:
        """Note where the system stands, from a product of all of ``sample``.

        Raises:
            NotApplied: when the losses are not finite there.
        """
        self._here = product.loss_and_gradient()
        if not math.isfinite(self.here[0]):
            raise NotApplied("diverged", "the losses are not finite")

    @property
    def here(self) -> tuple[float, torch.Tensor]:
        """The retained examples' summed losses, a number, and their gradient, flat; :meth:`look` comes first."""
        return self._here

    def there(self, x: torch.Tensor) -> tuple[float, torch.Tensor]:
        """Return what :attr:`here` is, where a step ends (the last one is kept), to the bit for one of nothing."""
        if not x.any():
            return self.here
        if self._there is None or self._there[0] is not x:
            with second_order(self.subspace.model):
                self._there = x, loss_and_gradient(self.subspace, *self.sample, shift=x)
        return self._there[1]

    def loss_there(self, x: torch.Tensor) -> float:
        """Return the retained examples' summed losses where a step ends; of a certified one :meth:`there` is taken."""
        if self.certified:
            return self.there(x)[0]
        with second_order(self.subspace.model):
            return total_loss(self.subspace, *self.sample, shift=x)

    def gain(self, x: torch.Tensor, right: torch.Tensor, damping: float) -> float:
        """Return the ratio of the actual to the predicted decrease of the new objective: the trust-region ratio.

        The predicted decrease is ``right . x - x A x / 2 = (right . x + n damping |x|^2) / 2`` where ``x`` solves the
        system, and the change of the losses with their gradient at ``theta`` taken for that of a minimum is what is
        compared: 1 where they are quadratic. Differences within rounding count as the predicted decrease; for a step to
        where the losses are not finite the ratio is minus infinity.
        """
        start, slope = self.here
        end = self.loss_there(x)
        if not math.isfinite(end):
            return -math.inf
        promised = float(right @ x + self.n * damping * (x @ x)) / 2
        rise = end - start - float(slope @ x)
        if abs(rise) <= 1e-6 * abs(start):
            return 1.0
        return (float(right @ x) - rise) / promised

    def residual(self, x: torch.Tensor, right: torch.Tensor, damping: float) -> float:
        """Return a bound on the norm of the new objective's gradient at ``theta + x``.

        With ``G`` the retained examples' summed loss this is ``|grad G(theta + x) - grad G(theta) + n damping x -
        right|``: zero where ``x`` solves the system and the loss is quadratic, and otherwise both of their errors.
        That takes ``theta`` for a minimum of the old objective. Where the loss is convex and no example is left out,
        the gradient at ``theta`` of the losses with ``n damping / 2 |theta|^2`` is added: it is of this objective that
        the papers' guarantees are.
        """
        slope = self.here[1]
        moved = self.there(x)[1] - slope
        slack: float | torch.Tensor = 0.0
        if self.complete and self.subspace.model.convex:
            pull = self.n * damping * self.subspace.whole().vector()  # in rows that no example reads too
            left = self.subspace.widen(slope + self.difference + self.subspace.narrow(pull), pull)
            self.subspace.whole().clear(left, self.unread)  # these rows are a retrained model's
            slack = left.norm()
        return float((moved + self.n * damping * x - right).norm() + slack)


def has_outputs(model: AbstractRecommender, batch: Interaction) -> bool:
    """Return whether the model's loss is the function of its ``outputs`` that it says it is."""
    batch = batch.to(next(model.parameters()).device)
    with second_order(model), torch.no_grad():
        outputs = model.outputs(batch)
        if outputs is None:
            return False
        return torch.allclose(model.loss_sum(batch, outputs), model.loss_sum(batch), rtol=1e-4)


def has_curvature(
    model: AbstractRecommender, batch: Interaction, names: Sequence[str] | None = None, step: float = 1e-3
) -> bool:
    """Return whether second derivatives are there where a difference of gradients says that they are not zero.

    An operation that can be differentiated once only does not always fail: torch may leave it out without a word, and
    the Hessian is then zero.
    """
    with second_order(model):
        subspace = Subspace(model, names, [batch])
        shift = torch.full_like(subspace.vector(), step)
        image = HessianProduct(subspace, [batch])(shift)
        change = gradient(subspace, [batch], shift=shift) - gradient(subspace, [batch], shift=-shift)
        curved = change.norm() > 0.01 * step * gradient(subspace, [batch]).norm()
    return not curved or bool(image.norm() > 0.01 * change.norm())
