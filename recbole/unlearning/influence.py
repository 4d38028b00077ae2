"""What GIF, CEU and IDEA share: the change of the training objective's gradient, and the linear system it stands in."""

import math
from dataclasses import dataclass, field

import torch

from recbole.unlearning.algorithm import HyperParameters, NotApplied, UnlearningAlgorithm, setting
from recbole.unlearning.curvature import HessianProduct, Subspace, gradient, second_order
from recbole.unlearning.noise import normal
from recbole.utils import UserError, torch_seed


@dataclass(frozen=True)
class InfluenceHyper(HyperParameters):
    """What these algorithms' hyper-parameters have in common."""

    influence_negatives: int = setting(
        64, "fixed negatives for each positive of a pairwise model, averaged over", least=1
    )


@dataclass
class System:
    """The linear system of one request: ``(H + n damping I) x = difference``, in sums of losses.

    Attributes:
        n: number of training examples that are left.
        subspace: :class:`~recbole.unlearning.curvature.Subspace` it lives in.
        old: batches whose losses count before the change, ``new`` after it, with their ``weights``.
        sample: ``(batches, weights)`` that stand for all retained examples; ``H`` is the Hessian of their losses.
        exact: whether they are all retained examples.
        difference: flat, the gradient of the losses before the change minus that after it.
    """

    n: int
    subspace: Subspace
    old: list
    new: list
    weights: list
    sample: tuple
    exact: bool
    difference: torch.Tensor = field(default=None, repr=False)

    def product(self, part=slice(None), times=1):
        """Return ``v -> H v``, estimated from a slice of each batch's rows, which counts ``times``."""
        batches, weights = self.sample
        return HessianProduct(self.subspace, [b[part] for b in batches], times, weights)

    def residual(self, x, right, damping):
        """Return the norm of the new objective's gradient at ``theta + x``, to first order only in what is unknown.

        With ``G`` the retained examples' summed loss this is ``|grad G(theta + x) - grad G(theta) + n damping x -
        right|``: zero where ``x`` solves the system and the loss is quadratic, and otherwise both of their errors.
        """
        with second_order(self.subspace.model):
            moved = gradient(self.subspace, *self.sample, shift=x) - gradient(self.subspace, *self.sample)
        return float((moved + self.n * damping * x - right).norm())


class InfluenceAlgorithm(UnlearningAlgorithm):
    """An influence-function step in all parameters.

    Let ``t`` minimise the sum ``L`` of the training losses over ``n`` examples, and ``L'`` be the sum without the
    forgotten rows. ``grad L'(t) = g_after - g_before`` over the examples whose loss changes: those that contained a
    forgotten row (all others cancel), and, where the model propagates over a graph, those within ``hops`` of it, at
    most ``n_affected`` of them and weighted to their number; ``before`` on the old graph, ``after`` on the new one.
    A damped Newton step towards the minimum of ``L'`` is ``t <- t - (H / n + damping I)^-1 (g_after - g_before) / n``.

    ``H`` is the Hessian of the requesters' retained examples and of drawn ones that stand for the others
    (``curvature_sample``), ``n_hessian`` from those on the same items and from the rest of the data each. Unless these
    are all examples, look-up tables move only in the rows that the changed examples look up themselves: a sample knows
    the curvature of no other row.
    """

    Hyper = InfluenceHyper

    def __init__(self, config, model, dataset):
        super().__init__(config, model, dataset)
        example = self.with_negatives(dataset.collate(dataset.train_examples()[:1]), self.negatives.times, 0, "probe")
        try:
            differentiable = has_curvature(model, example)
        except (RuntimeError, NotImplementedError):
            differentiable = False
        if not differentiable:
            raise UserError(
                f"{self.name} needs second derivatives, and torch finds none of the loss of {type(model).__name__}: "
                "is there an operation in it that can be differentiated once only, or a detached part?"
            )

    def scope(self, change):
        """Return ``(hops, n_affected, n_hessian)``, see the class."""
        raise NotImplementedError

    def observe(self, change, index, out_of_time):
        """Return the :class:`System` with its ``difference`` still that of before the change."""
        hops, n_affected, n_hessian = self.scope(change)
        times, rows = self.multiplicity(self.hyper.influence_negatives)
        few, rows_of_few = self.multiplicity(1)
        before, after = self.paired(change, index, times)
        near, share = self.affected(change, hops, n_affected, index, few)
        sample = self.curvature_sample(change, index, n_hessian, times)
        exact = n_hessian >= self.n_train
        moving = None if exact else [change.before, change.after, near]
        subspace = Subspace(self.model, (), [before, after, near, *sample[0]], moving)
        weights = [1 / rows, 1 / (share * rows_of_few)]
        system = System(self.n_train, subspace, [before, near], [after, near], weights, sample, exact)
        self._check(out_of_time)
        with second_order(self.model):
            system.difference = gradient(subspace, system.old, weights)
        return system

    def system(self, out_of_time):
        """Return the request's :class:`System`, now that the model holds nothing of the forgotten rows any more."""
        system = self.observed
        self._check(out_of_time)
        with second_order(self.model):
            system.difference -= gradient(system.subspace, system.new, system.weights)
        return system

    @staticmethod
    def _check(out_of_time):
        if out_of_time():
            raise NotApplied("timeout", "time was up before the gradients")

    def settled(self, found):
        """Return the parts of ``work`` that tell how a solver ended; raise ``NotApplied`` if it found nothing."""
        if found.ended == "timeout":
            raise NotApplied("timeout", f"time was up after {found.iterations} Hessian products")
        if not math.isfinite(found.residual + found.bend):
            raise NotApplied("diverged", "the gradients or their derivatives are not finite")
        return {"n_hvp": found.iterations, "n_gradients": 2, "residual": found.residual, "solver": found.ended}

    def noise(self, index):
        """Return standard normal noise over all parameters the algorithm moves, flat, from the request's stream."""
        return normal(Subspace(self.model), torch_seed(self.config["seed"], "noise", self.name, index))

    def certificate(self, epsilon, delta, sigma, residual, system, raised):
        """Return the record of what was certified and of which assumptions do not hold.

        Args:
            epsilon, delta: of the guarantee.
            sigma: standard deviation of the noise.
            residual: norm of the gradient of the new objective's sum where the step ends, before noise.
            system: the request's.
            raised: whether the solver had to raise the damping.
        """
        broken = {
            "the loss is not convex in the parameters": not self.model.convex,
            "the damping had to be raised: the Hessian is not positive, or hardly": raised,
            "curvature and residual are estimated from a sample": not system.exact,
            "max_norm may cut the step and its noise": self.hyper.max_norm is not None,
            "delta is 1: the noise hides nothing": not delta < 1,
        }
        broken = [reason for reason, applies in broken.items() if applies]
        return {
            "epsilon": epsilon, "delta": min(delta, 1.0), "sigma": sigma, "gradient_residual": residual,
            "holds": not broken, "broken": broken,
            "assumed": "the trained parameters are a minimum; requests add up: epsilons and deltas sum over them",
        }  # fmt: skip


def has_curvature(model, batch, step=1e-3):
    """Return whether second derivatives are there where a difference of gradients says that they are not zero.

    An operation that can be differentiated once only does not always fail: torch may leave it out without a word, and
    the Hessian is then zero.
    """
    with second_order(model):
        subspace = Subspace(model, (), [batch])
        shift = torch.full_like(subspace.vector(), step)
        image = HessianProduct(subspace, [batch])(shift)
        change = gradient(subspace, [batch], shift=shift) - gradient(subspace, [batch], shift=-shift)
        curved = change.norm() > 0.01 * step * gradient(subspace, [batch]).norm()
    return not curved or bool(image.norm() > 0.01 * change.norm())


def gaussian_delta(epsilon, sensitivity, sigma):
    """Return the ``delta`` of the Gaussian mechanism: that for which ``sigma`` is :func:`gaussian_sigma`."""
    if sensitivity == 0:
        return 0.0
    return 1.25 * math.exp(-0.5 * (epsilon * sigma / sensitivity) ** 2)


def gaussian_sigma(epsilon, delta, sensitivity):
    """Return the standard deviation ``sensitivity sqrt(2 ln(1.25 / delta)) / epsilon`` of the Gaussian mechanism.

    C. Dwork, A. Roth, "The Algorithmic Foundations of Differential Privacy", 2014 (equation numbers not checked); a
    guarantee for ``epsilon`` up to 1.
    """
    return sensitivity * math.sqrt(2 * math.log(1.25 / delta)) / epsilon
