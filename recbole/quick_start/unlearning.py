"""Unlearning a forget set request by request, and holding the result against retrained models."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole.config import Config
from recbole.evaluator import evaluate
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.quick_start.closing import report, sensitive_csv
from recbole.quick_start.record import describe, reference_name, write_beside
from recbole.quick_start.setup import OF_TRAINING, Setup, begin
from recbole.scenario.known_scenarios import scenario_of
from recbole.trainer import ResumeFile, load_checkpoint, save_unlearned
from recbole.trainer.learn import load
from recbole.trainer.original import follow_original
from recbole.unlearning.algorithm import UnlearningAlgorithm
from recbole.unlearning.pipeline import Pipeline
from recbole.unlearning.registry import get_algorithm
from recbole.unlearning.schedule import LAST, N_CHECKPOINTS
from recbole.utils import UserError, check_writable, sha256_of_file, write_json
from recbole.utils.clock import Clock
from recbole.utils.deadline import Deadline
from recbole.utils.logger import LOG_FOLDER, init_logger

logger = logging.getLogger("recbole")


def unlearn_recbole(
    config: Config, arguments: list[str] | tuple[str, ...] = (), result_file: str | None = None
) -> dict[str, Any]:
    """Put the forget set's requests to an unlearning algorithm, save four checkpoints, and evaluate them.

    Each checkpoint is evaluated on the same questions as the base model and, where it exists, the retrained model.

    Args:
        config: :class:`~recbole.config.Config`; reads ``unlearning_algorithm``, ``unlearning_batchsize`` and the
            algorithm's hyper-parameters.
        arguments: the command line, without credentials, for the record.
        result_file: also write the record here.

    Returns:
        The record, a dictionary: see :func:`~recbole.quick_start.record.describe`.

    Raises:
        UserError: for anything that the user can mend.
    """
    clock = Clock(config["device"])
    if result_file:
        check_writable(result_file)
    scenario = scenario_of(config)
    init_logger(config)
    algorithm = get_algorithm(config["unlearning_algorithm"])
    base_path = scenario.path(scenario.names.base())
    content = load_checkpoint(base_path)
    follow_original(config, content, base_path)
    setup = begin(config, scenario, forgetting=True)
    base = load(setup, setup.base(), content=content)
    references = _references(setup)
    clock.lap("load")
    if config["eval_only"]:
        done = Unlearned(None, {}, None)
    else:
        done = _unlearn(setup, algorithm, content, list(arguments))
    clock.lap("unlearn")
    rows = _evaluate_all(setup, algorithm.name, base, references)
    clock.lap("evaluate")
    for checkpoint, record in done.records.items():
        mine = [row for row in rows if row["checkpoint"] == checkpoint and row["model"] == "unlearned"]
        write_beside(setup.unlearned(algorithm.name, checkpoint).file, record | {"metrics": mine})
    state, timing = setup.unlearned(algorithm.name, LAST), clock.seconds | _costs(setup, done.summary)
    result = describe(setup, state, list(arguments), timing, rows, done.summary)
    if config["sensitive_eval_only"]:
        sensitive_csv(setup, rows, "unlearned", f"unlearn_{algorithm.name}", algorithm.name)
    config.warn_unread(logger, but=OF_TRAINING)
    if result_file:
        write_json(result_file, result)
    if done.resume is not None:
        done.resume.remove()
    return result


@dataclass(frozen=True)
class Unlearned:
    """What a pipeline left: its summary, the records of its checkpoints without metrics yet, and its snapshot."""

    summary: dict[str, Any] | None
    records: dict[int, dict[str, Any]]
    resume: ResumeFile | None


def _unlearn(
    setup: Setup, algorithm: type[UnlearningAlgorithm], content: dict[str, Any], arguments: list[str]
) -> Unlearned:
    """Put the requests to the algorithm."""
    config, base = setup.config, setup.base()
    model = load(setup, base, content=content)
    stem = setup.scenario.names.unlearning_stem(algorithm.name, config["unlearning_batchsize"])
    identity = setup.identity(setup.dataset, base=sha256_of_file(base.file), forget_set=setup.asked.sha256)
    resume = ResumeFile(setup.scenario.path(f"{stem}.resume"), identity)
    pipeline = Pipeline(
        algorithm(config, model, base.data),
        setup.asked,
        config["unlearning_batchsize"],
        resume,
        LOG_FOLDER / f"{stem}.requests.jsonl",
        Deadline.of_hours(config["max_training_hours"]),
        config["show_progress"],
    )
    states = [setup.unlearned(algorithm.name, checkpoint) for checkpoint in range(N_CHECKPOINTS)]
    records: dict[int, dict[str, Any]] = {}

    def save(checkpoint: int, n_done: int, summary: dict[str, Any]) -> None:
        state = states[checkpoint]
        logger.info("Saving current: %s", state.file)
        released = pipeline.algorithm.release(checkpoint)
        save_unlearned(state.file, released, config, n_done - 1, state.meta)
        timing = {key: value for key, value in summary.items() if "seconds" in key}
        counts = {key: value for key, value in summary.items() if key not in timing}
        records[checkpoint] = describe(setup, state, arguments, timing, None, counts)
        write_beside(state.file, records[checkpoint])

    summary = pipeline.run(save)
    for checkpoint, state in enumerate(states):  # a killed run had saved some before its last snapshot
        if checkpoint not in records:
            records[checkpoint] = _record_before(state.file, resume)
    logger.info(
        "%d requests in %.2fs: %s", summary["total"], summary["seconds_total"],
        ", ".join(f"{summary[s]} {s}" for s in ("applied", "skipped", "timeout", "diverged")),
    )  # fmt: skip
    return Unlearned(summary, records, resume)


def _record_before(checkpoint: Path, resume: ResumeFile) -> dict[str, Any]:
    """Return the record that an interrupted run wrote beside a checkpoint."""
    path = checkpoint.with_suffix(".json")
    if not path.exists():
        raise UserError(f"{path} is gone since the run was interrupted; delete {resume.path} to start over")
    return _read_json(path)


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _references(setup: Setup) -> dict[int, Path]:
    """Return the paths of the retrained models that are there, by checkpoint; a wrong one is found before the work."""
    found = {}
    for checkpoint in range(N_CHECKPOINTS):
        state = setup.retrained(checkpoint)
        if state.file.exists():
            load(setup, state)
            found[checkpoint] = state.file
        else:
            logger.info("no retrained model for checkpoint %d (%s): no distance from it", checkpoint, state.file.name)
    return found


def _evaluate_all(
    setup: Setup, algorithm: str, base: AbstractRecommender, references: dict[int, Path]
) -> list[dict[str, Any]]:
    """Put every checkpoint's questions to the base, the retrained (if there) and the unlearned model.

    Those of the scenario that do not depend on the checkpoint are put to the base, and to its own references, once.
    """
    scenario = setup.scenario
    rows, of_base = scenario.references(setup), scenario.ask(base, model="base")
    for once in (rows, of_base):
        scenario.tell(once)
    for checkpoint in range(N_CHECKPOINTS):
        state = setup.unlearned(algorithm, checkpoint)
        view = setup.view(state)
        models = {"base": base, "unlearned": load(setup, state)}
        reference = None
        if checkpoint in references:
            models["retrained"] = load(setup, setup.retrained(checkpoint))
            reference = (models["retrained"], reference_name(references[checkpoint]))
        for kind, model in models.items():
            name = algorithm if kind == "unlearned" else None
            compare = None if kind == "retrained" else reference
            rows += evaluate(model, view, *scenario.questions(), compare, model=kind, algorithm=name)
            if kind != "base":
                stem = state.file.stem if kind == "unlearned" else None
                rows += scenario.ask(model, stem, model=kind, algorithm=name, checkpoint=checkpoint)
        rows += [row | {"checkpoint": checkpoint} for row in of_base]
        mine = [row for row in rows if row["checkpoint"] == checkpoint]
        report(setup, mine, "unlearned", f"Results for model {state.file.name}")
    return rows


def _costs(setup: Setup, summary: dict[str, Any] | None) -> dict[str, Any]:
    """Return seconds per request and, where a retrained model's record is there, the speed-up over retraining it."""
    if summary is None:
        return {}
    costs = {key: value for key, value in summary.items() if "seconds" in key}
    path = setup.retrained(LAST).file.with_suffix(".json")
    if path.exists():
        timing = _read_json(path)["timing"]
        retraining = timing["fit_seconds"]
        costs |= {"retraining_seconds": retraining, "retraining_cpu_seconds": timing.get("fit_cpu_seconds")}
        if costs["seconds_mean"]:
            costs["speedup_over_retraining"] = retraining / costs["seconds_mean"]
    return costs
