"""More retrained models to measure distances from: those of other seeds, and the one at the base's selected epoch.

How far apart two retrained models of different seeds are says what a distance from one of them means.
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
"""Checkpoint to seed to the model retrained from it."""

_YARDSTICKS = ("retrained_same_epoch", "monolithic")


def other_references(setup: Setup, base: Stored, model: AbstractRecommender, checkpoints: Collection[int]) -> Others:
    """Return the retrained models of the seeds that ``other_seeds`` names, by checkpoint.

    They are looked up by name, with the run's own forget set.

    Args:
        setup: of the run.
        base: the run's base.
        model: that base, loaded.
        checkpoints: at which there is a retrained model of the run's own seed.

    Raises:
        UserError: one is missing, or differs from the base in more than seed and mask; or a seed is the run's own.
    """
    seeds, own = setup.config["other_seeds"] or [], setup.config["seed"]
    if own in seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"other_seeds: {seeds} should be different seeds, none of them the run's own, {own}")
    if seeds and not checkpoints:
        raise UserError("other_seeds: there is no retrained model of the run's own seed; retrain first")
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
        raise UserError(f"other_seeds: {path} and the base are of different versions, or do not say what made them")
    found = stored.differences(base.identity, ("mask", "seed"))
    if stored.identity.settings.get("seed") != seed:
        found.append(("seed", seed, stored.identity.settings.get("seed")))
    if found:
        raise UserError(f"other_seeds: {path} differs from the base in more than its seed: {told(found)}")
    check(setup.retrained(checkpoint), stored, model)
    return stored


def _path(setup: Setup, checkpoint: int, seed: int) -> Path:
    """Return where the retrained model of another seed and the run's own forget set is."""
    scenario = copy.copy(setup.scenario)
    scenario.config = copy.deepcopy(setup.config)
    scenario.config["seed"] = seed
    return scenario.path(scenario.names.retrained(checkpoint))


def distances_from_others(
    setup: Setup, others: Mapping[int, Stored], checkpoint: int, view: Views, models: Mapping[str, tuple[Asked, Row]]
) -> tuple[list[Row], dict[str, int]]:
    """Measure how far a checkpoint's models are from retrained ones of other seeds.

    Args:
        setup: of the run.
        others: seed to the model retrained from it.
        checkpoint: its number.
        view: its questions.
        models: by kind, with the columns of their rows; all are measured but other yardsticks: the retrained one at the
            base's epoch, and the one of all data beside ensembles.

    Returns:
        Rows of the result table, their ``reference`` the other seed's file; and the seed by what that column says.
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
    """Return the rows of how far models, by kind and with the columns of their rows, are from a reference."""
    probe, rows = get_probe("distance")(), list[Row]()
    for kind, (asked, columns) in models.items():
        rows += evaluate(asked, view, settings, [probe], reference, **columns, model=kind)
    return rows
