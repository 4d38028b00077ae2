"""The log of a run's requests, one JSON line each."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from recbole.utils import UserError
from recbole.utils.files import finite


class RequestLog:
    """JSON lines, one a request; what a killed run wrote after its last snapshot is cut off again.

    One with ``put_off`` says of how many requests before it the work failed that was put off until a checkpoint.

    Args:
        path: the file.
        size: bytes of it to go on after; it has as many.

    Raises:
        UserError: from every method, when the file cannot be written.
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
        """Append one record; numbers that are not finite are written as ``null``."""
        with self._telling():
            self.file.write(json.dumps(finite(record), allow_nan=False).encode() + b"\n")

    def size(self) -> int:
        """Return the file's length in bytes, everything on the disk."""
        with self._telling():
            self.file.flush()
            os.fsync(self.file.fileno())
            return self.file.tell()

    def close(self) -> None:
        """Close the file."""
        with self._telling():
            self.file.close()
