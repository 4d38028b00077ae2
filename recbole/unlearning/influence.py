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
"""Solver settings for a system that includes all examples."""

ROUGHLY = {"tolerance": 1e-3}
"""Solver settings for a system that is estimated from a sample, in addition to ``progress``.

See :func:`~recbole.unlearning.second_order.solvers.positive_solution`.
"""


class InfluenceAlgorithm(StepAlgorithm):
    """Base class of algorithms that make one influence-function step per request.

    The step changes all parameters, unless a subclass selects some.

    Let ``t`` be the trained parameters, which minimise the sum ``L`` of the training losses, and let ``L'`` be the sum
    over the ``n`` examples after forgetting. Since ``grad L(t) = 0``, ``grad L'(t) = g_after - g_before``: the
    gradients of the examples whose loss changes, after and before forgetting. A damped Newton step towards the minimum
    of ``L'`` is ``t <- t - (H / n + damping I)^-1 (g_after - g_before) / n``.

    The examples whose loss changes are those that contained a forgotten row. If the model propagates over a graph, they
    are also the examples within graph distance ``hops`` of a forgotten row, and those with a negative within ``hops``
    (:meth:`Case.affected <recbole.unlearning.case.Case.affected>`). At most ``n_affected`` of each are used, weighted
    accordingly, with the old graph in ``g_before`` and the new one in ``g_after``. A forgotten item also becomes a
    possible negative for the user's other examples. The gradient of that change in expected loss
    (:class:`~recbole.unlearning.negatives_change.NegativesChange`) is a part of ``g_after``.

    ``H`` is the Hessian of the requesting users' retained examples and of samples that represent all others
    (:meth:`curvature_sample`): ``n_hessian`` from the examples on the same items, and as many from the rest. Negatives
    in ``H`` are drawn after forgetting. Unless ``H`` includes all examples, tables that the model reads only through
    look-ups (``row_tables``) change only in the rows that the affected examples look up, because a sample does not know
    the curvature of other rows.
    """

    Hyper: ClassVar[type[HyperParameters]] = InfluenceHyper
    progress: ClassVar[float] = 1e-2
    """Relative progress per iteration at which conjugate gradients stop, for a system estimated from a sample.

    Twice as many iterations hardly change the forgotten log-odds, NDCG, or the divergence of other users' predictions.
    They do change the gradient norm that certificates measure, but that is mostly due to the loss not being quadratic
    (``docs/algorithms.md``, "Where the iterations end")."""

    certifies: ClassVar[bool] = False
    """Whether a certificate needs the gradient at the end of each step."""

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
        _ = dataset.log.by_item  # the index that finds examples near a request, built before the first one is timed

    @property
    def alone(self) -> bool:
        """Whether only the requesting users' losses depend on the parameters that the step changes."""
        return False

    @abstractmethod
    def scope(self, case: Case) -> Scope:
        """Return the limits on examples and negatives for a case's linear system."""

    @abstractmethod
    def step(self, case: Case, system: System) -> Step:
        """Return the parameter update for a case's linear system, after the model was rebuilt.

        Raises:
            NotApplied: the time is up, or the step diverged.
        """

    def curvature_sample(self, case: Case, n: int, times: int) -> tuple[list[Interaction], list[float], bool]:
        """Return the examples of the Hessian; subclasses may override this.

        See :meth:`Case.curvature_sample <recbole.unlearning.case.Case.curvature_sample>` for arguments and result.
        """
        return case.curvature_sample(n, times)

    def changed(self, case: Case, scope: Scope, negatives: NegativesChange) -> tuple[Weighted, Weighted]:
        """Return the examples with a forgotten row, before and after forgetting, with negatives and weights.

        Args:
            case: the requests.
            scope: its ``negatives`` is read.
            negatives: the change of negatives that the requests cause.

        Returns:
            Two lists of weighted batches: the examples before, and those that still exist after forgetting.
        """
        change = case.change
        if case.pairwise and (not scope.negatives or (self.alone and negatives.cheap(change.before))):
            return negatives.expected(change.before), negatives.expected(change.after)
        times, rows = case.multiplicity(scope.negatives)
        before, after = case.paired(times)
        return [(before, 1 / rows)], [(after, 1 / rows)]

    def observe(self, case: Case) -> System:
        """Return the linear system of a case, without the gradient after forgetting, which needs the rebuilt model.

        Its ``difference`` is the gradient before forgetting, on the old graph, minus the gradient of the change in
        negatives. The latter is subtracted here because both gradients draw negatives under the new mask.
        :meth:`System.settle <recbole.unlearning.system.System.settle>` subtracts the gradient after forgetting.
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
        """Complete the linear system from :meth:`observe`, and return its :meth:`step`."""
        case.check_time("before the gradients")
        observed.settle(case.bench.unread)
        step = self.step(case, observed)
        step.work["new_negatives"] = observed.new_negatives
        return step

    def newton(
        self, case: Case, system: System, right: torch.Tensor, damping: float, iterations: int
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """Solve ``(H + n damping I) x = right`` by conjugate gradients.

        A system with all examples uses ``H`` itself, and is solved to convergence (settings :data:`EXACTLY`). If ``H``
        is not positive definite, its Gauss-Newton form replaces it.

        A system that is estimated from a sample uses the Gauss-Newton form from the start, if the model has one, as J.
        Bae et al. do for networks in "If Influence Functions are the Answer, Then What is the Question?", NeurIPS 2022
        (equation numbers not checked). Its settings are :data:`ROUGHLY`: the sampling error is larger than a percent,
        and the last percent would take half of the iterations. Iterations also end when ``right . x`` grows by less
        than the fraction :attr:`progress` per iteration. To first order, ``right . x`` is the increase of the loss
        before forgetting minus the increase of the loss after it.

        The damping is raised if a model has no Gauss-Newton form or conjugate gradients do not converge
        (:func:`~recbole.unlearning.second_order.solvers.positive_solution`). It is raised too if a step's
        :meth:`System.gain` is below a quarter, as in D. W. Marquardt, "An Algorithm for Least-Squares Estimation of
        Nonlinear Parameters", SIAM J. 1963 (equation numbers not checked).

        Args:
            case: the requests.
            system: their linear system.
            right: right-hand side of the system, a flat vector.
            damping: damping of the mean loss.
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
            The product with ``H`` or its Gauss-Newton form; a function that returns the product to use instead if that
            one is not positive definite, or ``None`` if there is none; and whether the first is the Gauss-Newton form.
        """
        replaced = self.gauss_newton and not system.complete
        product = system.gauss_newton() if replaced else system.product()
        return product, lambda: system.gauss_newton() if self.gauss_newton and not replaced else None, replaced

    @staticmethod
    def settled(found: Solution) -> dict[str, Any]:
        """Return the entries of ``work`` that describe how a solver ended.

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
