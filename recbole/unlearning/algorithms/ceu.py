"""CEU (certified edge unlearning): influence-function steps, with noise on releases that certifies them."""

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
    """Hyper-parameters of the algorithm ``ceu``; the help text of each field describes it."""

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
    """The examples of the last request's Hessian, from which its products can be computed again.

    Attributes:
        n: number of training examples that were retained.
        sample: ``(batches, weights)`` of the examples in the Hessian, which represent all retained ones.
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
        """Return the object for a dictionary that :meth:`as_plain` returned."""
        batches, moving = [Interaction(columns) for columns in plain["batches"]], plain["moving"]
        rows = None if moving is None else [Interaction(columns) for columns in moving]
        return cls(plain["n"], (batches, plain["weights"]), rows, plain["complete"])

    def system(self, model: AbstractRecommender, names: tuple[str, ...]) -> System:
        """Return a linear system with this Hessian at the model's current parameters, without a right-hand side.

        Args:
            model: the model.
            names: names of the parameters to include.
        """
        subspace = Subspace(model, names, [*self.sample[0], *(self.moving or ())], self.moving)
        return System(self.n, subspace, [], [], self.sample, self.moving, self.complete, subspace.vector())


class Ceu(CertifiedAlgorithm):
    """An influence-function step; releases get the noise that a random linear term in the objective would cause.

    K. Wu, J. Shen, Y. Ning, T. Wang, W. H. Wang, "Certified Edge Unlearning for Graph Neural Networks", KDD 2023
    (equation numbers not checked). In the paper the parameters ``t`` minimise ``L(t) + n lambda / 2 |t|^2 + b . t``
    with ``b`` drawn from ``N(0, sigma^2 I)``. Unlearning is ``t <- t + (H / n + lambda I)^-1 (g_old - g_new) / n``. If
    the objective is strongly convex, ``b`` hides the gradient that is left after the step, of norm ``r``: the result is
    (epsilon, delta) indistinguishable from retraining with ``delta = 1.5 exp(-(sigma epsilon / r)^2 / 2)``, as in C.
    Guo, T. Goldstein, A. Hannun, L. van der Maaten, "Certified Data Removal from Machine Learning Models", ICML 2020.

    Recommenders are not trained with such a random term, so it is added at each release: to first order ``b`` moves the
    minimum by ``-(H / n + lambda I)^-1 b / n``, with the Hessian of the last request. This is exact for quadratic
    objectives. Rows that this Hessian does not include move by ``-b / (n lambda)``. ``r`` is measured and summed over
    the requests since the base model; the papers bound it by Lipschitz constants, which are unknown here.

    Differences from ERASE: the step has the paper's sign, and is divided by the number of training examples, not by
    that of the forgotten ones; lambda is added once; the noise is placed and scaled as the certificate requires; and it
    is added to the released copies, not to the model from which the next request starts.

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
        """Epsilon of the (epsilon, delta) guarantee of one release."""
        return self.hyper.ceu_epsilon

    def scope(self, case: Case) -> Scope:
        """Return the limits on examples and negatives for a case's linear system."""
        hyper = self.hyper
        return Scope(hyper.ceu_k_hops, hyper.ceu_hessian_samples, hyper.ceu_hessian_samples, hyper.influence_negatives)

    def step(self, case: Case, system: System) -> Step:
        """Return the damped Newton step, without noise, and add the remaining gradient norm to the sum ``error``."""
        hyper, right = self.hyper, system.difference
        x, work = self.newton(case, system, right, hyper.ceu_lambda, hyper.ceu_cg_iterations)
        residual = self.measured(case, system, x, right, hyper.ceu_lambda)
        work["n_gradients"] += 2
        work["certificate"] = {"gradient_residual": residual, "broken": self.count(residual, system, work)}
        self.last = LastSystem(system.n, system.sample, system.moving, system.complete)
        return Step(system.subspace, x, work)

    def memory(self) -> dict[str, Any]:
        """Return the guarantee's state and ``last``, the examples of the last request's Hessian, for a snapshot."""
        return super().memory() | {"last": None if self.last is None else self.last.as_plain()}

    def restore(
        self, state_dict: Mapping[str, torch.Tensor], forgotten: np.ndarray, memory: Mapping[str, Any] | None = None
    ) -> None:
        """Restore the state of a snapshot, including that of the guarantee and the last request's Hessian.

        Args:
            state_dict: the model's parameters and buffers.
            forgotten: bool [rows of the log], True for rows that were forgotten when the snapshot was taken.
            memory: what :meth:`memory` returned; ``None`` if there is none.
        """
        super().restore(state_dict, forgotten, memory)
        last = (memory or {}).get("last")
        self.last = None if last is None else LastSystem.of_plain(last)

    def noise(self, checkpoint: int) -> tuple[torch.Tensor | None, dict[str, Any]]:
        """Return the noise of a release, and entries of its certificate.

        The noise is how far a random linear term of the objective moves the minimum, to first order.

        Its linear system is solved to a relative residual of 0.001, in at most ``ceu_cg_iterations`` iterations. The
        damping is raised if the curvature is not positive.

        Returns:
            The noise, a flat vector over all parameters, or ``None`` for no noise; and a dictionary with ``delta``,
            ``sigma`` and ``gradient_residual``. With noise it also has ``noise_products`` (number of matrix-vector
            products) and ``noise_residual`` (relative residual).
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
