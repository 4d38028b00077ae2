"""How far a training run has come: epochs, losses, validation results and times."""

from dataclasses import dataclass, field


@dataclass
class Progress:
    """How far a training run has come. All values are plain (numbers, texts, lists), so that a snapshot can store them.

    Attributes:
        epoch, batch: the next epoch and the next batch in it to train, from 0; warm-up epochs are counted too.
        loss: sum of the losses of the batches in the current epoch so far.
        best_epoch: the epoch (from 0) with the best validation score; -1 if there is none yet.
        best_score: the validation score of the best epoch; None before the first validation.
        best_result: the validation metrics of the best epoch, name to value.
        bad_steps: number of validations since the best one.
        seconds, cpu_seconds: wall-clock seconds and CPU seconds of training and validation so far.
        epoch_seconds: wall-clock seconds of each epoch without its validation.
        valid_seconds: wall-clock seconds of each validation.
        losses: for each epoch the sum of the losses of its batches.
        stopped: why training ended before the last epoch; empty if it did not.
    """

    epoch: int = 0
    batch: int = 0
    loss: float = 0.0
    best_epoch: int = -1
    best_score: float | None = None
    best_result: dict[str, float] = field(default_factory=dict)
    bad_steps: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    epoch_seconds: list[float] = field(default_factory=list)
    valid_seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    stopped: str = ""
