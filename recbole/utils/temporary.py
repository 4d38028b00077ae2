"""Temporary files and folders next to their destination, which are removed even if their process was killed.

Each name is random and created exclusively, so that two processes never share one and existing links are not followed.
The process that writes a temporary file holds the operating system's lock on it. The next process that writes in the
same folder removes all temporary files that no process has locked. On file systems without locks it removes those that
have not changed for ``STALE_SECONDS``.
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
"""The number of bytes of a destination's name that fit in the name of its temporary file."""


def name_beside(path: Path) -> Path:
    """Return a random unused name in the folder of ``path`` for a temporary file that will become ``path``."""
    kept = os.fsencode(path.name)[:_ROOM].decode(errors="ignore")
    return path.with_name(f".{kept}.{secrets.token_hex(4)}{_ENDING}")


def hold(descriptor: int, path: Path) -> bool:
    """Lock a file that was just created.

    Returns:
        False if another process has removed the file as abandoned; it must then be created again.
    """
    return _locked(descriptor) is not False and _leads_to(path, descriptor)


@contextlib.contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Yield a new empty temporary folder next to ``path``; it is removed when the block ends.

    Temporary files and folders that killed processes left in the same place are removed first.

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
    """Remove the temporary files and folders in ``folder`` whose processes have ended."""
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
    """Yield a descriptor for a file or folder that is not a link; None if folders cannot be opened (Windows)."""
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
    """Return whether the process that wrote an open file has ended; if so, this process has now locked the file."""
    locked = _locked(descriptor)
    if locked is not None:
        return locked and _leads_to(path, descriptor)
    within = path.iterdir() if path.is_dir() else ()
    changed = max(os.stat(one, follow_symlinks=False).st_mtime for one in (path, *within))
    return clock_of(path.parent) - changed > STALE_SECONDS


def _locked(descriptor: int) -> bool | None:
    """Return whether the operating system granted a lock; None if locks do not work, as on Windows."""
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
