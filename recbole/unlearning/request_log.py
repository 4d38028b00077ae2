"""The log of a run's requests, with one JSON line per request."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recbole.utils import UserError
from recbole.utils.files import finite


class RequestLog:
    """A file with one JSON line per request (or batch of requests).

    A killed run may have written lines after its last snapshot. These are removed when the run continues.

    One with ``put_off`` says of how many requests before it the work failed that was put off until a checkpoint.

    Args:
        path: path of the file.
        size: number of bytes to keep of an existing file; 0 starts a new one. The file must have at least that many.

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
        try:
            yield
        except OSError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from error

    def add(self, record: dict[str, Any]) -> None:
        """Append one record; NaN and infinite numbers are written as ``null``."""
        with self._telling():
            self.file.write(json.dumps(finite(record), allow_nan=False).encode() + b"\n")

    def size(self) -> int:
        """Return the file's length in bytes, after forcing all of it to disk."""
        with self._telling():
            self.file.flush()
            os.fsync(self.file.fileno())
            return self.file.tell()

    def close(self) -> None:
        """Close the file."""
        with self._telling():
            self.file.close()
