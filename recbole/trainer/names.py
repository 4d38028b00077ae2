"""The file names of checkpoints: ERASE's, in one place."""

import os
from dataclasses import dataclass

from recbole.utils import UserError

_LONGEST = 255
"""Bytes of a file's name, in the usual file systems."""


def _fitting(name: str, neighbour: str) -> str:
    """Return the name of a checkpoint, for which there is room; ``neighbour`` is how the longest one beside it ends."""
    too_many = len(os.fsencode(f"{name.removesuffix('.pth')}{neighbour}")) - _LONGEST
    if too_many > 0:
        raise UserError(f"{too_many} bytes too long to be a file's name: {name}; shorten the name of the data or model")
    return name


def draw_part(fraction: float | None, seed: int, forget_set_seed: int | None) -> str:
    """Return how a name tells the draw of what is forgotten: its fraction, and its seed where it is not the model's."""
    other = forget_set_seed is not None and forget_set_seed != seed
    return f"unlearning_fraction_{fraction}" + (f"_forget_seed_{forget_set_seed}" if other else "")


@dataclass(frozen=True)
class Naming:
    """What a run's file names are made of. A name that is too long is refused with a UserError.

    Attributes:
        model, dataset: their names.
        seed: the model's seed.
        scenario: the part that says what is forgotten, as the scenario spells it.
        planted: whether the scenario plants rows, so that its base model is another than that of the clean data.
    """

    model: str
    dataset: str
    seed: int
    scenario: str
    planted: bool = False

    @property
    def _run(self) -> str:
        return f"model_{self.model}_seed_{self.seed}_dataset_{self.dataset}"

    @property
    def _data(self) -> str:
        return f"{self._run}_{self.scenario}" if self.planted else self._run

    def base(self) -> str:
        """Return the name of the model that requests are put to."""
        return _fitting(f"{self._data}_best.pth", ".resume")

    def retrained(self, index: int) -> str:
        """Return the name of the model retrained without what was forgotten by checkpoint ``index``."""
        return _fitting(f"{self._run}_retrain_checkpoint_idx_to_match_{index}_{self.scenario}.pth", ".resume")

    def retrained_same_epoch(self, index: int) -> str:
        """Return the name of the weights that a retraining had at the base's selected epoch."""
        name = self.retrained(index).removesuffix(".pth")
        return _fitting(f"{name}_same_epoch.pth", ".json")

    def retrained_best(self) -> str:
        """Return the README's name of the last retrained model; with planted rows it tells the scenario too."""
        return f"{self._data}_retrained_best.pth"

    def unlearning_stem(self, algorithm: str, batch_size: int = 1) -> str:
        """Return what the names of one unlearning run's files begin with; the batch size ends those of its own."""
        of = f"unlearning_algorithm_{algorithm}"
        stem = f"{self._data}_{of}" if self.planted else f"{self._run}_{of}_{self.scenario}"
        return stem + _batches(batch_size)

    def unlearned(self, algorithm: str, last_request: int, index: int, batch_size: int = 1) -> str:
        """Return the name of an unlearned checkpoint.

        Args:
            algorithm: its name.
            last_request: zero-based index of the last request that is included.
            index: the checkpoint, 0 to 3.
            batch_size: requests that were forgotten together.
        """
        at = f"unlearn_epoch_{last_request}_retrain_checkpoint_idx_to_match_{index}{_batches(batch_size)}"
        return _fitting(f"{self.unlearning_stem(algorithm)}_{at}.pth", ".json")


def _batches(size: int) -> str:
    return f"_bs{size}" if size != 1 else ""
