"""The training program: trains a base model, or retrains it without the forgotten interactions, and evaluates it."""

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from recbole.quick_start.record import check_result_file, describe, write_beside
from recbole.quick_start.setup import OF_TRAINING, Setup, begin, first_line
from recbole.quick_start.writing import is_complete, only_writer
from recbole.scenario.base import Scenario
from recbole.scenario.known_scenarios import scenario_of
from recbole.trainer import ResumeFile
from recbole.trainer.board import Board
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

logger = logging.getLogger("recbole")


def run_recbole(
    config: Config,
    arguments: list[str] | tuple[str, ...] = (),
    result_file: str | None = None,
    reference_checkpoint: str | None = None,
) -> dict[str, Any]:
    """Train a model (or load it, with the setting ``eval_only``), evaluate it, and write its file, record and log.

    The record is a JSON file with settings, timing and results. With ``retrain_checkpoint_idx_to_match`` (0 to 3), the
    model is trained without the interactions that an unlearning run has forgotten when it saves this checkpoint.

    Args:
        arguments: the command line, without credentials, for the record.
        result_file: a path to which the record is also written, or None.
        reference_checkpoint: the file of a retrained model from which to measure distances, or None.

    Returns:
        The record as a dict, see :func:`~recbole.quick_start.record.describe`.

    Raises:
        UserError: a setting is invalid, a file cannot be read or written, or training diverged.
    """
    clock = Clock(config["device"])
    settle_ensemble(config, get_model(config["model"]).type)
    scenario = scenario_of(config)
    if result_file and is_main():
        check_result_file(result_file, config["checkpoint_dir"], scenario.places.of_run(config["model"]))
    stem = init_logger(config, scenario.places.logs)
    index = config["retrain_checkpoint_idx_to_match"]
    stored = _given(config, scenario, index)
    setup = begin(config, scenario, forgetting=index is not None)
    if index is None and not scenario.plants and scenario.removes and scenario.is_asked():
        logger.info(
            "training the base model, on all rows; to retrain without the rows that are forgotten by a checkpoint, "
            "give --retrain_checkpoint_idx_to_match 0, 1, 2 or 3"
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
    """Train the model that ``state`` describes, or load it from ``stored`` if given; evaluate it, and write the files.

    ``stem`` names the folder of TensorBoard's files. Returns the record, as :func:`run_recbole` does.
    """
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
    """With ``eval_only``, read the file of the model to evaluate, and adopt the settings with which it was trained.

    Args:
        config: the settings; changed in place to those in the file.
        scenario: determines the names of files.
        index: the checkpoint number (0 to 3) if the model is a retrained one; None for the base model.

    Returns:
        The content of the file; None without ``eval_only``.

    Raises:
        UserError: a file is named without ``eval_only``, cannot be read, or conflicts with the command line.
    """
    if not config["eval_only"]:
        for key in ("hf_model_path", "checkpoint"):
            if config[key]:
                raise UserError(f"--{key} names a model to evaluate; it needs --eval_only")
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
    """Raise a UserError, before any work, if the run would replace a model that has other settings.

    A retraining is also rejected if its settings (``identity``) and the existing base model's settings differ in more
    than the forgotten interactions, because the two models could not be compared.
    """
    config, scenario = setup.config, setup.scenario
    refuse_to_replace(state.file, state, identity, config["overwrite"])
    base = scenario.path(scenario.names.base())
    if state.kind != "retrained" or not base.exists() or config["allow_other_reference"]:
        return
    found = Stored.read(base).differences(identity, ("mask",))
    if found:
        raise UserError(
            f"this retrained model would not be comparable with the base model {base}: {told(found)}; give the base's "
            "settings, or --allow_other_reference to train it all the same, or --variant NAME to train a base and "
            "retrained models of their own"
        )


def _same_epoch(setup: Setup, state: State, identity: Identity) -> tuple[State, int] | None:
    """Return the epoch that validation selected for the base model: a retraining also saves its weights of this epoch.

    Returns:
        The state (with the file) of these weights, and the epoch. None if the run trains no retrained model, or there
        is no base model with the same settings and results version.
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
    """Return the entries ``coupled`` and ``selected_epochs`` for the JSON record of a training.

    ``also`` is the result of :func:`_same_epoch`. If weights were saved for it, this writes the record next to them.
    """
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
    """A completed training.

    Attributes:
        learned: the trained model.
        told: further entries for the JSON record.
        unfinished: the files from which an interrupted training resumes; removed when everything is written.
    """

    learned: Learned
    told: dict[str, Any]
    unfinished: ResumeFile | Workspace


def _train(setup: Setup, state: State, identity: Identity, arguments: list[str], board: Board | None) -> _Done:
    """Train the model or ensemble that ``state`` describes, and save it to the state's file."""
    if setup.config["ensemble"]:
        return _Done(*train_ensemble(setup, state, board))
    also = _same_epoch(setup, state, identity)
    key = setup.resume_key(identity, None if also is None else also[1])
    resume = ResumeFile(state.file.with_suffix(".resume"), key)
    learned = learn(setup, state, resume=resume, board=board, also=also)
    return _Done(learned, _told(setup, learned, also, identity, arguments), resume)


@contextlib.contextmanager
def _curves(setup: Setup, stem: str) -> Iterator[Board | None]:
    """Yield TensorBoard's curves of the run; None if ``tensorboard`` is off or this is not the main process."""
    board = Board(setup.scenario.places.board / stem) if setup.config["tensorboard"] and is_main() else None
    try:
        yield board
    finally:
        if board is not None:
            board.close()


def _reference(setup: Setup, state: State, stored: Stored | None, path: str | None) -> tuple[Stored, bool | str] | None:
    """Read, before any work, the file ``path`` of the retrained model from which distances are measured.

    Returns:
        The file's content, and the result of :meth:`Setup.twin`; None if ``path`` is None or empty.

    Raises:
        UserError: the file cannot be read, belongs to other data, or :meth:`Setup.twin` rejects the model.
    """
    if not path:
        return None
    other = Stored.read(Path(path))
    identity = setup.identity(state) if stored is None else stored.identity
    twin = setup.twin(identity, recbole.RESULTS_VERSION if stored is None else stored.version, other)
    check_data(state, other)
    return other, twin


def _compared(setup: Setup, state: State, other: Stored, twin: bool | str) -> Reference:
    return Reference(load(setup, state, other), other.reference, twin)


def _valid_rows(best_valid: dict[str, float], state: State, about: Row) -> list[Row]:
    """Return rows of the result table with the metrics of the best validation during training.

    Args:
        best_valid: dict from the name of a metric, such as ``ndcg@10``, to its value.
        state: the trained model's data and checkpoint number.
        about: values for further columns of the rows.
    """
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
    """Write the JSON record of a model, and then log the model's results.

    Args:
        setup: settings and data of the run.
        state: the model's kind and checkpoint number.
        path: the model's file, next to which the record is written if ``trained``.
        record: the record of the model.
        result_file: a path to which the record is also written, or None.
        trained: whether this run has trained the model, instead of loading it.
    """
    config, scenario, index, rows = setup.config, setup.scenario, state.checkpoint, record["metrics"]
    if trained:
        write_beside(path, record)
        if index == LAST:
            _copy_as_best(path, scenario.path(scenario.names.retrained_best()), record)
    if result_file:
        check_result_file(result_file, config["checkpoint_dir"])
        write_json(result_file, record)
    if config["sensitive_eval_only"]:
        suffix = "original" if index is None else f"checkpoint_{index}_retrain"
        sensitive_csv(setup, scenario.places.logs, rows, state.kind, suffix)
    report(setup, rows, state.kind)
    config.warn_unread(logger, but=() if trained else OF_TRAINING)


def _copy_as_best(path: Path, best: Path, record: dict[str, Any]) -> None:
    """Copy the retrained model of the last checkpoint, with its record, to a second name (``..._best.pth``)."""
    with atomic_write(best, "wb", best.with_suffix(".json")) as file, open(path, "rb") as source:
        while piece := source.read(2**24):
            file.write(piece)
    write_beside(best, record | {"copy_of": path.name})
