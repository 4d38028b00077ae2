"""What a run tells: on the terminal, and in a file of its own under ``log/``."""

import datetime
import hashlib
import logging
import sys
from pathlib import Path
from typing import Any, Protocol

from recbole.utils.distributed import is_main
from recbole.utils.errors import UserError

LOG_FOLDER = Path("log")


class Settings(Protocol):
    """What is read here of a :class:`~recbole.config.Config`."""

    def __getitem__(self, key: str) -> Any:
        """Return the value of a setting."""

    def as_dict(self) -> dict[str, Any]:
        """Return all settings as plain values, without credentials."""


def log_stem(config: Settings) -> str:
    """Return ``<model>-<dataset>-<time>-seed_<seed>-<hash of the settings>``, as ERASE names its logs."""
    digest = hashlib.md5(repr(sorted(config.as_dict().items())).encode(), usedforsecurity=False).hexdigest()[:6]
    now = datetime.datetime.now().strftime("%b-%d-%Y_%H-%M-%S")
    return f"{config['model']}-{config['dataset']}-{now}-seed_{config['seed']}-{digest}"


def init_logger(config: Settings) -> str:
    """Send the package's messages to the terminal and to ``log/<model>/<stem>.log``; return the stem.

    Of several processes only the main one tells and writes.

    Raises:
        UserError: when the folder cannot be written to.
    """
    stem = log_stem(config)
    if not is_main():
        logging.getLogger("recbole").setLevel(logging.WARNING)
        return stem
    path = LOG_FOLDER / config["model"] / f"{stem}.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        to_file = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    to_terminal = logging.StreamHandler(sys.stdout)
    to_terminal.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("recbole")
    for old in logger.handlers[:]:
        logger.removeHandler(old)
        old.close()
    logger.addHandler(to_file)
    logger.addHandler(to_terminal)
    logger.setLevel(str(config["state"]).upper())
    logger.propagate = False
    return stem
