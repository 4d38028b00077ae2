"""Measures the wall-clock seconds of the successive phases of a run, such as reading, training and evaluating."""

import torch

from recbole.utils.device import now


class Clock:
    """A stopwatch for the successive phases of a run, in wall-clock seconds. It starts when it is created.

    Args:
        device: the device on which the run computes. At the end of each phase, the clock waits until a GPU has finished
            its work.
        phases: names of phases that :attr:`seconds` contains even if they never take place.

    Attributes:
        phases: dict from the name of a phase to its seconds so far. If a phase takes place several times, these are
            added up.
        last: when the previous phase ended, in the seconds of :func:`~recbole.utils.device.now`.
    """

    def __init__(self, device: torch.device | str, *phases: str) -> None:
        self.device, self.last = device, now(device)
        self.phases: dict[str, float] = dict.fromkeys(phases, 0.0)

    def lap(self, phase: str) -> float:
        """End a phase: return the seconds since the previous phase ended, and add them to the seconds of ``phase``."""
        time = now(self.device)
        spent, self.last = time - self.last, time
        self.phases[phase] = self.phases.get(phase, 0.0) + spent
        return spent

    @property
    def seconds(self) -> dict[str, float]:
        """A dict from ``<phase>_seconds``, the names that result files use, to the seconds of each phase so far."""
        return {f"{phase}_seconds": spent for phase, spent in self.phases.items()}
