"""Which data a model is of: a state is a value, and training, loading and saving are functions of it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import recbole
from recbole.config import Config
from recbole.config.identity import Identity, deciding
from recbole.config.plain import plain
from recbole.data.dataset import Dataset
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.utils.distributed import world_size


@dataclass(frozen=True)
class Done:
    """Which requests a model has forgotten.

    Attributes:
        sha256: of the file that the requests are from.
        count: how many of them, in their order.
    """

    sha256: str
    count: int

    def described(self) -> dict[str, Any]:
        """Return it as metadata name it."""
        return {"forget_set_sha256": self.sha256, "requests_done": self.count}


@dataclass(frozen=True)
class State:
    """Which data a model is of.

    Attributes:
        kind: ``base``, ``retrained``, ``unlearned`` or ``clean``; ``shard`` of a part of an ensemble.
        dataset: what the model was given at the start, nothing forgotten; rows that a scenario planted stand last.
        forgotten: bool [rows], which of them it has forgotten since.
        done: the requests that this follows from; None where nobody asked.
        checkpoint: which of the stops of an unlearning run this is, 0 to 3, or None.
        path: its file; None where nothing is saved.
        n_planted: how many of the rows, the last ones, a scenario planted.
    """

    kind: str
    dataset: Dataset
    forgotten: np.ndarray = field(repr=False)
    done: Done | None = None
    checkpoint: int | None = None
    path: Path | None = None
    n_planted: int = 0

    @property
    def file(self) -> Path:
        """Its file, where it has to have one."""
        if self.path is None:
            raise ValueError(f"a {self.kind} state without a file is neither saved nor read")
        return self.path

    @property
    def data(self) -> Dataset:
        """The data that it is of: its rows under its mask."""
        return self.dataset.masked(self.forgotten.copy())  # to forget there changes nothing here

    @property
    def planted(self) -> np.ndarray:
        """Bool [rows], those that a scenario planted."""
        rows = len(self.dataset.log)
        return np.arange(rows) >= rows - self.n_planted

    @property
    def mask(self) -> dict[str, Any] | None:
        """What metadata say of its mask: the forget set's SHA-256 and the requests done; None where nobody asked."""
        return None if self.done is None else self.done.described()

    @property
    def mask_digest(self) -> str | None:
        """SHA-256 of which rows it has forgotten, in hexadecimal digits; None where it has forgotten nothing."""
        if not self.forgotten.any():
            return None
        return hashlib.sha256(np.packbits(self.forgotten).tobytes()).hexdigest()

    def meta(self, identity: Identity) -> dict[str, Any]:
        """Return what its checkpoint says of itself."""
        return {
            "kind": self.kind,
            "dataset": self.dataset.log.fingerprint,
            "mask": self.mask,
            "settings": dict(identity.settings),
            "digest": identity.digest,
            "results_version": recbole.RESULTS_VERSION,
        }


@dataclass(frozen=True)
class Run:
    """What the states of a run have in common.

    Attributes:
        config: the settings, bound to the model's class.
        model_class: the recommender.
    """

    config: Config
    model_class: type[AbstractRecommender]

    def identity(self, state: State) -> Identity:
        """Return what makes the trained model of a state: settings, data, mask."""
        config, shared = self.config, world_size() > 1 and not self.model_class.loss_of_examples
        settings = deciding(config.as_dict(), config["model"], config.undeclared)
        more = {"dataset": state.dataset.log.fingerprint, "mask": state.mask_digest}
        return Identity(settings | more | ({"processes": world_size()} if shared else {}))

    def unlearned_identity(self, state: State, base: Identity, base_sha256: str, hyper: Mapping[str, Any]) -> Identity:
        """Return what makes an unlearned model of a state.

        Args:
            state: the model's.
            base: the model that the requests were put to, and the SHA-256 of its file.
            base_sha256: of the base's file.
            hyper: every hyper-parameter of the algorithm, and what else the scenario says.
        """
        config = self.config
        return Identity({
            "base": base.digest, "base_sha256": base_sha256, "algorithm": config["unlearning_algorithm"],
            "unlearning_batchsize": config["unlearning_batchsize"], "max_training_hours": config["max_training_hours"],
            "seed": config["seed"], "dataset": state.dataset.log.fingerprint, "mask": state.mask_digest, **plain(hyper),
        })  # fmt: skip
