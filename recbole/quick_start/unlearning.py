"""The unlearning program: processes the requests of a forget set and compares the results with retrained models."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from recbole.config import Config
from recbole.config.ensembles import settle_ensemble
from recbole.evaluator.records import read_beside
from recbole.model import get_model
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.quick_start.attacks import check_attacks
from recbole.quick_start.closing import sensitive_csv
from recbole.quick_start.ensembles import check_pairing
from recbole.quick_start.hub import fetch
from recbole.quick_start.monolithic import monolithic_references
from recbole.quick_start.other_seeds import other_references
from recbole.quick_start.questions import ask_all
from recbole.quick_start.record import check_result_file, describe, write_beside
from recbole.quick_start.setup import OF_TRAINING, Setup, begin, first_line
from recbole.quick_start.work import Work, places_of
from recbole.quick_start.writing import only_writer
from recbole.report.verdict import say, verdict
from recbole.scenario.base import Scenario
from recbole.scenario.known_scenarios import scenario_of
from recbole.trainer import ResumeFile, save_unlearned
from recbole.trainer.learn import check, load
from recbole.trainer.original import follow_original
from recbole.trainer.stored import BUDGET, Stored, adopt
from recbole.unlearning.algorithm import UnlearningAlgorithm
from recbole.unlearning.pipeline import STATUSES, Pipeline
from recbole.unlearning.registry import check_kind, get_algorithm
from recbole.unlearning.schedule import LAST, N_CHECKPOINTS
from recbole.utils import UserError, write_json
from recbole.utils.clock import Clock
from recbole.utils.deadline import Deadline
from recbole.utils.ending import waiting
from recbole.utils.logger import begin_log, init_logger

logger = logging.getLogger("recbole")


def unlearn_recbole(
    config: Config, arguments: list[str] | tuple[str, ...] = (), result_file: str | None = None
) -> dict[str, Any]:
    """Process the requests of a forget set with an unlearning algorithm, save four checkpoints, and evaluate them.

    The checkpoints (0 to 3) come after about a quarter, a half, three quarters and all of the requests. At each one the
    unlearned model, the base model and (if it exists) the retrained model are evaluated on the same interactions.

    Args:
        config: the settings, with ``unlearning_algorithm``, ``unlearning_batchsize`` and the algorithm's
            hyper-parameters.
        arguments: the command line, without credentials, for the record.
        result_file: a path to which the record is also written, or None.

    Returns:
        The record of the run (settings, timing, results): the dict of :func:`~recbole.quick_start.record.describe`, and
        the keys ``selected_epochs``, ``other_seeds``, ``same_epoch``, ``monolithic``, ``certificates`` and ``verdict``.

    Raises:
        UserError: a setting is invalid, a file cannot be read or written, or the algorithm does not support the model
            or the scenario.
    """
    clock = Clock(config["device"])
    algorithm, model_class = get_algorithm(config["unlearning_algorithm"]), get_model(config["model"])
    settle_ensemble(config, model_class.type)
    check_pairing(config, algorithm)
    scenario = scenario_of(config)
    check_kind(algorithm, scenario.kind)
    check_attacks(config, scenario)
    algorithm.check_class(model_class)
    places, hyper = places_of(config, scenario, algorithm)
    if result_file:
        check_result_file(result_file, config["checkpoint_dir"], places.of_run(config["model"]))
    init_logger(config, places.logs)
    stored = _base(config, scenario)
    setup = begin(config, scenario, forgetting=True)
    base = load(setup, setup.base(), stored)
    references = _references(setup, stored, base)
    same_epoch = _same_epoch(setup, stored, references, base)
    others = other_references(setup, stored, base, references)
    whole = monolithic_references(setup, stored, base)
    work = Work(setup, algorithm, places, hyper, stored, references, same_epoch, others, whole)
    begin_log(first_line("unlearn.py", arguments, work.identity(LAST)))
    if references:
        epochs = work.selected_epochs
        told = ", ".join(f"{epoch} (checkpoint {at})" for at, epoch in epochs["retrained"].items())
        logger.info("selected epochs: base %s, retrained %s", epochs["base"], told)
    clock.lap("load")
    begun = None if config["eval_only"] else work.begun()
    with only_writer(config, None if begun is None else work.stem) as waited:
        begun = None if waited and work.is_complete() else begun
        return _run(work, base, begun, list(arguments), result_file, clock)


def _run(
    work: Work, base: AbstractRecommender, begun: UnlearningAlgorithm | None, arguments: list[str],
    result_file: str | None, clock: Clock,
) -> dict[str, Any]:  # fmt: skip
    """Unlearn and evaluate; return the record, as :func:`unlearn_recbole` does.

    If ``begun`` is None, existing unlearned models are only evaluated: with ``eval_only``, or if another run for which
    this one had to wait has meanwhile written them.
    """
    setup, config, algorithm = work.setup, work.setup.config, work.algorithm
    if begun is None:
        work, done = work.found(), Unlearned(None, {}, ())
    else:
        done = _unlearn(work, begun, arguments)
    clock.lap("unlearn")
    answers = ask_all(work, base)
    rows = answers.rows
    clock.lap("evaluate")
    for checkpoint, record in done.records.items():
        mine = [row for row in rows if row["checkpoint"] == checkpoint and row["model"] == "unlearned"]
        write_beside(work.state(checkpoint).file, record | {"metrics": mine})
    timing = clock.seconds | _costs(work, done.summary) | answers.timing
    identity = work.identity(LAST)
    requests = _requests_before(work) if done.summary is None else done.summary
    result = describe(setup, work.state(LAST), identity, arguments, timing, rows, requests)
    result |= {"selected_epochs": work.selected_epochs, "other_seeds": answers.seeds}
    result |= {"same_epoch": answers.same_epoch, "monolithic": answers.monolithic}
    result |= {"ensemble": costs} if (costs := _told_of(work, LAST, "ensemble")) else {}
    result["certificates"] = _certificates(work)
    result["verdict"] = verdict(result | {"metrics": [*rows, *answers.more]})
    if result_file:
        check_result_file(result_file, config["checkpoint_dir"])
        write_json(result_file, result)
    if result["verdict"]:
        logger.info(say(result["verdict"]))
    if config["sensitive_eval_only"]:
        sensitive_csv(setup, work.places.logs, rows, "unlearned", f"unlearn_{algorithm.name}", algorithm.name)
    config.warn_unread(logger, but=OF_TRAINING)
    done.finish()
    return result


def _base(config: Config, scenario: Scenario) -> Stored:
    """Read the file of the base model, and adopt the settings with which the model was trained (changes ``config``)."""
    said = config["base_checkpoint"]
    if said and said.startswith("hf://"):
        path = fetch(said, config, "base_checkpoint")
    else:
        path = Path(said) if said else scenario.path(scenario.names.base())
    stored = Stored.read(path)
    follow_original(config, stored.content, path)
    adopt(config, stored, but=(BUDGET,))
    stored.say_version()
    return stored


@dataclass(frozen=True)
class Unlearned:
    """The result of processing all requests, besides the saved models.

    Attributes:
        summary: counts and seconds of all requests; None if existing models are only evaluated.
        records: dict from the checkpoint number (0 to 3) to the JSON record of the unlearned model, still without
            metrics.
        unfinished: functions that remove the files from which an interrupted run resumes.
    """

    summary: dict[str, Any] | None
    records: dict[int, dict[str, Any]]
    unfinished: Sequence[Callable[[], None]]

    def finish(self) -> None:
        """Remove the files from which an interrupted run resumes. Call this when everything else is written."""
        for remove in self.unfinished:
            remove()


def _unlearn(work: Work, algorithm: UnlearningAlgorithm, arguments: list[str]) -> Unlearned:
    """Process all requests with the algorithm, and save the model and its record at each checkpoint."""
    setup, config = work.setup, work.setup.config
    work.refuse_to_replace()
    resume = ResumeFile(work.stem.with_name(f"{work.stem.name}.resume"), setup.resume_key(work.identity(LAST)))
    algorithm.work_beside(work.stem)
    pipeline = Pipeline(
        algorithm,
        setup.asked,
        config["unlearning_batchsize"],
        resume,
        work.places.logs / f"{work.stem.name}.requests.jsonl",
        Deadline.of_hours(config["max_training_hours"]),
        config["show_progress"],
    )
    records: dict[int, dict[str, Any]] = {}

    def save(checkpoint: int, n_done: int, summary: dict[str, Any]) -> None:
        state, identity = work.state(checkpoint), work.identity(checkpoint)
        logger.info("Saving current: %s", state.file)
        released = algorithm.release(checkpoint)
        save_unlearned(state.file, released, config, n_done - 1, state.meta(identity))
        timing = {key: value for key, value in summary.items() if "seconds" in key}
        counts = {key: value for key, value in summary.items() if key not in timing}
        records[checkpoint] = describe(setup, state, identity, arguments, timing, None, counts)
        records[checkpoint]["certificate"] = released["certificate"]
        records[checkpoint] |= {"ensemble": costs} if (costs := algorithm.costs()) else {}
        write_beside(state.file, records[checkpoint])

    with waiting():
        summary = pipeline.run(save)
    for checkpoint in range(N_CHECKPOINTS):  # an interrupted run may have saved some before its last snapshot
        if checkpoint not in records:
            records[checkpoint] = _record_before(work.state(checkpoint).file, resume)
    logger.info(
        "%d requests in %.2fs: %s", summary["total"], summary["seconds_total"],
        ", ".join(f"{summary[s]} {s}" for s in STATUSES),
    )  # fmt: skip
    return Unlearned(summary, records, (algorithm.finish, resume.remove))


def _record_before(checkpoint: Path, resume: ResumeFile) -> dict[str, Any]:
    """Return the JSON record that this run wrote next to a checkpoint's file before it was interrupted.

    Raises:
        UserError: the checkpoint or the record no longer exists.
    """
    record = read_beside(checkpoint)
    if record is None or not checkpoint.exists():
        gone = checkpoint if record is not None else checkpoint.with_suffix(".json")
        raise UserError(f"{gone} was removed after the run was interrupted; delete {resume.path} to start over")
    return record


def _certificates(work: Work) -> dict[int, dict[str, Any]]:
    """Return the certificates in the records of the unlearned models, as a dict from checkpoint number to certificate.

    Only some algorithms (CEU, IDEA) certify their models. For the others the dict is empty.
    """
    found = {at: _told_of(work, at, "certificate") for at in range(N_CHECKPOINTS)}
    return {at: certificate for at, certificate in found.items() if certificate is not None}


def _told_of(work: Work, checkpoint: int, name: str) -> Any:
    """Return the entry ``name`` in the record of a checkpoint's unlearned model; None if record or entry is missing."""
    return (read_beside(work.state(checkpoint).file) or {}).get(name)


def _requests_before(work: Work) -> dict[str, Any] | None:
    """Return the number of requests with each outcome, from the record of the last checkpoint; None without one."""
    return cast("dict[str, Any] | None", _told_of(work, LAST, "requests"))


def _references(setup: Setup, base: Stored, model: AbstractRecommender) -> dict[int, tuple[Stored, bool | str]]:
    """Read the files of the retrained models that exist, one for each checkpoint at most.

    Returns:
        A dict from the checkpoint number to a pair: the file's content, and the result of :meth:`Setup.twin`.

    Raises:
        UserError: a model belongs to other data, has forgotten other interactions, or :meth:`Setup.twin` rejects it.
    """
    found: dict[int, tuple[Stored, bool | str]] = {}
    for checkpoint in range(N_CHECKPOINTS) if setup.scenario.removes else ():
        state = setup.retrained(checkpoint)
        if state.file.exists():
            stored = Stored.read(state.file)
            check(state, stored, model)
            twin = setup.twin(base.identity, base.version, stored)
            found[checkpoint] = stored, twin
        else:
            logger.info("checkpoint %d: no retrained model (%s), so no distances from it", checkpoint, state.file.name)
    return found


def _same_epoch(
    setup: Setup, base: Stored, references: dict[int, tuple[Stored, bool | str]], model: AbstractRecommender
) -> dict[int, Stored]:
    """Read the files with the retrained models' weights in the epoch that validation selected for the base model.

    Returns a dict from checkpoint number to file content. A file of other retrained or base models is left out, with a
    warning.
    """
    found: dict[int, Stored] = {}
    for checkpoint, (retrained, _) in references.items():
        state = setup.retrained_same_epoch(checkpoint)
        if not state.file.exists():
            continue
        stored = Stored.read(state.file)
        if stored.identity == retrained.identity and stored.content.get("epoch") == base.content.get("epoch"):
            check(state, stored, model)
            found[checkpoint] = stored
        else:
            logger.warning("%s belongs to another retrained model or to another base, and is ignored", state.file)
    return found


def _costs(work: Work, summary: dict[str, Any] | None) -> dict[str, Any]:
    """Return what the requests cost, for the entry ``timing`` of the record.

    Returns:
        The entries of ``summary`` with seconds. If the record of the retrained model of the last checkpoint exists,
        also ``retraining_seconds``, ``retraining_cpu_seconds`` and ``speedup_over_retraining`` (retraining's seconds
        divided by the mean seconds of a request). Empty if ``summary`` is None.
    """
    if summary is None:
        return {}
    costs = {key: value for key, value in summary.items() if "seconds" in key}
    path = work.setup.retrained(LAST).file
    record = read_beside(path) if LAST in work.references else None
    if record is None:
        return costs
    identity, timing = work.references[LAST][0].identity, record.get("timing", {})
    retraining = timing.get("fit_seconds")
    if record.get("digest") not in (None, identity and identity.digest) or retraining is None:
        logger.warning("the record of %s belongs to other settings or contains no time, so no speed-up is given", path)
        return costs
    costs |= {"retraining_seconds": retraining, "retraining_cpu_seconds": timing.get("fit_cpu_seconds")}
    if costs["seconds_mean"]:
        costs["speedup_over_retraining"] = retraining / costs["seconds_mean"]
    return costs
