"""Sends log messages to the terminal and to a log file, a new one for each run."""

import datetime
import hashlib
import logging
import sys
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any, Protocol

from recbole.utils.distributed import is_main
from recbole.utils.errors import UserError
from recbole.utils.folders import make_folder
from recbole.utils.outlet import Outlet

_MOST_WAITING = 10_000
"""The largest number of messages that are held back until the log file's first line is written."""


class Settings(Protocol):
    """The part of :class:`~recbole.config.Config` that this module uses."""

    def __getitem__(self, key: str) -> Any:
        """Return the value of a setting."""

    def as_dict(self) -> dict[str, Any]:
        """Return all settings as plain values, without credentials."""


def log_stem(config: Settings) -> str:
    """Return the name of a log file, without extension, as in ERASE.

    It is ``<model>-<dataset>-<time>-seed_<seed>-<hash of the settings>``.
    """
    digest = hashlib.md5(repr(sorted(config.as_dict().items())).encode(), usedforsecurity=False).hexdigest()[:6]
    now = datetime.datetime.now().strftime("%b-%d-%Y_%H-%M-%S")
    return f"{config['model']}-{config['dataset']}-{now}-seed_{config['seed']}-{digest}"


def init_logger(config: Settings, folder: Path) -> str:
    """Send log messages to the terminal and to the new file ``<folder>/<model>/<stem>.log``.

    The file receives no message before :func:`begin_log` writes its first line. In a run of several processes, only the
    main process logs; the others show only warnings and errors.

    Args:
        config: the run's settings; ``state`` is the log level, such as ``INFO``.
        folder: the folder for log files.

    Returns:
        The stem, from :func:`log_stem`.

    Raises:
        UserError: the folder cannot be written to.
    """
    stem = log_stem(config)
    if not is_main():
        logging.getLogger("recbole").setLevel(logging.WARNING)
        return stem
    to_file = _opened(folder / config["model"], stem)
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    waiting = MemoryHandler(_MOST_WAITING, target=to_file)
    to_terminal = logging.StreamHandler(sys.stdout)
    to_terminal.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("recbole")
    for old in logger.handlers[:]:
        logger.removeHandler(old)
        old.close()
    logger.addHandler(waiting)
    logger.addHandler(to_terminal)
    logger.setLevel(str(config["state"]).upper())
    logger.propagate = False
    return stem


def begin_log(line: str) -> None:
    """Write the first line of the log file, and then the messages that were held back since :func:`init_logger`.

    Args:
        line: the line, which describes the run. It is not shown on the terminal.
    """
    for handler in logging.getLogger("recbole").handlers:
        if isinstance(handler, MemoryHandler) and handler.target is not None:
            record = logging.LogRecord("recbole", logging.INFO, "", 0, line, None, None)
            handler.target.handle(record)
            handler.capacity = 0  # from now on every message is written at once
            handler.flush()


class _LastingFile(logging.FileHandler):
    """A handler for a log file. If the file cannot be written, messages are lost, but the run continues."""

    def _open(self) -> Any:
        return Outlet(super()._open(), self._tell)

    def _tell(self, error: OSError) -> None:
        problem = f"{error.strerror}; the run goes on"
        print(f"the log file {self.baseFilename} is incomplete, it cannot be written: {problem}", file=sys.stderr)


def _opened(folder: Path, stem: str) -> logging.FileHandler:
    """Open a new log file ``<folder>/<stem>.log``. If the file exists, a number is appended to the stem.

    Raises:
        UserError: the folder cannot be made or written to, or 999 files with this stem exist.
    """
    try:
        make_folder(folder)
    except OSError as error:
        raise UserError(f"cannot write log files in {folder}: {error.strerror}") from error
    for number in range(1, 1000):
        path = folder / (f"{stem}.log" if number == 1 else f"{stem}_{number}.log")
        try:
            return _LastingFile(path, mode="x", encoding="utf-8")
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror}") from error
    raise UserError(f"cannot write {path}: 999 log files with this name exist already; start the run again")
