"""Comparison of an ensemble with one model (``monolithic``) that was retrained on all retained rows, without shards."""

import copy
import logging
from collections.abc import Mapping
from dataclasses import replace

from recbole.config.identity import marked, told
from recbole.evaluator import Asked, Reference, Views
from recbole.evaluator.kinds import Row
from recbole.model import get_model
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.quick_start.other_seeds import distances
from recbole.quick_start.record import reference_name
from recbole.quick_start.setup import Setup
from recbole.trainer.learn import check, load
from recbole.trainer.places import Places
from recbole.trainer.stored import Stored
from recbole.unlearning.schedule import N_CHECKPOINTS

logger = logging.getLogger("recbole")

KIND = "monolithic"
"""The value of the column ``model`` in result rows of such a model."""

_CHOICES = ("ensemble", "partition", "aggregate", "anchor_update")


def of_all_data(setup: Setup) -> Setup:
    """Return a copy of an ensemble's setup for a single model on all data: the same data and requests, no shards."""
    config = setup.config.with_values(**dict.fromkeys(_CHOICES))
    scenario = copy.copy(setup.scenario)
    scenario.config, scenario.places = config, Places.of(config)
    return replace(setup, config=config, scenario=scenario, model_class=get_model(config["model"]))


def monolithic_references(setup: Setup, base: Stored, model: AbstractRecommender) -> dict[int, Stored]:
    """Find the single models that were retrained on all retained data with the ensemble's other settings.

    Args:
        setup: settings, data and requests of the run.
        base: the checkpoint of the base ensemble.
        model: the base ensemble, loaded.

    Returns:
        The models' checkpoints by checkpoint number, 0 to 3; empty if the run has no ensemble. Missing files are left
        out. Files with other settings are also left out, with a warning.

    Raises:
        UserError: such a file belongs to other data or has forgotten other rows.
    """
    found: dict[int, Stored] = {}
    if not setup.config["ensemble"] or base.identity is None:
        return found
    whole = of_all_data(setup)
    for checkpoint in range(N_CHECKPOINTS):
        state = whole.retrained(checkpoint)
        if not state.file.exists():
            continue
        stored = Stored.read(state.file)
        differing = stored.differences(base.identity, ("mask", *marked("of_ensembles")))
        if differing or stored.version != base.version:
            more = told(differing) or "the version of its results"
            logger.warning("%s is ignored: it differs from the ensemble not only in shards: %s", state.file, more)
            continue
        check(state, stored, model)
        found[checkpoint] = stored
    return found


def asked_monolithic(setup: Setup, stored: Stored, checkpoint: int) -> tuple[Asked, Row]:
    """Load the single model that was retrained for a checkpoint; return it with the columns of its result rows."""
    whole = of_all_data(setup)
    asked = Asked(load(whole, whole.retrained(checkpoint), stored))
    return asked, whole.about(stored.identity, version=stored.version)


def distances_from_monolithic(
    setup: Setup, stored: Stored | None, view: Views, models: Mapping[str, tuple[Asked, Row]]
) -> tuple[list[Row], list[str]]:
    """Measure distances of a checkpoint's ensembles from the single model that was retrained on all retained data.

    Args:
        setup: settings and data of the run.
        stored: the checkpoint of the single model, or None.
        view: the evaluation view of the checkpoint.
        models: kind of model to (the model, the columns of its rows); includes the single model.

    Returns:
        Rows of the result table, and a list with the value of their column ``reference``. Both are empty if ``stored``
        is None.
    """
    if stored is None:
        return [], []
    reference = Reference(models[KIND][0], reference_name(stored.path), False)
    ensembles = {kind: model for kind, model in models.items() if kind != KIND}
    return distances(setup.scenario.questions()[0], view, ensembles, reference), [reference.name]
