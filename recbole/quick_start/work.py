"""The inputs of an unlearning run: base model, algorithm, hyper-parameters, retrained models and output folders."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from recbole.config.identity import Identity, told
from recbole.quick_start.other_seeds import Others
from recbole.quick_start.setup import Setup
from recbole.quick_start.writing import is_complete
from recbole.trainer.places import Places
from recbole.trainer.state import State
from recbole.trainer.stored import BUDGET, Stored, refuse_to_replace
from recbole.unlearning.algorithm import UnlearningAlgorithm
from recbole.unlearning.schedule import LAST, N_CHECKPOINTS
from recbole.utils import UserError, sha256_of_file

logger = logging.getLogger("recbole")


@dataclass(frozen=True)
class Work:
    """The inputs of an unlearning run. The keys of its dicts are checkpoint numbers, 0 to 3, unless stated otherwise.

    Attributes:
        setup: settings, data and requests of the run.
        algorithm: the class of the unlearning algorithm.
        places: the folders for checkpoints and logs, including the subfolder for the hyper-parameters.
        hyper: dict from the name of a hyper-parameter to its value.
        base: the file of the base model.
        references: dict to (file of the retrained model, whether it differs from the base only in the forgotten rows).
        same_epoch: dict to the file with the retrained model's weights at the base's selected epoch.
        others: nested dict, by checkpoint and then seed, to the file of the model retrained with that seed; empty
            without ``other_seeds``.
        monolithic: in runs of ensembles, dict to the file of the single model retrained on all retained rows.
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

    @cached_property
    def base_sha256(self) -> str:
        """The SHA-256 of the base model's file, in hexadecimal digits."""
        return sha256_of_file(self.base.path)

    @property
    def selected_epochs(self) -> dict[str, Any]:
        """The epochs that validation selected, with the keys ``base`` and ``retrained`` (checkpoint to epoch)."""
        of = {str(at): stored.content.get("epoch") for at, (stored, _) in self.references.items()}
        return {"base": self.base.content.get("epoch"), "retrained": of}

    def state(self, checkpoint: int) -> State:
        """Return the state of the unlearned model at a checkpoint."""
        return self.setup.unlearned(self.algorithm.name, checkpoint, self.places.checkpoints)

    def identity(self, checkpoint: int) -> Identity:
        """Return the settings that determine the unlearned model of a checkpoint."""
        more = {**self.hyper, **self.setup.scenario.decides()}
        base = self.base.identity or Identity({"foreign": self.base_sha256})
        return self.setup.unlearned_identity(self.state(checkpoint), base, self.base_sha256, more)

    @property
    def stem(self) -> Path:
        """The path without suffix with which the paths of all files of the run begin."""
        names, batch_size = self.setup.scenario.names, self.setup.config["unlearning_batchsize"]
        return self.places.checkpoints / names.unlearning_stem(self.algorithm.name, batch_size)

    def is_complete(self) -> bool:
        """Return whether all checkpoints exist with these settings, and no snapshot of an interrupted run exists."""
        if self.stem.with_name(f"{self.stem.name}.resume").exists():
            return False
        return all(is_complete(self.state(at).file, self.identity(at)) for at in range(N_CHECKPOINTS))

    def refuse_to_replace(self) -> None:
        """Raise a UserError, before any work, if checkpoints with other settings would be overwritten."""
        overwrite = self.setup.config["overwrite"]
        for checkpoint in range(N_CHECKPOINTS):
            state = self.state(checkpoint)
            refuse_to_replace(state.file, state, self.identity(checkpoint), overwrite)

    def found(self) -> "Work":
        """Find the existing checkpoints for ``eval_only``, and return this object with their folders.

        The folder of the run's own hyper-parameters is used if it contains checkpoints. Otherwise, if exactly one other
        folder contains checkpoints of this run with other hyper-parameters, that one is used.

        Raises:
            UserError: there are no checkpoints, several folders contain some, or they belong to another base model.
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
        """Raise a UserError if checkpoints have another base, other data, other forgotten rows or other settings."""
        but = [BUDGET] if variant is self else [BUDGET, *(one.name for one in fields(self.algorithm.Hyper))]
        for checkpoint in range(N_CHECKPOINTS):
            stored = Stored.read(variant.state(checkpoint).file)
            if stored.version == 0 or stored.identity is None:
                continue  # files of the first version contain only what loading compares anyway
            found = stored.differences(variant.identity(checkpoint), but)
            if found:
                raise UserError(
                    f"{stored.path} was made with other settings: {told(found)}; unlearn again, with --overwrite or "
                    "another --variant"
                )


def _flags(places: Places) -> str:
    """Return the command-line flags that select a subfolder of hyper-parameters, as one text."""
    parts = [part.rpartition("_") for part in places.settings.split("+") if part]
    return " ".join(f"--{name} {value}" for name, _, value in parts)
