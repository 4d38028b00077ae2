"""What SCIF, GIF, CEU and IDEA share: how the training objective's gradient changes, and the system that stands in."""

import math
from dataclasses import dataclass, field
from functools import cached_property

import torch

from recbole.unlearning.algorithm import HyperParameters, NotApplied, UnlearningAlgorithm, setting
from recbole.unlearning.noise import normal
from recbole.unlearning.second_order.curvature import (
    GaussNewtonProduct,
    HessianProduct,
    Subspace,
    gradient,
    loss_and_gradient,
    second_order,
    total_loss,
)
from recbole.unlearning.second_order.solvers import positive_solution
from recbole.utils import UserError, torch_seed

EXACTLY = {"tolerance": 1e-6}
"""How systems are solved that leave nothing out."""

ROUGHLY = {"tolerance": 1e-3, "progress": 5e-4}
"""How those are that are estimated from a sample.

See :func:`~recbole.unlearning.second_order.solvers.positive_solution`.
"""


@dataclass(frozen=True)
class InfluenceHyper(HyperParameters):
    """What these algorithms' hyper-parameters have in common."""

    influence_negatives: int = setting(
        64, "fixed negatives for each positive of a pairwise model, averaged over", least=1
    )


@dataclass(frozen=True)
class Scope:
    """What a request's system is made of.

    Attributes:
        hops: how far in the graph examples count as affected.
        n_affected: at most so many affected examples.
        n_hessian: at most so many examples of the others' in the Hessian.
        negatives: for each positive of a pairwise model.
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
        subspace: :class:`~recbole.unlearning.second_order.curvature.Subspace` it lives in.
        old: batches whose losses count before the change, ``new`` after it, with their ``weights``.
        sample: ``(batches, weights)`` that stand for all retained examples; ``H`` is the Hessian of their losses.
        complete: whether ``old``, ``new`` and ``sample`` leave no example out.
        difference: flat, the gradient of the losses before the change minus that after it.
    """

    n: int
    subspace: Subspace
    old: list
    new: list
    weights: list
    sample: tuple
    complete: bool
    difference: torch.Tensor = field(default=None, repr=False)

    def product(self, part=slice(None), times=1):
        """Return ``v -> H v``, estimated from a slice of each batch's rows, which counts ``times``."""
        batches, weights = self.sample
        return HessianProduct(self.subspace, [b[part] for b in batches], times, weights)

    def gauss_newton(self):
        """Return ``v -> G v``, ``G`` the Gauss-Newton form of ``H``."""
        batches, weights = self.sample
        return GaussNewtonProduct(self.subspace, batches, 1.0, weights)

    @cached_property
    def here(self):
        """The retained examples' summed losses, a number, and their gradient, flat."""
        with second_order(self.subspace.model):
            return loss_and_gradient(self.subspace, *self.sample)

    def gain(self, x, right, damping):
        """Return by how much a step lowers the new objective, over what the system promises.

        The promise is ``right . x - x A x / 2 = (right . x + n damping |x|^2) / 2`` where ``x`` solves the system, and
        the change of the losses with their gradient at ``theta`` taken for that of a minimum is what is compared: 1
        where they are quadratic. Differences within rounding count as promised; a step to where the losses are not
        finite is the worst there is.

        Raises:
            NotApplied: when they are not finite to begin with.
        """
        start, slope = self.here
        with second_order(self.subspace.model):
            end = total_loss(self.subspace, *self.sample, shift=x)
        if not math.isfinite(start):
            raise NotApplied("diverged", "the losses are not finite")
        if not math.isfinite(end):
            return -math.inf
        promised = float(right @ x + self.n * damping * (x @ x)) / 2
        rise = end - start - float(slope @ x)
        if abs(rise) <= 1e-6 * abs(start):
            return 1.0
        return (float(right @ x) - rise) / promised

    def residual(self, x, right, damping):
        """Return a bound on the norm of the new objective's gradient at ``theta + x``.

        With ``G`` the retained examples' summed loss this is ``|grad G(theta + x) - grad G(theta) + n damping x -
        right|``: zero where ``x`` solves the system and the loss is quadratic, and otherwise both of their errors.
        That takes ``theta`` for a minimum of the old objective. Where the loss is convex and no example is left out,
        the gradient at ``theta`` of the losses with ``n damping / 2 |theta|^2`` is added: it is of this objective that
        the papers' guarantees are.
        """
        slope = self.here[1]
        with second_order(self.subspace.model):
            moved = gradient(self.subspace, *self.sample, shift=x) - slope
        slack = 0.0
        if self.complete and self.subspace.model.convex:
            pull = self.n * damping * self.subspace.whole().vector()  # in rows that no example reads too
            slack = self.subspace.widen(slope + self.difference + self.subspace.narrow(pull), pull).norm()
        return float((moved + self.n * damping * x - right).norm() + slack)


class InfluenceAlgorithm(UnlearningAlgorithm):
    """An influence-function step in the parameters that the algorithm moves; all, by default.

    Let ``t`` minimise the sum ``L`` of the training losses over ``n`` examples, and ``L'`` be the sum without the
    forgotten rows. ``grad L'(t) = g_after - g_before`` over the examples whose loss changes: those that contained a
    forgotten row (all others cancel), and, where the model propagates over a graph, those within ``hops`` of it, at
    most ``n_affected`` of them and weighted to their number; ``before`` on the old graph, ``after`` on the new one.
    A damped Newton step towards the minimum of ``L'`` is ``t <- t - (H / n + damping I)^-1 (g_after - g_before) / n``.

    ``H`` is the Hessian of the requesters' retained examples and of drawn ones that stand for the others
    (``curvature_sample``), ``n_hessian`` from those on the same items and from the rest of the data each. Unless these
    are all examples, tables that the model reads only through look-ups (``row_tables``) move in the rows that the
    changed examples look up: a sample knows the curvature of no other row.
    """

    Hyper = InfluenceHyper

    def __init__(self, config, model, dataset):
        super().__init__(config, model, dataset)
        example = self.with_negatives(dataset.collate(dataset.train_examples()[:1]), self.negatives.times, 0, "probe")
        reason, cause = "is there a part in it that is detached, or that torch can differentiate once only?", None
        try:
            differentiable = has_curvature(model, example, self.moves(model))
        except (RuntimeError, NotImplementedError) as error:
            differentiable, reason, cause = False, " ".join(str(error).split()), error
        if not differentiable:
            raise UserError(
                f"{self.name} needs second derivatives of the loss of {type(model).__name__}, and torch finds none: "
                f"{reason}"
            ) from cause
        self.gauss_newton = has_outputs(model, example)

    def scope(self, change):
        """Return the request's :class:`Scope`."""
        raise NotImplementedError

    def observe(self, change, index, out_of_time):
        """Return the :class:`System` with its ``difference`` still that of before the change."""
        scope = self.scope(change)
        times, rows = self.multiplicity(scope.negatives)
        few, rows_of_few = self.multiplicity(1)
        before, after = self.paired(change, index, times)
        near, share = self.affected(change, scope.hops, scope.n_affected, index, few)
        batches, sizes, whole = self.curvature_sample(change, index, scope.n_hessian, times)
        moving = None if whole else [change.before, change.after, near]
        subspace = Subspace(self.model, self.moves(self.model), [before, after, near, *batches], moving)
        reached = self.model.reach is None or (scope.hops >= self.model.reach and share == 1)
        weights = [1 / rows, 1 / (share * rows_of_few)]
        system = System(
            max(self.n_train, 1), subspace, [before, near], [after, near], weights, (batches, sizes), whole and reached
        )
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

    def newton(self, system, right, damping, iterations, out_of_time):
        """Solve ``(H + n damping I) x = right`` by conjugate gradients.

        A system that is estimated from a sample has the Gauss-Newton form of ``H`` where the model has one, as for
        networks in J. Bae et al., "If Influence Functions are the Answer, Then What is the Question?", NeurIPS 2022
        (equation numbers not checked), and is solved :data:`ROUGHLY`: it knows no better, and the last percent takes
        half of the iterations. A complete one is solved with ``H`` itself, to the end, and takes the Gauss-Newton form
        where ``H`` is not positive.

        If a model has no such form, or conjugate gradients do not settle, the damping is raised
        (:func:`~recbole.unlearning.second_order.solvers.positive_solution`). It is raised too where a step goes so far
        that the
        losses show less than a quarter of the :meth:`System.gain` that the system promises, as D. W. Marquardt does
        it, "An Algorithm for Least-Squares Estimation of Nonlinear Parameters", SIAM J. 1963 (equation numbers not
        checked).

        Returns:
            ``x`` and the parts of ``work`` that tell how it was found.
        """
        replaced = self.gauss_newton and not system.complete
        with second_order(self.model):
            found = positive_solution(
                system.gauss_newton() if replaced else system.product(),
                right,
                damping * system.n,
                iterations=iterations,
                out_of_time=out_of_time,
                instead=lambda: system.gauss_newton() if self.gauss_newton and not replaced else None,
                trusted=lambda found: system.gain(found.x, right, found.damping / system.n) >= 0.25,
                **(EXACTLY if system.complete else ROUGHLY),
            )
        curvature = "gauss-newton" if replaced or found.replaced else "hessian"
        how = {"damping": found.damping / system.n, "raised": found.raised, "curvature": curvature}
        return found.x, self.settled(found) | how

    @staticmethod
    def _check(out_of_time, what="the gradients"):
        if out_of_time():
            raise NotApplied("timeout", f"time was up before {what}")

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

    def certified(self, system, x, right, damping, out_of_time):
        """Return :meth:`System.residual`.

        Raises:
            NotApplied: when it is not finite, or time is up.
        """
        self._check(out_of_time, "the certificate")
        residual = system.residual(x, right, damping)
        if not math.isfinite(residual):
            raise NotApplied("diverged", "the gradient where the step ends is not finite")
        return residual

    def certificate(self, epsilon, delta, sigma, residual, system, work):
        """Return the record of what was certified and of which assumptions do not hold.

        Args:
            epsilon, delta: of the guarantee.
            sigma: standard deviation of the noise.
            residual: :meth:`System.residual`.
            system: the request's.
            work: of :meth:`newton`.
        """
        broken = {
            "the loss is not convex in the parameters": not self.model.convex,
            "the curvature is not the Hessian's, or raised": work["curvature"] != "hessian" or work["raised"],
            "gradient, curvature and residual are estimated from a sample": not system.complete,
            "negatives are drawn": self.negatives.times > 0,
            "max_norm may cut the step and its noise": self.hyper.max_norm is not None,
            "epsilon is above 1, where the Gaussian mechanism is not proved": epsilon > 1,
            "delta is 1: the noise hides nothing": not delta < 1,
        }
        broken = [reason for reason, applies in broken.items() if applies]
        return {
            "epsilon": epsilon, "delta": min(delta, 1.0), "sigma": sigma, "gradient_residual": residual,
            "holds": not broken, "broken": broken,
            "assumed": "the objective is the losses with damping as their regularisation; requests add up: epsilons "
            "and deltas sum over them",
        }  # fmt: skip


def has_outputs(model, batch):
    """Return whether the model's loss is the function of its ``outputs`` that it says it is."""
    batch = batch.to(next(model.parameters()).device)
    with second_order(model), torch.no_grad():
        outputs = model.outputs(batch)
        if outputs is None:
            return False
        return torch.allclose(model.loss_sum(batch, outputs), model.loss_sum(batch), rtol=1e-4)


def has_curvature(model, batch, names=None, step=1e-3):
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
