"""The linear system that an influence-function step solves, and checks of what such a step needs from a model."""

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
    """Limits on the examples from which a request's linear system is computed.

    Attributes:
        hops: largest distance from a forgotten row in the interaction graph at which an example counts as affected.
        n_affected: largest number of affected examples.
        n_hessian: largest number of other users' examples, per stratum, that the Hessian is estimated from.
        negatives: number of negatives per positive for a pairwise model; 0 uses all possible ones.
    """

    hops: float
    n_affected: int
    n_hessian: int
    negatives: int


@dataclass
class System:
    """The linear system of one request, ``(H + n damping I) x = difference``, whose solution ``x`` is its step.

    ``H`` is the Hessian of the summed losses of all ``n`` retained examples, or an estimate of it.

    Attributes:
        n: number of retained training examples.
        subspace: the parameters to update.
        new: batches of the examples whose loss changes, as they are after forgetting.
        weights: weight of each batch's loss sum in ``new``.
        sample: ``(batches, weights)``; ``H`` is the Hessian of the weighted sum of their losses.
        moving: batches whose examples look up the table rows that may be updated; ``None`` for all rows that are read.
        complete: whether ``sample`` contains all retained examples, and the changed losses those of all affected ones.
        difference: flat, the gradient of the changed losses before forgetting, from which :meth:`settle` subtracts
            their gradient after forgetting.
        new_negatives: number of (user, item) pairs whose item has become a possible negative for the user.
        certified: whether the gradient at the end of the step will be needed for a certificate.
        unread: parameter name to rows (int64) that no retained example reads any more. They are not updated.
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
        """Complete ``difference``: subtract the gradient after forgetting. The model must have been rebuilt before.

        Args:
            unread: parameter name to rows (int64) that no retained example reads any more. ``difference`` is set to
                zero there. Retained examples have no derivative in these rows, so the solution is zero there too.
        """
        with second_order(self.subspace.model):
            self.difference -= gradient(self.subspace, self.new, self.weights)
        self.unread = unread or {}
        self.subspace.clear(self.difference, self.unread)

    def product(self, part: slice = slice(None), times: int = 1) -> HessianProduct:
        """Return the Hessian-vector product ``v -> H v`` for flat vectors.

        Args:
            part: the rows of each batch from which ``H`` is estimated; all rows by default.
            times: factor that scales the estimate, the inverse of the fraction of rows.
        """
        batches, weights = self.sample
        return HessianProduct(self.subspace, [b[part] for b in batches], times, weights)

    def gauss_newton(self) -> GaussNewtonProduct:
        """Return the map ``v -> G v`` for flat vectors, where ``G`` is the Gauss-Newton approximation of ``H``."""
        batches, weights = self.sample
        return GaussNewtonProduct(self.subspace, batches, 1.0, weights)

    def look(self, product: HessianProduct | GaussNewtonProduct) -> None:
        """Compute the loss and the gradient at the current parameters, and store them for :attr:`here`.

        Args:
            product: a Hessian or Gauss-Newton product over all of ``sample``. Its autograd graphs are used.

        Raises:
            NotApplied: the loss is not finite.
        """
        self._here = product.loss_and_gradient()
        if not math.isfinite(self.here[0]):
            raise NotApplied("diverged", "the losses are not finite")

    @property
    def here(self) -> tuple[float, torch.Tensor]:
        """Retained examples' summed loss at the current parameters and its flat gradient; :meth:`look` sets both."""
        return self._here

    def there(self, x: torch.Tensor) -> tuple[float, torch.Tensor]:
        """Return the retained examples' summed loss and its flat gradient at the end of a step.

        The last result is cached. For a step of zeros the result is :attr:`here`.

        Args:
            x: the step, a flat vector.
        """
        if not x.any():
            return self.here
        if self._there is None or self._there[0] is not x:
            with second_order(self.subspace.model):
                self._there = x, loss_and_gradient(self.subspace, *self.sample, shift=x)
        return self._there[1]

    def loss_there(self, x: torch.Tensor) -> float:
        """Return the retained examples' summed loss at the end of a step ``x``, a flat vector."""
        if self.certified:
            return self.there(x)[0]
        with second_order(self.subspace.model):
            return total_loss(self.subspace, *self.sample, shift=x)

    def gain(self, x: torch.Tensor, right: torch.Tensor, damping: float) -> float:
        """Return the trust-region ratio of a step: the actual decrease of the new objective over the predicted one.

        If ``x`` solves ``(H + n damping I) x = right``, the predicted decrease is ``right . x - x H x / 2 =
        (right . x + n damping |x|^2) / 2``. The current parameters count as a minimum of the old objective, so the
        linear part of the change of the loss is left out. The ratio is 1 for a quadratic loss, and for changes within
        rounding error. It is minus infinity if the loss is not finite at the end of the step.

        Args:
            x: the step, a flat vector.
            right: right-hand side of the system, a flat vector.
            damping: damping of the mean loss.
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
        """Return an upper bound on the norm of the new objective's gradient at the end of a step.

        With ``G`` the retained examples' summed loss and ``theta`` the parameters before the step, the bound is
        ``|grad G(theta + x) - grad G(theta) + n damping x - right|``. It is zero if ``x`` solves the system exactly and
        the loss is quadratic. It assumes that ``theta`` minimises the old objective. For a convex loss and a complete
        system the assumption is not needed: the norm of the old objective's gradient at ``theta`` is added. As in the
        papers' guarantees, this objective includes the regularisation ``n damping / 2 |theta|^2``.

        Args:
            x: the step, a flat vector.
            right: right-hand side of the system, a flat vector.
            damping: damping of the mean loss.
        """
        slope = self.here[1]
        moved = self.there(x)[1] - slope
        slack: float | torch.Tensor = 0.0
        if self.complete and self.subspace.model.convex:
            pull = self.n * damping * self.subspace.whole().vector()  # in all rows, also those that no example reads
            left = self.subspace.widen(slope + self.difference + self.subspace.narrow(pull), pull)
            self.subspace.whole().clear(left, self.unread)  # these rows get a retrained model's values
            slack = left.norm()
        return float((moved + self.n * damping * x - right).norm() + slack)


def has_outputs(model: AbstractRecommender, batch: Interaction) -> bool:
    """Return whether the loss computed from the model's ``outputs`` on a batch equals its training loss.

    Args:
        model: a recommender, see its :meth:`~recbole.model.abstract_recommender.AbstractRecommender.outputs`.
        batch: training examples with negatives.

    Returns:
        Whether the two agree to a relative error of 1e-4; False for a model without ``outputs``.
    """
    batch = batch.to(next(model.parameters()).device)
    with second_order(model), torch.no_grad():
        outputs = model.outputs(batch)
        if outputs is None:
            return False
        return torch.allclose(model.loss_sum(batch, outputs), model.loss_sum(batch), rtol=1e-4)


def has_curvature(
    model: AbstractRecommender, batch: Interaction, names: Sequence[str] | None = None, step: float = 1e-3
) -> bool:
    """Return whether torch computes the second derivatives of a model's loss.

    One Hessian-vector product is compared with a finite difference of gradients. An operation that can be
    differentiated only once does not always raise an error: torch may silently treat its second derivative as zero.

    Args:
        model: a recommender.
        batch: training examples with negatives.
        names: names of the parameters; ``None`` for all trained ones.
        step: step of the finite difference in every parameter.

    Returns:
        False if the gradients differ but the product is (almost) zero; True otherwise, also for a linear loss.

    Raises:
        RuntimeError, NotImplementedError: torch cannot differentiate an operation twice.
    """
    with second_order(model):
        subspace = Subspace(model, names, [batch])
        shift = torch.full_like(subspace.vector(), step)
        image = HessianProduct(subspace, [batch])(shift)
        change = gradient(subspace, [batch], shift=shift) - gradient(subspace, [batch], shift=-shift)
        curved = change.norm() > 0.01 * step * gradient(subspace, [batch]).norm()
    return not curved or bool(image.norm() > 0.01 * change.norm())
