"""What SCIF, GIF, CEU and IDEA share: how the training objective's gradient changes, and the system that stands in."""

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
"""How systems are solved that leave nothing out."""

ROUGHLY = {"tolerance": 1e-3}
"""How those are that are estimated from a sample: to where there is no more ``progress`` either.

See :func:`~recbole.unlearning.second_order.solvers.positive_solution`.
"""


class InfluenceAlgorithm(StepAlgorithm):
    """An influence-function step in the parameters that the algorithm moves; all, by default.

    Let ``t`` minimise the sum ``L`` of the training losses over ``n`` examples, and ``L'`` be the sum without the
    forgotten rows. ``grad L'(t) = g_after - g_before`` over the examples whose loss changes: those that contained a
    forgotten row (all others cancel), and, where the model propagates over a graph, those within ``hops`` of it or with
    a negative that is (:meth:`Case.affected <recbole.unlearning.case.Case.affected>`), at most ``n_affected`` of each,
    weighted to their number; ``before`` on the old graph, ``after`` on the new one.
    What was forgotten becomes a possible negative of the person's other examples, whose expected loss this changes too:
    the gradient of that (:class:`~recbole.unlearning.negatives_change.NegativesChange`) is a part of ``g_after``. A
    damped Newton step towards the minimum of ``L'`` is ``t <- t - (H / n + damping I)^-1 (g_after - g_before) / n``.

    ``H`` is the Hessian of the requesters' retained examples and of drawn ones that stand for the others
    (:meth:`curvature_sample`), ``n_hessian`` from those on the same items and from the rest of the data each, with
    negatives that are drawn after the change: it has its own part in the change of negatives. Unless
    these are all examples, tables that the model reads only through look-ups (``row_tables``) move in the rows that the
    changed examples look up: a sample knows the curvature of no other row.
    """

    Hyper: ClassVar[type[HyperParameters]] = InfluenceHyper
    progress: ClassVar[float] = 1e-2
    """Of a system that is estimated from a sample: where an iteration adds a smaller share than this to what the step
    changes, it is the last. From there on twice as many leave forgotten log-odds, NDCG and the divergence of others
    about where they are; the gradient that certificates measure changes either way, being mostly that of a loss that is
    not quadratic (``docs/algorithms.md``, "Where the iterations end")."""

    certifies: ClassVar[bool] = False
    """Whether the gradient where a step ends is wanted too."""

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        first = dataset.collate(dataset.train_examples()[:1])
        example = self.bench.with_negatives(first, self.bench.negatives.times, 0, "probe")
        reason = "is there a part in it that is detached, or that torch can differentiate once only?"
        cause: Exception | None = None
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
        _ = dataset.log.by_item  # by which examples near a request are found: made before the first one's clock starts

    @property
    def alone(self) -> bool:
        """Whether nobody's loss but the requesters' depends on what moves."""
        return False

    @abstractmethod
    def scope(self, case: Case) -> Scope:
        """Return the :class:`Scope` of a case."""

    @abstractmethod
    def step(self, case: Case, system: System) -> Step:
        """Return the step that a case's system makes, on the model that holds nothing of the forgotten rows any more.

        Raises:
            NotApplied: as of :meth:`solve`.
        """

    def curvature_sample(self, case: Case, n: int, times: int) -> tuple[list[Interaction], list[float], bool]:
        """Return :meth:`Case.curvature_sample <recbole.unlearning.case.Case.curvature_sample>`; a hook."""
        return case.curvature_sample(n, times)

    def changed(self, case: Case, scope: Scope, negatives: NegativesChange) -> tuple[Weighted, Weighted]:
        """Return the touched examples as they were and as they are, with negatives, and what each batch counts."""
        change = case.change
        if case.pairwise and (not scope.negatives or (self.alone and negatives.cheap(change.before))):
            return negatives.expected(change.before), negatives.expected(change.after)
        times, rows = case.multiplicity(scope.negatives)
        before, after = case.paired(times)
        return [(before, 1 / rows)], [(after, 1 / rows)]

    def observe(self, case: Case) -> System:
        """Return the :class:`System` with its ``difference`` still that of before the change.

        The change of negatives is taken off already, on the old graph: what is drawn for the affected examples is drawn
        under the new mask, before and after.
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
        """Return the :meth:`step` of the settled system."""
        case.check_time("before the gradients")
        observed.settle(case.bench.unread)
        step = self.step(case, observed)
        step.work["new_negatives"] = observed.new_negatives
        return step

    def newton(
        self, case: Case, system: System, right: torch.Tensor, damping: float, iterations: int
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """Solve ``(H + n damping I) x = right`` by conjugate gradients.

        A system that is estimated from a sample has the Gauss-Newton form of ``H`` where the model has one, as for
        networks in J. Bae et al., "If Influence Functions are the Answer, Then What is the Question?", NeurIPS 2022
        (equation numbers not checked), and is solved :data:`ROUGHLY`: it knows no better, and the last percent takes
        half of the iterations. What must make :attr:`progress` is ``right . x``: to first order, by how much the step
        raises the losses that the request takes away, less those that it leaves. A complete one is solved with ``H``
        itself, to the end, and takes the Gauss-Newton form where ``H`` is not positive.

        If a model has no such form, or conjugate gradients do not settle, the damping is raised
        (:func:`~recbole.unlearning.second_order.solvers.positive_solution`). It is raised too where a step goes so far
        that the losses show less than a quarter of the :meth:`System.gain` that the system promises, as D. W. Marquardt
        does it, "An Algorithm for Least-Squares Estimation of Nonlinear Parameters", SIAM J. 1963 (equation numbers not
        checked).

        Returns:
            ``x`` and the parts of ``work`` that tell how it was found.
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
        """Return a system's curvature, what takes its place where it is not positive, and whether it is a replacement.

        Which of Hessian and Gauss-Newton form is which: see :meth:`newton`.
        """
        replaced = self.gauss_newton and not system.complete
        product = system.gauss_newton() if replaced else system.product()
        return product, lambda: system.gauss_newton() if self.gauss_newton and not replaced else None, replaced

    @staticmethod
    def settled(found: Solution) -> dict[str, Any]:
        """Return the parts of ``work`` that tell how a solver ended; raise ``NotApplied`` if it found nothing."""
        if found.ended == "timeout":
            raise NotApplied("timeout", f"time was up after {found.iterations} Hessian products")
        if not math.isfinite(found.residual + found.bend):
            raise NotApplied("diverged", "the gradients or their derivatives are not finite")
        return {"n_hvp": found.iterations, "n_gradients": 2, "residual": found.residual, "solver": found.ended}


def _split(batches: Weighted) -> tuple[list[Interaction], list[float]]:
    """Return batches, and what each counts."""
    return [batch for batch, _ in batches], [weight for _, weight in batches]
