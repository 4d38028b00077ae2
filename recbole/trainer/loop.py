"""The training loop: validation, early stopping, and snapshots from which a killed run resumes bit-identically."""

import logging
import math
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

import torch
from tqdm import tqdm

from recbole.config import Config
from recbole.data import Interaction, TrainBatches
from recbole.data.batch_fields import NUMBER
from recbole.data.dataset import Dataset
from recbole.evaluator.utility import validation
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.model.keyed_dropout import keyed_by, keyed_layers
from recbole.trainer.board import Board
from recbole.trainer.checkpoint import check_weights
from recbole.trainer.learners import make_optimizer, rows_alone
from recbole.trainer.optimizers import check_state
from recbole.trainer.progress import Progress
from recbole.trainer.resume import ResumeFile, alike
from recbole.utils import InputType, UserError, keyed
from recbole.utils.deadline import Deadline
from recbole.utils.device import now
from recbole.utils.distributed import agreed, is_main, rank, share_buffers, sum_gradients, world_size

logger = logging.getLogger("recbole")

_OUT_OF_TIME = "time budget"


class TrainingLoop:
    """Trains a model and keeps the weights of the epoch with the best validation score.

    Args:
        config: the run's configuration.
        model: a recommender, already on its device.
        dataset: the data; interactions that are marked as forgotten are not trained on.
        resume: reads and writes the snapshots; None trains without snapshots.
        board: TensorBoard's curves, or None.
        deadline: the time limit; None means ``max_training_hours`` from now. No epoch that may end later is started.
        also: an epoch (from 0) whose weights are kept besides those of the best epoch, or None.

    Attributes:
        progress: how far training has come.
        best_state: ``state_dict`` and optimizer state of the best epoch so far, on the CPU; None before the first one.
        kept: the weights after epoch ``also``, by name, on the CPU; None before this epoch, or if time ran out before.
        valid: the evaluation rows for validation.
    """

    def __init__(
        self,
        config: Config,
        model: AbstractRecommender,
        dataset: Dataset,
        resume: ResumeFile | None = None,
        board: Board | None = None,
        deadline: Deadline | None = None,
        also: int | None = None,
    ) -> None:
        self.config, self.model, self.dataset, self.resume, self.board = config, model, dataset, resume, board
        self.device = next(model.parameters()).device
        self.deadline = deadline or Deadline.of_hours(config["max_training_hours"])
        self.progress, self.cpu_started = Progress(), time.process_time()
        self.best_state: dict[str, Any] | None = None
        self.also = also
        self.kept: dict[str, torch.Tensor] | None = None
        self.fitted: Progress | None = None  # progress when early stopping ended, if training continues for ``kept``
        self.valid = dataset.eval_rows("valid")

    def fit(self) -> Progress:
        """Train the model and load the weights of the best epoch into it.

        Returns:
            The :class:`Progress` at the end of training; epochs that were trained only for ``kept`` are left out.

        Raises:
            UserError: the loss is not finite, a score in validation is NaN, or the snapshot does not fit the run.
        """
        if self.model.trainable:
            self._fit_by_gradient()
        else:
            self._validate(0)
        best = self._keep(self.progress.epoch - 1) if self.best_state is None else self.best_state
        if self.also is not None and self.kept is None:
            self._go_on(self.also)
        self.model.load_state_dict(best["state_dict"])
        self.model.eval()
        progress = self.fitted or self.progress
        self.model.epochs_trained = progress.best_epoch + 1
        return progress

    def _go_on(self, last: int) -> None:
        """Continue training to epoch ``last`` and store its weights in ``kept``.

        Nothing is validated, and the progress that :meth:`fit` returns does not change. Does nothing if the time budget
        is used up or the model is not trained by gradient.
        """
        if self.progress.stopped == _OUT_OF_TIME or not self.model.trainable:
            return
        if self.fitted is None:
            logger.info("training on to epoch %d, whose weights are stored besides the best ones", last)
            self.fitted, self.progress = self.progress, replace(self.progress)
        while self.progress.epoch <= last:
            self._train_epoch()
            if self.scheduler is not None:
                self.scheduler.step()
            self._next_epoch()
        self.kept = _copied(self.model.state_dict())
        if self.resume is not None:
            self._save_snapshot()

    def _next_epoch(self) -> None:
        self.progress.epoch, self.progress.batch, self.progress.loss = self.progress.epoch + 1, 0, 0.0
        if self._snapshot_due():
            self._save_snapshot()

    def _fit_by_gradient(self) -> None:
        config = self.config
        self.batches = TrainBatches(config, self.dataset, cast(InputType, self.model.input_type))
        self.optimizer, self.clip = make_optimizer(config, self.model), config["clip_grad_norm"]
        self.scheduler = self.model.scheduler(self.optimizer)
        amp = bool(config["enable_amp"])
        self.autocast = torch.autocast(self.device.type, enabled=amp)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=amp and bool(config["enable_scaler"]))
        if world_size() > 1 and not self.model.loss_of_examples:
            logger.warning(
                "%s's loss has terms that depend on the whole batch: %d processes, each with a part of every batch, "
                "optimise a different objective than one process", type(self.model).__name__, world_size(),
            )  # fmt: skip
        self._load_snapshot()
        progress, epochs = self.progress, config["epochs"] + self.model.warm_up_epochs
        while progress.epoch < epochs and not progress.stopped:
            if self._over_budget():
                break
            self._train_epoch()
            self._after_epoch()
        if self.resume is not None:
            self._save_snapshot()

    def _train_epoch(self) -> None:
        """Train the current epoch from batch ``progress.batch`` to its end, and write snapshots when they are due."""
        progress, model = self.progress, self.model
        model.train()
        batches = self.batches.epoch(progress.epoch, first=progress.batch)
        show = None if self.config["show_progress"] else True
        bar = tqdm(batches, f"epoch {progress.epoch}", len(self.batches), False, disable=show, initial=progress.batch)
        started = now(self.device)
        model.begin_epoch(progress.epoch, self.dataset)
        self.generators = keyed.key(self.config["seed"], "train", progress.epoch, rank())
        self.dropouts = keyed_layers(model, self.config["seed"], progress.epoch)
        for batch in bar:
            progress.loss += self._step(batch)
            progress.batch += 1
            if world_size() == 1 and progress.batch < len(self.batches) and self._snapshot_due():
                started = self._tick(started)
                self._save_snapshot()
        share_buffers(model)
        self._tick(started)

    def _seed_batch(self) -> None:
        """Seed PyTorch's global generators for a batch, for models that draw random numbers from them."""
        seed = int(keyed.bits(self.generators, self.progress.batch)) % 2**63
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would query every kind of device
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def _tick(self, started: float) -> float:
        """Add wall seconds since ``started``, and CPU seconds since the last call, to the progress; return the time."""
        wall, cpu = now(self.device), time.process_time()
        self.progress.seconds += wall - started
        self.progress.cpu_seconds += cpu - self.cpu_started
        self.cpu_started = cpu
        return wall

    def _step(self, batch: Interaction) -> float:
        """Take one optimizer step and return the batch's loss; several distributed processes share the batch.

        A batch whose examples are all forgotten is empty: no step is taken, and the loss is 0.
        """
        if not len(batch):
            return 0.0
        self._seed_batch()
        self.optimizer.zero_grad(set_to_none=True)
        share = batch[rank() :: world_size()]
        value = 0.0
        if len(share):
            share = share.to(self.device)
            with self.autocast, keyed_by(self.dropouts, share[NUMBER]):
                parts = self.model.calculate_loss(share)
                loss = torch.as_tensor(sum(parts)) if isinstance(parts, tuple) else parts
            if self.model.loss_reduction == "mean" and len(share) < len(batch):
                loss = loss * (len(share) / len(batch))
            value = loss.item()
            self.scaler.scale(loss).backward()
            rows_alone(self.optimizer, self.model, share)
        if self.clip or self.scaler.is_enabled() or world_size() > 1:
            _make_dense(self.model.parameters())
        value = sum_gradients(self.model.parameters(), value)
        if not math.isfinite(value):
            raise UserError(
                f"training diverged: the loss of epoch {self.progress.epoch}, batch {self.progress.batch} is not a "
                f"number; lower learning_rate ({self.config['learning_rate']}) or set clip_grad_norm"
            )
        if self.clip:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), **self.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return value

    def _after_epoch(self) -> None:
        """Record the epoch's loss and time, validate if it is due, and apply early stopping."""
        progress, config = self.progress, self.config
        epoch, loss = progress.epoch, progress.loss
        progress.epoch_seconds.append(progress.seconds - sum(progress.epoch_seconds) - sum(progress.valid_seconds))
        progress.losses.append(loss)
        if self.scheduler is not None:
            self.scheduler.step()
        result: dict[str, float] = {}
        score, own = math.nan, epoch + 1 - self.model.warm_up_epochs
        if own > 0 and config["eval_step"] > 0 and own % config["eval_step"] == 0:
            started = now(self.device)
            result, score = self._validate(epoch)
            progress.valid_seconds.append(self._tick(started) - started)
            if progress.bad_steps > config["stopping_step"]:
                progress.stopped = f"no better for {progress.bad_steps} validations"
        self._report(epoch, loss, result, score)
        if epoch == self.also:
            self.kept = _copied(self.model.state_dict())
        self._next_epoch()

    def _report(self, epoch: int, loss: float, result: dict[str, float], score: float) -> None:
        message = f"epoch {epoch} training [time: {self.progress.epoch_seconds[-1]:.2f}s, train loss: {loss:.4f}]"
        if result:
            name = str(self.config["valid_metric"]).lower()
            message += f" [valid {name}: {score:.4f}]"
        logger.info(message)
        if self.board is not None:
            self.board.add_scalar("Loss/Train", loss, epoch)
            for metric, value in result.items():
                self.board.add_scalar(f"Valid/{metric.replace('@', '_')}", value, epoch)

    def _validate(self, epoch: int) -> tuple[dict[str, float], float]:
        """Return validation metrics and score; keep the weights unless an earlier score was better (as in RecBole)."""
        progress, config = self.progress, self.config
        if not len(self.valid.inputs):
            self._keep(epoch)
            return {}, math.nan
        result, score = validation(self.model, self.valid, config)
        sign = 1 if config["valid_metric_bigger"] else -1
        if progress.best_score is None or sign * score >= sign * progress.best_score:
            progress.best_score, progress.best_result, progress.bad_steps = score, result, 0
            self._keep(epoch)
        else:
            progress.bad_steps += 1
        return result, score

    def _keep(self, epoch: int) -> dict[str, Any]:
        """Store a copy of the weights and the optimizer state as those of the best epoch, and return the copy."""
        self.progress.best_epoch = epoch
        optimizer = getattr(self, "optimizer", None)
        self.best_state = {
            "state_dict": _copied(self.model.state_dict()),
            "optimizer": None if optimizer is None else _copied(optimizer.state_dict()),
        }
        return self.best_state

    def _over_budget(self) -> bool:
        """Return whether an epoch as long as the last would exceed the time budget (as in ERASE); log it if so."""
        progress = self.progress
        if self.deadline.seconds is None or not progress.epoch_seconds or progress.batch:
            return False
        last = progress.epoch_seconds[-1] + (progress.valid_seconds[-1] if progress.valid_seconds else 0.0)
        if agreed(self.deadline.allows(progress.seconds + last)):
            return False
        logger.info(
            "Time budget exceeded: Elapsed %.1fs, Projected %.1fs, Budget %.1fs. Stopping training.",
            progress.seconds, progress.seconds + last, self.deadline.seconds,
        )  # fmt: skip
        progress.stopped = _OUT_OF_TIME
        return True

    # --- snapshots -----------------------------------------------------------------------------------------------

    def _snapshot_due(self) -> bool:
        return self.resume is not None and self.resume.due()

    def _save_snapshot(self) -> None:
        if not is_main() or self.resume is None:
            return
        state: dict[str, Any] = {"progress": vars(self.progress), "state_dict": self.model.state_dict()}
        state |= {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}
        state |= {"scheduler": self.scheduler.state_dict() if self.scheduler else None, "best": self.best_state}
        state |= {"kept": self.kept, "fitted": None if self.fitted is None else vars(self.fitted)}
        self.resume.save(state)

    def _load_snapshot(self) -> None:
        if self.resume is None or (state := self.resume.load()) is None:
            return
        with self.resume.restoring():
            self._restore(self.resume, state)
        logger.info("continuing at epoch %d, batch %d", self.progress.epoch, self.progress.batch)

    def _restore(self, resume: ResumeFile, state: dict[str, Any]) -> None:
        """Set model, optimizer, progress and random generators to the values in a snapshot."""
        own, kind = self.model.state_dict(), type(self.model).__name__
        self.progress = _progress(state["progress"])
        best = state["best"] and {key: state["best"][key] for key in ("state_dict", "optimizer")}
        if best and best["optimizer"] is not None and best["optimizer"].keys() != self.optimizer.state_dict().keys():
            raise ValueError("the best epoch's optimizer has other entries")
        for weights in (state["state_dict"], best and best["state_dict"], state["kept"]):
            if weights is not None:
                check_weights(own, {"state_dict": weights}, resume.path, kind)
        self.model.load_state_dict(state["state_dict"])
        self.optimizer.load_state_dict(state["optimizer"])
        check_state(self.optimizer)
        self.scaler.load_state_dict(state["scaler"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.best_state, self.kept = best, state["kept"]
        self.fitted = None if state["fitted"] is None else _progress(state["fitted"])
        resume.restore_generators(state)


def _progress(values: dict[str, Any]) -> Progress:
    """Return the progress stored in a snapshot; raise a TypeError if a value has the wrong type."""
    usual = vars(Progress(best_score=None if values["best_score"] is None else 0.0))
    return Progress(**{key: alike(value, usual[key]) for key, value in values.items()})


def _make_dense(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Make sparse gradients dense; scaling, clipping and summing over processes require dense ones."""
    for parameter in parameters:
        if parameter.grad is not None and parameter.grad.is_sparse:
            parameter.grad = parameter.grad.to_dense()


def _copied(value: Any) -> Any:
    """Return a copy of nested dictionaries and lists, with all tensors copied to the CPU."""
    if isinstance(value, torch.Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value
