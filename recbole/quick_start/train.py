"""Training a base model, or retraining without what was forgotten."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole.config import Config
from recbole.evaluator import Table, evaluate
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.quick_start.closing import report, sensitive_csv
from recbole.quick_start.hub import fetch
from recbole.quick_start.record import describe, reference_name, write_beside
from recbole.quick_start.setup import OF_TRAINING, Setup, begin
from recbole.scenario.base import Scenario
from recbole.scenario.known_scenarios import scenario_of
from recbole.trainer import ResumeFile, load_checkpoint
from recbole.trainer.learn import Learned, learn, load
from recbole.trainer.original import follow_original
from recbole.trainer.state import State
from recbole.unlearning.schedule import LAST
from recbole.utils import UserError, atomic_write, check_writable, write_json
from recbole.utils.clock import Clock
from recbole.utils.distributed import is_main
from recbole.utils.logger import init_logger

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger("recbole")


def run_recbole(
    config: Config,
    arguments: list[str] | tuple[str, ...] = (),
    result_file: str | None = None,
    reference_checkpoint: str | None = None,
) -> dict[str, Any]:
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
    scenario = scenario_of(config)
    stem = init_logger(config)
    index = config["retrain_checkpoint_idx_to_match"]
    content, path = _given_checkpoint(config, scenario, index)
    setup = begin(config, scenario, forgetting=index is not None)
    state = setup.base() if index is None else setup.retrained(index)
    clock.lap("load")
    path = path or state.file
    resume, timing = None, {}
    if config["eval_only"]:
        model = load(setup, state, path, content)
    else:
        resume = ResumeFile(path.with_suffix(".resume"), setup.identity(setup.dataset, mask=state.mask))
        learned = _train(setup, state, resume, stem)
        model, timing = learned.model, learned.timing
    clock.lap("train" if timing else "load_model")
    rows = _valid_rows(timing.get("best_valid", {}), state)
    rows += _evaluate(setup, model, state, reference_checkpoint)
    rows += scenario.ask(model, path.stem, model=state.kind, checkpoint=index)
    clock.lap("evaluate")
    record = describe(setup, state, list(arguments), clock.seconds | timing, rows)
    if is_main():
        _write(setup, state, path, record, result_file)
        if resume is not None:
            resume.remove()
    return record


def _write(setup: Setup, state: State, path: Path, record: dict[str, Any], result_file: str | None) -> None:
    """Write and tell what was found of a model."""
    config, scenario, index, rows = setup.config, setup.scenario, state.checkpoint, record["metrics"]
    if not config["eval_only"]:
        write_beside(path, record)
        if index == LAST:
            _copy_as_best(path, scenario.path(scenario.names.retrained_best()), record)
    if config["sensitive_eval_only"]:
        suffix = "original" if index is None else f"checkpoint_{index}_retrain"
        sensitive_csv(setup, rows, state.kind, suffix)
    report(setup, rows, state.kind)
    config.warn_unread(logger, but=OF_TRAINING if config["eval_only"] else ())
    if result_file:
        write_json(result_file, record)


def _given_checkpoint(
    config: Config, scenario: Scenario, index: int | None
) -> tuple[dict[str, Any] | None, Path | None]:
    """Return an existing checkpoint's content and path if one is to be evaluated and has to be read before the data."""
    if not config["eval_only"]:
        if config["hf_model_path"]:
            raise UserError("--hf_model_path names a model to evaluate: give --eval_only too")
        return None, None
    if config["hf_model_path"]:
        path = Path(fetch(config["hf_model_path"], config["hf_token"], config["hf_cache_dir"]))
    elif index is None:
        path = scenario.path(scenario.names.base())
    else:
        return None, None
    content = load_checkpoint(path)
    follow_original(config, content, path)
    return content, path


def _train(setup: Setup, state: State, resume: ResumeFile, stem: str) -> Learned:
    board = _board(stem) if setup.config["tensorboard"] and is_main() else None
    try:
        return learn(setup, state, resume=resume, board=board)
    finally:
        if board is not None:
            board.close()


def _board(stem: str) -> "SummaryWriter":
    from torch.utils.tensorboard import SummaryWriter

    try:
        return SummaryWriter(os.path.join("log_tensorboard", stem))
    except OSError as error:
        raise UserError(f"cannot write log_tensorboard: {error.strerror}; --tensorboard False goes without") from error


def _evaluate(
    setup: Setup, model: AbstractRecommender, state: State, reference_checkpoint: str | None
) -> list[dict[str, Any]]:
    reference = None
    if reference_checkpoint:
        other = load(setup, state, Path(reference_checkpoint))
        reference = (other, reference_name(reference_checkpoint))
    return evaluate(model, setup.view(state), *setup.scenario.questions(), reference, model=state.kind)


def _valid_rows(best_valid: dict[str, float], state: State) -> list[dict[str, Any]]:
    """Return the result rows of the best validation of a training run: on the data that it was trained on."""
    view = "all" if state.checkpoint is None else "current"
    about = {"model": state.kind, "checkpoint": state.checkpoint}
    table = Table(**about, split="valid", view=view, population="all", masking="retained")
    asked = state.data.eval_rows("valid")
    counts = {"n_rows": len(asked.inputs), "n_skipped": asked.n_skipped}
    for name, value in best_valid.items():
        metric, _, k = name.partition("@")
        table.add(metric, value, int(k) if k else None, **counts)
    return table.rows


def _copy_as_best(path: Path, best: Path, record: dict[str, Any]) -> None:
    """Keep the last retrained model under the README's name too."""
    with atomic_write(best, "wb") as file, open(path, "rb") as source:
        while piece := source.read(2**24):
            file.write(piece)
    write_beside(best, record | {"copy_of": path.name})
