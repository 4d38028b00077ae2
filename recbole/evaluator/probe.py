"""Questions: what a model is asked about a frozen view, and the list of them that makes an evaluation."""

import importlib
import logging
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar

from recbole.evaluator.asked import Asked
from recbole.evaluator.kinds import Recommender, Reference, Row
from recbole.evaluator.settings import EvalSettings
from recbole.evaluator.table import Table

logger = logging.getLogger("recbole")

_MANY_TIED = 0.01
"""A larger share of rows with equal scores across the end of a list is told."""

View = TypeVar("View")
"""The frozen questions of a probe: :class:`~recbole.evaluator.views.Views` or another class of that module."""


class Probe(ABC, Generic[View]):
    """A question: a pure function of a model and a frozen view, that returns rows of the result table.

    To add one, add a file to ``recbole/evaluator/probes/``, and its contract to the tests.

    Attributes:
        name: what it is asked for by.
    """

    name: ClassVar[str]

    @abstractmethod
    def ask(
        self, model: Recommender, view: View, settings: EvalSettings, reference: Reference | None = None
    ) -> list[Row]:
        """Return rows of the result table, what tells of the model (its kind and algorithm) left out.

        Args:
            model: any recommender; it is put in evaluation mode, and its parameters stay as they are. What
                ``Asked.of(model)`` has answered to another question is not computed again.
            view: the questions.
            settings: which metrics, at which list lengths, and how many rows at a time.
            reference: the retrained model to measure the distance from, and its name; None if there is none.
        """


def evaluate(
    model: Recommender,
    view: View,
    settings: EvalSettings,
    probes: Sequence[Probe[View]],
    reference: Reference | None = None,
    /,
    **about: Any,
) -> list[Row]:
    """Put a list of questions to a model: a pure function.

    Args:
        model: any recommender; an :class:`Asked`, if it is asked elsewhere too.
        view: the frozen questions.
        settings: which metrics, at which list lengths, and how many rows at a time.
        probes: the questions, in the order of their rows.
        reference: ``(retrained model, its name)`` to measure the distance from, or None.
        about: columns of every row, ``model``, ``algorithm`` and ``checkpoint``, where a probe does not say itself.

    Returns:
        Rows of the result table, a list of dictionaries.
    """
    table = Table(**about)
    asked = Asked.of(model)
    if reference is not None:
        reference = Reference(*reference)
        reference = reference._replace(model=Asked.of(reference.model))
    for probe in probes:
        table.extend(probe.ask(asked, view, settings, reference))
    share, place = asked.tied
    if share > _MANY_TIED and not asked.told:
        asked.told = True
        logger.info(
            "%s model: in %.0f %% of the rows several items share place %d of the list; a hash of tokens orders them",
            about.get("model", "the"), 100 * share, place,
        )  # fmt: skip
    return table.rows


@cache
def _classes() -> dict[str, type[Probe[Any]]]:
    from recbole.evaluator import probes as room

    found: dict[str, type[Probe[Any]]] = {}
    for module in pkgutil.iter_modules(room.__path__):
        path = f"{room.__name__}.{module.name}"
        things = vars(importlib.import_module(path)).values()
        own = [thing for thing in things if isinstance(thing, type) and thing.__module__ == path]
        found.update({cls.name: cls for cls in own if issubclass(cls, Probe) and "name" in vars(cls)})
    return found


def probe_names() -> list[str]:
    """Return the names of all questions, sorted."""
    return sorted(_classes())


def get_probe(name: str) -> type[Probe[Any]]:
    """Return the class of a question.

    Raises:
        ValueError: when there is none of that name.
    """
    if name not in _classes():
        raise ValueError(f"there is no probe {name!r}; known: {', '.join(probe_names())}")
    return _classes()[name]
