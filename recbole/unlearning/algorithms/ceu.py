"""CEU: certified edge unlearning."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.unlearning.algorithm import Step, hyperparameter
from recbole.unlearning.case import Case
from recbole.unlearning.certified import CertifiedAlgorithm
from recbole.unlearning.hyper import InfluenceHyper
from recbole.unlearning.second_order.curvature import second_order
from recbole.unlearning.second_order.solvers import positive_solution
from recbole.unlearning.second_order.subspace import Subspace
from recbole.unlearning.system import Scope, System


@dataclass(frozen=True)
class CeuHyper(InfluenceHyper):
    """CEU's hyper-parameters."""

    ceu_lambda: float = hyperparameter(3e-5, "added to the diagonal of the mean loss's Hessian", above=0)
    ceu_sigma: float = hyperparameter(
        1e-3, "standard deviation of the noise in the gradient of the summed loss", least=0
    )
    ceu_epsilon: float = hyperparameter(0.1, "epsilon of the certificate", above=0)
    ceu_cg_iterations: int = hyperparameter(100, "most conjugate-gradient iterations of a request", least=1)
    ceu_hessian_samples: int = hyperparameter(1024, "drawn examples that stand for the others in the Hessian", least=1)
    ceu_k_hops: int = hyperparameter(4, "how far in the graph examples count as affected", least=0)


@dataclass(frozen=True)
class LastSystem:
    """What the Hessian of the last request was of: all that is needed to have it again.

    Attributes:
        n: number of training examples that were left.
        sample: ``(batches, weights)`` that stood for all retained examples.
        moving: batches that look up the rows that could move; None for all.
        complete: whether nothing was left out.
    """

    n: int
    sample: tuple[list[Interaction], list[float]]
    moving: list[Interaction] | None
    complete: bool

    def as_plain(self) -> dict[str, Any]:
        """Return it as dictionaries, lists, numbers and tensors."""
        batches, weights = self.sample
        moving = None if self.moving is None else [batch.interaction for batch in self.moving]
        return {
            "n": self.n, "batches": [batch.interaction for batch in batches], "weights": weights, "moving": moving,
            "complete": self.complete,
        }  # fmt: skip

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> "LastSystem":
        """Return what :meth:`as_plain` was made of."""
        batches, moving = [Interaction(columns) for columns in plain["batches"]], plain["moving"]
        rows = None if moving is None else [Interaction(columns) for columns in moving]
        return cls(plain["n"], (batches, plain["weights"]), rows, plain["complete"])

    def system(self, model: AbstractRecommender, names: tuple[str, ...]) -> System:
        """Return the system of that curvature, at the model as it is, for any right-hand side."""
        subspace = Subspace(model, names, [*self.sample[0], *(self.moving or ())], self.moving)
        return System(self.n, subspace, [], [], self.sample, self.moving, self.complete, subspace.vector())


class Ceu(CertifiedAlgorithm):
    """An influence step, and at each release the step towards a randomly tilted objective.

    K. Wu, J. Shen, Y. Ning, T. Wang, W. H. Wang, "Certified Edge Unlearning for Graph Neural Networks", KDD 2023
    (equation numbers not checked). The model is trained on ``L(t) + n lambda / 2 |t|^2 + b . t`` with ``b`` drawn from
    ``N(0, sigma^2 I)``, and unlearns by ``t <- t + (H / n + lambda I)^-1 (g_old - g_new) / n``. Where the objective is
    strongly convex, the gradient that is left there, ``r``, is hidden by ``b``: the result is (epsilon, delta)
    indistinguishable from retraining with ``delta = 1.5 exp(-(sigma epsilon / r)^2 / 2)``, as in C. Guo, T. Goldstein,
    A. Hannun, L. van der Maaten, "Certified Data Removal from Machine Learning Models", ICML 2020.

    Nobody's recommender was trained with a tilt, so each release brings its own: to first order ``b`` moves the minimum
    by ``-(H / n + lambda I)^-1 b / n``, with the Hessian of the last request, which is exact for quadratic objectives.
    Rows that the Hessian knows nothing of have a diagonal system, and ``-b / (n lambda)``. ``r`` is measured, and
    summed over the requests since the base model: the papers bound it by Lipschitz constants that nobody knows here.

    Unlike ERASE: the step has the paper's sign and is divided by the number of training examples, not by the few that
    were forgotten; lambda is added once; the noise goes where the certificate needs it, and its size follows; it is on
    what is released, not on the model that the next request starts from.
    """

    name = "ceu"
    Hyper = CeuHyper
    hyper: CeuHyper

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        self.last: LastSystem | None = None

    @property
    def epsilon(self) -> float:
        """Epsilon of one release."""
        return self.hyper.ceu_epsilon

    def scope(self, case: Case) -> Scope:
        """Return the :class:`~recbole.unlearning.system.Scope` of a case."""
        hyper = self.hyper
        return Scope(hyper.ceu_k_hops, hyper.ceu_hessian_samples, hyper.ceu_hessian_samples, hyper.influence_negatives)

    def step(self, case: Case, system: System) -> Step:
        """Return the step, without noise; see the class."""
        hyper, right = self.hyper, system.difference
        x, work = self.newton(case, system, right, hyper.ceu_lambda, hyper.ceu_cg_iterations)
        residual = self.measured(case, system, x, right, hyper.ceu_lambda)
        work["n_gradients"] += 2
        work["certificate"] = {"gradient_residual": residual, "broken": self.count(residual, system, work)}
        self.last = LastSystem(system.n, system.sample, system.moving, system.complete)
        return Step(system.subspace, x, work)

    def memory(self) -> dict[str, Any]:
        """Return what the guarantee goes by, and the last request's curvature."""
        return super().memory() | {"last": None if self.last is None else self.last.as_plain()}

    def restore(
        self, state_dict: Mapping[str, torch.Tensor], forgotten: np.ndarray, memory: Mapping[str, Any] | None = None
    ) -> None:
        """Take up a snapshot, with the last request's curvature."""
        super().restore(state_dict, forgotten, memory)
        last = (memory or {}).get("last")
        self.last = None if last is None else LastSystem.of_plain(last)

    def noise(self, checkpoint: int) -> tuple[torch.Tensor | None, dict[str, Any]]:
        """Return how far a random tilt moves the minimum, and what that is worth.

        The system is solved to a thousandth, or as far as ``ceu_cg_iterations`` reach; its damping is raised where the
        curvature is not positive.
        """
        hyper, told = self.hyper, {"delta": 0.0, "sigma": self.hyper.ceu_sigma, "gradient_residual": self.error}
        if self.error:
            told["delta"] = min(1.0, 1.5 * math.exp(-0.5 * (hyper.ceu_sigma * hyper.ceu_epsilon / self.error) ** 2))
        if self.last is None or not hyper.ceu_sigma:  # there is nothing to hide, or nothing to hide it with
            return None, told
        tilt = hyper.ceu_sigma * self.normal(checkpoint)
        system = self.last.system(self.model, self.moves(self.model))
        with second_order(self.model):
            product, instead, _ = self.operator(system)
            found = positive_solution(
                product, -system.subspace.narrow(tilt), hyper.ceu_lambda * system.n, 1e-3, hyper.ceu_cg_iterations,
                instead=instead,
            )  # fmt: skip
        if not math.isfinite(found.residual + found.bend):
            self.broken.add("the noise of a release could not be worked out: the curvature is not finite")
            return None, told | {"sigma": 0.0, "delta": 1.0}
        if found.raised:
            self.broken.add("the noise of a release took a larger lambda than the objective has")
        told |= {"noise_products": found.iterations, "noise_residual": found.residual}
        return system.subspace.widen(found.x, -tilt / (hyper.ceu_lambda * system.n)), told
