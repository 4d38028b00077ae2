"""IDEA: certified unlearning by an influence step, and noise on the parameters that are let out."""

from dataclasses import dataclass
from typing import Any

import torch

from recbole.unlearning.algorithm import Step, hyperparameter
from recbole.unlearning.case import Case
from recbole.unlearning.certificate import gaussian_delta, gaussian_sigma
from recbole.unlearning.certified import CertifiedAlgorithm
from recbole.unlearning.hyper import InfluenceHyper
from recbole.unlearning.system import Scope, System


@dataclass(frozen=True)
class IdeaHyper(InfluenceHyper):
    """IDEA's hyper-parameters."""

    idea_damping: float = hyperparameter(3e-5, "added to the diagonal of the mean loss's Hessian", above=0)
    idea_sigma: float = hyperparameter(0.0, "least standard deviation of the noise on every parameter", least=0)
    idea_epsilon: float | None = hyperparameter(
        None, "epsilon of the certificate, from which the noise follows (default: none is given, no noise)", above=0
    )
    idea_delta: float = hyperparameter(0.01, "delta of the certificate", above=0, most=1)
    idea_iterations: int = hyperparameter(100, "most conjugate-gradient iterations of a request", least=1)
    idea_hessian_samples: int = hyperparameter(1024, "drawn examples that stand for the others in the Hessian", least=1)
    idea_k_hops: int = hyperparameter(4, "how far in the graph examples count as affected", least=0)


class Idea(CertifiedAlgorithm):
    """An influence step, and noise as large as the distance that may be left to the retrained parameters.

    Y. Dong, B. Zhang, Z. Lei, N. Zou, J. Li, "IDEA: A Flexible Framework of Certified Unlearning for Graph Neural
    Networks", KDD 2024, arXiv:2407.19398 (equation numbers not checked). With ``m`` training examples the step is
    ``-(1/m) H^-1 (grad L_add - grad L_sub)``, ``H`` the mean Hessian, and what is released is its end plus
    ``N(0, sigma^2 I)`` with ``sigma >= bound sqrt(2 ln(1.25 / delta)) / epsilon``, ``bound`` on the distance to the
    retrained parameters.

    The paper's bound needs the loss's Lipschitz constant and maximum, and is worth hundreds of times the parameters
    here. This one is measured: a function whose curvature is ``damping`` or more has its minimum no further from a
    point than its gradient there, over ``damping``. Requests come one after another, so their bounds are summed, and
    each release draws its own noise for the sum so far.

    Unlike ERASE: the paper's sign and ``1/m`` (there the step reinforced what was to be forgotten); the root stands in
    the numerator; the bound is one; noise is on what is released, not on the model that the next request starts from;
    no fine-tuning, as in the paper; no least noise (ERASE's ``idea_sigma`` is 0.1, more than most embeddings can bear).
    And no epsilon by default: the noise that one of up to 1 asks for is hundreds of times the embeddings wherever the
    damping lets a step forget, so that a default would leave nothing of a model. The certificate then says which noise
    an epsilon of 1 would take.
    """

    name = "idea"
    Hyper = IdeaHyper
    hyper: IdeaHyper

    @property
    def epsilon(self) -> float | None:
        """Epsilon of one release."""
        return self.hyper.idea_epsilon

    def scope(self, case: Case) -> Scope:
        """Return the :class:`~recbole.unlearning.system.Scope` of a case."""
        hyper = self.hyper
        return Scope(
            hyper.idea_k_hops, hyper.idea_hessian_samples, hyper.idea_hessian_samples, hyper.influence_negatives
        )

    def step(self, case: Case, system: System) -> Step:
        """Return the step, without noise; see the class."""
        hyper, right = self.hyper, system.difference
        x, work = self.newton(case, system, right, hyper.idea_damping, hyper.idea_iterations)
        residual = self.measured(case, system, x, right, hyper.idea_damping)
        bound = residual / (hyper.idea_damping * system.n)
        work["n_gradients"] += 2
        broken = self.count(bound, system, work)
        work["certificate"] = {"distance_bound": bound, "gradient_residual": residual, "broken": broken}
        return Step(system.subspace, x, work)

    def noise(self, checkpoint: int) -> tuple[torch.Tensor | None, dict[str, Any]]:
        """Return normal noise for the distances summed since the base model, and what it is worth."""
        hyper, bound = self.hyper, self.error
        told = {"distance_bound": bound, "sigma_of_epsilon_1": gaussian_sigma(1.0, hyper.idea_delta, bound)}
        sigma, delta = hyper.idea_sigma, 1.0 if bound else 0.0
        if hyper.idea_epsilon is not None:
            sigma = max(sigma, gaussian_sigma(hyper.idea_epsilon, hyper.idea_delta, bound))
            delta = min(1.0, gaussian_delta(hyper.idea_epsilon, bound, sigma))
        return (sigma * self.normal(checkpoint) if sigma else None), told | {"sigma": sigma, "delta": delta}
