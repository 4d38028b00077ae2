"""Writes files atomically: after a crash a file is either complete or unchanged."""

import contextlib
import hashlib
import json
import math
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from recbole.utils.errors import UserError
from recbole.utils.folders import make_folder
from recbole.utils.temporary import hold, name_beside, sweep

_BEGINNING = 1000
"""The number of bytes at a file's beginning by which its kind is recognised."""

T = TypeVar("T", dict[str, Any], list[Any])


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "w", told_by: Path | None = None, **kwargs: Any) -> Iterator[IO[Any]]:
    """Write a file such that it never has incomplete content, even after a crash or a power cut.

    The block writes to a temporary file in the same folder. When the block ends without error, the temporary file is
    flushed to disk and renamed to ``path``. After an error, the temporary file is removed and ``path`` is unchanged.
    If the process is killed, the next write in the same folder removes the temporary file.

    Args:
        path: the file to write or replace. Its folder is created if it does not exist.
        mode: ``w`` (text, in UTF-8 with LF line ends) or ``wb`` (bytes).
        told_by: a second file that describes ``path``, such as the ``.json`` record of a checkpoint; None without one.
            It is deleted when ``path`` gets its new content, so that it never describes other content.
        kwargs: further arguments of :func:`open`.

    Yields:
        The temporary file, open for writing.

    Raises:
        UserError: the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    if "b" not in mode:
        kwargs.setdefault("encoding", "utf-8")
        kwargs.setdefault("newline", "\n")
    try:
        make_folder(path.parent)
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
    """Create a temporary file in the folder of ``path`` for the block.

    During the block this process holds a lock on the file, which shows other processes that the file is in use. At the
    end the file is removed, unless it was renamed.

    Args:
        path: the file that the temporary file will become.
        mode, kwargs: arguments of :func:`open`.

    Yields:
        The open file, and its path.
    """
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
    """Rename a temporary file to its final path, and delete the file that describes the old content.

    If the renaming fails, both old files remain.

    Args:
        temporary: the temporary file.
        path: the final path.
        told_by: the file that describes the old content, which need not exist; or None.
    """
    moved = None
    if told_by is not None and told_by.is_file():
        moved = name_beside(told_by)
        os.rename(told_by, moved)
    try:
        os.replace(temporary, path)
    except OSError:
        if moved is not None and told_by is not None:
            os.rename(moved, told_by)
        raise
    if moved is not None:
        moved.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Delete a file if it exists, and also the temporary files in its folder whose processes were killed."""
    path.unlink(missing_ok=True)
    sweep(path.parent)


def check_writable(path: str | Path) -> None:
    """Check, before any work, that a file can be written later. Missing folders are created.

    Raises:
        UserError: ``path`` is a folder, or its folder cannot be created or written to.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"cannot write {path}: it is a folder")
    try:
        make_folder(path.parent)
        with _made_beside(path, "xb"):
            pass
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error


def check_replaceable(path: str | Path, begins: str, kind: str) -> None:
    """Check, before any work, that a file can be written later without overwriting a file of another program.

    Args:
        path: the file to write later. It may exist if this program wrote it, which is recognised by its first bytes.
        begins: a regular expression that matches the first bytes of the files that this program writes.
        kind: what these files contain, such as "table", for the message.

    Raises:
        UserError: ``path`` is a link, a device, a folder or another program's file, or cannot be written.
    """
    path = Path(path)
    if os.path.lexists(path) and not path.is_dir():
        if path.is_symlink() or not path.is_file():
            raise UserError(f"cannot write {path}: it is not a regular file")
        try:
            with open(path, "rb") as file:
                beginning = file.read(_BEGINNING)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error
        if not re.match(begins.encode(), beginning):
            raise UserError(
                f"cannot write {path}: it exists and is not a {kind} that this program wrote; choose another path"
            )
    check_writable(path)


def write_json(path: str | Path, value: Any) -> None:
    """Write a value to a file as JSON, such that the file never has incomplete content (:func:`atomic_write`).

    The text is indented; each element of a list of dictionaries takes one line. NaN and infinities become ``null``.

    Args:
        path: the file.
        value: the value, which :func:`finite` converts to types that JSON has.
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
    """Convert a value, with all its elements, to types that JSON has.

    NaN and infinities become None; arrays, tensors and tuples become lists; keys of dictionaries and objects of other
    types become strings.
    """
    if hasattr(value, "tolist"):  # NumPy arrays and torch tensors, also scalars
        value = value.tolist()
    if isinstance(value, dict):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


class Stamp(NamedTuple):
    """What tells a file from one that replaced it: device, inode, size in bytes and time of change in nanoseconds."""

    device: int
    inode: int
    size: int
    changed: int


def stamp(path: str | Path) -> Stamp | None:
    """Return the stamp of a file; None if there is no file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return Stamp(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def sha256_of_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: str | Path, kind: type[T]) -> T:
    """Read a JSON file that contains an object or a list.

    Pipes and devices are not opened, because reading them might never end.

    Args:
        path: the file, or a link to it.
        kind: the expected type of the content: ``dict`` or ``list``.

    Raises:
        UserError: the file cannot be read, is not a regular file, is not JSON, contains another type, or has a key
            twice in an object.
    """
    path = Path(path)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(found := dict(pairs)) < len(pairs):
            twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
            raise UserError(f"{path}: {twice!r} is set twice; remove one")
        return found

    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError(f"cannot read {path}: it is not a regular file")
        value = json.loads(path.read_bytes(), object_pairs_hook=once)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a JSON file ({error})") from error
    if not isinstance(value, kind):
        name = {dict: "object", list: "list"}[kind]
        raise UserError(f"{path}: expected a JSON {name}, found {type(value).__name__}")
    return value
