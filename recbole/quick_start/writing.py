"""Lets only one run at a time write the files with the same stem; other runs wait or end with an error."""

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
    """Lock the files that begin with a path's stem; yield whether this run had to wait for another one.

    If a run has several processes, the main one holds the lock.

    Args:
        config: the settings; ``if_running`` decides whether to wait.
        path: a file whose stem identifies the files; None for a run that writes nothing and needs no lock.

    Raises:
        UserError: another run holds the lock, and ``if_running`` is ``leave``.
    """
    with contextlib.ExitStack() as held:
        waited = False
        if path is not None and is_main():
            waited = held.enter_context(writer(path, config["if_running"], logger.info)).waited
        yield agreed(waited)


def is_complete(path: Path, identity: Identity) -> bool:
    """Return whether a checkpoint with these settings and its record exist, and no snapshot of an unfinished run."""
    if not path.exists() or not path.with_suffix(".json").exists() or path.with_suffix(".resume").exists():
        return False
    return Stored.read(path).identity == identity
