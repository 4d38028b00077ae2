"""Unlearning a forget set request by request, and holding the result against retrained models."""

import json
import logging
from pathlib import Path

from recbole.evaluator import evaluate
from recbole.quick_start.record import Clock, describe, reference_name, write_beside
from recbole.quick_start.setup import OF_TRAINING, begin
from recbole.quick_start.spam import clean_rows, log_targets, spam_rows
from recbole.quick_start.train import follow_original, identity_of, report, sensitive_csv
from recbole.trainer import Naming, ResumeFile, load_checkpoint, save_unlearned
from recbole.unlearning.pipeline import Pipeline
from recbole.unlearning.registry import get_algorithm
from recbole.utils import UserError, check_writable, sha256_of_file, write_json
from recbole.utils.deadline import Deadline
from recbole.utils.logger import LOG_FOLDER, init_logger

logger = logging.getLogger("recbole")


def unlearn_recbole(config, arguments=(), result_file=None):
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
    clock = Clock()
    if result_file:
        check_writable(result_file)
    init_logger(config)
    algorithm = get_algorithm(config["unlearning_algorithm"])
    base_path = Path(config["checkpoint_dir"]) / Naming.from_config(config).base()
    content = load_checkpoint(base_path)
    follow_original(config, content, base_path)
    setup = begin(config, forgetting=True)
    base = setup.load_model(base_path, None, content)
    references = _references(setup)
    clock.lap("load")
    if config["eval_only"]:
        summary, records, resume = None, {}, None
    else:
        summary, records, resume = _unlearn(setup, algorithm, base_path, content, list(arguments))
    clock.lap("unlearn")
    rows = _evaluate_all(setup, algorithm.name, base, references)
    clock.lap("evaluate")
    for checkpoint, record in records.items():
        mine = [row for row in rows if row["checkpoint"] == checkpoint and row["model"] == "unlearned"]
        write_beside(_path(setup, algorithm.name, checkpoint), record | {"metrics": mine})
    result = describe(setup, "unlearned", list(arguments), clock.seconds | _costs(setup, summary), rows, summary, 3)
    if config["sensitive_eval_only"]:
        sensitive_csv(setup, rows, "unlearned", f"unlearn_{algorithm.name}", algorithm.name)
    config.warn_unread(logger, but=OF_TRAINING)
    if result_file:
        write_json(result_file, result)
    if resume is not None:
        resume.remove()
    return result


def _path(setup, algorithm, checkpoint):
    size = setup.sizes[checkpoint]
    return setup.path(setup.names.unlearned(algorithm, size - 1, checkpoint, setup.config["unlearning_batchsize"]))


def _unlearn(setup, algorithm, base_path, content, arguments):
    """Run the pipeline; return its summary and the record of every checkpoint, without metrics yet."""
    config = setup.config
    model = setup.load_model(base_path, None, content)
    stem = setup.names.unlearning_stem(algorithm.name)
    if config["unlearning_batchsize"] != 1:
        stem += f"_bs{config['unlearning_batchsize']}"
    identity = identity_of(setup, base=sha256_of_file(base_path), forget_set=setup.requests.sha256)
    dataset = setup.dataset.masked(setup.forgotten(None))
    pipeline = Pipeline(
        algorithm(config, model, dataset),
        setup.requests,
        config["unlearning_batchsize"],
        ResumeFile(setup.path(f"{stem}.resume"), identity),
        LOG_FOLDER / f"{stem}.requests.jsonl",
        Deadline.of_hours(config["max_training_hours"]),
        config["show_progress"],
    )
    paths = [_path(setup, algorithm.name, checkpoint) for checkpoint in range(4)]
    records = {}

    def save(checkpoint, n_done, summary):
        path = paths[checkpoint]
        logger.info("Saving current: %s", path)
        released = pipeline.algorithm.release(checkpoint)
        save_unlearned(path, released, config, n_done - 1, setup.meta("unlearned", checkpoint))
        timing = {key: value for key, value in summary.items() if "seconds" in key}
        counts = {key: value for key, value in summary.items() if key not in timing}
        records[checkpoint] = describe(setup, "unlearned", arguments, timing, None, counts, checkpoint)
        write_beside(path, records[checkpoint])

    summary = pipeline.run(save)
    for checkpoint in set(range(4)) - set(records):  # those that a killed run had saved before its last snapshot
        path = paths[checkpoint].with_suffix(".json")
        if not path.exists():
            raise UserError(
                f"{path} is gone since the run was interrupted; delete {pipeline.resume.path} to start over"
            )
        records[checkpoint] = _read_json(path)
    logger.info(
        "%d requests in %.2fs: %s", summary["total"], summary["seconds_total"],
        ", ".join(f"{summary[s]} {s}" for s in ("applied", "skipped", "timeout", "diverged")),
    )  # fmt: skip
    return summary, records, pipeline.resume


def _read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def _references(setup):
    """Return the paths of the retrained models that are there, by checkpoint; a wrong one is found before the work."""
    found = {}
    for checkpoint in range(4):
        path = setup.path(setup.names.retrained(checkpoint))
        if path.exists():
            setup.load_model(path, checkpoint)
            found[checkpoint] = path
        else:
            logger.info("no retrained model for checkpoint %d (%s): no distance from it", checkpoint, path.name)
    return found


def _evaluate_all(setup, algorithm, base, references):
    """Put every checkpoint's questions to the base, the retrained (if there) and the unlearned model.

    Those about spam do not depend on the checkpoint; they are put to the base, and to the clean model, once.
    """
    config, rows, of_base = setup.config, clean_rows(setup), spam_rows(setup, base, model="base")
    for about_spam in (rows, of_base):
        log_targets(about_spam, config)
    for checkpoint in range(4):
        views = setup.views(checkpoint)
        path = _path(setup, algorithm, checkpoint)
        models = {"base": base, "unlearned": setup.load_model(path, checkpoint)}
        reference = None
        if checkpoint in references:
            models["retrained"] = setup.load_model(references[checkpoint], checkpoint)
            reference = (models["retrained"], reference_name(references[checkpoint]))
        for kind, model in models.items():
            name = algorithm if kind == "unlearned" else None
            compare = None if kind == "retrained" else reference
            rows += evaluate(model, views, config, compare, not config["sensitive_eval_only"], kind, name)
            if kind != "base":
                stem = path.stem if kind == "unlearned" else None
                rows += spam_rows(setup, model, stem, model=kind, algorithm=name, checkpoint=checkpoint)
        rows += [row | {"checkpoint": checkpoint} for row in of_base]
        mine = [row for row in rows if row["checkpoint"] == checkpoint]
        report(setup, mine, "unlearned", f"Results for model {path.name}")
    return rows


def _costs(setup, summary):
    """Return seconds per request and, where a retrained model's record is there, the speed-up over retraining it."""
    if summary is None:
        return {}
    costs = {key: value for key, value in summary.items() if "seconds" in key}
    path = setup.path(setup.names.retrained(3)).with_suffix(".json")
    if path.exists():
        timing = _read_json(path)["timing"]
        retraining = timing["fit_seconds"]
        costs |= {"retraining_seconds": retraining, "retraining_cpu_seconds": timing.get("fit_cpu_seconds")}
        if costs["seconds_mean"]:
            costs["speedup_over_retraining"] = retraining / costs["seconds_mean"]
    return costs
