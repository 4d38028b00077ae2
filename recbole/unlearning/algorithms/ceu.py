"""CEU: certified edge unlearning."""

import math
from dataclasses import dataclass

from recbole.unlearning.algorithm import Step, setting
from recbole.unlearning.case import Case
from recbole.unlearning.hyper import InfluenceHyper
from recbole.unlearning.influence import InfluenceAlgorithm
from recbole.unlearning.system import Scope, System


@dataclass(frozen=True)
class CeuHyper(InfluenceHyper):
    """CEU's hyper-parameters."""

    ceu_lambda: float = setting(0.01, "added to the diagonal of the mean loss's Hessian", above=0)
    ceu_sigma: float = setting(0.1, "standard deviation of the noise in the gradient of the summed loss", least=0)
    ceu_epsilon: float = setting(0.1, "epsilon of the certificate", above=0)
    ceu_cg_iterations: int = setting(100, "most conjugate-gradient iterations of a request", least=1)
    ceu_hessian_samples: int = setting(1024, "drawn examples that stand for the others in the Hessian", least=1)
    ceu_k_hops: int = setting(4, "how far in the graph examples count as affected", least=0)


class Ceu(InfluenceAlgorithm):
    """An influence step towards a randomly tilted objective, and what that certifies.

    K. Wu, J. Shen, Y. Ning, T. Wang, W. H. Wang, "Certified Edge Unlearning for Graph Neural Networks", KDD 2023
    (equation numbers not checked). The model is trained on ``L(t) + n lambda / 2 |t|^2 + b . t`` with ``b`` drawn from
    ``N(0, sigma^2 I)``, and unlearns by ``t <- t + (H / n + lambda I)^-1 (g_old - g_new) / n``. Where the objective is
    strongly convex, the gradient that is left there, ``r``, is hidden by ``b``: the result is (epsilon, delta)
    indistinguishable from retraining with ``delta = 1.5 exp(-(sigma epsilon / r)^2 / 2)``, as in C. Guo, T. Goldstein,
    A. Hannun, L. van der Maaten, "Certified Data Removal from Machine Learning Models", ICML 2020.

    Nobody's recommender was trained with a tilt, so each request brings its own: ``b`` enters the right-hand side of
    the request's system, which moves a quadratic objective exactly to its tilted minimum. Rows that do not move
    otherwise have a diagonal system, and the noise ``-b / (n lambda)``. ``r`` is measured: the papers bound it by
    Lipschitz constants that nobody knows of these models. ``work["certificate"]`` says which assumptions fail.

    Unlike ERASE: the step has the paper's sign and is divided by the number of training examples, not by the few that
    were forgotten; lambda is added once; the noise goes where the certificate needs it, and its size follows.
    """

    name = "ceu"
    Hyper = CeuHyper
    hyper: CeuHyper
    certifies = True

    def scope(self, case: Case) -> Scope:
        """Return the :class:`~recbole.unlearning.system.Scope` of a case."""
        hyper = self.hyper
        return Scope(hyper.ceu_k_hops, hyper.ceu_hessian_samples, hyper.ceu_hessian_samples, hyper.influence_negatives)

    def step(self, case: Case, system: System) -> Step:
        """Return the step; see the class."""
        hyper = self.hyper
        tilt = hyper.ceu_sigma * self.noise(case)
        right = system.difference - system.subspace.narrow(tilt)
        x, work = self.newton(case, system, right, hyper.ceu_lambda, hyper.ceu_cg_iterations)
        residual = self.certified(case, system, x, right, hyper.ceu_lambda)
        ratio = hyper.ceu_sigma * hyper.ceu_epsilon / residual if residual else math.inf
        work["n_gradients"] += 2
        work["certificate"] = self.certificate(
            hyper.ceu_epsilon, 1.5 * math.exp(-0.5 * ratio**2), hyper.ceu_sigma, residual, system, work
        )
        elsewhere = -tilt / (hyper.ceu_lambda * system.n)
        return Step(system.subspace.whole(), system.subspace.widen(x, elsewhere), work)
