"""The outcome of a request, and the exception that an algorithm raises if it leaves the model unchanged."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch

PHASES = ("prepare", "solve", "apply")
"""Phases of a request, whose seconds are reported separately."""


@dataclass
class Outcome:
    """How a request, or a batch of requests, ended and what it cost.

    Attributes:
        status: ``applied``, ``reinitialised``, ``skipped``, ``timeout`` or ``diverged``. With ``reinitialised``, the
            only change was to set rows that no retained example reads any more to their initial values.
        reason: why the status is not ``applied``; otherwise empty.
        relative_change: Euclidean norm of the parameter update, divided by that of the parameters (or table rows) that
            the algorithm could change.
        seconds: wall seconds spent, by phase (:data:`PHASES`).
        n_examples: two counts: training examples that contained a forgotten row, and those of them that still exist
            without it (an SBR prefix or an NBR basket can lose an item).
        work: counts and figures of the algorithm, such as ``n_hvp`` (Hessian-vector products) and ``residual``.
        reinitialised: parameter name to the number of rows that were set to initial values (for a matrix that stores
            single entries: the number of entries).
        reset: users (sessions) of the requests in a batch whose only effect was to set rows to initial values.
        idle: user (session) to reason, for the requests in a batch that needed no change.
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
    """Raised by an algorithm that cannot answer a request and leaves the model unchanged.

    Args:
        status: the request's status: ``timeout``, ``diverged`` or ``skipped``.
        reason: why the model does not change, as text for the request log.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


_TOO_MUCH = re.compile(
    r"out of memory|allocate|overflow|alloc_failed|float nan|float infinity|too large", re.IGNORECASE
)
"""Matches the messages of ``RuntimeError`` and ``ValueError`` that mean a lack of memory or an overflow."""


@contextlib.contextmanager
def failures_as_outcomes() -> Iterator[None]:
    """Context manager that converts memory errors and numerical errors in its block to ``NotApplied``.

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
    """Return the kind of an error and the first line of its message, cut to 200 characters."""
    memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "memory" in str(error).lower()
    kind = "out of memory" if memory else type(error).__name__
    message = (str(error).strip().splitlines() or [""])[0][:200]
    return f"{kind}: {message}" if message else kind
