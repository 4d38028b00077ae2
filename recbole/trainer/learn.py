"""Train a model for a state, save it, and load it again.

A :class:`~recbole.trainer.state.State` says which data the model is trained on, which interactions (rows of the log) it
has forgotten, and in which file it is stored. Retraining is training for a state with forgotten rows.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from recbole.data.dataset import Dataset
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.trainer.board import Board
from recbole.trainer.checkpoint import check_weights, load_weights, save_checkpoint
from recbole.trainer.loop import TrainingLoop
from recbole.trainer.progress import Progress
from recbole.trainer.resume import ResumeFile
from recbole.trainer.state import Run, State
from recbole.trainer.stored import Stored
from recbole.utils import UserError, distributed, init_seed, torch_seed
from recbole.utils.deadline import Deadline
from recbole.utils.device import now
from recbole.utils.distributed import is_main
from recbole.utils.ending import waiting

logger = logging.getLogger("recbole")


@dataclass(frozen=True)
class Learned:
    """A trained model with the weights of its best epoch.

    Attributes:
        model: the model, on its device, in evaluation mode.
        progress: epochs, losses, times and validation results of the training.
        building: wall-clock and CPU seconds for constructing the model. Models with a closed-form solution are fitted
            then.
        also: whether training reached the second epoch whose weights were to be kept (argument ``also`` of
            :func:`learn`).
    """

    model: AbstractRecommender
    progress: Progress
    building: tuple[float, float]
    also: bool = False

    @property
    def timing(self) -> dict[str, Any]:
        """Entries for the model's ``.json`` record: seconds, epochs, why training stopped, best validation results."""
        progress, (wall, cpu) = self.progress, self.building
        return {
            "fit_seconds": wall + sum(progress.epoch_seconds) + sum(progress.valid_seconds),
            "fit_cpu_seconds": cpu + progress.cpu_seconds,
            "epochs": len(progress.epoch_seconds),
            "best_epoch": progress.best_epoch,
            "epoch_seconds": progress.epoch_seconds,
            "valid_seconds": progress.valid_seconds,
            "stopped": progress.stopped,
            "best_valid": progress.best_result,
        }


def new_model(run: Run, state: State) -> AbstractRecommender:
    """Return an untrained model for the state's data, on its device, with initial values drawn with the run's seed.

    Injected rows (spam) do not change the initial values of genuine users and items. These values are the same as in a
    model that is built on the data without injected rows.
    """
    model = _drawn(run, state.data, run.config["seed"])
    if state.dataset.clean is not None and model.trainable:
        with torch.no_grad():
            _start_clean(run, state.dataset.clean, model)
    return model


def _drawn(run: Run, data: Dataset, seed: int) -> AbstractRecommender:
    """Return a new model for the data, on its device, with initial values drawn with the given seed."""
    config = run.config
    init_seed(seed, config["reproducibility"], config["device"])
    return run.model_class(config, data).to(config["device"])


def _start_clean(run: Run, clean: Dataset, model: AbstractRecommender) -> None:
    """Set the initial values of genuine users and items to those of a model built on the data without injected rows.

    Tables that are longer because of injected users get further rows. These are taken from further random tables of the
    original size, so they have the same distribution as the other rows.

    Args:
        run: settings and the model's class.
        clean: the data without injected rows.
        model: the model built on all data, changed in place.
    """
    seed, first = run.config["seed"], dict(_drawn(run, clean, run.config["seed"]).named_parameters())
    tables = {name: values for name, values in model.named_parameters() if name not in model.entry_tables}
    longer = {name: values for name, values in tables.items() if values.shape != first[name].shape}
    for name, values in tables.items():  # entry tables already draw each value from its own matrix index
        values[: len(first[name])] = first[name]
    block, left = 0, {name: values[len(first[name]) :] for name, values in longer.items()}
    while any(len(rows) for rows in left.values()):
        more = dict(_drawn(run, clean, torch_seed(seed, "planted", block)).named_parameters())
        for name, rows in left.items():
            new = more[name][1:][: len(rows)]  # row 0 is the padding
            rows[: len(new)] = new
            left[name] = rows[len(new) :]
        block += 1


def learn(
    run: Run,
    state: State,
    deadline: Deadline | None = None,
    resume: ResumeFile | None = None,
    board: Board | None = None,
    also: tuple[State, int] | None = None,
    build: Callable[[Run, State], AbstractRecommender] = new_model,
) -> Learned:
    """Train a model for a state, and save it if the state has a file.

    Args:
        run: settings and the model's class.
        state: the data to train on, the mask of forgotten rows, and the file to write.
        deadline: the time limit; an epoch that would probably end later is not started. None means
            ``max_training_hours`` from now.
        resume: the snapshot file, from which a killed run resumes; None for no snapshots. The caller deletes the file
            once all results are written.
        board: TensorBoard's curves, or None.
        also: ``(second state, epoch)``: besides the weights of the best epoch, those of this epoch (from 0) are saved,
            in the file of the second state. None saves only the weights of the best epoch.
        build: function that returns the untrained model.

    Raises:
        UserError: training diverged, or the file cannot be written.
    """
    config = run.config
    wall, cpu = now(config["device"]), time.process_time()
    model = build(run, state)
    building = now(config["device"]) - wall, time.process_time() - cpu
    logger.info(model)
    trainer = TrainingLoop(config, model, state.data, resume, board, deadline, None if also is None else also[1])
    with waiting(resume is not None and distributed.world_size() == 1):
        progress = trainer.fit()
    logger.info("Finished training, best eval result in epoch %d", progress.best_epoch)
    best = {name: round(value, config["metric_decimal_place"]) for name, value in progress.best_result.items()}
    logger.info("best valid : %s", best)
    if state.path is not None and is_main():
        logger.info("Saving current: %s", state.path)
        save_trained(run, state, trainer)
        if also is not None and trainer.kept is not None:
            save_weights(*also, run, trainer.kept)
    return Learned(model, progress, building, trainer.kept is not None)


def save_weights(
    state: State, epoch: int, run: Run, weights: dict[str, torch.Tensor], more: Mapping[str, Any] | None = None
) -> None:
    """Write a checkpoint file for given weights, without optimizer state.

    Args:
        state: the model's state, with a file.
        epoch: the epoch (from 0) after which the model had these weights; -1 for none. It is stored in the file.
        run: settings and the model's class.
        weights: the model's ``state_dict``.
        more: further entries of the file's metadata; plain values.
    """
    logger.info("Saving current: %s", state.file)
    save_checkpoint(state.file, {
        "config": run.config.as_dict(),
        "epoch": epoch,
        "cur_step": 0,
        "best_valid_score": -torch.inf,
        "state_dict": weights,
        "other_parameter": None,
        "optimizer": None,
        "meta": state.meta(run.identity(state)) | dict(more or {}),
    })  # fmt: skip


def save_trained(run: Run, state: State, trainer: TrainingLoop) -> None:
    """Write the weights and the optimizer state of the best epoch of a finished training to the state's file."""
    best = trainer.best_state or {}
    save_checkpoint(state.file, {
        "config": run.config.as_dict(),
        "epoch": trainer.progress.best_epoch,
        "cur_step": trainer.progress.bad_steps,
        "best_valid_score": trainer.progress.best_score,
        "state_dict": best["state_dict"],
        "other_parameter": trainer.model.other_parameter(),
        "optimizer": best["optimizer"],
        "meta": state.meta(run.identity(state)),
    })  # fmt: skip


def load(run: Run, state: State, stored: Stored | None = None) -> AbstractRecommender:
    """Load a trained model from its checkpoint.

    What the model derives from the data, such as a graph, is computed from the rows that the state has not forgotten.

    Args:
        run: settings and the model's class.
        state: the data and the mask of forgotten rows that the checkpoint must belong to.
        stored: the checkpoint's content; None reads it from the state's file.

    Returns:
        The model, on its device, in evaluation mode.

    Raises:
        UserError: the checkpoint belongs to other data or to another mask, or its tensors have other shapes than the
            model's.
    """
    stored = Stored.read(state.file) if stored is None else stored
    model = new_model(run, state)
    load_weights(model, stored.content, stored.path)
    check_data(state, stored)
    epoch = stored.content.get("epoch")  # the last trained epoch, from 0
    model.epochs_trained = epoch + 1 if isinstance(epoch, int) else 0
    model.eval()
    return model


def check(state: State, stored: Stored, like: AbstractRecommender) -> None:
    """Check, before any work starts, that :func:`load` will accept a checkpoint.

    Shapes are not checked for models that resize their parameters to those in the file (:meth:`make_room`).

    Args:
        state: the data and the mask of forgotten rows that the checkpoint must belong to.
        stored: the checkpoint's content.
        like: a model with the same settings; the checkpoint's tensors must have the shapes of this model's.

    Raises:
        UserError: the checkpoint belongs to other data or to another mask, or its tensors have other shapes.
    """
    if type(like).make_room is AbstractRecommender.make_room:
        check_weights(like.state_dict(), stored.content, stored.path, type(like).__name__)
    check_data(state, stored)


def check_data(state: State, stored: Stored) -> None:
    """Check that a checkpoint belongs to a state's data and to its mask of forgotten rows.

    Files without metadata, such as those of RecBole and ERASE, are accepted.

    Raises:
        UserError: the checkpoint belongs to other data, other requests, or another mask.
    """
    path, content = stored.path, stored.content
    meta = content.get("meta") if isinstance(content, dict) else None
    if meta is not None:
        if meta.get("dataset") != state.dataset.log.fingerprint:
            raise UserError(
                f"{path}: was trained on other data (file, filter or split) than the {state.dataset.log.name} of this "
                "run; use the same data and settings, or train the model again"
            )
        if meta.get("mask") != state.mask:
            raise UserError(
                f"{path}: belongs to another forget set or to other requests; if the forget set was regenerated since, "
                "restore it or train the model again"
            )
        if stored.version and stored.settings is not None and stored.settings.get("mask") != state.mask_digest:
            raise UserError(
                f"{path}: has forgotten other rows than this run requires; if the list of sensitive items was changed "
                "since, restore it or train the model again"
            )
