"""IDEA: certified unlearning by an influence step and noise on the parameters."""

from dataclasses import dataclass

import torch

from recbole.unlearning.algorithm import Step, setting
from recbole.unlearning.curvature import second_order
from recbole.unlearning.influence import InfluenceAlgorithm, InfluenceHyper, gaussian_delta, gaussian_sigma
from recbole.unlearning.solvers import positive_solution


@dataclass(frozen=True)
class IdeaHyper(InfluenceHyper):
    """IDEA's hyper-parameters."""

    idea_damping: float = setting(0.01, "added to the diagonal of the mean loss's Hessian", above=0)
    idea_sigma: float = setting(0.1, "least standard deviation of the noise on every parameter", least=0)
    idea_epsilon: float = setting(0.1, "epsilon of the certificate", above=0)
    idea_delta: float = setting(0.01, "delta of the certificate", above=0, most=1)
    idea_iterations: int = setting(100, "most conjugate-gradient iterations of a request", least=1)
    idea_hessian_samples: int = setting(1024, "drawn examples that stand for the others in the Hessian", least=1)
    idea_k_hops: int = setting(4, "how far in the graph examples count as affected", least=0)


class Idea(InfluenceAlgorithm):
    """An influence step, and noise as large as the distance that may be left to the retrained parameters.

    Y. Dong, B. Zhang, Z. Lei, N. Zou, J. Li, "IDEA: A Flexible Framework of Certified Unlearning for Graph Neural
    Networks", KDD 2024, arXiv:2407.19398 (equation numbers not checked). With ``m`` training examples the step is
    ``-(1/m) H^-1 (grad L_add - grad L_sub)``, ``H`` the mean Hessian, and what is released is its end plus
    ``N(0, sigma^2 I)`` with ``sigma >= bound sqrt(2 ln(1.25 / delta)) / epsilon``, ``bound`` on the distance to the
    retrained parameters.

    The paper's bound needs the loss's Lipschitz constant and maximum, and is worth hundreds of times the parameters
    here. This one is measured: a function whose curvature is ``damping`` or more has its minimum no further from a
    point than its gradient there, over ``damping``. ``work["certificate"]`` says which assumptions fail.

    Unlike ERASE: the paper's sign and ``1/m`` (there the step reinforced what was to be forgotten); the root stands in
    the numerator; the bound is one; no fine-tuning, as in the paper. ERASE's ``idea_sigma`` of 0.1 is kept as the
    least noise, which is more than the embeddings of most models can bear: 0 leaves what the certificate needs.
    A Hessian that is not positive is damped until it is (:func:`~recbole.unlearning.solvers.positive_solution`).
    """

    name = "idea"
    Hyper = IdeaHyper

    def scope(self, change):
        """Return ``(hops, n_affected, n_hessian)``."""
        n_hessian = self.hyper.idea_hessian_samples
        return self.hyper.idea_k_hops, n_hessian, n_hessian

    def solve(self, change, index, out_of_time):
        """Return the step; see the class."""
        hyper, system = self.hyper, self.system(out_of_time)
        damping, right = hyper.idea_damping * system.n, system.difference
        with second_order(self.model):
            found = positive_solution(system.product(), right, damping, 1e-6, hyper.idea_iterations, out_of_time)
        work = self.settled(found) | {"damping": found.damping / system.n}
        residual = system.residual(found.x, right, hyper.idea_damping)
        bound = residual / damping
        sigma = max(hyper.idea_sigma, gaussian_sigma(hyper.idea_epsilon, hyper.idea_delta, bound))
        work["certificate"] = self.certificate(
            hyper.idea_epsilon, gaussian_delta(hyper.idea_epsilon, bound, sigma), sigma, residual, system,
            found.damping > damping,
        ) | {"distance_bound": bound}  # fmt: skip
        noise = sigma * self.noise(index)
        step = system.subspace.widen(found.x, torch.zeros_like(noise))
        return Step(system.subspace.whole(), step + noise, work)
