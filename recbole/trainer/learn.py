"""Train a model for a state, save it, and load it again.

A :class:`~recbole.trainer.state.State` says which rows are forgotten and in which file the model is stored. Retraining
is training for a state with forgotten rows.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from recbole.data.dataset import Dataset
from recbole.model.abstract_recommender import AbstractRecommender
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

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger("recbole")


@dataclass(frozen=True)
class Learned:
    """A trained model with the weights of its best epoch.

    Attributes:
        model: the model, on its device, in evaluation mode.
        progress: epochs, losses, times and validation results of the training.
        building: wall and CPU seconds for constructing the model, including the fit of models that are fitted then.
        also: whether the weights of a second epoch were stored too; see :func:`learn`.
    """

    model: AbstractRecommender
    progress: Progress
    building: tuple[float, float]
    also: bool = False

    @property
    def timing(self) -> dict[str, Any]:
        """Entries for the ``.json`` record: wall and CPU seconds, epochs, why training stopped, and best validation."""
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
    """Return an untrained model for the state's data, on its device, initialised from the run's seed.

    Injected rows (spam) do not change the initial values of genuine users and items: these values are the same as in a
    model built on the clean data, which have no injected rows.
    """
    model = _drawn(run, state.data, run.config["seed"])
    if state.dataset.clean is not None and model.trainable:
        with torch.no_grad():
            _start_clean(run, state.dataset.clean, model)
    return model


def _drawn(run: Run, data: Dataset, seed: int) -> AbstractRecommender:
    """Return a model for the data with random initial values from the seed, on its device."""
    config = run.config
    init_seed(seed, config["reproducibility"], config["device"])
    return run.model_class(config, data).to(config["device"])


def _start_clean(run: Run, clean: Dataset, model: AbstractRecommender) -> None:
    """Overwrite a model's initial values in place: as on the clean data, with further draws for injected users.

    The further draws are rows of tables of the clean size, so they have the same distribution as the clean rows.
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
    board: "SummaryWriter | None" = None,
    also: tuple[State, int] | None = None,
    build: Callable[[Run, State], AbstractRecommender] = new_model,
) -> Learned:
    """Train a model for a state, and save it if the state has a file.

    Args:
        run: settings and the model's class.
        state: the data to train on, the mask, and the file to write.
        deadline: no epoch starts that would end after it; None means ``max_training_hours`` from now.
        resume: the snapshot file from which a killed run resumes; None for no snapshots. The caller deletes the file
            once all results are written.
        board: TensorBoard writer, or None.
        also: ``(second state, epoch)``: the weights of this epoch (from 0) are saved in the second state's file, in
            addition to the best epoch's in the first. None saves only the best epoch's.
        build: returns the untrained model.

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
    """Write a checkpoint without optimizer state, for a model that is not trained further.

    Args:
        state: the model's state, with a file.
        epoch: the epoch of the weights, from 0, as stored in the file; -1 if they belong to no epoch.
        run: settings and the model's class.
        weights: the model's ``state_dict``.
        more: further metadata of plain values.
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
    """Write the best weights of a finished training, and the optimizer state of that epoch, to the state's file."""
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
    """Load a trained model. Parts that it derives from the data, such as a graph, are built from the retained rows.

    Args:
        run: settings and the model's class.
        state: the data and mask that the checkpoint must belong to.
        stored: the checkpoint's content; by default it is read from the state's file.

    Returns:
        The model, on its device, in evaluation mode.

    Raises:
        UserError: the checkpoint belongs to other data or another mask, or its tensors have other shapes.
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

    Shapes are not checked for models that resize their parameters to the file (:meth:`make_room`).

    Args:
        state: the data and mask that the checkpoint must belong to.
        stored: the checkpoint's content.
        like: a model with the same settings, whose shapes are expected.

    Raises:
        UserError: the checkpoint belongs to other data or another mask, or its tensors have other shapes.
    """
    if type(like).make_room is AbstractRecommender.make_room:
        check_weights(like.state_dict(), stored.content, stored.path, type(like).__name__)
    check_data(state, stored)


def check_data(state: State, stored: Stored) -> None:
    """Check that a checkpoint belongs to a state's data and mask; files without metadata are accepted.

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
