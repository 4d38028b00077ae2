"""Measures distances from models that were retrained with other seeds than the run's.

Two models that were retrained with different seeds differ only by randomness. An unlearned model should not be farther
from a retrained model than they are from each other.
"""

import copy
from collections.abc import Collection, Mapping
from pathlib import Path

from recbole.config.identity import told
from recbole.evaluator import Asked, EvalSettings, Reference, Views, evaluate, get_probe
from recbole.evaluator.kinds import Row
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.quick_start.setup import Setup
from recbole.trainer.learn import check, load
from recbole.trainer.stored import Stored
from recbole.utils import UserError

Others = Mapping[int, Mapping[int, Stored]]
"""Nested dict from checkpoint number (0 to 3) and then seed to the file of the model retrained with this seed."""

_YARDSTICKS = ("retrained_same_epoch", "monolithic")


def other_references(setup: Setup, base: Stored, model: AbstractRecommender, checkpoints: Collection[int]) -> Others:
    """Read the files of the models that were retrained with the seeds of the setting ``other_seeds``.

    For each checkpoint and seed there must be a model that was retrained without the interactions forgotten by this
    checkpoint.

    Args:
        setup: settings, data and requests of the run.
        base: the content of the file of the run's base model.
        model: the base model, loaded.
        checkpoints: numbers (0 to 3) of the checkpoints to read models for: those for which there is a model that was
            retrained with the run's own seed.

    Returns:
        Nested dict from checkpoint number and then seed to the content of the model's file.

    Raises:
        UserError: a model is missing, or differs from the base model in more than the seed and the forgotten
            interactions; a seed occurs twice or is the run's own; or ``checkpoints`` is empty although there are seeds.
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
    """Return the path of a model retrained with another seed, without the interactions that this run forgets.

    Args:
        setup: settings, data and requests of the run.
        checkpoint: 0 to 3; the interactions forgotten by this checkpoint are left out.
        seed: the other seed.
    """
    scenario = copy.copy(setup.scenario)
    scenario.config = copy.deepcopy(setup.config)
    scenario.config["seed"] = seed
    return scenario.path(scenario.names.retrained(checkpoint))


def distances_from_others(
    setup: Setup, others: Mapping[int, Stored], checkpoint: int, view: Views, models: Mapping[str, tuple[Asked, Row]]
) -> tuple[list[Row], dict[str, int]]:
    """Measure the distances of a checkpoint's models from the models that were retrained with other seeds.

    Args:
        setup: settings and data of the run.
        others: dict from seed to the content of the file of the model that was retrained with this seed.
        checkpoint: number of the checkpoint, 0 to 3.
        view: the evaluation data of the checkpoint: users, inputs, candidate items and relevant items.
        models: dict from the kind of model (such as ``unlearned``) to a pair: the model, and the columns that
            its result rows share. The kinds ``retrained_same_epoch`` and ``monolithic`` are left out, because they are
            themselves only for comparison.

    Returns:
        Rows of the result table, whose column ``reference`` has the file name and SHA-256 of the model with the other
        seed; and a dict from the values of this column to the seeds.
    """
    rows: list[Row] = []
    seeds: dict[str, int] = {}
    measured = {kind: model for kind, model in models.items() if kind not in _YARDSTICKS}
    for seed, stored in others.items():
        model = Asked(load(setup, setup.retrained(checkpoint), stored))
        reference = Reference(model, stored.reference, False)
        seeds[reference.name] = seed
        rows += distances(setup.scenario.questions()[0], view, measured, reference)
    return rows, seeds


def distances(
    settings: EvalSettings, view: Views, models: Mapping[str, tuple[Asked, Row]], reference: Reference
) -> list[Row]:
    """Measure the distances of models from one other model, between their scores and between their recommended lists.

    Args:
        settings: metrics and list lengths.
        view: the evaluation data: users, inputs, candidate items and relevant items.
        models: dict from the kind of model (such as ``unlearned``) to a pair: the model, and the columns that
            its result rows share.
        reference: the model from which distances are measured.

    Returns:
        Rows of the result table.
    """
    probe, rows = get_probe("distance")(), list[Row]()
    for kind, (asked, columns) in models.items():
        rows += evaluate(asked, view, settings, [probe], reference, **columns, model=kind)
    return rows
