"""What CEU and IDEA share: steps without noise whose error is measured, and noise on what is let out."""

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
    "the objective is the losses with damping as their regularisation; what requests leave over adds up, and so do "
    "the epsilons and deltas of all releases since a request (basic composition)"
)
LEAST_SECRET = 16
"""Bytes of a ``--release_secret``."""


class CertifiedAlgorithm(InfluenceAlgorithm):
    """An influence method whose guarantee rests on noise.

    The model itself takes steps without noise, from one request to the next, and :meth:`error` adds up how far they
    may be from retraining. Noise is added to a copy when a model is let out, at each of the four checkpoints
    (:meth:`release`). Were the noise a part of the model, every request would start from the last one's, and the next
    step would be measured from there: errors and noise would drive each other up.

    A request that is answered before checkpoint ``j`` shows in the releases ``j`` to ``c``: what they tell of it
    composes, and the certificate of release ``c`` says so for every earlier checkpoint. The noise is keyed by (seed,
    algorithm, checkpoint), so that runs can be repeated: whoever knows the seed can take it off. ``--release_secret``
    keys it by a file's bytes instead, for use outside of a benchmark (torch's generator is no cryptographic one).

    Attributes:
        error: the errors of all requests since the base model, summed; what of, says the algorithm.
        broken: which assumptions of the guarantee did not hold for a request.
        deltas: of the releases so far, by checkpoint.
    """

    certifies: ClassVar[bool] = True

    def __init__(self, config: Config, model: AbstractRecommender, dataset: Dataset) -> None:
        super().__init__(config, model, dataset)
        self.secret = _secret(config["release_secret"])
        self.error = 0.0
        self.broken: set[str] = set()
        self.deltas: dict[int, float] = {}

    def forget(self, requests: Sequence[Request], deadline: Deadline) -> Outcome:
        """Answer requests as every influence method does; one that fails stays in the model, whatever the noise."""
        outcome = super().forget(requests, deadline)
        if outcome.status in ("timeout", "diverged"):
            self.broken.add("a request timed out or diverged: the model holds what it asked to forget")
        return outcome

    def measured(self, case: Case, system: System, x: torch.Tensor, right: torch.Tensor, damping: float) -> float:
        """Return :meth:`System.residual`.

        Raises:
            NotApplied: when it is not finite, or time is up.
        """
        case.check_time("before the certificate")
        residual = system.residual(x, right, damping)
        if not np.isfinite(residual):
            raise NotApplied("diverged", "the gradient where the step ends is not finite")
        return residual

    def count(self, error: float, system: System, work: dict[str, Any]) -> list[str]:
        """Add a request's error, and return which assumptions do not hold for it.

        Args:
            error: the request's.
            system: the request's.
            work: of :meth:`newton`.
        """
        fails = {
            "the loss is not convex in the parameters": not self.model.convex,
            "the curvature is not the Hessian's, or raised": work["curvature"] != "hessian" or work["raised"],
            "gradient, curvature and residual are estimated from a sample": not system.complete,
            "negatives are drawn": self.bench.negatives.times > 0,
            "max_norm may cut the step": self.hyper.max_norm is not None,
        }
        self.error += error
        broken = [reason for reason, applies in fails.items() if applies]
        self.broken.update(broken)
        return broken

    def memory(self) -> dict[str, Any]:
        """Return what the guarantee goes by."""
        return {"error": self.error, "broken": sorted(self.broken), "deltas": dict(self.deltas)}

    def restore(
        self, state_dict: Mapping[str, torch.Tensor], forgotten: np.ndarray, memory: Mapping[str, Any] | None = None
    ) -> None:
        """Take up a snapshot, with what the guarantee goes by."""
        super().restore(state_dict, forgotten, memory)
        if memory:
            self.error, self.broken = memory["error"], set(memory["broken"])
            self.deltas = dict(memory["deltas"])

    @property
    @abstractmethod
    def epsilon(self) -> float | None:
        """Epsilon of one release; None where none is given, and nothing is certified."""

    @abstractmethod
    def noise(self, checkpoint: int) -> tuple[torch.Tensor | None, dict[str, Any]]:
        """Return what is added to the model at a checkpoint, and the certificate's ``sigma``, ``delta`` and the like.

        The noise is flat, over the whole tables of all parameters; None where there is none.
        """

    def release(self, checkpoint: int) -> dict[str, Any]:
        """Return a copy of the model with noise, and its ``certificate``; the model stays as it is."""
        released = super().release(checkpoint)
        noise, told = self.noise(checkpoint)
        if noise is not None:
            subspace = Subspace(self.model)
            parts = dict(zip(subspace.names, subspace.unflatten(noise), strict=True))
            released["state_dict"] = {
                name: value.detach() + parts[name] if name in parts else value
                for name, value in released["state_dict"].items()
            }
        self.deltas[checkpoint] = told["delta"]
        return released | {"certificate": self._certificate(checkpoint, told)}

    def _certificate(self, checkpoint: int, told: dict[str, Any]) -> dict[str, Any]:
        since = {
            at: [self.deltas[later] for later in range(at, checkpoint + 1) if later in self.deltas]
            for at in range(checkpoint + 1)
        }
        epsilon = self.epsilon
        fails = {
            "no epsilon is given: nothing is certified": epsilon is None,
            "epsilon is above 1, where the Gaussian mechanism is not proved": epsilon is not None and epsilon > 1,
            "delta is 1: the noise hides nothing": not told["delta"] < 1,
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
            "epsilon": epsilon, **told, "composed": composed, "secret": self.secret is not None,
            "holds": not broken, "broken": broken, "assumed": ASSUMED,
        }  # fmt: skip

    def normal(self, checkpoint: int) -> torch.Tensor:
        """Return standard normal noise over all parameters, flat, from the checkpoint's stream."""
        seed = torch_seed(self.config["seed"], "release", self.name, checkpoint)
        if self.secret is not None:
            key = hashlib.sha256(b"%s|%s|%d" % (self.secret, self.name.encode(), checkpoint)).digest()
            seed = int.from_bytes(key[:8], "big") >> 1
        return normal(Subspace(self.model), seed)


def _secret(path: str | None) -> bytes | None:
    """Return a secret file's bytes, None without one."""
    if path is None:
        return None
    try:
        secret = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"--release_secret: {path} cannot be read: {error.strerror}") from None
    if len(secret) < LEAST_SECRET:
        raise UserError(f"--release_secret: {path} holds {len(secret)} bytes; {LEAST_SECRET} or more are a secret")
    return secret
