"""How far a training has come."""

from dataclasses import dataclass, field


@dataclass
class Progress:
    """Where training stands; plain values, so that a snapshot can hold it."""

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
