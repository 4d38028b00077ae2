"""RecBole's class ``Trainer``, implemented by this package's training loop and evaluation."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from recbole.config import Config
from recbole.doors.binding import bound
from recbole.doors.loaders import EvalDataLoader, TrainDataLoader
from recbole.evaluator import mean_utility
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.trainer.checkpoint import load_checkpoint, load_weights
from recbole.trainer.learn import save_trained
from recbole.trainer.loop import TrainingLoop
from recbole.trainer.state import Run, State
from recbole.utils import UserError
from recbole.utils.recbole_helpers import get_local_time

logger = logging.getLogger("recbole")


class Trainer:
    """Trains and evaluates a model, with the methods of RecBole's class of this name.

    Args:
        config: the settings.
        model: the model, which is already on its device.

    Attributes:
        saved_model_file: the path to which :meth:`fit` saves the model.
        best_valid_score: the value of the setting ``valid_metric`` in the best validation so far; before the first one
            the worst possible value (plus or minus infinity).
        best_valid_result: dict from each metric to its value in the best validation so far; None before the first one.
        train_loss_dict: dict from the number of an epoch, from 0, to its training loss.
        start_epoch: the number of the first epoch that :meth:`fit` trains; above 0 after :meth:`resume_checkpoint`.
    """

    def __init__(self, config: Config, model: AbstractRecommender) -> None:
        self.config, self.model = bound(config), model
        self.saved_model_file = os.path.join(config["checkpoint_dir"], f"{config['model']}-{get_local_time()}.pth")
        self.best_valid_score = -np.inf if config["valid_metric_bigger"] else np.inf
        self.best_valid_result: dict[str, float] | None = None
        self.train_loss_dict: dict[int, float] = {}
        self.start_epoch = 0
        self._resumed: dict[str, Any] | None = None

    def fit(
        self,
        train_data: TrainDataLoader,
        valid_data: EvalDataLoader | None = None,
        verbose: bool = True,
        saved: bool = True,
        show_progress: bool = False,
        callback_fn: Callable[[int, float], Any] | None = None,
    ) -> tuple[float, dict[str, float] | None]:
        """Train the model. Afterwards it has the weights of the epoch with the best validation.

        Args:
            train_data: the training loader; its data are used, in the training loop's own batches.
            valid_data: the validation loader; validation uses the validation rows of the training loader's data. None
                switches validation off, and the model then has the weights of the last epoch.
            verbose: whether log messages below the level of warnings are shown.
            saved: whether the weights are saved to :attr:`saved_model_file`.
            show_progress: whether progress bars are shown on a terminal.
            callback_fn: function that is called after each validation with the number of the epoch and the value of
                ``valid_metric``; None for no call.

        Returns:
            The value of the setting ``valid_metric`` in the best validation, and a dict from each metric to its value
                in this validation. Without validation, the first is the worst possible value (plus or minus infinity),
                and the dict is None.

        Raises:
            UserError: training diverged (the loss is NaN or infinite), or the file cannot be written.
        """
        changes = {"show_progress": show_progress} | ({"eval_step": 0} if valid_data is None else {})
        config, data = self.config.with_values(**changes), train_data.dataset
        with _level(None if verbose else logging.WARNING):
            loop = _Loop(self, config, data, callback_fn)
            progress = loop.fit()
            if saved:
                run = Run(self.config, type(self.model))
                nothing = np.zeros(len(data.log), dtype=bool)
                state = State("base", data, nothing, path=Path(self.saved_model_file))
                logger.info("Saving current: %s", state.path)
                save_trained(run, state, loop)
        if progress.best_score is not None:
            self.best_valid_score, self.best_valid_result = progress.best_score, self._rounded(progress.best_result)
        return self.best_valid_score, self.best_valid_result

    def evaluate(
        self,
        eval_data: EvalDataLoader,
        load_best_model: bool = True,
        model_file: str | Path | None = None,
        show_progress: bool = False,
    ) -> dict[str, float]:
        """Evaluate the model on the validation or test data.

        Args:
            eval_data: the loader of this split.
            load_best_model: False to ignore ``model_file``.
            model_file: the file of a saved model whose weights are loaded first. None evaluates the model's current
                weights, which after :meth:`fit` are the best ones.
            show_progress: ignored.

        Returns:
            A dict from the name of a metric, such as ``recall@10``, to its mean over users, rounded to
            ``metric_decimal_place``.

        Raises:
            UserError: the file does not exist, or its weights do not fit the model.
        """
        if load_best_model and model_file is not None:
            load_weights(self.model, load_checkpoint(model_file), model_file)
        return self._rounded(mean_utility(self.model, eval_data.rows, self.config))

    def resume_checkpoint(self, resume_file: str | Path) -> None:
        """Load weights, optimizer state and epoch of a saved model, so that :meth:`fit` continues with the next epoch.

        Args:
            resume_file: the saved model's file. :meth:`fit` will save to this file again.

        Raises:
            UserError: the file is from another model, or has no optimizer state.
        """
        stored = load_checkpoint(resume_file)
        load_weights(self.model, stored, resume_file)
        if not isinstance(stored.get("optimizer"), dict):
            raise UserError(f"{resume_file}: the checkpoint has no optimizer state, so training cannot be resumed")
        self._resumed, self.start_epoch = stored, int(stored["epoch"]) + 1
        self.saved_model_file = str(resume_file)

    def _rounded(self, result: dict[str, float]) -> dict[str, float]:
        return {name: round(value, self.config["metric_decimal_place"]) for name, value in result.items()}


class _Loop(TrainingLoop):
    """This package's training loop, extended by two features of RecBole's trainer.

    It stores the loss of each epoch in ``trainer.train_loss_dict``, and calls ``callback_fn`` after each validation.
    """

    def __init__(
        self, trainer: Trainer, config: Config, data: Any, callback_fn: Callable[[int, float], Any] | None
    ) -> None:
        super().__init__(config, trainer.model, data.masked(data.forgotten.copy()))
        self.trainer, self.callback_fn = trainer, callback_fn

    def _load_snapshot(self) -> None:
        """Continue from the saved model that :meth:`Trainer.resume_checkpoint` has loaded, if it was called."""
        stored = self.trainer._resumed
        if stored is not None:
            self.progress.epoch = self.trainer.start_epoch
            self.optimizer.load_state_dict(stored["optimizer"])

    def _report(self, epoch: int, loss: float, result: dict[str, float], score: float) -> None:
        super()._report(epoch, loss, result, score)
        self.trainer.train_loss_dict[epoch] = loss
        if result and self.callback_fn is not None:
            self.callback_fn(epoch, score)


TraditionalTrainer = Trainer


@contextlib.contextmanager
def _level(level: int | None) -> Iterator[None]:
    """Set the level of the package's logger within the block; None leaves it unchanged."""
    before = logger.level
    if level is not None:
        logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
