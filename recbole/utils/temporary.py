"""Unfinished files and folders beside what they will become: each its writer's own, and gone when that is dead.

A name is drawn anew each time and made exclusively, so that two writers never share one and a link that somebody put
there is not followed. Its writer holds the operating system's lock on it: whoever writes in the same folder next
removes what nobody holds. Where there are no such locks, what has not changed for ``STALE_SECONDS`` is taken for dead.
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
"""Bytes of a name for which there is room in the names of its unfinished files."""


def name_beside(path: Path) -> Path:
    """Return a name for what will become ``path``, in the same folder, that nobody has."""
    kept = os.fsencode(path.name)[:_ROOM].decode(errors="ignore")
    return path.with_name(f".{kept}.{secrets.token_hex(4)}{_ENDING}")


def hold(descriptor: int, path: Path) -> bool:
    """Lock what was just made; return False if somebody took it for left over, and it is to be made anew."""
    return _locked(descriptor) is not False and _leads_to(path, descriptor)


@contextlib.contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """Yield a new, empty folder beside ``path``, which is removed in the end, and remove what dead writers left there.

    Raises:
        OSError: it cannot be made.
    """
    sweep(path.parent)
    while True:
        made = name_beside(path)
        made.mkdir()
        with contextlib.ExitStack() as opened:
            try:
                descriptor = opened.enter_context(_opened(made))
            except FileNotFoundError:  # somebody took it for left over
                continue
            if descriptor is not None and not hold(descriptor, made):
                continue
            try:
                yield made
            finally:
                shutil.rmtree(made, ignore_errors=True)
            return


def sweep(folder: Path) -> None:
    """Remove the unfinished files and folders of dead writers from a folder, those of any file."""
    try:
        found = [entry.name for entry in os.scandir(folder) if _OURS.fullmatch(entry.name)]
    except OSError:  # there is no such folder yet, or it may not be read: what follows tells
        return
    for name in found:
        path = folder / name
        with contextlib.suppress(OSError), _opened(path) as descriptor:  # gone, a link, or another person's
            if descriptor is None or not _is_dead(descriptor, path):
                continue
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int | None]:
    """Yield a descriptor of a file or folder that is no link; None where folders cannot be opened (Windows)."""
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
    """Return whether the writer of what is open is dead; if so, this process has locked it."""
    locked = _locked(descriptor)
    if locked is not None:
        return locked and _leads_to(path, descriptor)
    within = path.iterdir() if path.is_dir() else ()
    changed = max(os.stat(one, follow_symlinks=False).st_mtime for one in (path, *within))
    return clock_of(path.parent) - changed > STALE_SECONDS


def _locked(descriptor: int) -> bool | None:
    """Return whether the operating system gave its lock; None where it has none to give, or (Windows) forbids more."""
    if os.name == "nt":
        return None
    try:
        return lock_descriptor(descriptor, blocking=False)
    except OSError:
        return None


def _leads_to(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False
