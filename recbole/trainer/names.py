"""File names of checkpoints, the same as in ERASE."""

import os
from dataclasses import dataclass

from recbole.utils import UserError

_LONGEST = 255
"""Largest length in bytes of a file name in common file systems."""


def _fitting(name: str, neighbour: str) -> str:
    """Return a file name unchanged, after checking that the file and the one written next to it have possible names.

    Args:
        name: the file name, ending with ``.pth``.
        neighbour: the suffix of the other file, which replaces ``.pth``.

    Raises:
        UserError: the other file's name is longer than 255 bytes.
    """
    too_many = len(os.fsencode(f"{name.removesuffix('.pth')}{neighbour}")) - _LONGEST
    if too_many > 0:
        raise UserError(
            f"{too_many} bytes too long to be a file's name: {name}; shorten the name of the data set or model"
        )
    return name


def draw_part(fraction: float | None, seed: int, forget_set_seed: int | None) -> str:
    """Return the part of a file name that says how large a forget set is and with which seed it was drawn.

    The seed is left out if it is the model's seed.

    Args:
        fraction: the fraction of interactions to forget, as given on the command line.
        seed: the model's seed.
        forget_set_seed: the seed that selected the forget set; None if it is the model's seed.
    """
    other = forget_set_seed is not None and forget_set_seed != seed
    return f"unlearning_fraction_{fraction}" + (f"_forget_seed_{forget_set_seed}" if other else "")


@dataclass(frozen=True)
class Naming:
    """Builds the file names of a run. Names that are too long for a file system raise a UserError.

    Attributes:
        model, dataset: names of the model and the data set.
        seed: the model's seed.
        scenario: the part of the names that says what is forgotten; each scenario (kind of deletion requests) defines
            its own.
        planted: whether the scenario injects interactions (spam), so that the base model is not that of the clean data.
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
        """Return the file name of the base model, to which requests are applied."""
        return _fitting(f"{self._data}_best.pth", ".resume")

    def retrained(self, index: int) -> str:
        """Return the file name of the model retrained without the rows forgotten by checkpoint ``index`` (0 to 3)."""
        return _fitting(f"{self._run}_retrain_checkpoint_idx_to_match_{index}_{self.scenario}.pth", ".resume")

    def retrained_same_epoch(self, index: int) -> str:
        """Return the file name of a retrained model's weights at the epoch that was best for the base model.

        ``index`` is the number of the checkpoint, 0 to 3.
        """
        name = self.retrained(index).removesuffix(".pth")
        return _fitting(f"{name}_same_epoch.pth", ".json")

    def retrained_best(self) -> str:
        """Return the file name that ERASE's README uses for the model retrained for the last checkpoint.

        It contains no checkpoint number. If the scenario injects interactions, it contains the scenario's part.
        """
        return f"{self._data}_retrained_best.pth"

    def unlearning_stem(self, algorithm: str, batch_size: int = 1) -> str:
        """Return the common prefix of the file names of one unlearning run.

        Args:
            algorithm: name of the unlearning algorithm.
            batch_size: number of requests that are processed together; it is part of the prefix unless it is 1.
        """
        of = f"unlearning_algorithm_{algorithm}"
        stem = f"{self._data}_{of}" if self.planted else f"{self._run}_{of}_{self.scenario}"
        return stem + _batches(batch_size)

    def unlearned(self, algorithm: str, last_request: int, index: int, batch_size: int = 1) -> str:
        """Return the file name of an unlearned checkpoint.

        Args:
            algorithm: name of the unlearning algorithm.
            last_request: index (from 0) of the last processed request.
            index: number of the checkpoint, 0 to 3.
            batch_size: number of requests that are processed together.
        """
        at = f"unlearn_epoch_{last_request}_retrain_checkpoint_idx_to_match_{index}{_batches(batch_size)}"
        return _fitting(f"{self.unlearning_stem(algorithm)}_{at}.pth", ".json")


def _batches(size: int) -> str:
    return f"_bs{size}" if size != 1 else ""
