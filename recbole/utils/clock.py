"""Seconds by phase."""

import torch

from recbole.utils.device import now


class Clock:
    """Adds up the seconds of phases that follow each other.

    Args:
        device: it is waited for at the end of a phase.
        phases: phases that are counted from the start, with no time yet.

    Attributes:
        seconds: name to seconds; ``<phase>_seconds`` is what a record calls them.
    """

    def __init__(self, device: torch.device | str, *phases: str) -> None:
        self.device, self.last = device, now(device)
        self.phases: dict[str, float] = dict.fromkeys(phases, 0.0)

    def lap(self, phase: str) -> float:
        """Book the time since the last lap under ``phase`` and return it."""
        time = now(self.device)
        spent, self.last = time - self.last, time
        self.phases[phase] = self.phases.get(phase, 0.0) + spent
        return spent

    @property
    def seconds(self) -> dict[str, float]:
        """The phases as a record names them, ``<phase>_seconds``."""
        return {f"{phase}_seconds": spent for phase, spent in self.phases.items()}
