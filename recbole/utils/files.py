"""Files that are either whole or absent."""

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from recbole.utils.errors import UserError


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "w", **kwargs: Any) -> Iterator[IO[Any]]:
    """Open a temporary neighbour of ``path`` for writing; rename it to ``path`` once the block ended well.

    The data is flushed to the disk before the rename, so a kill or a power cut leaves the old file or the new one.
    On any failure the temporary file is removed and ``path`` is untouched; what a kill leaves of it, the next write of
    ``path`` takes over.

    Raises:
        UserError: when the folder cannot be written to or the disk is full.
    """
    path = Path(path)
    if "b" not in mode:
        kwargs.setdefault("encoding", "utf-8")
        kwargs.setdefault("newline", "\n")
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, mode, **kwargs) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def remove(path: Path) -> None:
    """Delete a file, if it is there, and what a kill left of writing it."""
    for one in (path, _temporary(path)):
        one.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def check_writable(path: str | Path) -> None:
    """Find out before the work whether ``path`` can be written afterwards.

    Raises:
        UserError: when it is a folder, or its folder cannot be made or written to.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder")
    with atomic_write(path.with_name(f".{path.name}.check")):
        pass
    path.with_name(f".{path.name}.check").unlink()


def write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as JSON, atomically: indented, but a list's dictionaries (rows of a table) on a line each.

    NaN and infinities are written as ``null``.
    """
    with atomic_write(path) as file:
        file.write(_indented(finite(value)) + "\n")


def _indented(value: Any) -> str:
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    if isinstance(value, dict) and value:
        parts = [f"{encode(key)}: {_indented(part)}" for key, part in value.items()]
        return "{\n " + ",\n".join(parts).replace("\n", "\n ") + "\n}"
    if isinstance(value, list) and any(isinstance(part, dict) for part in value):
        return "[\n " + ",\n ".join(map(encode, value)) + "\n]"
    return encode(value)


def finite(value: Any) -> Any:
    """Return what JSON can hold of ``value``: None for NaN and infinities, lists for arrays, text for the unknown."""
    if hasattr(value, "tolist"):  # of NumPy and torch, scalars too
        value = value.tolist()
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def sha256_of_file(path: str | Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
