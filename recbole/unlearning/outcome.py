"""How a request ends: its outcome, and the exception that an algorithm raises to leave the model unchanged."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch

PHASES = ("prepare", "solve", "apply")
"""Phases of a request, for which seconds are reported."""


@dataclass
class Outcome:
    """How a request, or a batch of requests, ended and what it cost.

    Attributes:
        status: ``applied``, ``reinitialised``, ``skipped``, ``timeout`` or ``diverged``. With ``reinitialised``, the
            only change was to set rows that no retained example reads any more to their initial values.
        reason: why the status is not ``applied``; otherwise empty.
        relative_change: Euclidean norm of the step, divided by that of the parameters (table rows) that could change.
        seconds: seconds spent, by phase (:data:`PHASES`).
        n_examples: two counts: training examples that contained a forgotten row, and those of them that still exist
            without it (an SBR prefix or an NBR basket can lose an item).
        work: counts and figures of the algorithm, such as ``n_hvp`` and ``residual``.
        reinitialised: parameter name to the number of rows that were set to initial values (for a matrix that stores
            single entries: the number of entries).
        reset: entities of the requests in a batch whose only effect was to set rows to initial values.
        idle: entity to reason, for the requests in a batch that needed no change.
    """

    status: str
    reason: str = ""
    relative_change: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)
    n_examples: tuple[int, int] = (0, 0)
    work: dict[str, Any] = field(default_factory=dict)
    reinitialised: dict[str, int] = field(default_factory=dict)
    reset: list[str] = field(default_factory=list, repr=False)
    idle: dict[str, str] = field(default_factory=dict, repr=False)

    NOTHING: ClassVar[str] = "no training example"


class NotApplied(Exception):
    """Raised by an algorithm to leave the model unchanged.

    Args:
        status: ``timeout``, ``diverged`` or ``skipped``.
        reason: why no step is made.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


_TOO_MUCH = re.compile(
    r"out of memory|allocate|overflow|alloc_failed|float nan|float infinity|too large", re.IGNORECASE
)
"""Matches errors of general types that torch and NumPy raise for a lack of memory or an overflow."""


@contextlib.contextmanager
def failures_as_outcomes() -> Iterator[None]:
    """Turn errors of memory and of floating-point range inside the block into ``NotApplied``.

    Raises:
        NotApplied: an overflow, a division by zero, a matrix that cannot be factorised, or a lack of memory on the host
            or the device. The status is ``diverged``.
    """
    try:
        yield
    except (ArithmeticError, MemoryError, np.linalg.LinAlgError, torch.linalg.LinAlgError) as error:
        raise NotApplied("diverged", _in_short(error)) from error
    except (RuntimeError, ValueError) as error:  # torch.OutOfMemoryError is a RuntimeError
        if not (isinstance(error, torch.OutOfMemoryError) or _TOO_MUCH.search(str(error))):
            raise
        raise NotApplied("diverged", _in_short(error)) from error


def _in_short(error: Exception) -> str:
    memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "memory" in str(error).lower()
    kind = "out of memory" if memory else type(error).__name__
    message = (str(error).strip().splitlines() or [""])[0][:200]
    return f"{kind}: {message}" if message else kind
