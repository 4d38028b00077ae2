"""The time limit of training and of unlearning requests."""

import time
from dataclasses import dataclass, field


def _now() -> float:
    return time.perf_counter()


@dataclass(frozen=True)
class Deadline:
    """A time limit. Its clock starts when the object is created.

    Attributes:
        seconds: the limit in seconds; None means no limit.
        started: when the clock started, as ``time.perf_counter()`` returns it.
    """

    seconds: float | None = None
    started: float = field(default_factory=_now)

    @classmethod
    def of_hours(cls, hours: float | None) -> "Deadline":
        """Return a deadline from a number of hours, such as the setting ``max_training_hours``; None means no limit."""
        return cls(None if hours is None else hours * 3600)

    def passed(self) -> bool:
        """Return whether the time limit has been reached; always False without a limit."""
        return self.seconds is not None and _now() - self.started >= self.seconds

    def allows(self, seconds: float) -> bool:
        """Return whether ``seconds`` is at most the whole limit, no matter how much time has passed already."""
        return self.seconds is None or seconds <= self.seconds

    def share(self, parts: int, spent: float) -> "Deadline":
        """Return a deadline for one of several parts of the work, whose clock starts now.

        The part gets an equal share of the limit, ``seconds / parts``, but no more than what earlier parts have left of
        the limit, and at least 0 seconds. Without a limit, the part has no limit either.

        Args:
            parts: the number of parts in all.
            spent: the seconds that earlier parts have taken.
        """
        if self.seconds is None:
            return Deadline()
        return Deadline(max(min(self.seconds / parts, self.seconds - spent), 0.0))
