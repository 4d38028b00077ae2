"""Programs run inside of the tests' process, which saves the start of one of their own."""

import contextlib
import io
import logging


@contextlib.contextmanager
def inside(folder):
    """Run programs inside of this process, in a folder, and leave the log as it was; what they print is given."""
    logger = logging.getLogger("recbole")
    before = logger.handlers[:], logger.level, logger.propagate
    try:
        with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as out:
            yield out
    finally:
        for handler in set(logger.handlers) - set(before[0]):
            handler.close()
        logger.handlers[:], logger.level, logger.propagate = before
