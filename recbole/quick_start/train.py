"""Training a base model, or retraining without what was forgotten."""

import logging
import os
import time
from pathlib import Path

from recbole.evaluator import Table, evaluate
from recbole.quick_start.hub import fetch
from recbole.quick_start.record import Clock, describe, reference_name, write_beside, write_exposure_csv
from recbole.quick_start.setup import OF_TRAINING, begin
from recbole.quick_start.spam import log_targets, spam_rows
from recbole.trainer import ResumeFile, Trainer, fingerprint, load_checkpoint, save_checkpoint
from recbole.utils import UserError, atomic_write, check_writable, write_json
from recbole.utils.device import now
from recbole.utils.distributed import is_main
from recbole.utils.logger import LOG_FOLDER, init_logger

logger = logging.getLogger("recbole")

UNSTORED = ("show_progress", "state", "eval_only", "sensitive_eval_only", "hf_model_path", "hf_cache_dir", "gpu_id",
            "forget_set")  # fmt: skip
"""Settings that change nothing in a model, so that a killed run may go on under others; of a forget set its stem and
content tell, wherever it lies."""


def identity_of(setup, **more):
    """Return the fingerprint of a run: its settings, its data, and what else decides its result."""
    config = {key: value for key, value in setup.config.as_dict().items() if key not in UNSTORED}
    return fingerprint(config=config, data=setup.dataset.log.fingerprint, **more)


def run_recbole(config, arguments=(), result_file=None, reference_checkpoint=None):
    """Train (or load) a model, evaluate it, and write what was found.

    With ``retrain_checkpoint_idx_to_match`` the model is trained without what is forgotten by that checkpoint.

    Args:
        config: :class:`~recbole.config.Config`.
        arguments: the command line, without credentials, for the record.
        result_file: also write the record here.
        reference_checkpoint: a retrained model to measure the distance from.

    Returns:
        The record, a dictionary: see :func:`~recbole.quick_start.record.describe`.

    Raises:
        UserError: for anything that the user can mend.
    """
    clock = Clock(config["device"])
    if result_file and is_main():
        check_writable(result_file)
    stem = init_logger(config)
    index = config["retrain_checkpoint_idx_to_match"]
    kind = "base" if index is None else "retrained"
    content, path = _given_checkpoint(config, kind)
    setup = begin(config, forgetting=index is not None)
    path = path or setup.path(setup.names.base() if index is None else setup.names.retrained(index))
    clock.lap("load")
    if config["eval_only"]:
        content = content if content is not None else load_checkpoint(path)
        model, resume, timing = setup.load_model(path, index, content), None, {}
    else:
        model, resume, timing = _train(setup, index, kind, path, stem)
    clock.lap("train" if timing else "load_model")
    rows = _valid_rows(timing.get("best_valid", {}), index, kind, setup.dataset.masked(setup.forgotten(index)))
    rows += _evaluate(setup, model, index, kind, reference_checkpoint)
    rows += spam_rows(setup, model, path.stem, model=kind, checkpoint=index)
    clock.lap("evaluate")
    record = describe(setup, kind, list(arguments), clock.seconds | timing, rows, checkpoint=index)
    if not is_main():
        return record
    if not config["eval_only"]:
        write_beside(path, record)
        if index == 3:
            _copy_as_best(path, setup.path(setup.names.retrained_best()), record)
    if config["sensitive_eval_only"]:
        suffix = "original" if index is None else f"checkpoint_{index}_retrain"
        sensitive_csv(setup, rows, kind, suffix)
    report(setup, rows, kind)
    config.warn_unread(logger, but=OF_TRAINING if config["eval_only"] else ())
    if result_file:
        write_json(result_file, record)
    if resume is not None:
        resume.remove()
    return record


def _given_checkpoint(config, kind):
    """Return an existing checkpoint's content and path if one is to be evaluated and has to be read before the data."""
    if not config["eval_only"]:
        if config["hf_model_path"]:
            raise UserError("--hf_model_path names a model to evaluate: give --eval_only too")
        return None, None
    if config["hf_model_path"]:
        path = Path(fetch(config["hf_model_path"], config["hf_token"], config["hf_cache_dir"]))
    elif kind == "base":
        from recbole.trainer import Naming

        path = Path(config["checkpoint_dir"]) / Naming.from_config(config).base()
    else:
        return None, None
    content = load_checkpoint(path)
    follow_original(config, content, path)
    return content, path


def follow_original(config, content, path):
    """Order interactions as the original did when one of its checkpoints is scored."""
    if isinstance(content, dict) and content.get("original") and config["time_precision"] != "single":
        logger.info("%s was written by the original: time_precision: single is switched on", path)
        config["time_precision"] = "single"


def _train(setup, index, kind, path, stem):
    config, forgotten = setup.config, setup.forgotten(index)
    wall, cpu = now(config["device"]), time.process_time()
    model = setup.new_model(forgotten)  # what has a closed form is fitted here
    building = now(config["device"]) - wall, time.process_time() - cpu
    logger.info(model)
    identity = identity_of(setup, mask=setup.mask_name(index))
    resume = ResumeFile(path.with_suffix(".resume"), identity)
    board = _board(stem) if config["tensorboard"] and is_main() else None
    trainer = Trainer(config, model, setup.dataset.masked(forgotten), resume, board)
    progress = trainer.fit()
    if board is not None:
        board.close()
    logger.info("Finished training, best eval result in epoch %d", progress.best_epoch)
    logger.info("best valid : %s", rounded(progress.best_result, config))
    if is_main():
        logger.info("Saving current: %s", path)
        _save(path, setup, trainer, setup.meta(kind, index))
    return model, resume, _timing(progress, *building)


def _save(path, setup, trainer, meta):
    save_checkpoint(path, {
        "config": setup.config.as_dict(),
        "epoch": trainer.progress.best_epoch,
        "cur_step": trainer.progress.bad_steps,
        "best_valid_score": trainer.progress.best_score,
        "state_dict": trainer.best_state["state_dict"],
        "other_parameter": trainer.model.other_parameter(),
        "optimizer": trainer.best_state["optimizer"],
        "meta": meta,
    })  # fmt: skip


def _timing(progress, building, cpu_building):
    return {
        "fit_seconds": building + sum(progress.epoch_seconds) + sum(progress.valid_seconds),
        "fit_cpu_seconds": cpu_building + progress.cpu_seconds,
        "epochs": len(progress.epoch_seconds),
        "best_epoch": progress.best_epoch,
        "epoch_seconds": progress.epoch_seconds,
        "valid_seconds": progress.valid_seconds,
        "stopped": progress.stopped,
        "best_valid": progress.best_result,
    }


def _board(stem):
    from torch.utils.tensorboard import SummaryWriter

    try:
        return SummaryWriter(os.path.join("log_tensorboard", stem))
    except OSError as error:
        raise UserError(f"cannot write log_tensorboard: {error.strerror}; --tensorboard False goes without") from error


def _evaluate(setup, model, index, kind, reference_checkpoint):
    config = setup.config
    reference = None
    if reference_checkpoint:
        other = setup.load_model(Path(reference_checkpoint), index)
        reference = (other, reference_name(reference_checkpoint))
    return evaluate(model, setup.views(index), config, reference, not config["sensitive_eval_only"], kind)


def _valid_rows(best_valid, index, kind, dataset):
    """Return the result rows of the best validation of a training run: on the data that it was trained on."""
    view = "all" if index is None else "current"
    table = Table(model=kind, checkpoint=index, split="valid", view=view, population="all", masking="retained")
    asked = dataset.eval_rows("valid")
    counts = {"n_rows": len(asked.inputs), "n_skipped": asked.n_skipped}
    for name, value in best_valid.items():
        metric, k = name.split("@")
        table.add(metric, value, int(k), **counts)
    return table.rows


def _copy_as_best(path, best, record):
    """Keep the latest index-3 retrained model under the README's name too."""
    with atomic_write(best, "wb") as file, open(path, "rb") as source:
        while piece := source.read(2**24):
            file.write(piece)
    write_beside(best, record | {"copy_of": path.name})


def sensitive_csv(setup, rows, kind, suffix, algorithm=None):
    """Write ERASE's table of sensitive items under ``log/``; ``suffix`` ends its name."""
    config = setup.config
    stem = f"sensitive_eval_{config['dataset']}_{config['model']}_seed_{config['seed']}"
    path = LOG_FOLDER / f"{stem}_category_{config['sensitive_category']}_{suffix}.csv"
    if not write_exposure_csv(path, setup, rows, kind, algorithm):
        raise UserError("--sensitive_eval_only needs --sensitive_category: there is no sensitive item to count")
    logger.info("sensitive items: %s", path)


def rounded(result, config):
    """Return a result dictionary as it is printed."""
    return {name: round(value, config["metric_decimal_place"]) for name, value in result.items()}


def report(setup, rows, kind, what="test result"):
    """Log a model's utility on all of the test rows, as ERASE does, and its exposure of sensitive or promoted items."""
    config = setup.config
    mine = [row for row in rows if row["model"] == kind and row["split"] == "test"]
    plain = [r for r in mine if r["view"] == "all" and r["population"] == "all" and r["masking"] == "retained"]
    utility = {f"{r['metric']}@{r['k']}": r["value"] for r in plain if r["metric"] in map(str.lower, config["metrics"])}
    if utility:
        logger.info("%s: %s", what, rounded(utility, config))
    population = "all" if setup.requests is None else "requesting"
    for row in mine:
        told = (row["metric"], row["masking"], row["population"])
        if told == ("pct_users_with_sensitive", "all", population):
            some = round(row["value"] * row["n_rows"] / 100)
            logger.info(
                "[Top-%d] Users with sensitive items: %d/%d (%.1f%%)", row["k"], some, row["n_rows"], row["value"]
            )
    log_targets(mine, config)
