"""Probes: the parts of an evaluation. Each probe measures one aspect of a model, such as its utility.

A probe evaluates a model on a view: evaluation data that is built once and is the same for all models.
"""

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
"""Share of rows above which ties are logged: rows where rank k and an item not in the list have equal scores."""

View = TypeVar("View")
"""The evaluation data of a probe: :class:`~recbole.evaluator.views.Views` or another class of that module."""


class Probe(ABC, Generic[View]):
    """One part of an evaluation: measures a model on evaluation data (a view) and returns rows of the result table.

    The result depends on nothing but the arguments of :meth:`ask`. To add a probe, add a file to
    ``recbole/evaluator/probes/``, and a test class that inherits from the class in
    ``tests/evaluator/probe_contract.py``.

    Attributes:
        name: the name by which a scenario (a kind of deletion requests) selects the probe.
    """

    name: ClassVar[str]

    @abstractmethod
    def ask(
        self, model: Recommender, view: View, settings: EvalSettings, reference: Reference | None = None
    ) -> list[Row]:
        """Evaluate a model and return rows of the result table.

        Args:
            model: any recommender. It is put in evaluation mode; its parameters do not change. If it is an
                :class:`Asked`, lists and scores that another probe has already computed are reused.
            view: the evaluation data.
            settings: which metrics, at which list lengths, and how many rows are scored at once.
            reference: the model to compare with (usually the retrained one), and its name; None if there is none.

        Returns:
            Rows without the columns that :func:`evaluate` sets, such as the kind of model and the algorithm.
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
    """Run a list of probes (parts of an evaluation) on a model and return their results.

    Args:
        model: any recommender. Pass an :class:`Asked` to share its cache with other evaluations.
        view: the evaluation data.
        settings: which metrics, at which list lengths, and how many rows are scored at once.
        probes: the probes, in the order in which their rows are returned.
        reference: ``(model, name)`` of the model to compare with, usually the retrained one; None if there is none.
        about: values of columns of every row, such as ``model``, ``algorithm`` and ``checkpoint``. Where a probe sets
            the column itself, the probe's value is kept.

    Returns:
        Rows of the result table, each a dictionary from column to value.
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
            "%s model: in %.0f %% of the rows items tie in score at rank %d, the end of the list; they are ordered by "
            "a hash of user and item token", about.get("model", "the"), 100 * share, place,
        )  # fmt: skip
    return table.rows


@cache
def _classes() -> dict[str, type[Probe[Any]]]:
    """Return the probe classes defined in ``recbole/evaluator/probes/``, by name."""
    from recbole.evaluator import probes as room

    found: dict[str, type[Probe[Any]]] = {}
    for module in pkgutil.iter_modules(room.__path__):
        path = f"{room.__name__}.{module.name}"
        things = vars(importlib.import_module(path)).values()
        own = [thing for thing in things if isinstance(thing, type) and thing.__module__ == path]
        found.update({cls.name: cls for cls in own if issubclass(cls, Probe) and "name" in vars(cls)})
    return found


def probe_names() -> list[str]:
    """Return the names of all probes, sorted."""
    return sorted(_classes())


def get_probe(name: str) -> type[Probe[Any]]:
    """Return the class of the probe with this name.

    Raises:
        ValueError: there is no probe with this name.
    """
    if name not in _classes():
        raise ValueError(f"there is no probe {name!r}; known: {', '.join(probe_names())}")
    return _classes()[name]
