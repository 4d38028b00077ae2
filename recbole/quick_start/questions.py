"""Evaluation of an unlearning run: base, rebuilt, unlearned and retrained models at the four checkpoints."""

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
from recbole.quick_start.record import reference_name
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

    The column ``reference`` of result rows names the model from which a distance was measured. The last three
    attributes say which kind of model such a name refers to.

    Attributes:
        rows: rows of the result table.
        more: further rows that only the verdict (the summary at the end of the log) needs.
        timing: the keys ``rebuilt_seconds`` and ``rebuilt_cpu_seconds``, each with one number per checkpoint: the time
            to rebuild the base model's data-derived parts (such as a graph). Empty if nothing is rebuilt.
        seeds: dict from the name of a model retrained with another seed to the seed.
        same_epoch: dict from the name of a retrained model at the base's selected epoch to the checkpoint number; only
            for checkpoints where the retrained model's own selected epoch differs.
        monolithic: in runs of ensembles, the names of single models that were retrained on all retained rows.
    """

    rows: list[Row]
    more: list[Row]
    timing: dict[str, Any]
    seeds: dict[str, int]
    same_epoch: dict[str, int]
    monolithic: list[str]


@dataclass
class Latest:
    """The evaluation view and the unlearned model of the previous checkpoint.

    They are reused if the next checkpoint has the same number of requests.

    Attributes:
        views: the evaluation view, that is, the users, inputs, candidates and relevant items to evaluate.
        count: the number of requests that are forgotten in this view.
        content: the content of the unlearned model's checkpoint file.
        asked: the unlearned model, with the scores and rankings computed so far.
    """

    views: Views | None = None
    count: int | None = None
    content: dict[str, Any] | None = None
    asked: Asked | None = None

    def view(self, setup: Setup, state: State) -> Views:
        """Return the evaluation view of a state; the previous one if the number of requests is the same."""
        count = None if state.done is None else state.done.count
        if self.views is None or count is None or count != self.count:
            self.views, self.count, self.content, self.asked = setup.view(state), count, None, None
        return replace(self.views, checkpoint=state.checkpoint)

    def unlearned(self, setup: Setup, state: State, stored: Stored) -> Asked:
        """Return the unlearned model of a state; if all its parameters equal the previous one's, return that.

        Parameters may differ after the same requests, because some algorithms release a copy with noise.
        """
        if self.asked is None or self.content is None or not _same_values(self.content, stored.content):
            self.content, self.asked = stored.content, Asked(load(setup, state, stored))
        return self.asked


def _same_values(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two checkpoint contents have bit-identical parameters and no ``other_parameter``."""
    ours, theirs = one["state_dict"], other["state_dict"]
    fitted = one.get("other_parameter") or other.get("other_parameter")
    return not fitted and ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def ask_all(work: Work, base: AbstractRecommender) -> Answers:
    """Evaluate the base, rebuilt, unlearned and (if they exist) retrained models at every checkpoint.

    Scores and rankings that do not depend on the checkpoint are computed once: the scenario's evaluation of the base
    model and of its own references, and the lists of users who have submitted no request. If two checkpoints have the
    same number of requests, the second reuses the results of the first.

    Args:
        work: the run's models and settings.
        base: the base model.
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
            reference = Reference(before, reference_name(work.base.path))
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
    """Return whether rebuilding data-derived parts without the forgotten rows changes the base model's scores.

    If so, the rebuilt base model is evaluated as a model of its own. Untrained models and models with a closed-form fit
    are excluded: rebuilding them is the same as retraining.
    """
    if not base.trainable or base.learned() is not None:
        return False
    if not base.rebuild_changes_scores:
        logger.info("the scores of %s depend only on its parameters: rebuilt equals base", type(base).__name__)
    return base.rebuild_changes_scores


def _rebuilt(work: Work, checkpoint: int, timing: dict[str, list[float]]) -> Asked:
    """Return the base model after rebuilding its data-derived parts without the rows forgotten by a checkpoint.

    The wall-clock and CPU seconds of the rebuild are appended to ``timing``.
    """
    setup, state = work.setup, work.state(checkpoint)
    model, device = load(setup, setup.base(), work.base), setup.config["device"]
    wall, cpu = now(device), time.process_time()
    model.rebuild(state.data)
    timing.setdefault("rebuilt_seconds", []).append(now(device) - wall)
    timing.setdefault("rebuilt_cpu_seconds", []).append(time.process_time() - cpu)
    return Asked(model)


def _models(work: Work, checkpoint: int, latest: Latest) -> dict[str, tuple[Asked, Row]]:
    """Return the unlearned model of a checkpoint and the retrained models that exist.

    Returns:
        Kind of model (``unlearned``, ``retrained``, ``retrained_same_epoch``, ``monolithic``) to (the model, the
        columns of its result rows).
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
    """Return a checkpoint's retrained model at the base's selected epoch, as a reference for distances.

    Returns:
        None if its weights were not saved, or if it is the retrained model itself.
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
    return Reference(models["retrained_same_epoch"][0], reference_name(work.same_epoch[checkpoint].path), twin)


def _evaluate(work: Work, checkpoint: int, view: Views, models: dict[str, tuple[Asked, Row]]) -> list[Row]:
    """Evaluate the models of a checkpoint and return the result rows, in the order of ``models``.

    Args:
        work: the run's models and settings.
        checkpoint: 0 to 3.
        view: the evaluation view of the checkpoint.
        models: kind of model to (the model, the columns of its rows).
    """
    scenario, reference = work.setup.scenario, None
    if "retrained" in models:
        other, twin = work.references[checkpoint]
        reference = Reference(models["retrained"][0], reference_name(other.path), twin)
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
        if kind == "base":  # all but the differences is the same at every checkpoint, and known from `scenario.ask`
            own = [row for row in own if row["minus"] is not None]
        rows[kind] = evaluate(model, view, *scenario.questions(), compare, **said) + own
    return [row for kind in models for row in rows[kind]]


def _ndcg_rows(work: Work, view: Views, models: dict[str, tuple[Asked, Row]]) -> list[Row]:
    """Return rows with NDCG@10 of the base and the unlearned model, which the verdict needs.

    Returns:
        An empty list if NDCG@10 is among the run's metrics, in runs about spam (whose verdict uses rows of genuine
        users), and with ``sensitive_eval_only``.
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
