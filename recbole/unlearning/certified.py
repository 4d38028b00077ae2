"""The base class of CEU and IDEA, which measure the error of each step and add noise to saved copies of the model."""

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from recbole.config import Config
from recbole.data import Dataset
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.unlearning.case import Case
from recbole.unlearning.influence import InfluenceAlgorithm
from recbole.unlearning.noise import normal
from recbole.unlearning.outcome import NotApplied, Outcome
from recbole.unlearning.request import Request
from recbole.unlearning.second_order.subspace import Subspace
from recbole.unlearning.system import System
from recbole.utils import UserError, torch_seed
from recbole.utils.deadline import Deadline

ASSUMED = (
    "the training objective is the loss with damping as its regularisation; the errors of requests add up, and so do "
    "the epsilons and deltas of all releases since a request (basic composition)"
)
LEAST_SECRET = 16
"""Smallest number of bytes in a ``--release_secret`` file."""


class CertifiedAlgorithm(InfluenceAlgorithm):
    """Base class of influence-function algorithms that certify unlearning by noise on the released copies of a model.

    A copy of the model is released (saved in a file) at each of the four checkpoints, which are points in the sequence
    of requests. Noise is added to this copy only (:meth:`release`). The model itself is updated without noise, from one
    request to the next, and :attr:`error` sums up how far each update may be from retraining. If the model itself were
    noisy, every request would start from the noise of the previous ones, and errors and noise would amplify each other.

    A request that is answered before checkpoint ``j`` affects all releases from ``j`` on, and their epsilons and deltas
    add up. The certificate of a release states these sums for each checkpoint ``j`` up to its own.

    The noise is generated from (seed, algorithm, checkpoint), so that runs are reproducible. Anyone who knows the seed
    can therefore subtract the noise. For use outside of a benchmark, the option ``--release_secret`` names a file with
    secret bytes, from which the noise is generated instead. Even so, torch's random generator is not cryptographically
    secure.

    Attributes:
        secret: bytes of the ``--release_secret`` file; ``None`` without one.
        error: sum over all requests so far of a number that bounds the error of the request's step. Subclasses define
            this number.
        broken: assumptions of the guarantee that are violated, as text. The guarantee holds only if there are none.
        deltas: checkpoint number (from 0) to the delta of its release, for all releases so far.
    """

    certifies: ClassVar[bool] = True

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        self.secret = _secret(config["release_secret"])
        self.error = 0.0
        self.broken: set[str] = set()
        self.deltas: dict[int, float] = {}

    def forget(self, requests: Sequence[Request], deadline: Deadline) -> Outcome:
        """Mark the requests' rows (interactions) as forgotten, then compute and apply the parameter update.

        If this times out or diverges, the guarantee no longer holds, because the model still depends on these rows.
        """
        outcome = super().forget(requests, deadline)
        if outcome.status in ("timeout", "diverged"):
            self.broken.add("a request timed out or diverged: the model still holds its data")
        return outcome

    def measured(self, case: Case, system: System, x: torch.Tensor, right: torch.Tensor, damping: float) -> float:
        """Return an upper bound on the norm of the retained objective's gradient after a step.

        The objective is the summed training loss of all examples that are not forgotten, plus the damping term, see
        :meth:`System.residual <recbole.unlearning.system.System.residual>`. A norm of 0 would mean that the parameters
        after the step are a stationary point of what retraining minimises.

        Args:
            case: the requests.
            system: the requests' linear system, which the step solves.
            x: the step, a flat vector (float [number of parameters]).
            right: right-hand side of the system, a flat vector.
            damping: number that is added to the diagonal of the mean loss's Hessian.

        Raises:
            NotApplied: the norm is not finite (``diverged``), or the time is up (``timeout``).
        """
        case.check_time("before the certificate")
        residual = system.residual(x, right, damping)
        if not np.isfinite(residual):
            raise NotApplied("diverged", "the gradient where the step ends is not finite")
        return residual

    def count(self, error: float, system: System, work: dict[str, Any]) -> list[str]:
        """Add the error of a step to :attr:`error`, and return the assumptions of the guarantee that the step violates.

        Args:
            error: the number that bounds the error of the step, as the subclass defines it.
            system: the linear system that the step solves.
            work: the figures about the solution that :meth:`newton` returned.

        Returns:
            The violated assumptions, as text; they are also added to :attr:`broken`.
        """
        fails = {
            "the loss is not convex in the parameters": not self.model.convex,
            "the Hessian was replaced, or its damping raised": work["curvature"] != "hessian" or work["raised"],
            "gradient, curvature and residual are estimated from a sample": not system.complete,
            "negatives are drawn": self.bench.negatives.times > 0,
            "max_norm may cut the step": self.hyper.max_norm is not None,
        }
        self.error += error
        broken = [reason for reason, applies in fails.items() if applies]
        self.broken.update(broken)
        return broken

    def memory(self) -> dict[str, Any]:
        """Return the attributes ``error``, ``broken`` (as a sorted list) and ``deltas``, to be saved in a snapshot."""
        return {"error": self.error, "broken": sorted(self.broken), "deltas": dict(self.deltas)}

    def restore(
        self, state_dict: Mapping[str, torch.Tensor], forgotten: np.ndarray, memory: Mapping[str, Any] | None = None
    ) -> None:
        """Continue an interrupted run: restore the model, the mask of forgotten rows and the state of the guarantee.

        Args:
            state_dict: the model's parameters and buffers when the snapshot was taken.
            forgotten: bool [rows of the log], True for the rows (interactions) that were forgotten at that time.
            memory: what :meth:`memory` returned at that time; with ``None`` the state of the guarantee stays as it is.
        """
        super().restore(state_dict, forgotten, memory)
        if memory:
            self.error, self.broken = memory["error"], set(memory["broken"])
            self.deltas = dict(memory["deltas"])

    @property
    @abstractmethod
    def epsilon(self) -> float | None:
        """Epsilon of the guarantee for one released copy; ``None`` if it was not set, so that nothing is certified."""

    @abstractmethod
    def noise(self, checkpoint: int) -> tuple[torch.Tensor | None, dict[str, Any]]:
        """Return the noise to add to the released copy of the model at a checkpoint, and entries of its certificate.

        Args:
            checkpoint: number of the checkpoint, from 0.

        Returns:
            The noise, a flat vector over all trained parameters, or ``None`` for no noise; and a dictionary with
            ``delta`` (of the guarantee for this release), ``sigma`` (the standard deviation of the noise, as the
            algorithm defines it) and further figures of the algorithm.
        """

    def release(self, checkpoint: int) -> dict[str, Any]:
        """Return a copy of the model with noise, and its certificate. The model itself does not change.

        Args:
            checkpoint: number of the checkpoint, from 0.

        Returns:
            ``state_dict``, ``other_parameter`` and ``certificate``, see :meth:`UnlearningAlgorithm.release`.
        """
        released = super().release(checkpoint)
        noise, entries = self.noise(checkpoint)
        if noise is not None:
            subspace = Subspace(self.model)
            parts = dict(zip(subspace.names, subspace.unflatten(noise), strict=True))
            released["state_dict"] = {
                name: value.detach() + parts[name] if name in parts else value
                for name, value in released["state_dict"].items()
            }
        self.deltas[checkpoint] = entries["delta"]
        return released | {"certificate": self._certificate(checkpoint, entries)}

    def _certificate(self, checkpoint: int, entries: dict[str, Any]) -> dict[str, Any]:
        """Return the certificate of a released copy as JSON values, given the entries that :meth:`noise` returned.

        Besides these entries it has ``epsilon``; ``composed`` (for each checkpoint up to this one: number of releases
        since then, and sums of their epsilons and deltas); ``secret`` (whether a secret file was used); ``holds``
        (whether the guarantee holds); ``broken`` (why not, as texts); and ``assumed`` (assumptions never checked).
        """
        since = {
            at: [self.deltas[later] for later in range(at, checkpoint + 1) if later in self.deltas]
            for at in range(checkpoint + 1)
        }
        epsilon = self.epsilon
        fails = {
            "no epsilon is given: nothing is certified": epsilon is None,
            "epsilon is above 1, for which the Gaussian mechanism is not proved": epsilon is not None and epsilon > 1,
            "delta is 1: the noise hides nothing": not entries["delta"] < 1,
        }
        broken = sorted(self.broken | {reason for reason, applies in fails.items() if applies})
        composed = {
            at: {
                "releases": len(all_),
                "epsilon": None if epsilon is None else len(all_) * epsilon,
                "delta": min(1.0, sum(all_)),
            }
            for at, all_ in since.items()
        }
        return {
            "epsilon": epsilon, **entries, "composed": composed, "secret": self.secret is not None,
            "holds": not broken, "broken": broken, "assumed": ASSUMED,
        }  # fmt: skip

    def normal(self, checkpoint: int) -> torch.Tensor:
        """Return standard normal noise for a checkpoint, a flat vector over all trained parameters, reproducibly."""
        seed = torch_seed(self.config["seed"], "release", self.name, checkpoint)
        if self.secret is not None:
            key = hashlib.sha256(b"%s|%s|%d" % (self.secret, self.name.encode(), checkpoint)).digest()
            seed = int.from_bytes(key[:8], "big") >> 1
        return normal(Subspace(self.model), seed)


def _secret(path: str | None) -> bytes | None:
    """Return the bytes of the ``--release_secret`` file, or ``None`` if no path is given.

    Raises:
        UserError: the file cannot be read, or has fewer than 16 bytes.
    """
    if path is None:
        return None
    try:
        secret = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"--release_secret: {path} cannot be read: {error.strerror}") from None
    if len(secret) < LEAST_SECRET:
        raise UserError(f"--release_secret: {path} holds {len(secret)} bytes; {LEAST_SECRET} or more are needed")
    return secret
