"""The base class of scenarios: a scenario defines the data, deletion requests, evaluation and file names of a run."""

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
    """An experimental setting: who requests to forget what, and which data, evaluation and file names a run has.

    Each scenario is a subclass in a file of its own in this folder. The constructor gets the settings and calls
    :meth:`settle`, which may derive further settings from them. :meth:`open` then sets the data. The defaults of this
    class suit requests of users to forget interactions, as in :class:`~recbole.scenario.sensitive.Sensitive`.

    An unlearning run applies the requests one after another to the base model, and saves and evaluates the model at
    four checkpoints, numbered 0 to 3: after about a quarter, half, three quarters and all of the requests.

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
        probes: names of the evaluations (:class:`~recbole.evaluator.Probe`) at each checkpoint, in addition to utility,
            that is, to the ranking metrics on the test data.
        usual_fraction: the default of ``unlearning_fraction``. ``None`` means that there is no default, and the user
            has to give a fraction.
        config: the run's settings.
        places: the run's folders for checkpoints and logs.
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
        """Return whether the settings of a run (of run_recbole.py or unlearn.py) select this scenario."""

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
        """Return the part of file names of retrained and unlearned models that says what is forgotten."""

    @property
    def names(self) -> Naming:
        """The object that builds the file names of this run's models (:class:`~recbole.trainer.Naming`)."""
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
        """Number of rows (interactions) that the scenario injected into the data."""
        return 0

    @abstractmethod
    def requests(self) -> Requests:
        """Return the deletion requests in their fixed order, which retraining and unlearning runs share.

        Raises:
            UserError: the file that lists the requests is missing, or none of its entries is in the data.
        """

    def decides(self) -> Mapping[str, Any]:
        """Return values that an unlearned model depends on in addition to base model, algorithm and forgotten rows.

        They are JSON values with names, and are stored in the checkpoint of the unlearned model. A run does not reuse a
        checkpoint that has other values. By default there are no such values.
        """
        return {}

    # --- evaluation and reference models -----------------------------------------------------------------------------

    def view(self, forgotten: np.ndarray, checkpoint: int | None) -> Views:
        """Return the evaluation data of a checkpoint, which is the same for base, unlearned and retrained models.

        Args:
            forgotten: bool [rows of the log], True for the rows that are forgotten at this checkpoint.
            checkpoint: number of the checkpoint, 0 to 3 (see the class); ``None`` before any request.
        """
        from recbole.evaluator import build_views

        seed, asked = self.config["unlearn_sample_selection_seed"], self.test_rows
        return build_views(self.dataset, forgotten, checkpoint, seed, self.listed, self.fake(), asked)

    @cached_property
    def test_rows(self) -> EvalRows:
        """The test rows of the run's data with nothing forgotten: each is one ranking to evaluate.

        The evaluation data of all checkpoints (:meth:`view`) share this object, so that a model is evaluated on it only
        once.
        """
        return self.dataset.eval_rows("test")

    def questions(self) -> tuple[EvalSettings, list[Probe[Views]]]:
        """Return the settings for evaluating a checkpoint, and the probes in the order in which they write their rows.

        A probe is a part of the evaluation, such as the metrics of utility or those of the forgotten interactions.

        With ``sensitive_eval_only``, the ranking metrics on the test data are left out.
        """
        from recbole.evaluator import EvalSettings, get_probe

        utility = () if self.config["sensitive_eval_only"] else ("utility",)
        return EvalSettings.from_config(self.config), [get_probe(name)() for name in (*utility, *self.probes)]

    def fake(self) -> np.ndarray:
        """Return the ids of injected fake users (in session-based recommendation: sessions), int64; none by default.

        Evaluation does not count them among the users without a deletion request.
        """
        from recbole.evaluator import NOBODY

        return NOBODY

    def ask(
        self, model: Recommender, beside: Path | None = None, reference: Reference | None = None, /, **about: Any
    ) -> list[dict[str, Any]]:
        """Evaluate a model on data that is the same at every checkpoint, and return rows of the result table.

        By default there is no such evaluation, and the list is empty. A row is a dict from column name to value.

        Args:
            model: any recommender trained on this data.
            beside: path prefix of the files that this evaluation may write; ``None`` writes no file.
            reference: the retrained model. If it is given, further rows hold the model's value minus that of the
                retrained model; their column ``minus`` is ``retrained``.
            about: values of columns that all rows get, such as ``model``, ``algorithm`` and ``checkpoint``.
        """
        return []

    def references(self, run: Run, about: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Evaluate further models to compare with, such as one trained without spam, and return their result rows.

        Base, retrained and unlearned models are evaluated elsewhere. By default there are no further models.

        Args:
            run: the settings, and the model's class.
            about: column name to value, for columns that all result rows of the run get.
        """
        return []

    def tell(self, rows: list[dict[str, Any]]) -> None:  # noqa: B027 - nothing is logged by default
        """Log the results of :meth:`ask`, given all result rows of one model. By default nothing is logged."""

    def about(self) -> dict[str, Any]:
        """Return entries that describe the scenario in a run's JSON record; by default only ``spam``, with None."""
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
            source: the data to sample from, and the fractions and seeds of the random samples.

        Returns:
            One of the samples that were written, for the commands that the program then suggests; ``None`` if all
                samples are empty.

        Raises:
            UserError: the scenario reads no files that make_forget_set.py could write (the default).
        """
        raise UserError(f"make_forget_set.py cannot make files for the scenario '{cls.name}': it needs none")

    def path(self, name: str) -> Path:
        """Return the path of a base or retrained model's checkpoint, given its file name."""
        return self.places.checkpoints / name


def listed_items(config: Config, dataset: Dataset) -> np.ndarray | None:
    """Return which items are on the list of sensitive items of the run's category.

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
