"""The start of every run: reads the data and the deletion requests, and says which models the run has."""

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
"""Settings that only training reads. Runs that train no model do not warn that these settings have no effect."""


@dataclass(frozen=True)
class Setup(Run):
    """A run's settings, data and deletion requests.

    Its methods :meth:`base`, :meth:`retrained` and :meth:`unlearned` return a :class:`State` for each model of a run:
    on which interactions it is trained, which ones it has forgotten, and in which file it is stored.

    An unlearning run saves a model at four checkpoints, numbered 0 to 3: after about a quarter, a half, three quarters
    and all of the deletion requests.

    Attributes:
        dataset: the complete data, including injected spam, with no interaction forgotten.
        scenario: what the requests ask to forget (sensitive items, spam, a user attribute), and the files that list it.
        requests: the deletion requests in the order in which they are processed; None in a run that forgets nothing.
    """

    dataset: Dataset
    scenario: Scenario
    requests: Requests | None

    @property
    def asked(self) -> Requests:
        """The deletion requests.

        Raises:
            ValueError: the run forgets nothing, so no requests were read.
        """
        if self.requests is None:
            raise ValueError("this run has read no deletion requests")
        return self.requests

    @property
    def sizes(self) -> list[int]:
        """The numbers of requests after which the four checkpoints are saved, ascending."""
        return checkpoint_sizes(len(self.asked))

    def base(self) -> State:
        """Return the state (forgotten interactions, file) of the base model: trained on all data, nothing forgotten."""
        return self._state("base", None, self.scenario.names.base())

    def retrained(self, checkpoint: int) -> State:
        """Return the state (forgotten interactions, file) of the retrained model of a checkpoint (0 to 3).

        It is trained without the interactions that the requests before this checkpoint forget.
        """
        return self._state("retrained", checkpoint, self.scenario.names.retrained(checkpoint))

    def retrained_same_epoch(self, checkpoint: int) -> State:
        """Return the state (forgotten interactions, file) of the retrained model of a checkpoint, in another epoch.

        The file contains the weights that this model had in the epoch that validation selected for the base model.
        """
        name = self.scenario.names.retrained_same_epoch(checkpoint)
        return self._state("retrained_same_epoch", checkpoint, name)

    def unlearned(self, algorithm: str, checkpoint: int, folder: Path | None = None) -> State:
        """Return the state (forgotten interactions, file) of the unlearned model at a checkpoint.

        Args:
            algorithm: the name of the unlearning algorithm.
            checkpoint: 0 to 3.
            folder: the folder of the model's file; None for the folder of base models.
        """
        last, batch_size = self.sizes[checkpoint] - 1, self.config["unlearning_batchsize"]
        name = self.scenario.names.unlearned(algorithm, last, checkpoint, batch_size)
        return self._state("unlearned", checkpoint, name, folder)

    def about(self, identity: Identity | None, places: Places | None = None, version: int | None = None) -> Row:
        """Return the columns that all result rows of a model share: data set, model class, seed, scenario, settings.

        Args:
            identity: the settings, data and forgotten interactions that determine the model's parameters; None if
                unknown. The column ``settings`` gets the first digits of their digest.
            places: the folders of the model's files; a subfolder for non-default hyper-parameters appears in the column
                ``settings``. None for a base or retrained model, which has no such subfolder.
            version: ``RESULTS_VERSION`` of the program that wrote the model's file; if it is another than now, it
                appears in the column ``settings``. None if the model was not read from a file.
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
        """Return a key that is stored in the snapshots of a run, from which the run resumes after an interruption.

        A run resumes only from a snapshot with its own key. The key is a digest of everything that the snapshot depends
        on: the model, the program's version, the number of processes, the metrics and list lengths, and ``also``.

        Args:
            identity: the settings, data and forgotten interactions that determine the model's parameters.
            also: the epoch whose weights training saves in addition to the best ones; None for no such epoch.
        """
        config = self.config
        shown = {"metrics": config["metrics"], "topk": config["topk"]}
        return fingerprint(
            digest=identity.digest, version=recbole.__version__, processes=world_size(), also=also, **shown
        )

    def twin(self, base: Identity | None, version: int | None, stored: Stored) -> bool | str:
        """Check that a retrained model was trained exactly like the base model, except for the forgotten interactions.

        Args:
            base: the settings, data and forgotten interactions that determine the base model; None if unknown.
            version: ``RESULTS_VERSION`` of the program that wrote the base model.
            stored: the content of the retrained model's file.

        Returns:
            True if it was; False if not, and the setting ``allow_other_reference`` allows this; ``"unknown"`` if one of
            the two files does not contain the settings.

        Raises:
            UserError: it was not (other settings or another ``RESULTS_VERSION``), and ``allow_other_reference`` is not
                set.
        """
        if base is None or stored.identity is None:
            return "unknown"
        found = stored.differences(base, ("mask",))
        if stored.version != version:
            found.append(("results_version", version, stored.version))
        if found and not self.config["allow_other_reference"]:
            raise UserError(
                f"{stored.path} cannot be compared with the base, whose settings differ: {told(found)}; retrain with "
                "the base's settings, or give --allow_other_reference"
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
        """Return the view of a state: the data on which models with these forgotten interactions are evaluated.

        A view consists of users, their inputs, the candidate items and the relevant items.
        """
        return self.scenario.view(state.forgotten, state.checkpoint)


def first_line(program: str, arguments: Sequence[str], identity: Identity | None) -> str:
    """Return the first line of a run's log: the command, the program's version and the model's digest.

    Args:
        program: the name of the program.
        arguments: the command line, without credentials.
        identity: the settings, data and forgotten interactions that determine the model's parameters, of which the
            line gives the SHA-256; None if unknown.
    """
    made = "unknown" if identity is None else identity.digest
    version = f"erase-bench {recbole.__version__}, results {recbole.RESULTS_VERSION}"
    return f"{program} {shlex.join(arguments)} | {version} | {made}"


def _check_columns(config: Config) -> None:
    """Raise a UserError if the user set the name of the user, item or time column, but ``load_col`` leaves it out."""
    columns = (config["load_col"] or {}).get("inter")
    if not columns or config["MODEL_TYPE"] is ModelType.NEXT_BASKET:
        return
    for key in ("USER_ID_FIELD", "ITEM_ID_FIELD", "TIME_FIELD"):
        if key in config.asked and config[key] not in columns:
            raise UserError(
                f"{key} {config[key]} ({config.where(key)}) is not among the columns in load_col: "
                f"{', '.join(columns)}; add it to load_col"
            )


def begin(config: Config, scenario: Scenario, forgetting: bool) -> Setup:
    """Read the data and the deletion requests of a run, and log a summary of them.

    Args:
        config: the settings. Those that follow from the model's class are set here.
        scenario: what the requests ask to forget, as the settings select it.
        forgetting: whether to read the deletion requests.

    Raises:
        UserError: a file cannot be read, or a setting is invalid.
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
        raise UserError("--sensitive_eval_only needs --sensitive_category, which lists the items to count")
    requests = scenario.requests() if forgetting else None
    if requests is not None:
        logger.info(requests.report())
    if config["ensemble"]:
        check_ensemble(config, model_class, dataset)
        model_class = Ensemble
    return Setup(config, model_class, dataset, scenario, requests)
