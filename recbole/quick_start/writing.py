"""Lets only one run at a time write the same files; other runs wait, or end with an error."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from recbole.config import Config
from recbole.config.identity import Identity
from recbole.trainer.stored import Stored
from recbole.utils.distributed import agreed, is_main
from recbole.utils.lock import writer

logger = logging.getLogger("recbole")


@contextlib.contextmanager
def only_writer(config: Config, path: Path | None) -> Iterator[bool]:
    """Hold a lock within the block, so that no other run writes the same files.

    If a run has several processes, only the main process takes the lock.

    Args:
        config: the settings; ``if_running`` is ``wait``, or ``leave`` to raise an error instead of waiting.
        path: the checkpoint file to write, or the path with which all checkpoint files of the run begin. Runs that give
            the same path exclude each other. None for a run that writes no checkpoint, which needs no lock.

    Yields:
        Whether this run had to wait for another one, which may have written the wanted files.

    Raises:
        UserError: another run holds the lock, and ``if_running`` is ``leave``.
    """
    with contextlib.ExitStack() as held:
        waited = False
        if path is not None and is_main():
            waited = held.enter_context(writer(path, config["if_running"], logger.info)).waited
        yield agreed(waited)


def is_complete(path: Path, identity: Identity) -> bool:
    """Return whether another run has completely written a model.

    Args:
        path: the model's checkpoint file. It and its record (``.json``) must exist, but no snapshot of an unfinished
            run (``.resume``).
        identity: the settings, data and forgotten interactions that the model in the file must have.
    """
    if not path.exists() or not path.with_suffix(".json").exists() or path.with_suffix(".resume").exists():
        return False
    return Stored.read(path).identity == identity
