"""Seconds by phase."""

import time


class Clock:
    """Adds up the seconds of phases that follow each other.

    Args:
        phases: phases that are counted from the start, with no time yet.

    Attributes:
        seconds: name to seconds; ``<phase>_seconds`` is what a record calls them.
    """

    def __init__(self, *phases: str) -> None:
        self.last = time.perf_counter()
        self.phases: dict[str, float] = dict.fromkeys(phases, 0.0)

    def lap(self, phase: str) -> float:
        """Book the time since the last lap under ``phase`` and return it."""
        now = time.perf_counter()
        spent, self.last = now - self.last, now
        self.phases[phase] = self.phases.get(phase, 0.0) + spent
        return spent

    @property
    def seconds(self) -> dict[str, float]:
        """The phases as a record names them, ``<phase>_seconds``."""
        return {f"{phase}_seconds": spent for phase, spent in self.phases.items()}
