"""The base class of SCIF, GIF, CEU and IDEA: influence-function steps, and the linear systems that they solve."""

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.unlearning.algorithm import HyperParameters, NotApplied, Step, StepAlgorithm
from recbole.unlearning.case import Case
from recbole.unlearning.hyper import InfluenceHyper
from recbole.unlearning.negatives_change import NegativesChange, Weighted
from recbole.unlearning.second_order.curvature import HessianProduct, gradient, second_order
from recbole.unlearning.second_order.gauss_newton import GaussNewtonProduct
from recbole.unlearning.second_order.krylov import LinearMap, Solution
from recbole.unlearning.second_order.solvers import positive_solution
from recbole.unlearning.second_order.subspace import Subspace
from recbole.unlearning.system import Scope, System, has_curvature, has_outputs
from recbole.utils import UserError

Curvature = HessianProduct | GaussNewtonProduct

EXACTLY = {"tolerance": 1e-6}
"""Solver settings for a linear system whose Hessian includes all retained examples: the relative residual to reach."""

ROUGHLY = {"tolerance": 1e-3}
"""Solver settings for a linear system that is estimated from a sample of examples: the relative residual to reach.

The solver also stops by :attr:`InfluenceAlgorithm.progress`. Both are arguments of
:func:`~recbole.unlearning.second_order.solvers.positive_solution`.
"""


class InfluenceAlgorithm(StepAlgorithm):
    """Base class of algorithms that make one influence-function step (a damped Newton step) per request.

    The step changes all parameters, unless a subclass selects some.

    Let ``t`` be the trained parameters, which minimise the sum ``L`` of the training losses. Let ``L'`` be the sum over
    the ``n`` training examples after forgetting. Since ``grad L(t) = 0``, ``grad L'(t) = g_after - g_before``, where
    ``g_before`` and ``g_after`` are the gradients of those losses that change, before and after forgetting. A damped
    Newton step towards the minimum of ``L'`` is ``t <- t - (H / n + damping I)^-1 (g_after - g_before) / n``, where
    ``H`` is the Hessian of ``L'``.

    **Losses that change.** These are the losses of examples that contained a forgotten interaction. If the model
    propagates over a graph, they are also the losses of examples within graph distance ``hops`` of a forgotten
    interaction, or with a negative item within this distance
    (:meth:`Case.affected <recbole.unlearning.case.Case.affected>`). Of each of these two kinds at most ``n_affected``
    are sampled, and weighted so that they stand for all. ``g_before`` uses the old graph, ``g_after`` the new one. A
    forgotten item also becomes a possible negative for the user's other examples. The gradient of the resulting
    change in expected loss (:class:`~recbole.unlearning.negatives_change.NegativesChange`) is a part of ``g_after``.

    **Hessian.** ``H`` is computed from the requesting users' retained examples, and from samples that stand for all
    others (:meth:`curvature_sample`): ``n_hessian`` of the examples with the same items, and as many of the rest. Their
    negatives are those possible after forgetting. A sample does not know the curvature of table rows that none of its
    examples looks up. Unless ``H`` includes all examples, tables that the model reads only through look-ups
    (``row_tables``) therefore change only in the rows that the examples with changed losses look up.

    The limits ``hops``, ``n_affected`` and ``n_hessian`` are fields of :class:`~recbole.unlearning.system.Scope`.
    """

    Hyper: ClassVar[type[HyperParameters]] = InfluenceHyper
    progress: ClassVar[float] = 1e-2
    """Conjugate gradients stop when ``right . x`` (see :meth:`newton`) grows by less than this fraction per iteration.

    This applies to a linear system that is estimated from a sample. Twice as many iterations hardly change the log-odds
    of forgotten items, NDCG, or the divergence of other users' predictions from those of retrained models. They do
    change the gradient norm that certificates measure, but this norm is mostly due to the loss not being quadratic
    (``docs/algorithms.md``, "Where the iterations end")."""

    certifies: ClassVar[bool] = False
    """Whether a certificate of unlearning needs the gradient at the parameters after each step."""

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        first = dataset.collate(dataset.train_examples()[:1])
        example = self.bench.with_negatives(first, self.bench.negatives.times, 0, "probe")
        reason = "is a part of the loss detached, or can torch differentiate it only once?"
        cause: Exception | None = None
        try:
            differentiable = has_curvature(model, example, self.moves(model))
        except (RuntimeError, NotImplementedError) as error:
            differentiable, reason, cause = False, " ".join(str(error).split()), error
        if not differentiable:
            raise UserError(
                f"{self.name} needs second derivatives of the training loss, and torch computes none for "
                f"{type(model).__name__}: {reason}"
            ) from cause
        self.gauss_newton = has_outputs(model, example)
        _ = dataset.log.by_item  # an index by item, built here so that the first request is not timed with it

    @property
    def alone(self) -> bool:
        """Whether no losses but those of the requesting users' examples depend on the parameters that the step changes.

        By default False; a subclass that changes only rows of these users may override this.
        """
        return False

    @abstractmethod
    def scope(self, case: Case) -> Scope:
        """Return the limits on the examples and negatives from which the linear system of requests is computed."""

    @abstractmethod
    def step(self, case: Case, system: System) -> Step:
        """Return the parameter update, which solves the linear system, without applying it.

        Args:
            case: the requests.
            system: the requests' linear system, complete with the gradient after forgetting.

        Raises:
            NotApplied: the time is up, or the step diverged.
        """

    def curvature_sample(self, case: Case, n: int, times: int) -> tuple[list[Interaction], list[float], bool]:
        """Return the examples from which the Hessian is computed; subclasses may override this.

        See :meth:`Case.curvature_sample <recbole.unlearning.case.Case.curvature_sample>` for arguments and result.
        """
        return case.curvature_sample(n, times)

    def changed(self, case: Case, scope: Scope, negatives: NegativesChange) -> tuple[Weighted, Weighted]:
        """Return the examples that contain a forgotten interaction, before and after forgetting, with negatives.

        For a pairwise loss, ``scope.negatives`` negatives are drawn per positive. All possible negatives are used
        instead if this number is 0, or if only the requesting users' losses depend on the parameters to change
        (:attr:`alone`) and there are few enough of them (:meth:`NegativesChange.cheap
        <recbole.unlearning.negatives_change.NegativesChange.cheap>`). For other losses the number is that of training.

        Args:
            case: the requests.
            scope: limits, of which only ``negatives`` is used.
            negatives: the change of negatives that the requests cause.

        Returns:
            Two lists of pairs of a batch and the weight of its loss sum: the examples as they were before forgetting,
            and those that still exist, as they are after forgetting.
        """
        change = case.change
        if case.pairwise and (not scope.negatives or (self.alone and negatives.cheap(change.before))):
            return negatives.expected(change.before), negatives.expected(change.after)
        times, rows = case.multiplicity(scope.negatives)
        before, after = case.paired(times)
        return [(before, 1 / rows)], [(after, 1 / rows)]

    def observe(self, case: Case) -> System:
        """Return the linear system of requests, still without the gradient after forgetting.

        Its right-hand side ``difference`` is the gradient of the changed losses before forgetting, on the old graph,
        minus the gradient of the change in expected loss that the change of negatives causes. When the model's graph
        has been rebuilt without the forgotten interactions, :meth:`System.settle
        <recbole.unlearning.system.System.settle>` subtracts the gradient of the changed losses after forgetting. All
        negatives are drawn from the items that are possible negatives after forgetting.
        """
        scope, change, negatives = self.scope(case), case.change, NegativesChange(case)
        before, after = self.changed(case, scope, negatives)
        affected, reached = case.affected(scope.hops, scope.n_affected)
        moved = negatives.of_requesters() if scope.negatives else negatives.of_requesters(0)
        moved += [] if self.alone else negatives.of_others(scope.n_hessian)
        old = _split([*before, *affected, *((batch, -weight) for batch, weight in moved)])
        new = _split([*after, *affected])
        sample = self.curvature_sample(case, scope.n_hessian, scope.negatives)
        moving = None if sample[2] else [change.before, change.after, *(batch for batch, _ in affected)]
        subspace = Subspace(self.model, self.moves(self.model), [*old[0], *new[0], *sample[0]], moving)
        n, complete = max(self.bench.n_train, 1), sample[2] and reached
        case.check_time("before the gradients")
        with second_order(self.model):
            difference = gradient(subspace, *old)
        count = negatives.count
        return System(n, subspace, *new, sample[:2], moving, complete, difference, count, self.certifies)

    def solve(self, case: Case, observed: System) -> Step:
        """Complete the linear system from :meth:`observe`, and return the parameter update that :meth:`step` makes.

        Args:
            case: the requests.
            observed: the linear system that :meth:`observe` returned.

        Raises:
            NotApplied: the time is up, or the step diverged.
        """
        case.check_time("before the gradients")
        observed.settle(case.bench.unread)
        step = self.step(case, observed)
        step.work["new_negatives"] = observed.new_negatives
        return step

    def newton(
        self, case: Case, system: System, right: torch.Tensor, damping: float, iterations: int
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """Solve ``(H + n damping I) x = right`` by conjugate gradients.

        If all retained examples are in the Hessian ``H``, ``H`` itself is used, and the system is solved to convergence
        (:data:`EXACTLY`). If ``H`` is not positive definite, its Gauss-Newton approximation replaces it.

        If ``H`` is estimated from a sample, the Gauss-Newton approximation is used from the start, if the model has
        one, as J. Bae et al. do in "If Influence Functions are the Answer, Then What is the Question?", NeurIPS 2022
        (equation numbers not checked). The solver's settings are then :data:`ROUGHLY` and :attr:`progress`: the
        sampling error is larger than a percent, and the last percent would take half of the iterations. With the
        default ``right``, ``right . x`` is to first order by how much the step raises the losses before forgetting,
        minus by how much it raises those after it.

        The damping is raised if ``H`` is indefinite and has no such approximation, if the iteration does not converge
        (:func:`~recbole.unlearning.second_order.solvers.positive_solution`), or if :meth:`System.gain` is below a
        quarter, as in D. W. Marquardt, "An Algorithm for Least-Squares Estimation of Nonlinear Parameters", SIAM J.
        1963 (equation numbers not checked).

        Args:
            case: the requests.
            system: the requests' linear system.
            right: right-hand side of the system, a flat vector; usually ``system.difference``.
            damping: number that is added to the diagonal of the mean loss's Hessian.
            iterations: the largest number of iterations.

        Returns:
            The solution ``x``, a flat vector, and entries of the outcome's ``work``: ``n_hvp`` (Hessian-vector
            products), ``n_gradients``, ``residual`` (relative), ``solver`` (why it stopped), ``damping`` (in the end),
            ``raised`` (whether it was raised) and ``curvature`` (``hessian`` or ``gauss-newton``).

        Raises:
            NotApplied: the time is up, or a value is not finite.
        """
        with second_order(self.model):
            product, instead, replaced = self.operator(system)
            system.look(product)
            found = positive_solution(
                product,
                right,
                damping * system.n,
                iterations=iterations,
                out_of_time=case.deadline.passed,
                instead=instead,
                trusted=lambda found: system.gain(found.x, right, found.damping / system.n) >= 0.25,
                **(EXACTLY if system.complete else ROUGHLY | {"progress": self.progress}),
            )
        curvature = "gauss-newton" if replaced or found.replaced else "hessian"
        how = {"damping": found.damping / system.n, "raised": found.raised, "curvature": curvature}
        return found.x, self.settled(found) | how

    def operator(self, system: System) -> tuple[Curvature, Callable[[], LinearMap | None], bool]:
        """Return the matrix-vector products with which a system is solved; :meth:`newton` says which are used when.

        Returns:
            The product with the Hessian ``H`` or with its Gauss-Newton approximation; a function that returns the
            product to use instead if ``H`` is not positive definite, or ``None`` if there is no other; and whether the
            first of the three is the Gauss-Newton approximation.
        """
        replaced = self.gauss_newton and not system.complete
        product = system.gauss_newton() if replaced else system.product()
        return product, lambda: system.gauss_newton() if self.gauss_newton and not replaced else None, replaced

    @staticmethod
    def settled(found: Solution) -> dict[str, Any]:
        """Return the figures about a solution that are recorded in the ``work`` of the outcome.

        They are ``n_hvp`` (number of matrix-vector products), ``n_gradients`` (2), ``residual`` (relative) and
        ``solver`` (why the solver stopped).

        Raises:
            NotApplied: the time was up (``timeout``), or a value is not finite (``diverged``).
        """
        if found.ended == "timeout":
            raise NotApplied("timeout", f"time was up after {found.iterations} Hessian-vector products")
        if not math.isfinite(found.residual + found.bend):
            raise NotApplied("diverged", "the gradients or their derivatives are not finite")
        return {"n_hvp": found.iterations, "n_gradients": 2, "residual": found.residual, "solver": found.ended}


def _split(batches: Weighted) -> tuple[list[Interaction], list[float]]:
    """Split weighted batches into the batches and their weights."""
    return [batch for batch, _ in batches], [weight for _, weight in batches]
