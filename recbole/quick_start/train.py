"""Training a base model, or retraining without what was forgotten."""

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import recbole
from recbole.config import Config
from recbole.config.ensembles import settle_ensemble
from recbole.config.identity import Identity, told
from recbole.ensemble.training import Workspace
from recbole.evaluator import Asked, Reference, Table, evaluate
from recbole.evaluator.kinds import Row
from recbole.model import get_model
from recbole.quick_start.closing import report, sensitive_csv
from recbole.quick_start.ensembles import train_ensemble
from recbole.quick_start.hub import fetch
from recbole.quick_start.record import check_result_file, describe, reference_name, write_beside
from recbole.quick_start.setup import OF_TRAINING, Setup, begin, first_line
from recbole.quick_start.writing import is_complete, only_writer
from recbole.scenario.base import Scenario
from recbole.scenario.known_scenarios import scenario_of
from recbole.trainer import ResumeFile
from recbole.trainer.coupled import coupled
from recbole.trainer.learn import Learned, check_data, learn, load
from recbole.trainer.original import follow_original
from recbole.trainer.state import State
from recbole.trainer.stored import Stored, adopt, refuse_to_replace
from recbole.unlearning.schedule import LAST
from recbole.utils import UserError, atomic_write, write_json
from recbole.utils.clock import Clock
from recbole.utils.distributed import agreed, is_main
from recbole.utils.logger import begin_log, init_logger

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
        check_result_file(result_file, config)
    settle_ensemble(config, get_model(config["model"]).type)
    scenario = scenario_of(config)
    stem = init_logger(config, scenario.places.logs)
    index = config["retrain_checkpoint_idx_to_match"]
    stored = _given(config, scenario, index)
    setup = begin(config, scenario, forgetting=index is not None)
    if index is None and not scenario.plants and scenario.removes and scenario.is_asked():
        logger.info(
            "this is the base model, of which nothing is forgotten; --retrain_checkpoint_idx_to_match 0, 1, 2 or 3 "
            "retrains without what is forgotten by that checkpoint"
        )
    state = setup.base() if index is None else setup.retrained(index)
    identity = setup.identity(state) if stored is None else stored.identity
    begin_log(first_line("run_recbole.py", arguments, identity))
    clock.lap("load")
    with only_writer(config, state.file if stored is None else None) as waited:
        if waited and agreed(is_complete(state.file, setup.identity(state))):
            stored = Stored.read(state.file)
        return _run(setup, state, stored, stem, list(arguments), result_file, reference_checkpoint, clock)


def _run(
    setup: Setup,
    state: State,
    stored: Stored | None,
    stem: str,
    arguments: list[str],
    result_file: str | None,
    reference_checkpoint: str | None,
    clock: Clock,
) -> dict[str, Any]:
    """Train, or take what is stored, and evaluate; return the record."""
    scenario, done, timing = setup.scenario, None, {}
    reference = _reference(setup, state, stored, reference_checkpoint)
    if stored is not None:
        identity = stored.identity
        model = load(setup, state, stored)
    else:
        identity = setup.identity(state)
        _check_files(setup, state, identity)
        with _curves(setup, stem) as board:
            done = _train(setup, state, identity, arguments, board)
        model, timing = done.learned.model, done.learned.timing
    clock.lap("train" if timing else "load_model")
    path = state.file if stored is None else stored.path
    version = recbole.RESULTS_VERSION if stored is None else stored.version
    about = setup.about(identity, version=version)
    about |= {"model": state.kind, "checkpoint": state.checkpoint}
    asked = Asked(model)
    own = scenario.ask(asked, scenario.places.logs / path.stem, **about)
    rows = _valid_rows(timing.get("best_valid", {}), state, about)
    compared = None if reference is None else _compared(setup, state, *reference)
    rows += evaluate(asked, setup.view(state), *scenario.questions(), compared, **about) + own
    clock.lap("evaluate")
    record = describe(setup, state, identity, arguments, clock.seconds | timing, rows) | (done.told if done else {})
    if is_main():
        _write(setup, state, path, record, result_file, trained=stored is None)
        if done is not None:
            done.unfinished.remove()
    return record


def _given(config: Config, scenario: Scenario, index: int | None) -> Stored | None:
    """Return the checkpoint that is to be evaluated, if one is, and take the settings that made it."""
    if not config["eval_only"]:
        for key in ("hf_model_path", "checkpoint"):
            if config[key]:
                raise UserError(f"--{key} names a model to evaluate: give --eval_only too")
        return None
    if config["hf_model_path"]:
        path = fetch(config["hf_model_path"], config)
    elif config["checkpoint"]:
        path = Path(config["checkpoint"])
    else:
        path = scenario.path(scenario.names.base() if index is None else scenario.names.retrained(index))
    stored = Stored.read(path)
    follow_original(config, stored.content, path)
    adopt(config, stored)
    stored.say_version()
    return stored


def _check_files(setup: Setup, state: State, identity: Identity) -> None:
    """Refuse, before any work, to replace a file of other settings, and to retrain what is no twin of the base."""
    config, scenario = setup.config, setup.scenario
    refuse_to_replace(state.file, state, identity, config["overwrite"])
    base = scenario.path(scenario.names.base())
    if state.kind != "retrained" or not base.exists() or config["allow_other_reference"]:
        return
    found = Stored.read(base).differences(identity, ("mask",))
    if found:
        raise UserError(
            f"this retraining would be no yardstick for {base}: {told(found)}; give the base's settings, or "
            "--allow_other_reference, or --variant NAME for a base and retrained models of their own"
        )


def _same_epoch(setup: Setup, state: State, identity: Identity) -> tuple[State, int] | None:
    """Return where a retraining's weights at the epoch that was selected for its twin base go, and that epoch.

    None of a base, of what is not trained, and where there is no such base.
    """
    base = setup.base().file
    if state.kind != "retrained" or state.checkpoint is None or not base.exists():
        return None
    stored = Stored.read(base)
    epoch = stored.content.get("epoch")
    if (
        epoch is None
        or epoch < 0
        or stored.version != recbole.RESULTS_VERSION
        or stored.differences(identity, ("mask",))
    ):
        return None
    other = setup.retrained_same_epoch(state.checkpoint)
    refuse_to_replace(other.file, other, identity, setup.config["overwrite"])
    return other, epoch


def _told(
    setup: Setup, learned: Learned, also: tuple[State, int] | None, identity: Identity, arguments: list[str]
) -> dict[str, Any]:
    """Return what a record tells of a training beside its result; write the record of the base's epoch too."""
    told: dict[str, Any] = {"coupled": coupled(setup.config, learned.model)}
    if also is None or not learned.model.trainable:
        return told
    state, epoch = also
    told |= {"selected_epochs": {"base": epoch, "retrained": learned.progress.best_epoch}}
    logger.info("selected epochs: base %d, retrained %d", epoch, learned.progress.best_epoch)
    if learned.also and is_main():
        write_beside(state.file, describe(setup, state, identity, arguments, {}, None) | told)
    return told


@dataclass(frozen=True)
class _Done:
    """A training that has ended: its model, what the record tells beside its result, its unfinished work's files."""

    learned: Learned
    told: dict[str, Any]
    unfinished: ResumeFile | Workspace


def _train(
    setup: Setup, state: State, identity: Identity, arguments: list[str], board: "SummaryWriter | None"
) -> _Done:
    """Train and save the model of a state, one or an ensemble."""
    if setup.config["ensemble"]:
        return _Done(*train_ensemble(setup, state, board))
    also = _same_epoch(setup, state, identity)
    key = setup.resume_key(identity, None if also is None else also[1])
    resume = ResumeFile(state.file.with_suffix(".resume"), key)
    learned = learn(setup, state, resume=resume, board=board, also=also)
    return _Done(learned, _told(setup, learned, also, identity, arguments), resume)


@contextlib.contextmanager
def _curves(setup: Setup, stem: str) -> "Iterator[SummaryWriter | None]":
    """Yield TensorBoard's writer of a run, or None where there is none."""
    board = _board(setup.scenario.places.board / stem) if setup.config["tensorboard"] and is_main() else None
    try:
        yield board
    finally:
        if board is not None:
            board.close()


def _board(folder: Path) -> "SummaryWriter":
    from torch.utils.tensorboard import SummaryWriter

    try:
        return SummaryWriter(os.fspath(folder))
    except OSError as error:
        raise UserError(f"cannot write {folder.parent}: {error.strerror}; --tensorboard False goes without") from error


def _reference(setup: Setup, state: State, stored: Stored | None, path: str | None) -> tuple[Stored, bool | str] | None:
    """Return the retrained model to measure the distance from, and whether it is a twin, before any work.

    Raises:
        UserError: it is not there, of other data, or no twin.
    """
    if not path:
        return None
    other = Stored.read(Path(path))
    identity = setup.identity(state) if stored is None else stored.identity
    twin = setup.twin(identity, recbole.RESULTS_VERSION if stored is None else stored.version, other)
    check_data(state, other)
    return other, twin


def _compared(setup: Setup, state: State, other: Stored, twin: bool | str) -> Reference:
    return Reference(load(setup, state, other), reference_name(other.path), twin)


def _valid_rows(best_valid: dict[str, float], state: State, about: Row) -> list[Row]:
    """Return the result rows of the best validation of a training run: on the data that it was trained on."""
    view = "all" if state.checkpoint is None else "current"
    table = Table(**about, split="valid", view=view, population="all", masking="retained")
    asked = state.data.eval_rows("valid")
    people = len(set(asked.entity.tolist()))
    counts = {"n_people": people, "n_rows": len(asked.inputs), "n_skipped": asked.n_skipped}
    for name, value in best_valid.items():
        metric, _, k = name.partition("@")
        table.add(metric, value, int(k) if k else None, **counts)
    return table.rows


def _write(
    setup: Setup, state: State, path: Path, record: dict[str, Any], result_file: str | None, trained: bool
) -> None:
    """Write, then tell what was found of a model."""
    config, scenario, index, rows = setup.config, setup.scenario, state.checkpoint, record["metrics"]
    if trained:
        write_beside(path, record)
        if index == LAST:
            _copy_as_best(path, scenario.path(scenario.names.retrained_best()), record)
    if result_file:
        write_json(result_file, record)
    if config["sensitive_eval_only"]:
        suffix = "original" if index is None else f"checkpoint_{index}_retrain"
        sensitive_csv(setup, scenario.places.logs, rows, state.kind, suffix)
    report(setup, rows, state.kind)
    config.warn_unread(logger, but=() if trained else OF_TRAINING)


def _copy_as_best(path: Path, best: Path, record: dict[str, Any]) -> None:
    """Keep the last retrained model under the README's name too."""
    with atomic_write(best, "wb", best.with_suffix(".json")) as file, open(path, "rb") as source:
        while piece := source.read(2**24):
            file.write(piece)
    write_beside(best, record | {"copy_of": path.name})
