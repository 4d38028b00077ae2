"""Run programs in the tests' process, which avoids starting another one."""

import contextlib
import io
import logging


@contextlib.contextmanager
def inside(folder):
    """Run programs in this process and in a folder, restore the logging afterwards, and capture the output."""
    logger = logging.getLogger("recbole")
    before = logger.handlers[:], logger.level, logger.propagate
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as out:
            yield out
    finally:
        for handler in set(logger.handlers) - set(before[0]):
            handler.close()
        logger.handlers[:], logger.level, logger.propagate = before
