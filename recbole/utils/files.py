"""Writes files atomically: after a crash a file is either complete or unchanged."""

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
"""The number of bytes at a file's beginning by which its kind is recognised."""

T = TypeVar("T", dict[str, Any], list[Any])


@contextlib.contextmanager
def atomic_write(path: str | Path, mode: str = "w", told_by: Path | None = None, **kwargs: Any) -> Iterator[IO[Any]]:
    """Open a temporary file next to ``path`` for writing, and rename it to ``path`` when the block ends without error.

    Data are flushed to disk before the rename, so after a kill or a power cut ``path`` has the old or the new content.
    On an error the temporary file is removed and ``path`` is unchanged. The temporary file of a killed process is
    removed by the next write in the same folder (``recbole.utils.temporary``).

    Args:
        path: the file.
        mode: ``w`` or ``wb``.
        told_by: a file that describes ``path``, such as the ``.json`` record of a checkpoint, or None. If it exists, it
            is deleted before the rename, so that it never describes a file with other content.
        kwargs: further arguments of :func:`open`.

    Raises:
        UserError: the folder cannot be written to, or the disk is full.
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
    """Yield a new file in the folder of ``path`` and the file's path; this process locks it until the block ends."""
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
    """Rename a file to its final path, and delete the file that described the old content.

    If the rename fails, the description is restored.
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
    """Delete a file, if it exists, and temporary files that killed processes left in its folder."""
    path.unlink(missing_ok=True)
    sweep(path.parent)


def check_writable(path: str | Path) -> None:
    """Check before the work begins whether ``path`` can be written later. Creates missing folders.

    Raises:
        UserError: it is a folder, or its folder cannot be created or written to.
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
    """Check before the work begins that ``path`` can be written without overwriting another program's file.

    Args:
        path: the file to write later; it need not exist.
        begins: a regular expression that matches the first bytes of the files of this kind that this program writes.
        kind: the kind of file, such as "table", for the message.

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
    """Write ``value`` as indented JSON, atomically. In a list of dictionaries each dictionary takes one line.

    NaN and infinities become ``null``.
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
    """Return ``value`` in a form that JSON can represent.

    NaN and infinities become None, arrays and tensors become lists, dictionary keys and unknown objects become strings.
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


def sha256_of_file(path: str | Path) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: str | Path, kind: type[T]) -> T:
    """Read a JSON file whose top level is a dict or a list.

    Args:
        path: the file.
        kind: ``dict`` or ``list``.

    Raises:
        UserError: the file cannot be read, is not JSON, or has another top level.
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
