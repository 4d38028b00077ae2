"""How long work may take: one rule for training and for requests."""

import time
from dataclasses import dataclass, field


def _now() -> float:
    return time.perf_counter()


@dataclass(frozen=True)
class Deadline:
    """A time limit, whose clock starts when it is made.

    Attributes:
        seconds: how long the work may take; ``None`` for as long as it takes.
        started: when the clock started, by ``time.perf_counter``.
    """

    seconds: float | None = None
    started: float = field(default_factory=_now)

    @classmethod
    def of_hours(cls, hours: float | None) -> "Deadline":
        """Return a deadline in hours, as ``max_training_hours`` gives it; ``None`` never passes."""
        return cls(None if hours is None else hours * 3600)

    def passed(self) -> bool:
        """Return whether the time is up."""
        return self.seconds is not None and _now() - self.started >= self.seconds

    def allows(self, seconds: float) -> bool:
        """Return whether work that takes so many seconds in all keeps the limit, whenever it was done."""
        return self.seconds is None or seconds <= self.seconds

    def share(self, parts: int, spent: float) -> "Deadline":
        """Return the deadline, from now on, of one of ``parts`` equal parts of the work.

        Args:
            parts: how many there are in all.
            spent: seconds that the parts before took; no part may use more than is left.
        """
        if self.seconds is None:
            return Deadline()
        return Deadline(max(min(self.seconds / parts, self.seconds - spent), 0.0))
