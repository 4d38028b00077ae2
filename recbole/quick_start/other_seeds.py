"""Distances from retrained models other than the run's own, above all from those retrained with other seeds.

Two models that were retrained with different seeds differ only by randomness. Their distance is the scale on which to
judge the distance of an unlearned model.
"""

import copy
from collections.abc import Collection, Mapping
from pathlib import Path

from recbole.config.identity import told
from recbole.evaluator import Asked, EvalSettings, Reference, Views, evaluate, get_probe
from recbole.evaluator.kinds import Row
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.quick_start.record import reference_name
from recbole.quick_start.setup import Setup
from recbole.trainer.learn import check, load
from recbole.trainer.stored import Stored
from recbole.utils import UserError

Others = Mapping[int, Mapping[int, Stored]]
"""Nested dict: checkpoint number (0 to 3), then seed, to the file of the model retrained with that seed."""

_YARDSTICKS = ("retrained_same_epoch", "monolithic")


def other_references(setup: Setup, base: Stored, model: AbstractRecommender, checkpoints: Collection[int]) -> Others:
    """Read the models that were retrained without the run's forget set, with the seeds of the setting ``other_seeds``.

    Args:
        setup: settings, data and requests of the run.
        base: the checkpoint of the run's base model.
        model: the base model, loaded.
        checkpoints: numbers of the checkpoints for which the model retrained with the run's own seed exists.

    Returns:
        The models by checkpoint number and seed.

    Raises:
        UserError: a model is missing, or differs from the base in more than the seed and the forgotten rows; a seed
            occurs twice or is the run's own; or ``checkpoints`` is empty.
    """
    seeds, own = setup.config["other_seeds"] or [], setup.config["seed"]
    if own in seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"other_seeds: {seeds} should be distinct seeds without the run's own seed, {own}")
    if seeds and not checkpoints:
        raise UserError("other_seeds: no model was retrained with the run's own seed; retrain with it first")
    return {at: {seed: _checked(setup, base, model, at, seed) for seed in seeds} for at in checkpoints}


def _checked(setup: Setup, base: Stored, model: AbstractRecommender, checkpoint: int, seed: int) -> Stored:
    path = _path(setup, checkpoint, seed)
    if not path.is_file():
        raise UserError(
            f"other_seeds: there is no {path}; retrain with --seed {seed} and --forget_set_seed "
            f"{setup.config['unlearn_sample_selection_seed']}"
        )
    stored = Stored.read(path)
    if base.identity is None or stored.identity is None or stored.version != base.version:
        raise UserError(
            f"other_seeds: {path} and the base were made by different versions, or one of them contains no settings"
        )
    found = stored.differences(base.identity, ("mask", "seed"))
    if stored.identity.settings.get("seed") != seed:
        found.append(("seed", seed, stored.identity.settings.get("seed")))
    if found:
        raise UserError(f"other_seeds: {path} differs from the base not only in its seed: {told(found)}")
    check(setup.retrained(checkpoint), stored, model)
    return stored


def _path(setup: Setup, checkpoint: int, seed: int) -> Path:
    """Return the path of the model that was retrained with another seed, but without the same rows as in this run."""
    scenario = copy.copy(setup.scenario)
    scenario.config = copy.deepcopy(setup.config)
    scenario.config["seed"] = seed
    return scenario.path(scenario.names.retrained(checkpoint))


def distances_from_others(
    setup: Setup, others: Mapping[int, Stored], checkpoint: int, view: Views, models: Mapping[str, tuple[Asked, Row]]
) -> tuple[list[Row], dict[str, int]]:
    """Measure distances of a checkpoint's models from the models that were retrained with other seeds.

    Args:
        setup: settings and data of the run.
        others: seed to the checkpoint file of the model retrained with it.
        checkpoint: number of the checkpoint, 0 to 3.
        view: the evaluation view of the checkpoint.
        models: kind of model to (the model, the columns of its rows). The kinds ``retrained_same_epoch`` and
            ``monolithic`` are skipped, because they serve only for comparison themselves.

    Returns:
        Rows of the result table, whose column ``reference`` names the other seed's file; and a dict from these names to
        the seeds.
    """
    rows: list[Row] = []
    seeds: dict[str, int] = {}
    measured = {kind: model for kind, model in models.items() if kind not in _YARDSTICKS}
    for seed, stored in others.items():
        model = Asked(load(setup, setup.retrained(checkpoint), stored))
        reference = Reference(model, reference_name(stored.path), False)
        seeds[reference.name] = seed
        rows += distances(setup.scenario.questions()[0], view, measured, reference)
    return rows, seeds


def distances(
    settings: EvalSettings, view: Views, models: Mapping[str, tuple[Asked, Row]], reference: Reference
) -> list[Row]:
    """Return result rows with the distances of models from a reference.

    Args:
        settings: metrics and list lengths.
        view: the evaluation view.
        models: kind of model to (the model, the columns of its rows).
        reference: the model from which distances are measured.
    """
    probe, rows = get_probe("distance")(), list[Row]()
    for kind, (asked, columns) in models.items():
        rows += evaluate(asked, view, settings, [probe], reference, **columns, model=kind)
    return rows
