"""The file names of checkpoints: ERASE's, in one place."""

import os
from dataclasses import dataclass

from recbole.utils import UserError

_LONGEST = 255
"""Bytes of a file's name, in the usual file systems."""


def _fitting(name, neighbour):
    """Return the name of a checkpoint, for which there is room; ``neighbour`` is how the longest one beside it ends."""
    too_many = len(os.fsencode(f".{name.removesuffix('.pth')}{neighbour}.partial")) - _LONGEST
    if too_many > 0:
        raise UserError(f"{too_many} bytes too long to be a file's name: {name}; shorten the name of the data or model")
    return name


@dataclass(frozen=True)
class Naming:
    """What a run's file names are made of. A name that is too long is refused with a UserError.

    Attributes:
        model, dataset: their names.
        seed: the model's seed.
        fraction: ``unlearning_fraction`` (for spam the poisoning ratio), or None.
        method: ``unlearning_sample_selection_method``, such as ``sensitive_category_horror``; the `short_stem` of a
            forget set of one's own, which has no fraction and no seed.
        forget_set_seed: the seed that picked the forget set; named only when it differs from ``seed``.
        spam: whether the run is about spam.
        n_target_items: number of spam targets.
    """

    model: str
    dataset: str
    seed: int
    fraction: float | None = None
    method: str | None = None
    forget_set_seed: int | None = None
    spam: bool = False
    n_target_items: int = 10

    @classmethod
    def from_config(cls, config):
        """Read the parts from a :class:`~recbole.config.Config`."""
        fraction = config["unlearning_fraction"]
        return cls(
            config["model"],
            config["dataset"],
            config["seed"],
            None if fraction is None else float(fraction),
            config["unlearning_sample_selection_method"],
            config["unlearn_sample_selection_seed"],
            bool(config["spam"]),
            config["n_target_items"],
        )

    @property
    def _run(self):
        return f"model_{self.model}_seed_{self.seed}_dataset_{self.dataset}"

    @property
    def _fraction(self):
        other = self.forget_set_seed is not None and self.forget_set_seed != self.seed
        return f"unlearning_fraction_{self.fraction}" + (f"_forget_seed_{self.forget_set_seed}" if other else "")

    @property
    def _scenario(self):
        """What was forgotten, as it stands in the names of retrained and unlearned models."""
        if self.spam:
            return f"{self._fraction}_n_target_items_{self.n_target_items}"
        draw = "" if self.fraction is None else f"{self._fraction}_"
        return f"{draw}unlearning_sample_selection_method_{self.method}"

    def base(self):
        """Return the name of the model that requests are put to."""
        if self.spam:
            return _fitting(f"{self._run}_{self._scenario}_best.pth", ".resume")
        return _fitting(f"{self._run}_best.pth", ".resume")

    def retrained(self, index):
        """Return the name of the model retrained without what was forgotten by checkpoint ``index``."""
        return _fitting(f"{self._run}_retrain_checkpoint_idx_to_match_{index}_{self._scenario}.pth", ".resume")

    def retrained_best(self):
        """Return the README's name of the retrained model of index 3; for spam it tells the attack, as the base's."""
        return f"{self._run}_{self._scenario}_retrained_best.pth" if self.spam else f"{self._run}_retrained_best.pth"

    def unlearning_stem(self, algorithm):
        """Return what the names of one unlearning run's files begin with."""
        if self.spam:
            return f"{self._run}_{self._scenario}_unlearning_algorithm_{algorithm}"
        return f"{self._run}_unlearning_algorithm_{algorithm}_{self._scenario}"

    def unlearned(self, algorithm, last_request, index, batch_size=1):
        """Return the name of an unlearned checkpoint.

        Args:
            algorithm: its name.
            last_request: zero-based index of the last request that is included.
            index: the checkpoint, 0 to 3.
            batch_size: requests that were forgotten together.
        """
        suffix = f"_bs{batch_size}" if batch_size != 1 else ""
        stem = self.unlearning_stem(algorithm)
        name = f"{stem}_unlearn_epoch_{last_request}_retrain_checkpoint_idx_to_match_{index}{suffix}.pth"
        return _fitting(name, ".json")
