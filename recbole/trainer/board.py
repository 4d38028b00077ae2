"""Training curves in a TensorBoard file."""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recbole.utils import UserError

logger = logging.getLogger("recbole")

_WRITER_THREAD = "_AsyncWriterThread"
"""Name of the class of the thread in which TensorBoard writes to the file."""


class Board:
    """A TensorBoard file with training curves.

    If the file cannot be written any more, because the disk is full for example, one warning is logged, and the curves
    end while the training goes on.

    Args:
        folder: the folder in which TensorBoard creates the file.

    Raises:
        UserError: the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.folder, self.broken = folder, False
        self.usual = threading.excepthook
        threading.excepthook = self._of_thread
        try:
            self.writer = SummaryWriter(os.fspath(folder))
        except OSError as error:
            threading.excepthook = self.usual
            raise UserError(f"cannot write {folder.parent}: {error.strerror}; --tensorboard False avoids it") from error

    def add_scalar(self, name: str, value: float, epoch: int) -> None:
        """Add a point to the curve ``name``."""
        self._write(lambda: self.writer.add_scalar(name, value, epoch))

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._write(self.writer.close)
        threading.excepthook = self.usual

    def _write(self, work: Callable[[], Any]) -> None:
        if self.broken:
            return
        try:
            work()
        except OSError as error:
            self.broken = True
            logger.warning("TensorBoard's curves in %s end here: %s", self.folder, error.strerror or error)

    def _of_thread(self, failed: threading.ExceptHookArgs) -> None:
        """Print the exception of a thread as usual, unless the next call to the writer raises it again."""
        if not (type(failed.thread).__name__ == _WRITER_THREAD and isinstance(failed.exc_value, OSError)):
            self.usual(failed)
