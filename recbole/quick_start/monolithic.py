"""Of an ensemble's run: the one model of all data, retrained, as a yardstick beside the retrained ensemble."""

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
"""What result rows call it."""

_CHOICES = ("ensemble", "partition", "aggregate", "anchor_update")


def of_all_data(setup: Setup) -> Setup:
    """Return the setup of the one model that an ensemble stands in for: its settings, data, requests, no shards."""
    config = setup.config.with_values(**dict.fromkeys(_CHOICES))
    scenario = copy.copy(setup.scenario)
    scenario.config, scenario.places = config, Places.of(config)
    return replace(setup, config=config, scenario=scenario, model_class=get_model(config["model"]))


def monolithic_references(setup: Setup, base: Stored, model: AbstractRecommender) -> dict[int, Stored]:
    """Return the models of all data retrained for the checkpoints, where they are and have the ensemble's settings.

    Args:
        setup: of the run; without an ensemble there are none.
        base: the base ensemble.
        model: that, loaded.

    Raises:
        UserError: one is of other data or another mask.
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
            logger.warning("%s is left out: it differs from the ensemble in more than shards: %s", state.file, more)
            continue
        check(state, stored, model)
        found[checkpoint] = stored
    return found


def asked_monolithic(setup: Setup, stored: Stored, checkpoint: int) -> tuple[Asked, Row]:
    """Return a retrained model of all data, and the columns of its rows."""
    whole = of_all_data(setup)
    asked = Asked(load(whole, whole.retrained(checkpoint), stored))
    return asked, whole.about(stored.identity, version=stored.version)


def distances_from_monolithic(
    setup: Setup, stored: Stored | None, view: Views, models: Mapping[str, tuple[Asked, Row]]
) -> tuple[list[Row], list[str]]:
    """Measure how far a checkpoint's ensembles are from the retrained model of all data, if there is one.

    Returns:
        Rows of the result table; and, in a list, what their column ``reference`` says.
    """
    if stored is None:
        return [], []
    reference = Reference(models[KIND][0], reference_name(stored.path), False)
    ensembles = {kind: model for kind, model in models.items() if kind != KIND}
    return distances(setup.scenario.questions()[0], view, ensembles, reference), [reference.name]
