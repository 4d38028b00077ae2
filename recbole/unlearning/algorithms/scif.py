"""SCIF: selective and collaborative influence function."""

import math
from dataclasses import dataclass

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.unlearning.algorithm import HyperParameters, Step, hyperparameter
from recbole.unlearning.case import Case
from recbole.unlearning.influence import InfluenceAlgorithm
from recbole.unlearning.negatives_change import NegativesChange
from recbole.unlearning.system import Scope, System
from recbole.utils import InputType, UserError


@dataclass(frozen=True)
class ScifHyper(HyperParameters):
    """SCIF's hyper-parameters."""

    damping: float = hyperparameter(1e-5, "added to the diagonal of the mean loss's Hessian", above=0)
    scif_iterations: int = hyperparameter(100, "most conjugate-gradient iterations of a request", least=1)
    scif_negatives: int = hyperparameter(
        64, "fixed negatives for each positive of a pairwise model, averaged over; 0: all possible ones", least=0
    )
    scif_hessian_samples: int = hyperparameter(
        256, "retained examples that the Hessian of shared parameters is estimated from", least=1
    )


class Scif(InfluenceAlgorithm):
    """One influence-function step for each request, in the parameters that hold what is known of the requester.

    Y. Li, C. Chen, X. Zheng, Y. Zhang, B. Gong, J. Wang, "Selective and Collaborative Influence Function for Efficient
    Recommendation Unlearning", arXiv:2304.10199 (2023). The full text was not at hand, so the step is derived here
    (equation numbers not checked).

    Let ``J(t) = 1/n sum_i l_i(t)`` be the training objective and ``t`` its trained parameters, so ``grad J(t) = 0``.
    Without the forgotten rows the examples ``before`` become ``after``, the objective is
    ``J'(t) = J(t) + (L_after(t) - L_before(t)) / n``, and ``grad J'(t) = (g_after - g_before) / n``. A Newton step
    towards the optimum of ``J'``, with ``H`` the summed Hessian of the retained examples, is::

        t <- t - (H / n + damping I)^-1 (g_after - g_before) / n

    *Selective*: ``t`` are the model's ``selective`` parameters; for factor models the user table. There ``H`` is block
    diagonal over users, so only the requester's row moves, in a system of the size of one embedding that is solved to
    convergence. *Collaborative*: everybody else's embeddings, the items' above all, stay as the retained data made
    them.

    Where ``t`` are tables of requesters that the loss reads by look-ups (BPR, NeuMF), ``H`` is that of the requester's
    own retained examples: nobody else's loss depends on those rows. Elsewhere it is estimated as for the other
    influence methods, from ``scif_hessian_samples`` retained examples of each kind. A pairwise loss is averaged over
    ``scif_negatives`` fixed negatives, which estimates the expectation that training minimises. Session models know
    nobody; there ``t`` are the item table and what maps to it, which everybody shares.

    Where only requesters' rows move, the expectation itself can be had, over all items that the person may have as
    negatives. That of the forgotten examples, where most of the error of draws is, is taken whenever negatives are
    uniform and it makes at most 2^18 scores. ``scif_negatives`` of 0 takes it for the person's other examples and in
    ``H`` too, if that makes at most 2^22 scores, and 64 draws beyond: on ml-100k for twenty times the cost.

    Unlike ERASE: one fixed operator instead of another minibatch in each iteration, no ascent on retained data, sums
    instead of sums of means, the requester's row instead of the whole user table, divided by ``n`` and not by the
    number of sampled rows.
    """

    name = "scif"
    Hyper = ScifHyper
    hyper: ScifHyper

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        negatives = self.bench.negatives
        pairwise = negatives.times > 0 and negatives.input_type is InputType.PAIRWISE
        if not self.hyper.scif_negatives and pairwise and not (self.alone and negatives.by_person):
            raise UserError(
                "--scif_negatives 0: all possible negatives are taken only where nothing but the requester's rows "
                f"moves, which is not so in {type(model).__name__}; set 1 or more"
            )

    @property
    def alone(self) -> bool:
        """Whether tables of requesters, which the loss reads by look-ups, are all that moves."""
        return bool(self.model.selective) and set(self.model.selective) <= set(self.model.row_tables)

    @classmethod
    def moves(cls, model: AbstractRecommender) -> tuple[str, ...]:
        """Return the ``selective`` parameters that are trained; all that are, where a model names none."""
        everything = super().moves(model)
        return tuple(name for name in model.selective if name in everything) if model.selective else everything

    def scope(self, case: Case) -> Scope:
        """Return the :class:`~recbole.unlearning.system.Scope` of a case."""
        n = self.hyper.scif_hessian_samples
        return Scope(math.inf, n, n, self.hyper.scif_negatives)

    def curvature_sample(self, case: Case, n: int, times: int) -> tuple[list[Interaction], list[float], bool]:
        """Return the requesters' own examples alone where nobody else's loss depends on what moves."""
        if not self.alone:
            return super().curvature_sample(case, n, times)
        if not times and case.pairwise:
            own, share = case.some(self.dataset.examples_of(case.change.entities), 4096, "context")
            expected = NegativesChange(case).expected(self.dataset.collate(own), 1 / share)
            return [batch for batch, _ in expected], [weight for _, weight in expected], share == 1
        times, rows = case.multiplicity(times)
        batch, share = case.context(times)
        return [batch], [1 / (share * rows)], share == 1

    def step(self, case: Case, system: System) -> Step:
        """Return the damped Newton step; see the class."""
        hyper = self.hyper
        x, work = self.newton(case, system, system.difference, hyper.damping, hyper.scif_iterations)
        return Step(system.subspace, x, work)
