"""IDEA: certified unlearning by an influence-function step, with noise on the released parameters."""

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
    """Hyper-parameters of the algorithm ``idea``; the help text of each field describes it."""

    idea_damping: float = hyperparameter(3e-5, "added to the diagonal of the mean loss's Hessian", above=0)
    idea_sigma: float = hyperparameter(0.0, "smallest standard deviation of the noise on every parameter", least=0)
    idea_epsilon: float | None = hyperparameter(
        None, "epsilon of the certificate, which determines the noise (default: not set, no noise)", above=0
    )
    idea_delta: float = hyperparameter(0.01, "delta of the certificate", above=0, most=1)
    idea_iterations: int = hyperparameter(100, "largest number of conjugate-gradient iterations per request", least=1)
    idea_hessian_samples: int = hyperparameter(1024, "sampled examples that represent others in the Hessian", least=1)
    idea_k_hops: int = hyperparameter(4, "graph distance within which examples count as affected", least=0)


class Idea(CertifiedAlgorithm):
    """Certified unlearning: one Newton step per request, and noise that hides the remaining distance from retraining.

    Y. Dong, B. Zhang, Z. Lei, N. Zou, J. Li, "IDEA: A Flexible Framework of Certified Unlearning for Graph Neural
    Networks", KDD 2024, arXiv:2407.19398 (equation numbers not checked). With ``m`` training examples the step is
    ``-(1/m) H^-1 (grad L_add - grad L_sub)``, where ``H`` is the Hessian of the mean loss, and ``L_sub`` and ``L_add``
    are the losses of the changed examples before and after forgetting. The released parameters are those after the step
    plus noise ``N(0, sigma^2 I)`` with ``sigma >= bound sqrt(2 ln(1.25 / delta)) / epsilon``, where ``bound`` is an
    upper bound on the distance to the retrained parameters.

    The paper's bound uses the Lipschitz constant and the maximum of the loss, and would be hundreds of times the size
    of the parameters here. This implementation measures a bound instead: if a function's curvature is at least
    ``damping``, the distance from a point to the minimum is at most the gradient norm at the point divided by
    ``damping``. The bounds of all requests so far are summed (``error``). The noise is added to the copy of the model
    that is saved at each checkpoint of the run (a release); each release draws its own noise for the sum so far.

    Differences from ERASE's program: the sign and the factor ``1/m`` are the paper's (ERASE's step reinforces what is
    to be forgotten); the square root is in the numerator; ``bound`` is an upper bound on the distance, which ERASE's
    value is not; the noise is added to the released copies, not to the model from which the next request starts; there
    is no fine-tuning, as in the paper; and there is no minimum noise (ERASE's ``idea_sigma`` is 0.1, which is more than
    most embeddings tolerate). There is also no epsilon by default: the noise for an epsilon of up to 1 is hundreds of
    times the size of the embeddings, unless the damping is so large that a step forgets nothing.
    """

    name = "idea"
    Hyper = IdeaHyper
    hyper: IdeaHyper

    @property
    def epsilon(self) -> float | None:
        """Epsilon of the guarantee of one saved model; ``None`` if the user set none, so that nothing is certified."""
        return self.hyper.idea_epsilon

    def scope(self, case: Case) -> Scope:
        """Return the limits on graph distance, examples and negatives for the linear system of some requests."""
        hyper = self.hyper
        return Scope(
            hyper.idea_k_hops, hyper.idea_hessian_samples, hyper.idea_hessian_samples, hyper.influence_negatives
        )

    def step(self, case: Case, system: System) -> Step:
        """Compute the Newton step for some requests, without noise, and add its distance bound to ``error``.

        The bound is on the distance between the parameters after the step and the retrained parameters.
        """
        hyper, right = self.hyper, system.difference
        x, work = self.newton(case, system, right, hyper.idea_damping, hyper.idea_iterations)
        residual = self.measured(case, system, x, right, hyper.idea_damping)
        bound = residual / (hyper.idea_damping * system.n)
        work["n_gradients"] += 2
        broken = self.count(bound, system, work)
        work["certificate"] = {"distance_bound": bound, "gradient_residual": residual, "broken": broken}
        return Step(system.subspace, x, work)

    def noise(self, checkpoint: int) -> tuple[torch.Tensor | None, dict[str, Any]]:
        """Draw the noise for the model that is saved at a checkpoint (from 0), and compute figures for its certificate.

        Returns:
            The noise, a flat vector over all parameters, or ``None`` for no noise; and a dictionary with
            ``distance_bound`` (``error``), ``sigma_of_epsilon_1`` (the standard deviation that an epsilon of 1 would
            need), ``sigma`` (the noise's standard deviation) and ``delta`` (1 guarantees nothing).
        """
        hyper, bound = self.hyper, self.error
        entries = {"distance_bound": bound, "sigma_of_epsilon_1": gaussian_sigma(1.0, hyper.idea_delta, bound)}
        sigma, delta = hyper.idea_sigma, 1.0 if bound else 0.0
        if hyper.idea_epsilon is not None:
            sigma = max(sigma, gaussian_sigma(hyper.idea_epsilon, hyper.idea_delta, bound))
            delta = min(1.0, gaussian_delta(hyper.idea_epsilon, bound, sigma))
        return (sigma * self.normal(checkpoint) if sigma else None), entries | {"sigma": sigma, "delta": delta}
