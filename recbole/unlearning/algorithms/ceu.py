"""CEU (certified edge unlearning): influence-function steps, and noise on the saved models that certifies them."""

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
    """The training examples from which the last request's Hessian was computed, kept to compute its products again.

    Attributes:
        n: number of training examples that were retained.
        sample: ``(batches, weights)``: batches of training examples, and a factor for each batch's summed loss. ``H``
            is the Hessian of the weighted sum, and stands for that of all retained examples.
        moving: batches whose ids select the table rows that the step could change. ``None``: all rows that ``sample``
            reads.
        complete: whether the request's linear system was computed from all retained and all affected examples; False if
            examples were sampled.
    """

    n: int
    sample: tuple[list[Interaction], list[float]]
    moving: list[Interaction] | None
    complete: bool

    def as_plain(self) -> dict[str, Any]:
        """Return the fields as a dictionary of lists, numbers and tensors.

        The dictionary is stored in snapshots, from which an interrupted run continues.
        """
        batches, weights = self.sample
        moving = None if self.moving is None else [batch.interaction for batch in self.moving]
        return {
            "n": self.n, "batches": [batch.interaction for batch in batches], "weights": weights, "moving": moving,
            "complete": self.complete,
        }  # fmt: skip

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> "LastSystem":
        """Create an object from a dictionary that :meth:`as_plain` returned."""
        batches, moving = [Interaction(columns) for columns in plain["batches"]], plain["moving"]
        rows = None if moving is None else [Interaction(columns) for columns in moving]
        return cls(plain["n"], (batches, plain["weights"]), rows, plain["complete"])

    def system(self, model: AbstractRecommender, names: tuple[str, ...]) -> System:
        """Return a linear system with this Hessian, taken at the model's current parameters.

        Only its matrix-vector products may be used: its right-hand side is not computed.

        Args:
            model: the model.
            names: names of the parameters to include.
        """
        subspace = Subspace(model, names, [*self.sample[0], *(self.moving or ())], self.moving)
        return System(self.n, subspace, [], [], self.sample, self.moving, self.complete, subspace.vector())


class Ceu(CertifiedAlgorithm):
    """Certified unlearning: one Newton step per request, and noise on the saved models that hides the step's error.

    K. Wu, J. Shen, Y. Ning, T. Wang, W. H. Wang, "Certified Edge Unlearning for Graph Neural Networks", KDD 2023
    (equation numbers not checked). In the paper the parameters ``t`` minimise ``L(t) + n lambda / 2 |t|^2 + b . t``,
    where ``L`` is the summed loss of ``n`` training examples, and ``b`` is drawn from ``N(0, sigma^2 I)``. Unlearning
    is the step ``t <- t + (H / n + lambda I)^-1 (g_old - g_new) / n``, where ``H`` is the Hessian of ``L``, and
    ``g_old`` and ``g_new`` are the gradients of the affected examples' losses before and after forgetting. If the
    objective is strongly convex, ``b`` hides the gradient that is left after the step, of norm ``r``. The result is
    then (epsilon, delta) indistinguishable from retraining with ``delta = 1.5 exp(-(sigma epsilon / r)^2 / 2)``, as in
    C. Guo, T. Goldstein, A. Hannun, L. van der Maaten, "Certified Data Removal from Machine Learning Models", ICML
    2020.

    Recommenders are not trained with such a random term. Its effect is therefore added as noise to the copy of the
    model that is saved at each checkpoint of the run (a release): to first order ``b`` moves the minimum by ``-(H / n +
    lambda I)^-1 b / n``, with the Hessian of the last request. This is exact for quadratic objectives. Table rows that
    this Hessian does not include move by ``-b / (n lambda)``. The norm ``r`` is measured, and summed over all requests
    so far; the papers bound it by Lipschitz constants, which are unknown here.

    Differences from ERASE's program: the step has the paper's sign, and is divided by the number of training examples,
    not by that of the forgotten ones; lambda is added once; the noise has the place and the size that the certificate
    requires; and it is added to the saved copies, not to the model from which the next request starts.

    Attributes:
        error: sum of the norms ``r`` over all requests so far.
        last: the examples of the last request's Hessian; ``None`` before the first request.
    """

    name = "ceu"
    Hyper = CeuHyper
    hyper: CeuHyper

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        self.last: LastSystem | None = None

    @property
    def epsilon(self) -> float:
        """Epsilon of the (epsilon, delta) guarantee of one saved model."""
        return self.hyper.ceu_epsilon

    def scope(self, case: Case) -> Scope:
        """Return the limits on graph distance, training examples and negatives for the linear system of some requests.

        Args:
            case: the requests that are answered together.
        """
        hyper = self.hyper
        return Scope(hyper.ceu_k_hops, hyper.ceu_hessian_samples, hyper.ceu_hessian_samples, hyper.influence_negatives)

    def step(self, case: Case, system: System) -> Step:
        """Compute the damped Newton step, without noise, and add the norm of the gradient that it leaves to ``error``.

        Args:
            case: the requests that are answered together.
            system: their linear system.

        Raises:
            NotApplied: the time is up, or a value is not finite.
        """
        hyper, right = self.hyper, system.difference
        x, work = self.newton(case, system, right, hyper.ceu_lambda, hyper.ceu_cg_iterations)
        residual = self.measured(case, system, x, right, hyper.ceu_lambda)
        work["n_gradients"] += 2
        work["certificate"] = {"gradient_residual": residual, "broken": self.count(residual, system, work)}
        self.last = LastSystem(system.n, system.sample, system.moving, system.complete)
        return Step(system.subspace, x, work)

    def memory(self) -> dict[str, Any]:
        """Return the state of the guarantee, and ``last``, to be stored in a snapshot of the run."""
        return super().memory() | {"last": None if self.last is None else self.last.as_plain()}

    def restore(
        self, state_dict: Mapping[str, torch.Tensor], forgotten: np.ndarray, memory: Mapping[str, Any] | None = None
    ) -> None:
        """Restore the state that is stored in a snapshot of an interrupted run.

        Args:
            state_dict: the model's parameters and buffers.
            forgotten: bool [rows of the log], True for interactions that were forgotten when the snapshot was taken.
            memory: what :meth:`memory` returned for the snapshot; ``None`` if there is none.
        """
        super().restore(state_dict, forgotten, memory)
        last = (memory or {}).get("last")
        self.last = None if last is None else LastSystem.of_plain(last)

    def noise(self, checkpoint: int) -> tuple[torch.Tensor | None, dict[str, Any]]:
        """Draw the noise for the model that is saved at a checkpoint, and compute figures for its certificate.

        The noise is how far a random linear term of the objective moves the minimum, to first order. It is the solution
        of a linear system, which conjugate gradients solve to a relative residual of 0.001, in at most
        ``ceu_cg_iterations`` iterations. If the Hessian is not positive definite, its damping is raised, and the
        guarantee counts as broken.

        Args:
            checkpoint: number of the checkpoint, from 0; the random numbers depend on it.

        Returns:
            The noise, a flat vector over all parameters, and a dictionary. The noise is ``None`` if no request has been
            answered, sigma is 0, or the curvature is not finite. The dictionary has ``delta`` (1 guarantees nothing),
            ``sigma`` and ``gradient_residual`` (``error``). With noise it also has ``noise_products`` (number of
            matrix-vector products) and ``noise_residual`` (relative residual of the linear system).
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
