"""One unlearning run's subject: the base, the algorithm with its values, and where its checkpoints are."""

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
    """What an unlearning run is about.

    Attributes:
        setup: the run's data and requests.
        algorithm: its class.
        places: the folders, those of the hyper-parameters included.
        hyper: every hyper-parameter, name to value.
        base: the checkpoint that requests are put to.
        references: checkpoint to a retrained model, its weights left out, and whether it is the base's twin.
        same_epoch: checkpoint to what such a retraining was at the base's selected epoch.
        others: checkpoint to seed to the model retrained from that seed, where distances from it are asked for.
        monolithic: of an ensemble, checkpoint to the one model of all data that was retrained for it.
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
        """SHA-256 of the base's file."""
        return sha256_of_file(self.base.path)

    @property
    def selected_epochs(self) -> dict[str, Any]:
        """The epochs that validation selected: of the base, and of the retrained models by checkpoint."""
        of = {str(at): stored.content.get("epoch") for at, (stored, _) in self.references.items()}
        return {"base": self.base.content.get("epoch"), "retrained": of}

    def state(self, checkpoint: int) -> State:
        """Return the state of the unlearned model at a checkpoint."""
        return self.setup.unlearned(self.algorithm.name, checkpoint, self.places.checkpoints)

    def identity(self, checkpoint: int) -> Identity:
        """Return what makes the unlearned model of a checkpoint."""
        base = self.base.identity or Identity({"foreign": self.base_sha256})
        return self.setup.unlearned_identity(self.state(checkpoint), base, self.base_sha256, self.hyper)

    @property
    def stem(self) -> Path:
        """What the paths of the run's files begin with."""
        names, batch_size = self.setup.scenario.names, self.setup.config["unlearning_batchsize"]
        return self.places.checkpoints / names.unlearning_stem(self.algorithm.name, batch_size)

    def is_complete(self) -> bool:
        """Return whether all checkpoints are there, made by these settings, and no run was interrupted."""
        if self.stem.with_name(f"{self.stem.name}.resume").exists():
            return False
        return all(is_complete(self.state(at).file, self.identity(at)) for at in range(N_CHECKPOINTS))

    def refuse_to_replace(self) -> None:
        """Refuse, before any work, to write over checkpoints of other settings."""
        overwrite = self.setup.config["overwrite"]
        for checkpoint in range(N_CHECKPOINTS):
            state = self.state(checkpoint)
            refuse_to_replace(state.file, state, self.identity(checkpoint), overwrite)

    def found(self) -> "Work":
        """Return the same work where its checkpoints are: under its own values or, alone there, under others.

        Raises:
            UserError: there are none, several variants, or they are of another base.
        """
        own = self.state(LAST).file
        if own.exists():
            self._check(self)
            return self
        above = self.setup.scenario.places
        folders = [above.checkpoints, *sorted(path for path in above.checkpoints.glob("*") if path.is_dir())]
        there = [folder for folder in folders if (folder / own.name).is_file()]
        if not there:
            raise UserError(f"there is no {own}: unlearn first, or look at --variant and --checkpoint_dir")
        if len(there) > 1:
            flags = {folder: _flags(self._settings(folder, above)) or "no flag" for folder in there}
            listed = ", ".join(f"{folder} (select it with {said})" for folder, said in flags.items())
            raise UserError(f"there is no {own}, but there are several with other values: {listed}")
        places = self._settings(there[0], above)
        logger.info("evaluating what is there: %s (%s)", there[0] / own.name, _flags(places) or "no flag")
        variant = replace(self, places=places)
        self._check(variant)
        return variant

    @staticmethod
    def _settings(folder: Path, above: Places) -> Places:
        return above if folder == above.checkpoints else above.with_settings(folder.name)

    def _check(self, variant: "Work") -> None:
        """Refuse checkpoints that were unlearned from another base, data or mask, or by other values than are asked."""
        but = [BUDGET] if variant is self else [BUDGET, *(one.name for one in fields(self.algorithm.Hyper))]
        for checkpoint in range(N_CHECKPOINTS):
            stored = Stored.read(variant.state(checkpoint).file)
            if stored.version == 0 or stored.identity is None:
                continue  # our first version's say no more than what loading compares
            found = stored.differences(variant.identity(checkpoint), but)
            if found:
                raise UserError(
                    f"{stored.path} was made by other settings: {told(found)}; unlearn anew, with --overwrite or under "
                    "another --variant"
                )


def _flags(places: Places) -> str:
    """Return the flags that select a settings folder."""
    parts = [part.rpartition("_") for part in places.settings.split("+") if part]
    return " ".join(f"--{name} {value}" for name, _, value in parts)
