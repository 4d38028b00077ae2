"""How a request ends."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch

PHASES = ("prepare", "solve", "apply")
"""What the seconds of a request go to."""


@dataclass
class Outcome:
    """How a request, or a batch of them, ended and what it cost.

    Attributes:
        status: ``applied``, ``reinitialised``, ``skipped``, ``timeout`` or ``diverged``. ``reinitialised``: nothing was
            done but to set rows that no retained example reads any more to their initial values.
        reason: why it is not ``applied``.
        relative_change: norm of the step over the norm of the parameters (rows) that may change.
        seconds: by phase, see :data:`PHASES`.
        n_examples: training examples that contained a forgotten row, and how many of them are left.
        work: what the algorithm counted: ``n_hvp``, ``residual`` and the like.
        reinitialised: how many rows (of a matrix of single entries: these) were set to initial values, by parameter.
        reset: those of the requests for which that was all, by entity.
        idle: why there was nothing to do for those of the requests for which there was not, by entity.
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
    """Raised by an algorithm to leave the model as it is; ``status`` is ``timeout``, ``diverged`` or ``skipped``."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


_TOO_MUCH = re.compile(
    r"out of memory|allocate|overflow|alloc_failed|float nan|float infinity|too large", re.IGNORECASE
)
"""What torch and NumPy say in errors of general types when memory or the range of numbers is exceeded."""


@contextlib.contextmanager
def failures_as_outcomes() -> Iterator[None]:
    """Have numbers or memory that are exceeded inside of this block tell how the request ended.

    Raises:
        NotApplied: ``diverged``, with the reason, for an overflow, a division by zero, a matrix that cannot be
            factorised, and for memory that is not to be had, of the machine or of the device.
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
    told = (str(error).strip().splitlines() or [""])[0][:200]
    return f"{kind}: {told}" if told else kind
