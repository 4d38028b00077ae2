"""Temporary files and folders, which are removed even if the process that made them was killed.

A temporary file is in the same folder as the file that it will replace. It has a random name, and is only created if
the name does not exist yet. So two processes never use the same file, and symbolic links are not followed.

While a process uses a temporary file, it holds the operating system's lock on it. The next process that writes in the
same folder removes all temporary files that are not locked. On file systems without locks, it removes those that have
not changed for ``STALE_SECONDS``.
"""

import contextlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from filelock import lock_descriptor

from recbole.utils.lock import STALE_SECONDS, clock_of

_ENDING = ".erase.partial"
_OURS = re.compile(rf"\..+\.[0-9a-f]{{8}}{re.escape(_ENDING)}")
_ROOM = 255 - len(f"..{'0' * 8}{_ENDING}")
"""The largest number of bytes of a file's name that fit into the name of its temporary file."""


def name_beside(path: Path) -> Path:
    """Return a random path in the folder of ``path``, for a temporary file that will be renamed to ``path``."""
    kept = os.fsencode(path.name)[:_ROOM].decode(errors="ignore")
    return path.with_name(f".{kept}.{secrets.token_hex(4)}{_ENDING}")


def hold(descriptor: int, path: Path) -> bool:
    """Lock a temporary file that this process has just created.

    Args:
        descriptor: the descriptor of the open file.
        path: its path.

    Returns:
        False if another process has removed the file before it was locked, so that it has to be created again.
    """
    return _locked(descriptor) is not False and _leads_to(path, descriptor)


@contextlib.contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Create an empty temporary folder next to ``path`` for the block, and yield its path.

    Before, temporary files and folders of killed processes in the same place are removed.

    Raises:
        OSError: the folder cannot be created.
    """
    sweep(path.parent)
    while True:
        made = name_beside(path)
        made.mkdir()
        with contextlib.ExitStack() as opened:
            try:
                descriptor = opened.enter_context(_opened(made))
            except FileNotFoundError:  # another process removed it as abandoned
                continue
            if descriptor is not None and not hold(descriptor, made):
                continue
            try:
                yield made
            finally:
                shutil.rmtree(made, ignore_errors=True)
            return


def sweep(folder: Path) -> None:
    """Remove the temporary files and folders in ``folder`` that were made by processes that have ended."""
    try:
        found = [entry.name for entry in os.scandir(folder) if _OURS.fullmatch(entry.name)]
    except OSError:  # missing or unreadable; the caller's next step will report it
        return
    for name in found:
        path = folder / name
        with contextlib.suppress(OSError), _opened(path) as descriptor:  # gone, a link, or another user's
            if descriptor is None or not _is_dead(descriptor, path):
                continue
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    """Open a file or folder within the block, and yield its descriptor; None for a folder on Windows.

    Raises:
        OSError: ``path`` does not exist, is a symbolic link, or cannot be opened.
    """
    is_folder = path.is_dir() and not path.is_symlink()
    if is_folder and os.name == "nt":
        yield None
        return
    flags = os.O_RDONLY if is_folder else os.O_RDWR
    descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_dead(descriptor: int, path: Path) -> bool:
    """Return whether the process that made a temporary file or folder has ended.

    If the answer is True and there are locks, this process has locked the file.

    Args:
        descriptor: the descriptor of the file or folder, which is open.
        path: its path.
    """
    locked = _locked(descriptor)
    if locked is not None:
        return locked and _leads_to(path, descriptor)
    within = path.iterdir() if path.is_dir() else ()
    changed = max(os.stat(one, follow_symlinks=False).st_mtime for one in (path, *within))
    return clock_of(path.parent) - changed > STALE_SECONDS


def _locked(descriptor: int) -> bool | None:
    """Try to lock an open file; return whether it worked, or None if the system has no locks, as on Windows."""
    if os.name == "nt":
        return None
    try:
        return lock_descriptor(descriptor, blocking=False)
    except OSError:
        return None


def _leads_to(path: Path, descriptor: int) -> bool:
    """Return whether the file at ``path`` is the open file ``descriptor``."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
