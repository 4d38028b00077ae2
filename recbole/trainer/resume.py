"""Snapshots: the state of an unfinished run on disk, from which a killed run resumes."""

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from recbole.trainer.checkpoint import load_checkpoint, save_checkpoint
from recbole.utils import UserError
from recbole.utils.ending import asked_to_stop, can_go_on_from, looked_for_snapshot, stop_if_asked
from recbole.utils.files import remove

logger = logging.getLogger("recbole")

SNAPSHOT_SECONDS = 30.0
"""Minimum number of seconds between two snapshots; :data:`SNAPSHOT_SHARE` may require more."""

SNAPSHOT_SHARE = 0.1
"""Largest share of the run time that is spent on writing snapshots.

After a snapshot that took t seconds, the next one is written after at least 9 t seconds. This is more than
:data:`SNAPSHOT_SECONDS` if t is above 3.3 s. The environment variable ``ERASE_SNAPSHOT_SECONDS`` replaces both rules by
a number of seconds between two snapshots, however long a snapshot takes.
"""

_LAYOUT = 7
"""Version of the snapshot format; increment it when the keys or values of a snapshot change."""


def fingerprint(**parts: Any) -> str:
    """Return the SHA-256 (hexadecimal) of given plain values and of the version of the snapshot format.

    A run stores its fingerprint in its snapshots, and resumes only from a snapshot with the same fingerprint.
    """
    return hashlib.sha256(json.dumps([_LAYOUT, parts], sort_keys=True, default=str).encode()).hexdigest()


def alike(value: Any, example: Any) -> Any:
    """Return a value from a snapshot unchanged, after checking that it has the type of an example value.

    A list or dictionary must contain only numbers, and an int must be at least -1. If the example is a float, any
    number is accepted.

    Raises:
        TypeError: the value does not meet these conditions.
    """
    if isinstance(example, (list, dict)):
        parts = value.values() if isinstance(value, dict) else value
        good = type(value) is type(example) and all(_is_number(part) for part in parts)
    elif isinstance(example, float):
        good = _is_number(value)
    else:
        good = type(value) is type(example) and (not isinstance(value, int) or value >= -1)
    if not good:
        raise TypeError(f"{str(value)[:40]!r} is not of the type of {example!r}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _said_pause() -> float | None:
    """Return the value of ``ERASE_SNAPSHOT_SECONDS`` in the environment, None if it is not set.

    Raises:
        UserError: the value is not a number of at least 0.
    """
    said = os.environ.get("ERASE_SNAPSHOT_SECONDS") or None
    with contextlib.suppress(ValueError):
        if said is None or float(said) >= 0:
            return None if said is None else float(said)
    raise UserError(f"the environment variable ERASE_SNAPSHOT_SECONDS should be a number of seconds, not {said!r:.100}")


class ResumeFile:
    """Reads and writes the snapshots of a run, in one file that ends with ``.resume``. Each replaces the one before.

    Args:
        path: the file.
        identity: the run's :func:`fingerprint`; a snapshot with another fingerprint is ignored.

    Attributes:
        pause: minimum number of seconds between two snapshots.
        share: largest share of the run time that is spent on writing snapshots.
        last: ``time.monotonic()`` at the last snapshot, or when the object was created.
        took: seconds that the last snapshot took; 0 before the first.

    Raises:
        UserError: ``ERASE_SNAPSHOT_SECONDS`` in the environment is not a number of seconds.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path, self.identity = path, identity
        said = _said_pause()
        self.pause = SNAPSHOT_SECONDS if said is None else said
        self.share = SNAPSHOT_SHARE if said is None else 1.0
        self.last, self.took = time.monotonic(), 0.0

    def load(self) -> dict[str, Any] | None:
        """Return the snapshot to resume from; None if there is none or if it cannot be used, which is logged."""
        looked_for_snapshot()
        if not self.path.exists():
            return None
        try:
            state = load_checkpoint(self.path)
        except UserError as error:
            logger.warning("snapshot %s cannot be read (%s); starting from the beginning", self.path, error)
            return None
        if state.get("identity") != self.identity:
            logger.warning(
                "snapshot %s is from a run with other arguments, config, data or version; starting from the beginning",
                self.path,
            )  # fmt: skip
            return None
        can_go_on_from(self.path)
        return state

    @contextlib.contextmanager
    def restoring(self) -> Iterator[None]:
        """Context manager for copying the values of a snapshot into the run.

        Raises:
            UserError: an error occurred in the block, because the snapshot does not fit the run.
        """
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
            raise UserError(f"{self.path} is not a snapshot of this run ({reason}); delete it to start over") from error

    def due(self) -> bool:
        """Return whether to write a snapshot now: enough time has passed, or a signal has asked the run to stop."""
        return asked_to_stop() or time.monotonic() - self.last >= max(self.pause, self.took * (1 / self.share - 1))

    def save(self, state: dict[str, Any]) -> None:
        """Write a snapshot atomically, together with the states of PyTorch's random number generators.

        Args:
            state: everything that the run needs to continue, as a dict of tensors and plain values.

        Raises:
            Stopped: a signal has asked the run to stop. It is raised after the snapshot has been written.
        """
        started = time.monotonic()
        generators: dict[str, Any] = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_initialized():  # False in a run on the CPU
            generators["cuda"] = torch.cuda.get_rng_state_all()
        save_checkpoint(self.path, state | {"identity": self.identity, "generators": generators})
        self.last = time.monotonic()
        self.took = self.last - started
        can_go_on_from(self.path)
        stop_if_asked()

    @staticmethod
    def restore_generators(state: dict[str, Any]) -> None:
        """Set PyTorch's random number generators to the states that a snapshot contains."""
        torch.set_rng_state(state["generators"]["cpu"])
        if "cuda" in state["generators"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["generators"]["cuda"][: torch.cuda.device_count()])

    def remove(self) -> None:
        """Delete the snapshot file, and temporary files of interrupted writes. Call this when the run is complete."""
        remove(self.path)
