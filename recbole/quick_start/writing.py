"""One run at a time writes the files of a stem; whoever waited takes what the other has made."""

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
    """Be the only run that writes a file and those of its stem; yield whether another one was waited for.

    Of several processes the main one has the lock. A run that writes nothing (None) needs none.

    Args:
        config: reads ``if_running``.
        path: the file that stands for the stem.

    Raises:
        UserError: another run writes it, and ``if_running`` is ``leave``.
    """
    with contextlib.ExitStack() as held:
        waited = False
        if path is not None and is_main():
            waited = held.enter_context(writer(path, config["if_running"], logger.info)).waited
        yield agreed(waited)


def is_complete(path: Path, identity: Identity) -> bool:
    """Return whether a file is there that was made by these settings, with its record and without a snapshot."""
    if not path.exists() or not path.with_suffix(".json").exists() or path.with_suffix(".resume").exists():
        return False
    return Stored.read(path).identity == identity
