"""Measures the wall seconds of successive phases."""

import torch

from recbole.utils.device import now


class Clock:
    """Adds up the wall seconds of successive phases.

    Args:
        device: a CUDA device is synchronised at the end of each phase.
        phases: names of phases that are reported even if they take no time.

    Attributes:
        phases: phase name to seconds so far.
    """

    def __init__(self, device: torch.device | str, *phases: str) -> None:
        self.device, self.last = device, now(device)
        self.phases: dict[str, float] = dict.fromkeys(phases, 0.0)

    def lap(self, phase: str) -> float:
        """Add the time since the last lap to ``phase``, and return it in seconds."""
        time = now(self.device)
        spent, self.last = time - self.last, time
        self.phases[phase] = self.phases.get(phase, 0.0) + spent
        return spent

    @property
    def seconds(self) -> dict[str, float]:
        """The seconds so far, under the names that records use: ``<phase>_seconds``."""
        return {f"{phase}_seconds": spent for phase, spent in self.phases.items()}
