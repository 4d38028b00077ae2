"""The outcome of a request, and the exception that an algorithm raises if it leaves the model unchanged."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch

PHASES = ("prepare", "solve", "apply")
"""Phases of answering a request, whose seconds are reported separately.

``prepare`` marks interactions as forgotten and rebuilds graphs, ``solve`` computes the change, ``apply`` changes the
model.
"""


@dataclass
class Outcome:
    """How a request, or a batch of requests, ended and what it cost.

    Attributes:
        status: ``applied`` (the model was changed), ``reinitialised`` (nothing but table rows that no retained training
            example reads any more were set to their initial values), ``skipped`` (there was nothing to change),
            ``timeout``, or ``diverged`` (a number was not finite, a series grew, or memory ran out). After the last
            three the parameters are as before.
        reason: why nothing was applied, as text; may be empty.
        relative_change: Euclidean norm of the parameter update, divided by the norm of all parameters (or table rows)
            that the algorithm could change.
        seconds: wall-clock seconds spent, by phase (:data:`PHASES`).
        n_examples: two counts: the training examples that contained a forgotten interaction, and how many of them still
            exist without it (the prefix of a session or a basket can lose an item).
        work: counts and figures of the algorithm, such as ``n_hvp`` (Hessian-vector products) and ``residual``.
        reinitialised: parameter name to the number of its rows that were set to initial values (for a matrix of which
            only some entries are stored: the number of entries).
        reset: users (sessions) of those requests whose only effect was to set table rows to their initial values, while
            other requests that were answered together with them changed the model.
        idle: user (session) to reason, for those of the requests that needed no change.
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
        status: status of the outcome: ``timeout``, ``diverged`` or ``skipped``.
        reason: why the model does not change, as text for the log of the requests.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


_TOO_MUCH = re.compile(
    r"out of memory|allocate|overflow|alloc_failed|float nan|float infinity|too large", re.IGNORECASE
)
"""Matches messages of ``RuntimeError`` and ``ValueError`` that report a lack of memory or an overflow."""


@contextlib.contextmanager
def failures_as_outcomes() -> Iterator[None]:
    """Context manager that converts memory errors and numerical errors in its block to :class:`NotApplied`.

    Other errors pass through unchanged.

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
    """Return the type of an error ("out of memory" if it is about memory) and the first line of its message.

    The message is cut to 200 characters.
    """
    memory = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "memory" in str(error).lower()
    kind = "out of memory" if memory else type(error).__name__
    message = (str(error).strip().splitlines() or [""])[0][:200]
    return f"{kind}: {message}" if message else kind
