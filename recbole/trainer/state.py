"""States: a :class:`State` says on which data a model is trained, what it has forgotten, and where it is stored.

The functions that train, load and save a model take a state as argument.
"""

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
    """Which deletion requests a model has processed.

    Attributes:
        sha256: SHA-256 (hexadecimal) of the forget-set file that the requests come from.
        count: number of processed requests. Requests have a fixed order, so these are the first ``count`` ones.
    """

    sha256: str
    count: int

    def described(self) -> dict[str, Any]:
        """Return the metadata for a checkpoint file, with the keys ``forget_set_sha256`` and ``requests_done``."""
        return {"forget_set_sha256": self.sha256, "requests_done": self.count}


@dataclass(frozen=True)
class State:
    """On which data a model is trained, which interactions it has forgotten, and in which file it is stored.

    Attributes:
        kind: what the model is: ``base``, ``retrained``, ``retrained_same_epoch`` (the retrained model's weights at the
            epoch that was best for the base), ``unlearned`` or ``clean`` (trained without spam). Ensembles have
            further kinds, such as ``shard`` (one of the ensemble's models).
        dataset: the data before anything is forgotten. If a scenario injects interactions (spam), they are the last
            rows of the interaction log.
        forgotten: bool [log rows], the mask: True for interactions that the model has forgotten.
        done: the deletion requests that led to this mask; None if there were no requests.
        checkpoint: number (0 to 3) of the point in the sequence of requests; None for a model that belongs to none.
        path: the model's file; None if the model is not saved.
        n_planted: number of injected rows at the end of the log.
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
        """The model's file.

        Raises:
            ValueError: the state has no file.
        """
        if self.path is None:
            raise ValueError(f"a {self.kind} state without a file is neither saved nor read")
        return self.path

    @property
    def data(self) -> Dataset:
        """The data without the forgotten interactions: a data set with the state's mask."""
        return self.dataset.masked(self.forgotten.copy())  # a copy: later deletions from it do not change this state

    @property
    def planted(self) -> np.ndarray:
        """Bool [log rows], True for the rows that a scenario injected (spam)."""
        rows = len(self.dataset.log)
        return np.arange(rows) >= rows - self.n_planted

    @property
    def mask(self) -> dict[str, Any] | None:
        """The metadata of the mask, from :meth:`Done.described`; None if there were no requests."""
        return None if self.done is None else self.done.described()

    @property
    def mask_digest(self) -> str | None:
        """SHA-256 (hexadecimal) of the mask, packed to one bit per log row; None if no row is forgotten."""
        if not self.forgotten.any():
            return None
        return hashlib.sha256(np.packbits(self.forgotten).tobytes()).hexdigest()

    def meta(self, identity: Identity) -> dict[str, Any]:
        """Return the metadata that the model's checkpoint file stores under the key ``meta``: a dict of plain values.

        Args:
            identity: everything that determines the model (:meth:`Run.identity`).
        """
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
    """The settings and model class that all states of a run share.

    Attributes:
        config: the configuration for this model class.
        model_class: class of the recommender.
    """

    config: Config
    model_class: type[AbstractRecommender]

    def identity(self, state: State) -> Identity:
        """Return the settings, data and mask that determine the parameters of a model trained for a state."""
        config, shared = self.config, world_size() > 1 and not self.model_class.loss_of_examples
        settings = deciding(config.as_dict(), config["model"], config.undeclared)
        more = {"dataset": state.dataset.log.fingerprint, "mask": state.mask_digest}
        return Identity(settings | more | ({"processes": world_size()} if shared else {}))

    def unlearned_identity(self, state: State, base: Identity, base_sha256: str, hyper: Mapping[str, Any]) -> Identity:
        """Return everything that determines an unlearned model's parameters: base model, algorithm, settings and mask.

        Args:
            state: the state of the unlearned model.
            base: identity of the base model, to which the requests were applied.
            base_sha256: SHA-256 of the base model's file.
            hyper: all hyper-parameters of the unlearning algorithm, and further settings of the scenario.
        """
        config = self.config
        return Identity({
            "base": base.digest, "base_sha256": base_sha256, "algorithm": config["unlearning_algorithm"],
            "unlearning_batchsize": config["unlearning_batchsize"], "max_training_hours": config["max_training_hours"],
            "seed": config["seed"], "dataset": state.dataset.log.fingerprint, "mask": state.mask_digest, **plain(hyper),
        })  # fmt: skip
