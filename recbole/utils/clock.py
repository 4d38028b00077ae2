"""Measures the wall-clock seconds of successive phases, such as reading, training and evaluating."""

import torch

from recbole.utils.device import now


class Clock:
    """A stopwatch that adds up the wall-clock seconds of successive phases. It starts when it is created.

    Args:
        device: a CUDA device is synchronised at the end of each phase, so that its queued work is included.
        phases: names of phases that are reported even if they take no time.

    Attributes:
        phases: dict from the name of a phase to its seconds so far.
    """

    def __init__(self, device: torch.device | str, *phases: str) -> None:
        self.device, self.last = device, now(device)
        self.phases: dict[str, float] = dict.fromkeys(phases, 0.0)

    def lap(self, phase: str) -> float:
        """End a phase: add the seconds since the previous call (or since the start) to ``phase``, and return them."""
        time = now(self.device)
        spent, self.last = time - self.last, time
        self.phases[phase] = self.phases.get(phase, 0.0) + spent
        return spent

    @property
    def seconds(self) -> dict[str, float]:
        """The seconds so far, under the names that records use: ``<phase>_seconds``."""
        return {f"{phase}_seconds": spent for phase, spent in self.phases.items()}
