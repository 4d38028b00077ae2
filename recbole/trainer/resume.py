"""The one file that a killed run goes on from."""

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
"""A snapshot is taken when the last one is older, at the earliest; see ``SNAPSHOT_SHARE``."""

SNAPSHOT_SHARE = 0.1
"""At most this share of the time goes into snapshots: one that took more than some 3 s is followed by a longer pause,
one that took more than 6 s by more than a minute.

The environment's ``ERASE_SNAPSHOT_SECONDS`` overrides both: it is the pause, whatever a snapshot takes.
"""

_LAYOUT = 7
"""Version of the snapshot format; increment it when the keys of a snapshot, or what they hold, change."""


def fingerprint(**parts: Any) -> str:
    """Return a SHA-256 over plain values, and a snapshot's layout: what it must agree with to be gone on from."""
    return hashlib.sha256(json.dumps([_LAYOUT, parts], sort_keys=True, default=str).encode()).hexdigest()


def alike(value: Any, example: Any) -> Any:
    """Return a plain value from a snapshot, if it is of the kind that an example is: a count, number, text, or several.

    Lists are of numbers, dictionaries of numbers by name.

    Raises:
        TypeError: it is of another kind.
    """
    if isinstance(example, (list, dict)):
        parts = value.values() if isinstance(value, dict) else value
        good = type(value) is type(example) and all(_is_number(part) for part in parts)
    elif isinstance(example, float):
        good = _is_number(value)
    else:
        good = type(value) is type(example) and (not isinstance(value, int) or value >= -1)
    if not good:
        raise TypeError(f"{str(value)[:40]!r} is not like {example!r}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _said_pause() -> float | None:
    """Return the pause that the environment sets, in seconds, or None."""
    said = os.environ.get("ERASE_SNAPSHOT_SECONDS") or None
    with contextlib.suppress(ValueError):
        if said is None or float(said) >= 0:  # which what is no number is not
            return None if said is None else float(said)
    raise UserError(f"the environment's ERASE_SNAPSHOT_SECONDS should be a number of seconds, not {said!r:.100}")


class ResumeFile:
    """Snapshots of a run, in ``<stem>.resume``.

    Args:
        path: the file.
        identity: the run's :func:`fingerprint`; a snapshot of another run is not gone on from.

    Raises:
        UserError: the environment's pause is no number of seconds.
    """

    def __init__(self, path: Path, identity: str) -> None:
        self.path, self.identity = path, identity
        said = _said_pause()
        self.pause = SNAPSHOT_SECONDS if said is None else said
        self.share = SNAPSHOT_SHARE if said is None else 1.0
        self.last, self.took = time.monotonic(), 0.0

    def load(self) -> dict[str, Any] | None:
        """Return the snapshot to go on from, or None."""
        looked_for_snapshot()
        if not self.path.exists():
            return None
        try:
            state = load_checkpoint(self.path)
        except UserError as error:
            logger.warning("%s cannot be read (%s); starting over", self.path, error)
            return None
        if state.get("identity") != self.identity:
            logger.warning("%s is of a run with other arguments, config, data or version; starting over", self.path)
            return None
        can_go_on_from(self.path)
        return state

    @contextlib.contextmanager
    def restoring(self) -> Iterator[None]:
        """Put the parts of a snapshot in place inside of this block.

        Raises:
            UserError: they do not fit the run that it says it is of.
        """
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
            raise UserError(
                f"{self.path} is not what this run wrote ({reason}); delete it, and the run starts over"
            ) from error

    def due(self) -> bool:
        """Return whether it is time for a snapshot: the last one is old, or a signal has asked the run to stop."""
        return asked_to_stop() or time.monotonic() - self.last >= max(self.pause, self.took * (1 / self.share - 1))

    def save(self, state: dict[str, Any]) -> None:
        """Write a snapshot, atomically, with the state of torch's random generators.

        Raises:
            Stopped: a signal has asked the run to stop; the snapshot is written.
        """
        started = time.monotonic()
        generators: dict[str, Any] = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_initialized():  # by a run on the CPU it is not
            generators["cuda"] = torch.cuda.get_rng_state_all()
        save_checkpoint(self.path, state | {"identity": self.identity, "generators": generators})
        self.last = time.monotonic()
        self.took = self.last - started
        can_go_on_from(self.path)
        stop_if_asked()

    @staticmethod
    def restore_generators(state: dict[str, Any]) -> None:
        """Put torch's random generators into the state of a snapshot."""
        torch.set_rng_state(state["generators"]["cpu"])
        if "cuda" in state["generators"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["generators"]["cuda"][: torch.cuda.device_count()])

    def remove(self) -> None:
        """Delete the file, and what a kill left of writing it: the run is complete."""
        remove(self.path)
