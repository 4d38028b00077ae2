"""The log of the requests of an unlearning run, a file with one JSON line per request."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recbole.utils import UserError
from recbole.utils.files import finite
from recbole.utils.folders import make_folder


class RequestLog:
    """Writes a file with one JSON line per request, or per batch of requests that are answered together.

    An interrupted run may have written lines after its last snapshot. They are removed when the run continues.

    Some algorithms postpone work to the next checkpoint. If this work fails, a line with the key ``put_off`` says so.
    The value of the key is the number of preceding requests that were counted as applied and now count as failed.

    Args:
        path: path of the file; the folder is created if necessary.
        size: number of bytes to keep of an existing file, which must have at least as many; 0 starts a new file.

    Raises:
        UserError: the file cannot be written. Every method may raise this.
    """

    def __init__(self, path: str | os.PathLike[str], size: int = 0) -> None:
        self.path = Path(path)
        with self._telling():
            make_folder(self.path.parent)
            self.file = open(self.path, "r+b" if size else "w+b")  # noqa: SIM115
            self.file.truncate(size)
            self.file.seek(size)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Context manager that converts an ``OSError`` in its block to a ``UserError``."""
        try:
            yield
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from error

    def add(self, record: dict[str, Any]) -> None:
        """Append a dictionary as a JSON line; NaN and infinite numbers are written as ``null``."""
        with self._telling():
            self.file.write(json.dumps(finite(record), allow_nan=False).encode() + b"\n")

    def size(self) -> int:
        """Write all lines to disk (``fsync``), and return the length of the file in bytes."""
        with self._telling():
            self.file.flush()
            os.fsync(self.file.fileno())
            return self.file.tell()

    def close(self) -> None:
        """Close the file."""
        with self._telling():
            self.file.close()
