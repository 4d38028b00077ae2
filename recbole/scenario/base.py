"""The base class of scenarios: which data, deletion requests, evaluation and file names a run has."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from recbole.utils import UserError
from recbole.utils.flag import Flag

if TYPE_CHECKING:  # --help reads the flags from this module, so what only a run needs is imported later
    import argparse
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

    from recbole.config import Config
    from recbole.data.dataset import Dataset
    from recbole.data.questions import EvalRows
    from recbole.evaluator import EvalSettings, Probe, Views
    from recbole.evaluator.kinds import Recommender, Reference
    from recbole.scenario.making import Made, Source
    from recbole.trainer import Naming
    from recbole.trainer.state import Run
    from recbole.unlearning.request import Requests

logger = logging.getLogger("recbole")


class Scenario(ABC):
    """One kind of deletion requests: which data, requests, evaluation and file names a run has.

    Each scenario is a subclass in a file of its own in this folder. The constructor gets the settings and calls
    :meth:`settle`, which may derive further settings from them. :meth:`open` then sets the data. Methods and attributes
    that a subclass does not override behave as in the scenario of sensitive items.

    Args:
        config: the run's settings.

    Attributes:
        name: the scenario's name; empty in an abstract class.
        flags: command-line flags that run_recbole.py and unlearn.py accept for this scenario, in addition to those
            that all scenarios share.
        making_flags: command-line flags that make_forget_set.py accepts for this scenario.
        kind: what a request asks to forget: ``rows`` of the log, or an ``attribute`` of users. An unlearning algorithm
            lists the kinds that it can process.
        removes: whether requests remove rows from the data, so that a model can be retrained without these rows.
        plants: whether the scenario injects rows into the data that the base model is trained on.
        probes: names of the evaluations (:class:`~recbole.evaluator.Probe`) at each checkpoint, in addition to utility.
        usual_fraction: the default of ``unlearning_fraction``. ``None`` means that there is no default, and the user
            has to give a fraction.
        config: the run's settings.
        places: the run's folders.
        dataset: the run's data, including injected rows, with nothing forgotten. Set by :meth:`open`.
        listed: bool [n_items], True for the items on the sensitive list; ``None`` without a sensitive category. Set by
            :meth:`open`.
    """

    name: ClassVar[str] = ""
    flags: ClassVar[tuple[Flag, ...]] = ()
    making_flags: ClassVar[tuple[Flag, ...]] = ()
    kind: ClassVar[str] = "rows"
    removes: ClassVar[bool] = True
    plants: ClassVar[bool] = False
    usual_fraction: ClassVar[float | None] = None
    probes: ClassVar[tuple[str, ...]] = ("forgotten", "exposure", "distance")

    def __init__(self, config: Config) -> None:
        from recbole.trainer.places import Places

        self.config = config
        self.settle()
        self.places = Places.of(config)

    # --- settings and names --------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def chosen(cls, config: Config) -> bool:
        """Return whether a run's settings select this scenario."""

    def settle(self) -> None:  # noqa: B027 - most scenarios have nothing to set
        """Derive settings from others, as this scenario requires; called by the constructor.

        Raises:
            UserError: two settings contradict each other.
        """

    def is_asked(self) -> bool:
        """Return whether the user set any of this scenario's flags, on the command line or in a file."""
        return any(flag.key in self.config.asked for flag in self.flags)

    @abstractmethod
    def part_of_names(self) -> str:
        """Return the part of retrained and unlearned models' file names that says what is forgotten."""

    @property
    def names(self) -> Naming:
        """The :class:`~recbole.trainer.Naming` that file names of this run are built from."""
        from recbole.trainer import Naming

        config = self.config
        return Naming(config["model"], config["dataset"], config["seed"], self.part_of_names(), self.plants)

    # --- data and requests ---------------------------------------------------------------------------------------

    def open(self, clean: Dataset) -> Dataset:
        """Set :attr:`dataset` to the run's data (with injected rows, if any) and return it; also set :attr:`listed`.

        Args:
            clean: the data from disk, already filtered, split, and with users and items mapped to ids.

        Raises:
            UserError: a file that the scenario needs is missing, or does not match the data.
        """
        self.dataset = self.planted(clean)
        self.listed = listed_items(self.config, self.dataset)
        return self.dataset

    def planted(self, clean: Dataset) -> Dataset:
        """Return the clean data followed by the rows that the scenario injects; by default the clean data alone."""
        return clean

    @property
    def n_planted(self) -> int:
        """How many rows the scenario injected into the data."""
        return 0

    @abstractmethod
    def requests(self) -> Requests:
        """Return the deletion requests in their fixed order, which retraining and unlearning runs share.

        Raises:
            UserError: the file that lists the requests is missing, or none of its entries is in the data.
        """

    def decides(self) -> Mapping[str, Any]:
        """Return values that an unlearned model depends on in addition to its base model, algorithm and mask.

        Keys and values are plain (JSON) values and are stored in the checkpoint. A run does not reuse a checkpoint that
        has other values.
        """
        return {}

    # --- evaluation and reference models -----------------------------------------------------------------------------

    def view(self, forgotten: np.ndarray, checkpoint: int | None) -> Views:
        """Return the evaluation data of a checkpoint, which is the same for all models.

        Args:
            forgotten: bool [rows of the log], True for the rows that are forgotten at this checkpoint.
            checkpoint: number of the checkpoint, 0 to 3; ``None`` for the data with nothing forgotten.
        """
        from recbole.evaluator import build_views

        seed, asked = self.config["unlearn_sample_selection_seed"], self.test_rows
        return build_views(self.dataset, forgotten, checkpoint, seed, self.listed, self.fake(), asked)

    @cached_property
    def test_rows(self) -> EvalRows:
        """The test rows of the run's data with nothing forgotten.

        The views of all checkpoints share this object, so that results on it are computed once per model.
        """
        return self.dataset.eval_rows("test")

    def questions(self) -> tuple[EvalSettings, list[Probe[Views]]]:
        """Return the settings of the evaluation at a checkpoint, and its probes in the order of their result rows."""
        from recbole.evaluator import EvalSettings, get_probe

        utility = () if self.config["sensitive_eval_only"] else ("utility",)
        return EvalSettings.from_config(self.config), [get_probe(name)() for name in (*utility, *self.probes)]

    def fake(self) -> np.ndarray:
        """Return the ids of the injected users (in session-based recommendation: sessions), int64.

        Evaluation does not count them among the users without a deletion request.
        """
        from recbole.evaluator import NOBODY

        return NOBODY

    def ask(
        self, model: Recommender, beside: Path | None = None, reference: Reference | None = None, /, **about: Any
    ) -> list[dict[str, Any]]:
        """Evaluate a model on data that is the same at every checkpoint, and return rows of the result table.

        By default there is no such evaluation, and the list is empty.

        Args:
            model: any recommender trained on this data.
            beside: path prefix of the files that this evaluation may write; ``None`` writes no file.
            reference: the retrained model to compare with, in rows whose column ``minus`` is set; ``None`` compares
                with no model.
            about: values of columns that all rows get, such as ``model``, ``algorithm`` and ``checkpoint``.
        """
        return []

    def references(self, run: Run, about: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Evaluate further models to compare with, such as one trained without spam, and return their result rows.

        Base, retrained and unlearned models are evaluated elsewhere. By default there are no further models.

        Args:
            run: the settings, and the model's class.
            about: values of columns that all rows of the run get.
        """
        return []

    def tell(self, rows: list[dict[str, Any]]) -> None:  # noqa: B027 - nothing is logged by default
        """Log the values from :meth:`ask` among the result rows of one model. By default nothing is logged."""

    def about(self) -> dict[str, Any]:
        """Return the entries of a run's JSON record that describe the scenario."""
        return {"spam": None}

    # --- making --------------------------------------------------------------------------------------------------

    @classmethod
    def wanted(cls, asked: argparse.Namespace) -> bool:
        """Return whether the arguments of make_forget_set.py select this scenario."""
        return False

    @classmethod
    def make(cls, asked: argparse.Namespace, source: Source) -> Made | None:
        """Write the files that a run of this scenario reads, and print a summary of them.

        Args:
            asked: the arguments of make_forget_set.py.
            source: the clean data, and the fractions and seeds to draw with.

        Returns:
            One of the random samples that were written, for the commands that the program then suggests; ``None`` if
                all samples are empty.

        Raises:
            UserError: the scenario reads no files that make_forget_set.py could write (the default).
        """
        raise UserError(f"make_forget_set.py cannot make files for the scenario '{cls.name}': it needs none")

    def path(self, name: str) -> Path:
        """Return the path of a base or retrained model's checkpoint, given its file name."""
        return self.places.checkpoints / name


def listed_items(config: Config, dataset: Dataset) -> np.ndarray | None:
    """Return which items are on the sensitive list of the run's category.

    Args:
        config: the run's settings; ``sensitive_category`` and ``data_path`` are read.
        dataset: the data whose item ids are used.

    Returns:
        bool [n_items], or ``None`` if the run has no sensitive category.

    Raises:
        UserError: the list is missing, or none of its items is in the data.
    """
    import numpy as np

    from recbole.generators.sensitive_lists import read_sensitive_items

    category = config["sensitive_category"]
    if category is None:
        return None
    ids = dataset.log.vocabulary["item"].ids(read_sensitive_items(config["data_path"], category))
    if not (ids > 0).any():
        raise UserError(
            f"none of the sensitive items of '{category}' is in {dataset.log.name}; check that the category's list has "
            "item ids of this data"
        )
    mask = np.zeros(dataset.n_items, dtype=bool)
    mask[ids[ids > 0]] = True
    logger.info("sensitive category %s: %d of %d listed items are in the data", category, mask.sum(), len(ids))
    return mask
