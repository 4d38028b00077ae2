"""Evaluation of an unlearning run: base, rebuilt, unlearned and retrained models at the four checkpoints.

A checkpoint (number 0 to 3) is the point after about a quarter, half, three quarters and all of the deletion requests.
At each checkpoint all models are evaluated on the same data, called the view: users, inputs, candidate items and
relevant items. ``rebuilt`` is the base model with unchanged parameters, in which everything derived from the data, such
as a graph, was computed again without the forgotten interactions.
"""

import logging
import time
from dataclasses import dataclass, replace
from typing import Any, cast

import torch

from recbole.evaluator import Asked, EvalSettings, Reference, Views, evaluate, find_metric, get_probe
from recbole.evaluator.kinds import Row
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.quick_start.attacks import Attacks
from recbole.quick_start.closing import report
from recbole.quick_start.monolithic import KIND, asked_monolithic, distances_from_monolithic
from recbole.quick_start.other_seeds import distances, distances_from_others
from recbole.quick_start.setup import Setup
from recbole.quick_start.work import Work
from recbole.trainer.learn import load
from recbole.trainer.state import State
from recbole.trainer.stored import Stored
from recbole.unlearning.schedule import LAST, N_CHECKPOINTS
from recbole.utils.device import now

logger = logging.getLogger("recbole")

_VERDICT_K = 10


@dataclass(frozen=True)
class Answers:
    """The evaluation results of the models of all checkpoints.

    The column ``reference`` of result rows has the file name and SHA-256 of the model from which a distance was
    measured. The last three attributes say which kind of model these files contain.

    Attributes:
        rows: rows of the result table.
        more: further rows for the verdict, which is a summary of the run at the end of the log.
        timing: the keys ``rebuilt_seconds`` and ``rebuilt_cpu_seconds``, each with one number per checkpoint: the wall
            and CPU seconds for rebuilding the base model without the forgotten interactions. Empty if nothing is
            rebuilt.
        seeds: dict from the value of ``reference`` to the seed, for models that were retrained with other seeds.
        same_epoch: dict from the value of ``reference`` to the checkpoint number, for the weights that a retrained
            model had in the epoch that validation selected for the base model. Checkpoints are missing for which
            validation selected the same epoch for both models.
        monolithic: values of ``reference``, in runs with an ensemble: the single models without shards that were
            retrained on all retained interactions.
    """

    rows: list[Row]
    more: list[Row]
    timing: dict[str, Any]
    seeds: dict[str, int]
    same_epoch: dict[str, int]
    monolithic: list[str]


@dataclass
class Latest:
    """A cache of the view (evaluation data) and the unlearned model of the latest checkpoint.

    They are used again if the next checkpoint comes after the same number of requests, as with very few requests.
    All attributes are None before the first checkpoint.

    Attributes:
        views: the view.
        count: the number of requests before the checkpoint.
        content: the content of the unlearned model's file.
        asked: the unlearned model, with the scores and rankings computed so far.
    """

    views: Views | None = None
    count: int | None = None
    content: dict[str, Any] | None = None
    asked: Asked | None = None

    def view(self, setup: Setup, state: State) -> Views:
        """Return the evaluation data of a checkpoint: from the cache, if the number of requests is the same.

        Args:
            setup: the run's data and scenario.
            state: which interactions and how many requests are forgotten at the checkpoint.
        """
        count = None if state.done is None else state.done.count
        if self.views is None or count is None or count != self.count:
            self.views, self.count, self.content, self.asked = setup.view(state), count, None, None
        return replace(self.views, checkpoint=state.checkpoint)

    def unlearned(self, setup: Setup, state: State, stored: Stored) -> Asked:
        """Return the unlearned model of a checkpoint: from the cache, if all parameters are the same.

        They may differ after the same requests, because some algorithms save a copy of the model with noise.

        Args:
            setup: the run's settings and data.
            state: which interactions the model has forgotten.
            stored: the content of the model's file.
        """
        if self.asked is None or self.content is None or not _same_values(self.content, stored.content):
            self.content, self.asked = stored.content, Asked(load(setup, state, stored))
        return self.asked


def _same_values(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two models have equal parameters and buffers, and no other stored parts (``other_parameter``).

    Args:
        one, other: the contents of their checkpoint files.
    """
    ours, theirs = one["state_dict"], other["state_dict"]
    fitted = one.get("other_parameter") or other.get("other_parameter")
    return not fitted and ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def ask_all(work: Work, base: AbstractRecommender) -> Answers:
    """Evaluate the base, rebuilt, unlearned and retrained models at every checkpoint. Retrained models may be missing.

    Results that do not depend on the checkpoint are computed once: the scenario's own evaluation of the base model and
    of its additional models, and the recommended lists of users without a request.

    Args:
        work: the run's models and settings.
        base: the base model, loaded.
    """
    setup, scenario, before = work.setup, work.setup.scenario, Asked(base)
    of_base = setup.about(work.base.identity, version=work.base.version)
    said = of_base | {"model": "base"}
    timing: dict[str, list[float]] = {}
    rows, fixed = scenario.references(setup, said), scenario.ask(before, **said)
    more: list[Row] = []
    seeds: dict[str, int] = {}
    same_epoch: dict[str, int] = {}
    monolithic: list[str] = []
    for once in (rows, fixed):
        scenario.tell(once)
    attacks = Attacks.of(setup)
    rows += attacks.on(base, work.state(LAST), "base", **of_base)
    rebuilds = scenario.removes and _is_rebuilt(base)
    latest = Latest()
    for checkpoint in range(N_CHECKPOINTS):
        view, models = latest.view(setup, work.state(checkpoint)), {"base": (before, of_base)}
        if rebuilds:
            models["rebuilt"] = _rebuilt(work, checkpoint, timing), of_base
        models |= _models(work, checkpoint, latest)
        rows += _evaluate(work, checkpoint, view, models)
        unlearned, about = models["unlearned"]
        rows += attacks.on(cast("AbstractRecommender", unlearned.model), work.state(checkpoint), "unlearned", **about)
        rows += [row | {"checkpoint": checkpoint} for row in fixed]
        reference = _same_epoch(work, checkpoint, models)
        if reference is not None:
            same_epoch[reference.name] = checkpoint
            measured = {kind: model for kind, model in models.items() if not kind.startswith("retrained")}
            rows += distances(scenario.questions()[0], view, measured, reference)
        if not scenario.removes:  # no rows are removed, so nothing is retrained: measure the distance from the base
            reference = Reference(before, work.base.reference)
            rows += distances(scenario.questions()[0], view, {"unlearned": models["unlearned"]}, reference)
        further, of = distances_from_others(setup, work.others.get(checkpoint, {}), checkpoint, view, models)
        rows, seeds = rows + further, seeds | of
        further, names = distances_from_monolithic(setup, work.monolithic.get(checkpoint), view, models)
        rows, monolithic = rows + further, monolithic + names
        if checkpoint == LAST:
            more = _ndcg_rows(work, view, models)
        mine = [row for row in rows if row["checkpoint"] == checkpoint]
        report(setup, mine, "unlearned", f"Results for model {work.state(checkpoint).file.name}")
    return Answers(rows, more, timing, seeds, same_epoch, monolithic)


def _is_rebuilt(base: AbstractRecommender) -> bool:
    """Return whether a run also evaluates the rebuilt base model.

    Rebuilding means to compute again what the model derives from the data, such as a graph, without the forgotten
    interactions; the parameters stay the same. The answer is True if this changes the model's scores. For models
    without gradient training and models fitted in closed form it is False, because rebuilding equals retraining.
    """
    if not base.trainable or base.learned() is not None:
        return False
    if not base.rebuild_changes_scores:
        logger.info("the scores of %s depend only on its parameters: rebuilt equals base", type(base).__name__)
    return base.rebuild_changes_scores


def _rebuilt(work: Work, checkpoint: int, timing: dict[str, list[float]]) -> Asked:
    """Load the base model, and rebuild its data-derived parts without the interactions forgotten by a checkpoint.

    Args:
        work: the run's models and settings.
        checkpoint: 0 to 3.
        timing: receives the wall and CPU seconds of the rebuilding, appended to the lists ``rebuilt_seconds`` and
            ``rebuilt_cpu_seconds``.

    Returns:
        The rebuilt model, with an empty cache for its scores.
    """
    setup, state = work.setup, work.state(checkpoint)
    model, device = load(setup, setup.base(), work.base), setup.config["device"]
    wall, cpu = now(device), time.process_time()
    model.rebuild(state.data)
    timing.setdefault("rebuilt_seconds", []).append(now(device) - wall)
    timing.setdefault("rebuilt_cpu_seconds", []).append(time.process_time() - cpu)
    return Asked(model)


def _models(work: Work, checkpoint: int, latest: Latest) -> dict[str, tuple[Asked, Row]]:
    """Load the unlearned model of a checkpoint and the models to compare it with.

    Args:
        work: the run's models and settings.
        checkpoint: 0 to 3.
        latest: the cache for the unlearned model.

    Returns:
        A dict from the kind of model to a pair: the model, and the columns that its result rows share. ``unlearned`` is
        always there; if they exist also ``retrained``, ``retrained_same_epoch`` (the retrained model's weights in the
        epoch that validation selected for the base model) and ``monolithic`` (a retrained single model, in runs with an
        ensemble).
    """
    setup, state = work.setup, work.state(checkpoint)
    stored = Stored.read(state.file)
    about = setup.about(stored.identity, work.places, stored.version) | {"algorithm": work.algorithm.name}
    models = {"unlearned": (latest.unlearned(setup, state, stored), about)}
    if checkpoint in work.references:
        other, _ = work.references[checkpoint]
        retrained = Asked(load(setup, setup.retrained(checkpoint), other))
        models["retrained"] = retrained, setup.about(other.identity, version=other.version)
    if checkpoint in work.same_epoch:
        other = work.same_epoch[checkpoint]
        if _one_epoch(work, checkpoint):  # the weights are the same, so the results are shared
            same_epoch = models["retrained"][0]
        else:
            same_epoch = Asked(load(setup, setup.retrained_same_epoch(checkpoint), other))
        models["retrained_same_epoch"] = same_epoch, setup.about(other.identity, version=other.version)
    if checkpoint in work.monolithic:
        models[KIND] = asked_monolithic(setup, work.monolithic[checkpoint], checkpoint)
    return models


def _one_epoch(work: Work, checkpoint: int) -> bool:
    """Return whether validation selected the same epoch for the base and for a checkpoint's retrained model."""
    epochs = work.selected_epochs
    return bool(epochs["base"] == epochs["retrained"][str(checkpoint)])


def _same_epoch(work: Work, checkpoint: int, models: dict[str, tuple[Asked, Row]]) -> Reference | None:
    """Return the retrained model, with its weights in the epoch selected for the base model, to measure distances from.

    Args:
        work: the run's models and settings.
        checkpoint: 0 to 3.
        models: dict from the kind of model to a pair: the model, and the columns of its result rows, from
            :func:`_models`.

    Returns:
        None if these weights were not saved; and if validation selected this epoch for the retrained model too, because
        the distances are then those from the retrained model itself.
    """
    if checkpoint not in work.same_epoch:
        return None
    if _one_epoch(work, checkpoint):
        logger.info(
            "checkpoint %d: %s is the selected epoch of both base and retrained, so there are no separate distances "
            "from retrained_same_epoch", checkpoint, work.selected_epochs["base"],
        )  # fmt: skip
        return None
    _, twin = work.references[checkpoint]
    return Reference(models["retrained_same_epoch"][0], work.same_epoch[checkpoint].reference, twin)


def _evaluate(work: Work, checkpoint: int, view: Views, models: dict[str, tuple[Asked, Row]]) -> list[Row]:
    """Evaluate the models of a checkpoint, and return the rows of the result table in the order of ``models``.

    Args:
        work: the run's models and settings.
        checkpoint: 0 to 3.
        view: the evaluation data of the checkpoint.
        models: dict from the kind of model to a pair: the model, and the columns that its result rows share. If there
            is a ``retrained`` model, the rows of the others contain their distances from it and differences of metrics.
    """
    scenario, reference = work.setup.scenario, None
    if "retrained" in models:
        other, twin = work.references[checkpoint]
        reference = Reference(models["retrained"][0], other.reference, twin)
    rows: dict[str, list[Row]] = {}
    first = ["retrained"] if reference is not None else []  # the others' distances use its scores
    for kind in [*first, *(kind for kind in reversed(models) if kind not in first)]:
        model, columns = models[kind]
        said = columns | {"model": kind}
        beside = work.places.logs / work.state(checkpoint).file.stem if kind == "unlearned" else None
        # the scenario's rows come first: the view then computes only what differs from them
        compare = None if kind == "retrained" else reference
        own = []
        if kind != "base" or compare is not None:
            own = scenario.ask(model, beside, compare, **said, checkpoint=checkpoint)
        if kind == "base":  # only the differences depend on the checkpoint; `ask_all` has evaluated the rest once
            own = [row for row in own if row["minus"] is not None]
        rows[kind] = evaluate(model, view, *scenario.questions(), compare, **said) + own
    return [row for kind in models for row in rows[kind]]


def _ndcg_rows(work: Work, view: Views, models: dict[str, tuple[Asked, Row]]) -> list[Row]:
    """Evaluate NDCG@10 of the base and the unlearned model, from which the verdict judges whether utility was lost.

    Args:
        work: the run's models and settings.
        view: the evaluation data of the last checkpoint.
        models: dict from the kind of model to a pair: the model, and the columns of its result rows.

    Returns:
        Rows of the result table. The list is empty if the run computes NDCG@10 anyway, in runs about spam (whose
        verdict uses other rows, of genuine users), and with the setting ``sensitive_eval_only``.
    """
    config = work.setup.config
    asked = "ndcg" in map(str.lower, config["metrics"]) and _VERDICT_K in config["topk"]
    if asked or work.setup.scenario.plants or config["sensitive_eval_only"]:
        return []
    settings = EvalSettings((find_metric("NDCG"),), (_VERDICT_K,), config["eval_batch_size"])
    rows: list[Row] = []
    for kind in ("base", "unlearned"):
        rows += evaluate(models[kind][0], view, settings, [get_probe("utility")()], model=kind)
    return rows
