"""What a scenario is: which data, whose requests, which questions, against which models, under which names."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from recbole.utils import UserError
from recbole.utils.flag import Flag

if TYPE_CHECKING:  # the flags of --help come from here: what only a run needs is imported by the run
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
    """One way in which people come to ask, and what is to be seen of it; a subclass is one file in this folder.

    It is made from the settings, of which :meth:`settle` may set those that follow from others; :meth:`open` gives it
    the data. What it does not say otherwise is as for sensitive items.

    Args:
        config: the run's settings.

    Attributes:
        name: what the scenario is called.
        flags: of run_recbole.py and unlearn.py, beside those that every scenario has.
        making_flags: of make_forget_set.py.
        kind: what its requests name, ``rows`` or ``attribute``; an algorithm says which kinds it serves.
        removes: whether its requests take rows out of the data, so that a model can be retrained without them.
        plants: whether it adds rows to the data that the base model is trained on.
        probes: what is asked at each checkpoint, beside utility.
        usual_fraction: the ``unlearning_fraction`` of a run that does not say it; None: it has to.
        places: the run's folders.
        dataset: the run's data, planted rows included, nothing forgotten.
        listed: bool [n_items], the items of the sensitive list, or None without a sensitive category.
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
        """Return whether a run's settings ask for this scenario."""

    def settle(self) -> None:  # noqa: B027 - most scenarios have nothing to set
        """Set the settings that follow from others in this scenario.

        Raises:
            UserError: when two settings contradict each other.
        """

    def is_asked(self) -> bool:
        """Return whether a person said what is to be forgotten."""
        return any(flag.key in self.config.asked for flag in self.flags)

    @abstractmethod
    def part_of_names(self) -> str:
        """Return what the names of retrained and unlearned models say of what is forgotten."""

    @property
    def names(self) -> Naming:
        """What the run's files are called."""
        from recbole.trainer import Naming

        config = self.config
        return Naming(config["model"], config["dataset"], config["seed"], self.part_of_names(), self.plants)

    # --- data and requests ---------------------------------------------------------------------------------------

    def open(self, clean: Dataset) -> Dataset:
        """Return the run's data.

        Args:
            clean: what is on disk, filtered, numbered and split.

        Raises:
            UserError: when what the scenario adds or looks for is missing or does not fit.
        """
        self.dataset = self.planted(clean)
        self.listed = listed_items(self.config, self.dataset)
        return self.dataset

    def planted(self, clean: Dataset) -> Dataset:
        """Return the clean data and, after them, the rows that the scenario plants."""
        return clean

    @property
    def n_planted(self) -> int:
        """How many rows the scenario planted."""
        return 0

    @abstractmethod
    def requests(self) -> Requests:
        """Return what is to be forgotten, in the order that all programs share.

        Raises:
            UserError: when there is no such file, or nothing of it is in the data.
        """

    def decides(self) -> Mapping[str, Any]:
        """Return what makes an unlearned model beside base, algorithm and mask, plain values."""
        return {}

    # --- questions and references --------------------------------------------------------------------------------

    def view(self, forgotten: np.ndarray, checkpoint: int | None) -> Views:
        """Return the questions of a checkpoint (bool [rows] is forgotten by then), or of nothing forgotten (None)."""
        from recbole.evaluator import build_views

        seed, asked = self.config["unlearn_sample_selection_seed"], self.test_rows
        return build_views(self.dataset, forgotten, checkpoint, seed, self.listed, self.fake(), asked)

    @cached_property
    def test_rows(self) -> EvalRows:
        """The test rows of the run's data, nothing forgotten: one object, which the views of all checkpoints share."""
        return self.dataset.eval_rows("test")

    def questions(self) -> tuple[EvalSettings, list[Probe[Views]]]:
        """Return the settings of an evaluation, and the probes in the order of their result rows."""
        from recbole.evaluator import EvalSettings, get_probe

        utility = () if self.config["sensitive_eval_only"] else ("utility",)
        return EvalSettings.from_config(self.config), [get_probe(name)() for name in (*utility, *self.probes)]

    def fake(self) -> np.ndarray:
        """Return the planted users (or sessions), int64: none of them counts among other people."""
        from recbole.evaluator import NOBODY

        return NOBODY

    def ask(
        self, model: Recommender, beside: Path | None = None, reference: Reference | None = None, /, **about: Any
    ) -> list[dict[str, Any]]:
        """Put to a model the questions that are the same at every checkpoint, and return rows of the result table.

        Args:
            model: any recommender of this data.
            beside: what the paths begin with of files that are written of it, if any are.
            reference: the retrained model to be compared with, in rows with ``minus``, or None.
            about: columns of the rows: ``model``, ``algorithm``, ``checkpoint``.
        """
        return []

    def references(self, run: Run, about: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of models other than base, retrained and unlearned that stand for comparison.

        Args:
            run: settings and the model's class.
            about: columns that all rows of the run have.
        """
        return []

    def tell(self, rows: list[dict[str, Any]]) -> None:  # noqa: B027 - nothing is told by default
        """Log what the rows of one model say of :meth:`ask`'s questions."""

    def about(self) -> dict[str, Any]:
        """Return what a run's record says of the scenario."""
        return {"spam": None}

    # --- making --------------------------------------------------------------------------------------------------

    @classmethod
    def wanted(cls, asked: argparse.Namespace) -> bool:
        """Return whether the arguments of make_forget_set.py ask for this scenario."""
        return False

    @classmethod
    def make(cls, asked: argparse.Namespace, source: Source) -> Made | None:
        """Write and tell what a run of this scenario reads; return what the next commands are about."""
        raise UserError(f"there is nothing to be made for the scenario '{cls.name}'")

    def path(self, name: str) -> Path:
        """Return the path of a base or retrained model's checkpoint by its name."""
        return self.places.checkpoints / name


def listed_items(config: Config, dataset: Dataset) -> np.ndarray | None:
    """Return which items are on the sensitive list of the run's category, bool [n_items]; None without a category.

    Raises:
        UserError: there is no such list, or none of its items is in the data.
    """
    import numpy as np

    from recbole.generators.sensitive_lists import read_sensitive_items

    category = config["sensitive_category"]
    if category is None:
        return None
    ids = dataset.log.vocabulary["item"].ids(read_sensitive_items(config["data_path"], category))
    if not (ids > 0).any():
        raise UserError(f"none of the sensitive items of '{category}' is in {dataset.log.name}; look at the id spaces")
    mask = np.zeros(dataset.n_items, dtype=bool)
    mask[ids[ids > 0]] = True
    logger.info("sensitive category %s: %d of %d listed items are in the data", category, mask.sum(), len(ids))
    return mask
