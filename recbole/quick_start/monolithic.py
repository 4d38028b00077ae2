"""Comparison of an ensemble with a single model (``monolithic``) that was retrained on all retained interactions.

An ensemble consists of one model per shard (part) of the training data. The single model shows what the shards cost.
"""

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
from recbole.quick_start.setup import Setup
from recbole.trainer.learn import check, load
from recbole.trainer.places import Places
from recbole.trainer.stored import Stored
from recbole.unlearning.schedule import N_CHECKPOINTS

logger = logging.getLogger("recbole")

KIND = "monolithic"
"""The value of the column ``model`` in result rows of the single model."""

_CHOICES = ("ensemble", "partition", "aggregate", "anchor_update")


def of_all_data(setup: Setup) -> Setup:
    """Return a copy of an ensemble's setup (settings, data, requests) for a single model that is trained on all data.

    Data, requests and all settings that do not concern ensembles are the same.
    """
    config = setup.config.with_values(**dict.fromkeys(_CHOICES))
    scenario = copy.copy(setup.scenario)
    scenario.config, scenario.places = config, Places.of(config)
    return replace(setup, config=config, scenario=scenario, model_class=get_model(config["model"]))


def monolithic_references(setup: Setup, base: Stored, model: AbstractRecommender) -> dict[int, Stored]:
    """Find the files of the single models to compare an ensemble with, one for each checkpoint of the run.

    They were retrained without the interactions forgotten by the checkpoint, and with the same settings as the ensemble
    except for those that concern ensembles.

    Args:
        setup: settings, data and requests of the run.
        base: the file of the base ensemble.
        model: the base ensemble, loaded.

    Returns:
        A dict from the checkpoint number (0 to 3) to the content of the model's file. Models that do not exist are left
        out, and models with other settings too, with a warning. Empty if the run has no ensemble.

    Raises:
        UserError: a file belongs to other data, or its model was retrained without other interactions.
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
    """Load a single model that an ensemble is compared with.

    Args:
        setup: settings, data and requests of the ensemble's run.
        stored: the content of the model's file.
        checkpoint: 0 to 3; the model was retrained without the interactions forgotten by this checkpoint.

    Returns:
        The model, with a cache for its scores; and the columns that all its result rows share, name to value.
    """
    whole = of_all_data(setup)
    asked = Asked(load(whole, whole.retrained(checkpoint), stored))
    return asked, whole.about(stored.identity, version=stored.version)


def distances_from_monolithic(
    setup: Setup, stored: Stored | None, view: Views, models: Mapping[str, tuple[Asked, Row]]
) -> tuple[list[Row], list[str]]:
    """Measure the distances between the scores of ensembles and those of the single model at one checkpoint.

    Args:
        setup: settings and data of the run.
        stored: the content of the single model's file; None if there is no single model.
        view: the evaluation data of the checkpoint: users, inputs, candidate items and relevant items.
        models: dict from the kind of model (such as ``unlearned``) to a pair: the model, and the columns that
            its result rows share. It contains the ensembles and the single model (``monolithic``).

    Returns:
        Rows of the result table; and a list with one element, the single model's file name and SHA-256 as in the rows'
        column ``reference``. Both lists are empty if ``stored`` is None.
    """
    if stored is None:
        return [], []
    reference = Reference(models[KIND][0], stored.reference, False)
    ensembles = {kind: model for kind, model in models.items() if kind != KIND}
    return distances(setup.scenario.questions()[0], view, ensembles, reference), [reference.name]
