"""Files that are either whole or absent."""

import contextlib
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

from recbole.utils.errors import UserError
from recbole.utils.temporary import hold, name_beside, sweep

_BEGINNING = 1000
"""Bytes of a file by which it is told what it is."""

T = TypeVar("T", dict[str, Any], list[Any])


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "w", told_by: Path | None = None, **kwargs: Any) -> Iterator[IO[Any]]:
    """Open a temporary neighbour of ``path`` for writing; rename it to ``path`` once the block ended well.

    The data is flushed to the disk before the rename, so a kill or a power cut leaves the old file or the new one.
    On any failure the temporary file is removed and ``path`` is untouched; what a kill leaves of it, the next write in
    the folder removes (`recbole.utils.temporary`).

    Args:
        path: the file.
        mode: ``w`` or ``wb``.
        told_by: a file that tells of ``path``, if it is there: it goes before the new one comes, so that it is never
            beside one that it does not tell of.
        kwargs: as `open` takes them.

    Raises:
        UserError: when the folder cannot be written to or the disk is full.
    """
    path = Path(path)
    if "b" not in mode:
        kwargs.setdefault("encoding", "utf-8")
        kwargs.setdefault("newline", "\n")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _made_beside(path, mode.replace("w", "x"), **kwargs) as (file, temporary):
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            _put(temporary, path, told_by)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


@contextlib.contextmanager
def _made_beside(path: Path, mode: str, **kwargs: Any) -> Iterator[tuple[IO[Any], Path]]:
    """Yield a new file beside ``path`` and its name, which is this process's until the block ends."""
    sweep(path.parent)
    while True:
        temporary = name_beside(path)
        file = open(temporary, mode, **kwargs)  # noqa: SIM115 - the caller closes it before the rename
        held = os.dup(file.fileno())
        try:
            if hold(held, temporary):
                yield file, temporary
                return
        finally:
            os.close(held)
            with contextlib.suppress(OSError):
                temporary.unlink()
            with contextlib.suppress(OSError):
                file.close()


def _put(temporary: Path, path: Path, told_by: Path | None) -> None:
    """Rename a file to its place; what told of the one that is there goes before, and comes back on a failure."""
    aside = None
    if told_by is not None and told_by.is_file():
        aside = name_beside(told_by)
        os.rename(told_by, aside)
    try:
        os.replace(temporary, path)
    except OSError:
        if aside is not None and told_by is not None:
            os.rename(aside, told_by)
        raise
    if aside is not None:
        aside.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Delete a file, if it is there, and what a kill left of writing it."""
    path.unlink(missing_ok=True)
    sweep(path.parent)


def check_writable(path: str | Path) -> None:
    """Find out before the work whether ``path`` can be written afterwards.

    Raises:
        UserError: when it is a folder, or its folder cannot be made or written to.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _made_beside(path, "xb"):
            pass
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def check_replaceable(path: str | Path, begins: str, kind: str) -> None:
    """Find out before the work whether something can be written to ``path``: where nothing is, or over our own.

    Args:
        path: the file.
        begins: a regular expression of how such a file of ours begins.
        kind: what it is, for the message.

    Raises:
        UserError: something else is there (a link, a device, another file), or it cannot be written.
    """
    path = Path(path)
    if os.path.lexists(path) and not path.is_dir():
        if path.is_symlink() or not path.is_file():
            raise UserError(f"cannot write {path}: it is no regular file")
        try:
            with open(path, "rb") as file:
                beginning = file.read(_BEGINNING)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error
        if not re.match(begins.encode(), beginning):
            raise UserError(f"cannot write {path}: it is there, and no {kind} that this program wrote")
    check_writable(path)


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


def read_json(path: str | Path, kind: type[T]) -> T:
    """Read a JSON file whose top level is a ``kind`` (dict or list).

    Raises:
        UserError: the file cannot be read, is no JSON, or holds something else.
    """
    try:
        value = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a JSON file ({error})") from error
    if not isinstance(value, kind):
        name = {dict: "object", list: "list"}[kind]
        raise UserError(f"{path}: expected a JSON {name}, found {type(value).__name__}")
    return value
