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
        started: when the clock started, by ``time.perf_counter``.
    """

    seconds: float | None = None
    started: float = field(default_factory=_now)

    @classmethod
    def of_hours(cls, hours: float | None) -> "Deadline":
        """Return a deadline in hours (the unit of ``max_training_hours``), or one without limit for None."""
        return cls(None if hours is None else hours * 3600)

    def passed(self) -> bool:
        """Return whether the time limit has been reached; always False without a limit."""
        return self.seconds is not None and _now() - self.started >= self.seconds

    def allows(self, seconds: float) -> bool:
        """Return whether ``seconds`` is at most the limit, whatever time has passed since the start."""
        return self.seconds is None or seconds <= self.seconds

    def share(self, parts: int, spent: float) -> "Deadline":
        """Return a deadline, starting now, for one of ``parts`` equal parts of the work.

        It has ``seconds / parts`` seconds, but no more than ``seconds - spent``, and at least 0. Without a limit it has
        no limit either.

        Args:
            parts: the number of parts in all.
            spent: the seconds that earlier parts took.
        """
        if self.seconds is None:
            return Deadline()
        return Deadline(max(min(self.seconds / parts, self.seconds - spent), 0.0))
