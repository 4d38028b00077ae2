"""What every run starts with: the settings, the model's class, the data, and what is to be forgotten."""

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import recbole
from recbole.config import Config
from recbole.config.identity import Identity, told
from recbole.data.dataset import Dataset, create_dataset
from recbole.ensemble.model import Ensemble
from recbole.ensemble.partitioning import check_ensemble
from recbole.evaluator import Views, check_metrics
from recbole.evaluator.kinds import Row
from recbole.model import get_model
from recbole.scenario.base import Scenario
from recbole.trainer.places import Places, ensemble_name
from recbole.trainer.resume import fingerprint
from recbole.trainer.state import Done, Run, State
from recbole.trainer.stored import Stored
from recbole.unlearning.request import Requests
from recbole.unlearning.schedule import checkpoint_sizes
from recbole.utils import ModelType, UserError
from recbole.utils.distributed import world_size

logger = logging.getLogger("recbole")

OF_TRAINING = (
    *("epochs", "train_batch_size", "learning_rate", "weight_decay", "stopping_step", "valid_metric", "eval_step"),
    *("learner", "adagrad_accumulator", "clip_grad_norm", "enable_amp", "enable_scaler"),
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

    def retrained_same_epoch(self, checkpoint: int) -> State:
        """Return the state of what such a retraining was at the base's selected epoch."""
        name = self.scenario.names.retrained_same_epoch(checkpoint)
        return self._state("retrained_same_epoch", checkpoint, name)

    def unlearned(self, algorithm: str, checkpoint: int, folder: Path | None = None) -> State:
        """Return the state of an algorithm's model at a checkpoint, in its settings folder."""
        last, batch_size = self.sizes[checkpoint] - 1, self.config["unlearning_batchsize"]
        name = self.scenario.names.unlearned(algorithm, last, checkpoint, batch_size)
        return self._state("unlearned", checkpoint, name, folder)

    def about(self, identity: Identity | None, places: Places | None = None, version: int | None = None) -> Row:
        """Return the columns that every result row of a model has.

        Args:
            identity: what made the model, if that is known.
            places: of the model, for its settings folder.
            version: of its results, where it is read from a file.
        """
        config = self.config
        parts = [places.settings if places else "", identity.shown if identity else "unknown"]
        if version not in (None, recbole.RESULTS_VERSION):
            parts.append(f"(results version {version})")
        return {
            "dataset": config["dataset"],
            "model_class": f"{config['model']}[{ensemble_name(config)}]" if config["ensemble"] else config["model"],
            "seed": config["seed"],
            "scenario": self.scenario.part_of_names() if self.requests is not None or self.scenario.plants else None,
            "settings": " ".join(part for part in parts if part),
        }

    def resume_key(self, identity: Identity, also: int | None = None) -> str:
        """Return what a snapshot must agree with to be gone on from: digest, program, processes, metrics.

        Args:
            identity: what makes the model.
            also: the epoch whose weights training keeps beside the best ones.
        """
        config = self.config
        shown = {"metrics": config["metrics"], "topk": config["topk"]}
        return fingerprint(
            digest=identity.digest, version=recbole.__version__, processes=world_size(), also=also, **shown
        )

    def twin(self, base: Identity | None, version: int | None, stored: Stored) -> bool | str:
        """Return whether a stored retrained model differs from the base in its mask alone; ``unknown`` if not known.

        Args:
            base: what made the base.
            version: of the base's results.
            stored: the retrained model.

        Raises:
            UserError: it does not, or its results are of another version, and ``allow_other_reference`` is not set.
        """
        if base is None or stored.identity is None:
            return "unknown"
        found = stored.differences(base, ("mask",))
        if stored.version != version:
            found.append(("results_version", version, stored.version))
        if found and not self.config["allow_other_reference"]:
            raise UserError(
                f"{stored.path} is no yardstick for the base, which other settings made: {told(found)}; retrain with "
                "the base's settings, or --allow_other_reference"
            )
        return not found

    def _state(self, kind: str, checkpoint: int | None, name: str, folder: Path | None = None) -> State:
        rows, done = len(self.dataset.log), None
        forgotten = np.zeros(rows, dtype=bool)
        if checkpoint is not None:
            done = Done(self.asked.sha256, self.sizes[checkpoint])
            forgotten = self.asked.mask(done.count, rows)
        path = (self.scenario.places.checkpoints if folder is None else folder) / name
        return State(kind, self.dataset, forgotten, done, checkpoint, path, self.scenario.n_planted)

    def view(self, state: State) -> Views:
        """Return the questions of a state's checkpoint, or of nothing forgotten."""
        return self.scenario.view(state.forgotten, state.checkpoint)


def first_line(program: str, arguments: Sequence[str], identity: Identity | None) -> str:
    """Return the first line of a run's log: the command, the program's version and the model's digest."""
    made = "unknown" if identity is None else identity.digest
    version = f"erase-bench {recbole.__version__}, results {recbole.RESULTS_VERSION}"
    return f"{program} {shlex.join(arguments)} | {version} | {made}"


def _check_columns(config: Config) -> None:
    """Refuse a column that a person names and ``load_col`` leaves out."""
    columns = (config["load_col"] or {}).get("inter")
    if not columns or config["MODEL_TYPE"] is ModelType.NEXT_BASKET:
        return
    for key in ("USER_ID_FIELD", "ITEM_ID_FIELD", "TIME_FIELD"):
        if key in config.asked and config[key] not in columns:
            raise UserError(
                f"{key} {config[key]} ({config.where(key)}) is not among the columns that load_col reads: "
                f"{', '.join(columns)}; add it there"
            )


def begin(config: Config, scenario: Scenario, forgetting: bool) -> Setup:
    """Read the data and, if ``forgetting``, what is to be forgotten.

    Raises:
        UserError: for anything in the files or settings that cannot be.
    """
    model_class = get_model(config["model"])
    config.bind_model(model_class)
    check_metrics(config)
    _check_columns(config)
    for line in config.warnings:
        logger.warning(line)
    clean = create_dataset(config, model_class.type)
    logger.info(clean)
    dataset = scenario.open(clean)
    if config["sensitive_eval_only"] and scenario.listed is None:
        raise UserError("--sensitive_eval_only needs --sensitive_category: there is no sensitive item to count")
    requests = scenario.requests() if forgetting else None
    if requests is not None:
        logger.info(requests.report())
    if config["ensemble"]:
        check_ensemble(config, model_class, dataset)
        model_class = Ensemble
    return Setup(config, model_class, dataset, scenario, requests)
