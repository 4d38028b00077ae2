"""The linear system that an influence-function step solves, and checks of whether a model allows such a step."""

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
    """Limits on the training examples and negatives from which the linear system of a request is computed.

    Attributes:
        hops: largest distance, in the interaction graph, from a forgotten interaction to an example whose loss counts
            as affected by the removal of this interaction from the graph.
        n_affected: largest number of affected examples to use; more are sampled and weighted.
        n_hessian: the Hessian is estimated from at most this many examples of other users with the forgotten items, and
            from at most this many of all other examples (see :meth:`Case.curvature_sample
            <recbole.unlearning.case.Case.curvature_sample>`).
        negatives: number of negatives per positive for a pairwise loss; 0 uses all possible negatives.
    """

    hops: float
    n_affected: int
    n_hessian: int
    negatives: int


@dataclass
class System:
    """The linear system ``(H + n damping I) x = difference``, whose solution ``x`` answers one or several requests.

    ``x`` is the parameter update (the step), a flat vector over the parameters in ``subspace``. ``H`` is the Hessian of
    the summed losses of all ``n`` retained (not forgotten) training examples, or an estimate of it. The *sampled loss*
    is the weighted sum of the losses in ``sample``, which equals or estimates the summed loss of all retained examples.

    Attributes:
        n: number of retained training examples.
        subspace: the parameters (or table rows) to update, in the order of the flat vectors.
        new: batches of the examples whose losses change by forgetting, as they are afterwards.
        weights: weight of the loss sum of each batch in ``new``.
        sample: ``(batches, weights)``: batches of retained examples, and the weight of each batch's loss sum. ``H`` is
            the Hessian of the weighted sum.
        moving: batches that look up the table rows which may be updated; ``None`` if all rows that any batch looks up
            may be updated.
        complete: True if nothing is estimated from a sample of examples: ``sample`` contains all retained examples, and
            ``new`` all examples whose losses change.
        difference: flat, the gradient of the changed losses before forgetting, from which :meth:`settle` subtracts
            their gradient after forgetting.
        new_negatives: number of (user, item) pairs whose item has become a possible negative for the user.
        certified: whether a certificate will need the gradient at the parameters after the step.
        unread: parameter name to the table rows (int64) that no retained example reads any more. They are not updated.
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
        """Complete ``difference``: subtract the gradient of the changed losses after forgetting.

        The model must have been rebuilt without the forgotten interactions before this call.

        Args:
            unread: parameter name to the table rows (int64) that no retained example reads (uses in its loss) any more.
                ``difference`` is set to zero in these rows. As ``H`` is zero there too, so is the solution.
        """
        with second_order(self.subspace.model):
            self.difference -= gradient(self.subspace, self.new, self.weights)
        self.unread = unread or {}
        self.subspace.clear(self.difference, self.unread)

    def product(self, part: slice = slice(None), times: int = 1) -> HessianProduct:
        """Return the function that maps a flat vector ``v`` to ``H v``, with the Hessian ``H`` of the sampled loss.

        Args:
            part: the rows of each batch in ``sample`` from which ``H`` is estimated; all rows by default.
            times: factor for the product, the number of rows of a batch divided by the number in ``part``.
        """
        batches, weights = self.sample
        return HessianProduct(self.subspace, [b[part] for b in batches], times, weights)

    def gauss_newton(self) -> GaussNewtonProduct:
        """Return ``v -> G v``, a function of flat vectors, where ``G`` is the Gauss-Newton approximation of ``H``."""
        batches, weights = self.sample
        return GaussNewtonProduct(self.subspace, batches, 1.0, weights)

    def look(self, product: HessianProduct | GaussNewtonProduct) -> None:
        """Compute the sampled loss and its gradient at the current parameters, and store them for :attr:`here`.

        Args:
            product: a Hessian or Gauss-Newton product over all of ``sample``. The autograd graphs that it keeps are
                used, so the losses are not computed once more.

        Raises:
            NotApplied: the loss is not finite; the status is ``diverged``.
        """
        self._here = product.loss_and_gradient()
        if not math.isfinite(self.here[0]):
            raise NotApplied("diverged", "the losses are not finite")

    @property
    def here(self) -> tuple[float, torch.Tensor]:
        """The sampled loss at the current parameters, and its flat gradient. :meth:`look` must be called before."""
        return self._here

    def there(self, x: torch.Tensor) -> tuple[float, torch.Tensor]:
        """Return the sampled loss and its flat gradient at the current parameters plus a step.

        The result of the last call is cached. For a step of zeros the result is :attr:`here`.

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
        """Return the sampled loss at the current parameters plus a step ``x``, a flat vector."""
        if self.certified:
            return self.there(x)[0]
        with second_order(self.subspace.model):
            return total_loss(self.subspace, *self.sample, shift=x)

    def gain(self, x: torch.Tensor, right: torch.Tensor, damping: float) -> float:
        """Return the trust-region ratio of a step: the actual decrease of the objective divided by the predicted one.

        The objective is the summed loss after forgetting. If ``x`` solves ``(H + n damping I) x = right``, the
        predicted decrease is ``right . x - x H x / 2 = (right . x + n damping |x|^2) / 2``. The actual decrease is
        ``right . x`` minus the change of the sampled loss without its linear part. The linear part is left out because
        the model is assumed to have been at a minimum of the objective before forgetting.

        Args:
            x: the step, a flat vector.
            right: right-hand side of the system, a flat vector.
            damping: number that is added to the diagonal of the mean loss's Hessian.

        Returns:
            The ratio. It is 1 for a quadratic loss, and is set to 1 if the change is within rounding error. Low values
            mean that the step is too long for the quadratic approximation. Minus infinity if the loss is not finite
            after the step.
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
        """Return an upper bound on the norm of the gradient, after a step, of the objective without forgotten examples.

        An objective is a summed training loss plus the regularisation ``n damping / 2 |theta|^2``, as in the guarantees
        of the papers on CEU and IDEA. ``theta`` are the parameters before the step, and ``G`` is the sampled loss. The
        bound is ``|grad G(theta + x) - grad G(theta) + n damping x - right|``, and is zero if ``x`` solves the system
        exactly and the loss is quadratic. It assumes that ``theta`` minimises the objective before forgetting. If the
        loss is convex and the system is complete, this need not be assumed: the norm of that objective's gradient at
        ``theta`` is added to the bound.

        Args:
            x: the step, a flat vector.
            right: right-hand side of the system, a flat vector.
            damping: number that is added to the diagonal of the mean loss's Hessian.
        """
        slope = self.here[1]
        moved = self.there(x)[1] - slope
        slack: float | torch.Tensor = 0.0
        if self.complete and self.subspace.model.convex:
            pull = self.n * damping * self.subspace.whole().vector()  # in all rows, also those that no example reads
            left = self.subspace.widen(slope + self.difference + self.subspace.narrow(pull), pull)
            self.subspace.whole().clear(left, self.unread)  # these rows are set to retrained values
            slack = left.norm()
        return float((moved + self.n * damping * x - right).norm() + slack)


def has_outputs(model: AbstractRecommender, batch: Interaction) -> bool:
    """Return whether a model has ``outputs`` from which its training loss on a batch can be computed.

    Args:
        model: a recommender. Its loss should be a convex function of what its method
            :meth:`~recbole.model.abstract_recommender.AbstractRecommender.outputs` returns.
        batch: training examples with negatives.

    Returns:
        True if the loss computed from the outputs agrees with the training loss up to a relative error of 1e-4; False
        if it does not, or if the model has no ``outputs``.
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
    """Return whether torch computes the second derivatives of a model's loss correctly.

    An operation that can be differentiated only once does not always raise an error: torch may silently treat its
    second derivative as zero. Therefore one Hessian-vector product is compared with a finite difference of gradients.

    Args:
        model: a recommender.
        batch: training examples with negatives.
        names: names of the parameters to differentiate by; ``None`` for all trained ones.
        step: number that is added to, and subtracted from, every parameter for the finite difference.

    Returns:
        False if the gradients differ but the Hessian-vector product is (almost) zero; True otherwise, also for a linear
        loss.

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
