"""What every run starts with: the settings, the model's class, the data, and what is to be forgotten."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recbole.config import Config
from recbole.data import create_dataset
from recbole.data.dataset import Dataset
from recbole.evaluator import Views, check_metrics
from recbole.model import get_model
from recbole.scenario.base import Scenario
from recbole.trainer.state import Done, Run, State
from recbole.unlearning.request import Requests
from recbole.unlearning.schedule import checkpoint_sizes

logger = logging.getLogger("recbole")

OF_TRAINING = (
    *("epochs", "train_batch_size", "learning_rate", "weight_decay", "stopping_step", "valid_metric", "eval_step"),
    *("learner", "clip_grad_norm", "enable_amp", "enable_scaler"),
)
"""Settings that configuration files hold for training; a run that does not train leaves them unread."""


@dataclass(frozen=True)
class Setup(Run):
    """A run's settings, data and requests, and the states that it knows.

    Attributes:
        dataset: all of the data, planted rows included, nothing forgotten.
        scenario: what the run is about, open.
        requests: what is to be forgotten, or None.
    """

    dataset: Dataset
    scenario: Scenario
    requests: Requests | None

    @property
    def asked(self) -> Requests:
        """What is to be forgotten, in a run that is about it."""
        if self.requests is None:
            raise ValueError("nothing was read of what is to be forgotten")
        return self.requests

    @property
    def sizes(self) -> list[int]:
        """After how many requests the checkpoints are taken."""
        return checkpoint_sizes(len(self.asked))

    def base(self) -> State:
        """Return the state of the model that requests are put to."""
        return self._state("base", None, self.scenario.names.base())

    def retrained(self, checkpoint: int) -> State:
        """Return the state of the model retrained without what was forgotten by a checkpoint."""
        return self._state("retrained", checkpoint, self.scenario.names.retrained(checkpoint))

    def unlearned(self, algorithm: str, checkpoint: int) -> State:
        """Return the state of an algorithm's model at a checkpoint."""
        last, batch_size = self.sizes[checkpoint] - 1, self.config["unlearning_batchsize"]
        return self._state(
            "unlearned", checkpoint, self.scenario.names.unlearned(algorithm, last, checkpoint, batch_size)
        )

    def _state(self, kind: str, checkpoint: int | None, name: str) -> State:
        rows, done = len(self.dataset.log), None
        forgotten = np.zeros(rows, dtype=bool)
        if checkpoint is not None:
            done = Done(self.asked.sha256, self.sizes[checkpoint])
            forgotten = self.asked.mask(done.count, rows)
        path = Path(self.config["checkpoint_dir"]) / name
        return State(kind, self.dataset, forgotten, done, checkpoint, path, self.scenario.n_planted)

    def view(self, state: State) -> Views:
        """Return the questions of a state's checkpoint, or of nothing forgotten."""
        return self.scenario.view(state.forgotten, state.checkpoint)


def begin(config: Config, scenario: Scenario, forgetting: bool) -> Setup:
    """Read the data and, if ``forgetting``, what is to be forgotten.

    Raises:
        UserError: for anything in the files or settings that cannot be.
    """
    model_class = get_model(config["model"])
    config.bind_model(model_class)
    check_metrics(config)
    check_metrics(config)
    for line in config.warnings:
        logger.warning(line)
    clean = create_dataset(config, model_class.type)
    logger.info(clean)
    dataset = scenario.open(clean)
    requests = scenario.requests() if forgetting else None
    if requests is not None:
        logger.info(requests.report())
    return Setup(config, model_class, dataset, scenario, requests)
