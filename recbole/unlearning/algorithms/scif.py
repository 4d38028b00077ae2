"""SCIF (selective and collaborative influence function): a Newton step in the requesting user's parameters."""

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
    """Hyper-parameters of the algorithm ``scif``; the help text of each field describes it."""

    damping: float = hyperparameter(1e-5, "added to the diagonal of the mean loss's Hessian", above=0)
    scif_iterations: int = hyperparameter(100, "largest number of conjugate-gradient iterations per request", least=1)
    scif_negatives: int = hyperparameter(
        64, "fixed negatives per positive over which a pairwise loss is averaged; 0: all possible ones", least=0
    )
    scif_hessian_samples: int = hyperparameter(
        256, "retained examples from which the Hessian of shared parameters is estimated", least=1
    )


class Scif(InfluenceAlgorithm):
    """One Newton step per request, in the parameters that belong to the requesting user.

    Y. Li, C. Chen, X. Zheng, Y. Zhang, B. Gong, J. Wang, "Selective and Collaborative Influence Function for Efficient
    Recommendation Unlearning", arXiv:2304.10199 (2023). The full text was not at hand, so the step is derived here
    (equation numbers not checked).

    Let ``J(t) = 1/n sum_i l_i(t)`` be the training objective over ``n`` examples and ``t`` its trained parameters, so
    ``grad J(t) = 0``. Forgetting turns some examples, ``before``, into the examples ``after``. The objective becomes
    ``J'(t) = J(t) + (L_after(t) - L_before(t)) / n`` with summed losses ``L``, so ``grad J'(t) = (g_after - g_before) /
    n``. A Newton step towards the optimum of ``J'``, with ``H`` the Hessian of the retained examples' summed loss, is::

        t <- t - (H / n + damping I)^-1 (g_after - g_before) / n

    *Selective*: ``t`` are the model's ``selective`` parameters, which for factor models are the user embeddings. There
    ``H`` is block diagonal over users, so only the requesting user's row changes. The linear system has the size of one
    embedding, and is solved to convergence. *Collaborative*: all other embeddings, above all those of items, keep the
    values that the retained data gave them.

    If ``t`` are user tables that the loss reads only by look-ups (BPR, NeuMF), ``H`` is the Hessian of the requesting
    user's own retained examples, because no other user's loss depends on these rows. Otherwise ``H`` is estimated as in
    the other influence-function algorithms: from the user's examples, ``scif_hessian_samples`` examples on the same
    items, and as many of the rest. A pairwise loss is averaged over ``scif_negatives`` fixed negatives, which estimates
    the expectation that training minimises. Session models have no user parameters. There ``t`` are the item table and
    the layers that map to it, which all sessions share.

    If only rows of requesting users change, the expectation over negatives can be computed exactly, over all items that
    can be negatives of the user. For the forgotten examples, which cause most of the sampling error, this is done if
    negatives are drawn uniformly and it takes at most 2^18 scores. With ``scif_negatives`` of 0 it is also done for the
    user's other examples and in ``H``, which costs twenty times as much on ml-100k. If that takes more than 2^22
    scores, 64 draws are used instead.

    Differences from ERASE's program: one fixed Hessian instead of that of another minibatch in each iteration; no
    ascent on retained data; sums of losses instead of sums of means; the requesting user's row instead of the whole
    user table; and division by ``n``, not by the number of sampled rows.
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
                "--scif_negatives 0: all possible negatives can be used only if the step changes no parameters but the "
                f"requesting user's own rows, which is not so for {type(model).__name__}; set 1 or more"
            )

    @property
    def alone(self) -> bool:
        """Whether the step changes only user tables that the loss reads by look-ups.

        If so, only the requesting users' losses depend on the table rows that change.
        """
        return bool(self.model.selective) and set(self.model.selective) <= set(self.model.row_tables)

    @classmethod
    def moves(cls, model: AbstractRecommender) -> tuple[str, ...]:
        """Return the names of the trained ``selective`` parameters, or of all trained ones if the model has none."""
        everything = super().moves(model)
        return tuple(name for name in model.selective if name in everything) if model.selective else everything

    def scope(self, case: Case) -> Scope:
        """Return the limits on graph distance, training examples and negatives for the linear system of some requests.

        Args:
            case: the requests that are answered together.
        """
        n = self.hyper.scif_hessian_samples
        return Scope(math.inf, n, n, self.hyper.scif_negatives)

    def curvature_sample(self, case: Case, n: int, times: int) -> tuple[list[Interaction], list[float], bool]:
        """Return the retained training examples from which the Hessian of their summed loss is computed.

        If only the requesting users' losses change (:attr:`alone`), these are the users' own examples, at most 4096.
        Otherwise they are sampled from all examples by :meth:`Case.curvature_sample
        <recbole.unlearning.case.Case.curvature_sample>`.

        Args:
            case: the requests that are answered together.
            n: the largest number of examples on the requests' items, and of the rest; not used if :attr:`alone`.
            times: number of negatives per positive for the users' examples; 0 averages over all possible negatives.

        Returns:
            The batches, a factor for each batch's summed loss, and whether no example was left out.
        """
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
        """Return the damped Newton step for some requests.

        Args:
            case: the requests that are answered together.
            system: their linear system.

        Raises:
            NotApplied: the time is up, or a value is not finite.
        """
        hyper = self.hyper
        x, work = self.newton(case, system, system.difference, hyper.damping, hyper.scif_iterations)
        return Step(system.subspace, x, work)
