"""The log of a run's requests, a file with one JSON line per request."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recbole.utils import UserError
from recbole.utils.files import finite


class RequestLog:
    """Writes a file with one JSON line per request, or per batch of requests that are answered together.

    An interrupted run may have written lines after its last snapshot. They are removed when the run continues.

    A line with the key ``put_off`` reports that work failed which had been postponed to a checkpoint. Its value is the
    number of preceding requests that the failed work belonged to.

    Args:
        path: path of the file; its folder is created if necessary.
        size: number of bytes to keep of an existing file, which must have at least that many; 0 starts a new file.

    Raises:
        UserError: the file cannot be written. Every method may raise this.
    """

    def __init__(self, path: str | os.PathLike[str], size: int = 0) -> None:
        self.path = Path(path)
        with self._telling():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = open(self.path, "r+b" if size else "w+b")  # noqa: SIM115
            self.file.truncate(size)
            self.file.seek(size)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Convert an ``OSError`` in the block to a ``UserError``."""
        try:
            yield
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from error

    def add(self, record: dict[str, Any]) -> None:
        """Append one record as a JSON line; NaN and infinite numbers are written as ``null``."""
        with self._telling():
            self.file.write(json.dumps(finite(record), allow_nan=False).encode() + b"\n")

    def size(self) -> int:
        """Write all records to disk (``fsync``), and return the file's length in bytes."""
        with self._telling():
            self.file.flush()
            os.fsync(self.file.fileno())
            return self.file.tell()

    def close(self) -> None:
        """Close the file."""
        with self._telling():
            self.file.close()
