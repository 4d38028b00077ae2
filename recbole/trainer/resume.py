"""The one file that a killed run goes on from."""

import hashlib
import json
import logging
import os
import time

import torch

from recbole.trainer.checkpoint import load_checkpoint, save_checkpoint
from recbole.utils import UserError

logger = logging.getLogger("recbole")

SNAPSHOT_SECONDS = 30.0
"""A snapshot is taken when the last one is older; the environment's ``ERASE_SNAPSHOT_SECONDS`` overrides it."""


def fingerprint(**parts):
    """Return a SHA-256 over plain values: what a snapshot must agree with to be gone on from."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class ResumeFile:
    """Snapshots of a run, in ``<stem>.resume``.

    Args:
        path: the file.
        identity: the run's :func:`fingerprint`; a snapshot of another run is not gone on from.
    """

    def __init__(self, path, identity):
        self.path, self.identity = path, identity
        self.interval = float(os.environ.get("ERASE_SNAPSHOT_SECONDS", SNAPSHOT_SECONDS))
        self.last = time.monotonic()

    def load(self):
        """Return the snapshot to go on from, or None."""
        if not self.path.exists():
            return None
        try:
            state = load_checkpoint(self.path)
        except UserError as error:
            logger.warning("%s cannot be read (%s); starting over", self.path, error)
            return None
        if state.get("identity") != self.identity:
            logger.warning("%s is of a run with other arguments, config or data; starting over", self.path)
            return None
        return state

    def due(self):
        """Return whether the last snapshot is older than the interval."""
        return time.monotonic() - self.last >= self.interval

    def save(self, state):
        """Write a snapshot, atomically, with the state of torch's random generators."""
        generators = {"cpu": torch.get_rng_state()}
        if torch.cuda.is_available():
            generators["cuda"] = torch.cuda.get_rng_state_all()
        save_checkpoint(self.path, state | {"identity": self.identity, "generators": generators})
        self.last = time.monotonic()

    @staticmethod
    def restore_generators(state):
        """Put torch's random generators into the state of a snapshot."""
        torch.set_rng_state(state["generators"]["cpu"])
        if "cuda" in state["generators"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["generators"]["cuda"])

    def remove(self):
        """Delete the file: the run is complete."""
        self.path.unlink(missing_ok=True)
