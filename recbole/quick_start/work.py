"""What an unlearning run works with: base model, algorithm, hyper-parameters, retrained models and output folders."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from recbole.config import Config
from recbole.config.identity import Identity, canonical, told
from recbole.quick_start.other_seeds import Others
from recbole.quick_start.presets import preset_values
from recbole.quick_start.setup import Setup
from recbole.quick_start.writing import is_complete
from recbole.scenario.base import Scenario
from recbole.trainer.learn import load
from recbole.trainer.places import Places, settings_name
from recbole.trainer.state import State
from recbole.trainer.stored import BUDGET, Stored, refuse_to_replace
from recbole.unlearning.algorithm import UnlearningAlgorithm
from recbole.unlearning.schedule import LAST, N_CHECKPOINTS
from recbole.utils import UserError

logger = logging.getLogger("recbole")


def places_of(
    config: Config, scenario: Scenario, algorithm: type[UnlearningAlgorithm]
) -> tuple[Places, dict[str, Any]]:
    """Return the folders for the unlearned models, and all hyper-parameters of the algorithm, name to value.

    With hyper-parameters that differ from the defaults, or with a preset, the folders are subfolders named after them.

    Raises:
        UserError: a hyper-parameter is out of bounds.
    """
    defaults = {one.name: one.default for one in fields(algorithm.Hyper)}
    hyper = asdict(algorithm.Hyper.of(config))
    preset = config["preset"]
    usual = defaults | ({} if preset is None else preset_values(preset, algorithm.name, config["model"]))
    other = {name: value for name, value in hyper.items() if canonical(value) != canonical(usual[name])}
    return scenario.places.with_settings(settings_name(other, preset)), hyper


@dataclass(frozen=True)
class Work:
    """What an unlearning run works with.

    The run saves a model at four checkpoints, numbered 0 to 3: after about a quarter, a half, three quarters and all of
    the deletion requests. A retrained model of a checkpoint is trained without the interactions forgotten by then.
    Files are given as :class:`Stored`, that is, with their path and content.

    Attributes:
        setup: settings, data and requests of the run.
        algorithm: the class of the unlearning algorithm.
        places: the folders for the run's files, including a subfolder for hyper-parameters other than the defaults.
        hyper: dict from the name of each hyper-parameter of the algorithm to its value.
        base: the file of the base model.
        references: dict from the checkpoint number to a pair: the file of the retrained model, and whether the model
            was trained exactly like the base model except for the forgotten interactions (True, False or ``unknown``).
            Checkpoints without a retrained model are missing.
        same_epoch: dict from the checkpoint number to the file with the retrained model's weights in the epoch that
            validation selected for the base model. Checkpoints without this file are missing.
        others: nested dict from the checkpoint number and then the seed to the file of the model that was retrained
            with this seed; empty without the setting ``other_seeds``.
        monolithic: dict from the checkpoint number to the file of a single model retrained without shards; empty if the
            run has no ensemble.
    """

    setup: Setup
    algorithm: type[UnlearningAlgorithm]
    places: Places
    hyper: Mapping[str, Any]
    base: Stored
    references: Mapping[int, tuple[Stored, bool | str]] = field(default_factory=dict)
    same_epoch: Mapping[int, Stored] = field(default_factory=dict)
    others: Others = field(default_factory=dict)
    monolithic: Mapping[int, Stored] = field(default_factory=dict)

    @property
    def selected_epochs(self) -> dict[str, Any]:
        """The epochs (from 0) that validation selected.

        A dict with two keys: ``base`` with the epoch of the base model, and ``retrained`` with a dict from the number
        of a checkpoint (as text) to the epoch of its retrained model. An epoch is None if the file does not have it.
        """
        of = {str(at): stored.content.get("epoch") for at, (stored, _) in self.references.items()}
        return {"base": self.base.content.get("epoch"), "retrained": of}

    def state(self, checkpoint: int) -> State:
        """Return which interactions the unlearned model of a checkpoint (0 to 3) has forgotten, and its file."""
        return self.setup.unlearned(self.algorithm.name, checkpoint, self.places.checkpoints)

    def identity(self, checkpoint: int) -> Identity:
        """Return all that determines the unlearned model of a checkpoint (0 to 3).

        This is the base model, the algorithm with its hyper-parameters, the seed, the data and the forgotten
        interactions.
        """
        more = {**self.hyper, **self.setup.scenario.decides()}
        base = self.base.identity or Identity({"foreign": self.base.sha256})
        return self.setup.unlearned_identity(self.state(checkpoint), base, self.base.sha256, more)

    @property
    def stem(self) -> Path:
        """The path with which the paths of all checkpoint and snapshot files of the run begin."""
        names, batch_size = self.setup.scenario.names, self.setup.config["unlearning_batchsize"]
        return self.places.checkpoints / names.unlearning_stem(self.algorithm.name, batch_size)

    def begun(self) -> UnlearningAlgorithm:
        """Read the base model's parameters into a new model, and return the algorithm that is to change this model.

        Raises:
            UserError: the algorithm does not apply to the model, or a hyper-parameter is invalid.
        """
        base = self.setup.base()
        return self.algorithm(self.setup.config, load(self.setup, base, self.base), base.data)

    def is_complete(self) -> bool:
        """Return whether a run with the same settings has already completed: the models of all checkpoints exist.

        A snapshot shows that the run was interrupted, so the answer is then False.
        """
        if self.stem.with_name(f"{self.stem.name}.resume").exists():
            return False
        return all(is_complete(self.state(at).file, self.identity(at)) for at in range(N_CHECKPOINTS))

    def refuse_to_replace(self) -> None:
        """Raise a UserError, before any work, if the run would overwrite models that have other settings.

        With the setting ``overwrite`` this is allowed.
        """
        overwrite = self.setup.config["overwrite"]
        for checkpoint in range(N_CHECKPOINTS):
            state = self.state(checkpoint)
            refuse_to_replace(state.file, state, self.identity(checkpoint), overwrite)

    def found(self) -> "Work":
        """Find the models of an earlier run, which ``eval_only`` evaluates again.

        They are looked for in the folder for this run's hyper-parameters. If it does not contain them, exactly one of
        the folders for other hyper-parameters has to contain them.

        Returns:
            This object; or a copy whose :attr:`places` are the folders for the other hyper-parameters.

        Raises:
            UserError: no folder or several contain the models; or the models have another base model, other data,
                other forgotten interactions or other settings.
        """
        own = self.state(LAST).file
        if own.exists():
            self._check(self)
            return self
        above = self.setup.scenario.places
        folders = [above.checkpoints, *sorted(path for path in above.checkpoints.glob("*") if path.is_dir())]
        there = [folder for folder in folders if (folder / own.name).is_file()]
        if not there:
            raise UserError(f"there is no {own}: unlearn first, or check --variant and --checkpoint_dir")
        if len(there) > 1:
            flags = {folder: _flags(self._settings(folder, above)) or "no flag" for folder in there}
            listed = ", ".join(f"{folder} (select it with {said})" for folder, said in flags.items())
            raise UserError(f"there is no {own}, but there are several with other hyper-parameters: {listed}")
        places = self._settings(there[0], above)
        logger.info("evaluating existing checkpoints: %s (%s)", there[0] / own.name, _flags(places) or "no flag")
        variant = replace(self, places=places)
        self._check(variant)
        return variant

    @staticmethod
    def _settings(folder: Path, above: Places) -> Places:
        return above if folder == above.checkpoints else above.with_settings(folder.name)

    def _check(self, variant: "Work") -> None:
        """Check that existing models are those that this run would make. The time budget may differ.

        Args:
            variant: this object, or a copy with the folders for other hyper-parameters, which may then differ too.

        Raises:
            UserError: a model has another base model, other data, other forgotten interactions or other settings.
        """
        but = [BUDGET] if variant is self else [BUDGET, *(one.name for one in fields(self.algorithm.Hyper))]
        for checkpoint in range(N_CHECKPOINTS):
            stored = Stored.read(variant.state(checkpoint).file)
            if stored.version == 0 or stored.identity is None:
                continue  # old files contain only settings that loading has compared already
            found = stored.differences(variant.identity(checkpoint), but)
            if found:
                raise UserError(
                    f"{stored.path} was made with other settings: {told(found)}; unlearn again, with --overwrite or "
                    "another --variant"
                )


def _flags(places: Places) -> str:
    """Return, as one text, the command-line flags that set the hyper-parameters in the name of a subfolder.

    Args:
        places: the folders; in their attribute ``settings`` is the subfolder's name, such as ``damping_0.5``.
    """
    parts = [part.rpartition("_") for part in places.settings.split("+") if part]
    return " ".join(f"--{name} {value}" for name, _, value in parts)
