"""Which data a model is of: a state is a value, and training, loading and saving are functions of it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recbole.config import Config
from recbole.data.dataset import Dataset
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.trainer.resume import fingerprint

UNSTORED = ("show_progress", "state", "eval_only", "sensitive_eval_only", "hf_model_path", "hf_cache_dir", "gpu_id",
            "forget_set")  # fmt: skip
"""Settings that change nothing in a model, so that a killed run may go on under others; of a forget set its stem and
content tell, wherever it lies."""


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
        kind: ``base``, ``retrained``, ``unlearned`` or ``clean``.
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
        return self.dataset.masked(self.forgotten)

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
    def meta(self) -> dict[str, Any]:
        """What its checkpoint says of itself."""
        return {"kind": self.kind, "dataset": self.dataset.log.fingerprint, "mask": self.mask}


@dataclass(frozen=True)
class Run:
    """What the states of a run have in common.

    Attributes:
        config: the settings, bound to the model's class.
        model_class: the recommender.
    """

    config: Config
    model_class: type[AbstractRecommender]

    def identity(self, dataset: Dataset, **more: Any) -> str:
        """Return the fingerprint of a piece of work: the settings, the data, and what else decides its result."""
        config = {key: value for key, value in self.config.as_dict().items() if key not in UNSTORED}
        return fingerprint(config=config, data=dataset.log.fingerprint, **more)
