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
    """The hyper-parameters of ``ceu``."""

    ceu_lambda: float = hyperparameter(3e-5, "added to the diagonal of the mean loss's Hessian", above=0)
    ceu_sigma: float = hyperparameter(
        1e-3, "standard deviation of the noise on the gradient of the summed loss", least=0
    )
    ceu_epsilon: float = hyperparameter(0.1, "epsilon of the certificate", above=0)
    ceu_cg_iterations: int = hyperparameter(100, "largest number of conjugate-gradient iterations per request", least=1)
    ceu_hessian_samples: int = hyperparameter(1024, "sampled examples that represent others in the Hessian", least=1)
    ceu_k_hops: int = hyperparameter(4, "graph distance within which examples count as affected", least=0)


@dataclass(frozen=True)
class LastSystem:
    """The examples in the last request's Hessian, from which the Hessian can be computed again.

    Attributes:
        n: number of training examples that were retained.
        sample: ``(batches, weights)`` that represented all retained examples.
        moving: batches that look up the rows that could change; ``None`` for all rows that are read.
        complete: whether all examples were included, without sampling.
    """

    n: int
    sample: tuple[list[Interaction], list[float]]
    moving: list[Interaction] | None
    complete: bool

    def as_plain(self) -> dict[str, Any]:
        """Return the fields as a dictionary of lists, numbers and tensors, to be saved in a snapshot."""
        batches, weights = self.sample
        moving = None if self.moving is None else [batch.interaction for batch in self.moving]
        return {
            "n": self.n, "batches": [batch.interaction for batch in batches], "weights": weights, "moving": moving,
            "complete": self.complete,
        }  # fmt: skip

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> "LastSystem":
        """Return the object from which :meth:`as_plain` made ``plain``."""
        batches, moving = [Interaction(columns) for columns in plain["batches"]], plain["moving"]
        rows = None if moving is None else [Interaction(columns) for columns in moving]
        return cls(plain["n"], (batches, plain["weights"]), rows, plain["complete"])

    def system(self, model: AbstractRecommender, names: tuple[str, ...]) -> System:
        """Return a linear system with this curvature, at the model's current parameters, for any right-hand side.

        Args:
            model: the model.
            names: names of the parameters to include.
        """
        subspace = Subspace(model, names, [*self.sample[0], *(self.moving or ())], self.moving)
        return System(self.n, subspace, [], [], self.sample, self.moving, self.complete, subspace.vector())


class Ceu(CertifiedAlgorithm):
    """An influence-function step; each release adds the step that a random linear term of the objective causes.

    K. Wu, J. Shen, Y. Ning, T. Wang, W. H. Wang, "Certified Edge Unlearning for Graph Neural Networks", KDD 2023
    (equation numbers not checked). In the paper a model is trained on ``L(t) + n lambda / 2 |t|^2 + b . t`` with ``b``
    drawn from ``N(0, sigma^2 I)``, and unlearns by ``t <- t + (H / n + lambda I)^-1 (g_old - g_new) / n``. If the
    objective is strongly convex, ``b`` hides the gradient ``r`` that is left after the step: the result is (epsilon,
    delta) indistinguishable from retraining with ``delta = 1.5 exp(-(sigma epsilon / r)^2 / 2)``, as in C. Guo, T.
    Goldstein, A. Hannun, L. van der Maaten, "Certified Data Removal from Machine Learning Models", ICML 2020.

    Recommenders are not trained with such a random term, so it is added at each release: to first order ``b`` moves the
    minimum by ``-(H / n + lambda I)^-1 b / n``, with the Hessian of the last request. This is exact for quadratic
    objectives. Rows that this Hessian does not include move by ``-b / (n lambda)``. ``r`` is measured and summed over
    the requests since the base model; the papers bound it by Lipschitz constants, which are unknown here.

    Differences from ERASE: the step has the paper's sign, and is divided by the number of training examples, not by
    that of the forgotten ones; lambda is added once; the noise enters where the certificate needs it, in the size that
    it needs; and it is on what is released, not on the model that the next request starts from.

    The inherited ``error`` is the sum of the gradient norms ``r``.
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
        """Return the graph distance, and the numbers of examples and negatives, for a case's linear system."""
        hyper = self.hyper
        return Scope(hyper.ceu_k_hops, hyper.ceu_hessian_samples, hyper.ceu_hessian_samples, hyper.influence_negatives)

    def step(self, case: Case, system: System) -> Step:
        """Return the damped Newton step, without noise, and add the gradient norm that it leaves to the sum."""
        hyper, right = self.hyper, system.difference
        x, work = self.newton(case, system, right, hyper.ceu_lambda, hyper.ceu_cg_iterations)
        residual = self.measured(case, system, x, right, hyper.ceu_lambda)
        work["n_gradients"] += 2
        work["certificate"] = {"gradient_residual": residual, "broken": self.count(residual, system, work)}
        self.last = LastSystem(system.n, system.sample, system.moving, system.complete)
        return Step(system.subspace, x, work)

    def memory(self) -> dict[str, Any]:
        """Return the state of the guarantee, and ``last``, from which the last request's Hessian can be computed."""
        return super().memory() | {"last": None if self.last is None else self.last.as_plain()}

    def restore(
        self, state_dict: Mapping[str, torch.Tensor], forgotten: np.ndarray, memory: Mapping[str, Any] | None = None
    ) -> None:
        """Continue from a snapshot, including the state of the guarantee and the last request's Hessian.

        Args:
            state_dict: the model's parameters and buffers.
            forgotten: bool [rows of the log], True for rows that were forgotten when the snapshot was taken.
            memory: what :meth:`memory` returned; ``None`` if there is none.
        """
        super().restore(state_dict, forgotten, memory)
        last = (memory or {}).get("last")
        self.last = None if last is None else LastSystem.of_plain(last)

    def noise(self, checkpoint: int) -> tuple[torch.Tensor | None, dict[str, Any]]:
        """Return how far a random linear term moves the minimum, and entries of the certificate.

        The linear system is solved to a relative residual of 0.001, or for ``ceu_cg_iterations``. Its damping is raised
        if the curvature is not positive.

        Returns:
            A flat vector over all parameters, or ``None`` for no noise; and a dictionary with ``delta``, ``sigma`` and
            ``gradient_residual``, and if there is noise also ``noise_products`` and ``noise_residual``.
        """
        hyper, entries = self.hyper, {"delta": 0.0, "sigma": self.hyper.ceu_sigma, "gradient_residual": self.error}
        if self.error:
            entries["delta"] = min(1.0, 1.5 * math.exp(-0.5 * (hyper.ceu_sigma * hyper.ceu_epsilon / self.error) ** 2))
        if self.last is None or not hyper.ceu_sigma:  # no request has been answered, or sigma is 0
            return None, entries
        tilt = hyper.ceu_sigma * self.normal(checkpoint)
        system = self.last.system(self.model, self.moves(self.model))
        with second_order(self.model):
            product, instead, _ = self.operator(system)
            found = positive_solution(
                product, -system.subspace.narrow(tilt), hyper.ceu_lambda * system.n, 1e-3, hyper.ceu_cg_iterations,
                instead=instead,
            )  # fmt: skip
        if not math.isfinite(found.residual + found.bend):
            self.broken.add("the noise of a release could not be computed: the curvature is not finite")
            return None, entries | {"sigma": 0.0, "delta": 1.0}
        if found.raised:
            self.broken.add("the noise of a release needed a larger lambda than that of the objective")
        entries |= {"noise_products": found.iterations, "noise_residual": found.residual}
        return system.subspace.widen(found.x, -tilt / (hyper.ceu_lambda * system.n)), entries
