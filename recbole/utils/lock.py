"""Lets one process at a time write the same files, also if processes on several machines share a folder.

The lock is a small file in the folder that names the writing process; only one process can create it. A writer that was
killed is recognised by the operating system's lock on this file, on another machine by the file's age.
"""

import contextlib
import datetime
import hashlib
import json
import logging
import os
import socket
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import ClassVar

from filelock import lock_descriptor

from recbole.utils.errors import UserError
from recbole.utils.folders import make_folder

logger = logging.getLogger(__name__)

IF_RUNNING = ("wait", "leave")
"""Values of the setting ``if_running``: while another process writes, wait until it ends, or stop with an error."""

BEAT_SECONDS = 30.0
"""How often a writer updates the lock file's modification time."""

STALE_SECONDS = 300.0
"""The age at which a lock file counts as left over from a killed process, if only its modification time is known."""

JOB_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
"""The environment variables in which schedulers of computer clusters give the number of the job."""

_FIRST_POLL, _LAST_POLL = 0.02, 0.5  # seconds between two attempts: 0.02 at first, doubled up to 0.5
_MOST_BYTES = 65536  # bytes of a lock file that are read
_WINDOWS = os.name == "nt"  # on Windows, open files can be neither renamed nor removed


@dataclass(frozen=True)
class Holder:
    """The writer named in a lock file.

    Attributes:
        host: the machine's name.
        pid: the process id on that machine.
        job: the number of the scheduler's job in which the process runs; None outside of a job.
        started: when the process created the lock file, in seconds since 1970.
        locked: whether the process also holds the operating system's lock on the file.
    """

    host: str
    pid: int
    job: str | None
    started: float
    locked: bool

    def __str__(self) -> str:
        job = f", job {self.job}" if self.job else ""
        since = datetime.datetime.fromtimestamp(self.started).strftime("%Y-%m-%d %H:%M:%S")
        return f"process {self.pid} on {self.host}{job}, since {since}"


@dataclass(frozen=True)
class Writer:
    """What :func:`writer` yields once this process holds the lock.

    Attributes:
        waited: whether this process waited for another one, which may have written the wanted files meanwhile.
        path: the lock file.
    """

    waited: bool
    path: Path


class _Busy(Exception):
    """Raised if another process holds the lock."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(str(holder or "a process that has just started"))


def lock_path(path: Path) -> Path:
    """Return the lock file for ``path``: in the same folder, named by a hash of its name, so that it is short."""
    return path.with_name(f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.lock")


@contextlib.contextmanager
def writer(path: Path, if_running: str = "wait", told: Callable[[str], None] = logger.info) -> Iterator[Writer]:
    """Hold a lock within the block. Processes that pass the same path hold it one after the other.

    A process must not take the same lock twice, as it would wait for itself forever. A forked child does not hold the
    lock. The lock of a killed process is taken over: at once if the process ran on this machine, otherwise when the
    lock file is ``STALE_SECONDS`` old.

    Args:
        path: the path that identifies the lock, such as a file to write; it need not exist. Its folder is created.
        if_running: ``wait`` for a process that holds the lock, or ``leave`` with an error.
        told: function that is called with a one-line message naming the other process, before waiting for it.

    Raises:
        UserError: the folder cannot be written to, or another process writes and ``if_running`` is ``leave``.
    """
    if if_running not in IF_RUNNING:
        raise UserError(f"if_running: '{if_running}' is not {' or '.join(IF_RUNNING)}")
    lock = lock_path(path)
    try:
        make_folder(lock.parent)
        file, waited = _acquire(path, lock, if_running, told)
    except OSError as error:
        raise UserError(f"cannot write {lock}: {error.strerror or error}") from error
    try:
        with _beating(file):
            yield Writer(waited, lock)
    finally:
        _release(file)


def _acquire(path: Path, lock: Path, if_running: str, told: Callable[[str], None]) -> tuple["_File", bool]:
    """Take the lock; return the lock file, and whether another process has held the lock. Arguments as in `writer`."""
    pause = _FIRST_POLL
    sightings = 0
    while True:
        try:
            file = _create(lock)
            if file is None:
                _clear(lock)
        except _Busy as busy:
            sightings += 1
            if sightings == 2:  # the first time it may be a process that only checks, like this one
                if if_running == "leave":
                    raise UserError(f"{path} is being written by {busy}; --if_running wait waits for it") from None
                told(f"waiting for {busy}, which is writing {path}")
            time.sleep(pause)
            pause = min(2 * pause, _LAST_POLL)
        else:
            if file is not None:
                return file, sightings > 0


class _File:
    """A lock file that is open in this process. After a fork the child closes its copy."""

    open_ones: ClassVar[set["_File"]] = set()

    def __init__(self, path: Path, flags: int) -> None:
        self.path = path
        self.descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0), 0o666)
        self.open_ones.add(self)

    def close(self) -> None:
        """Close the file, which also releases the operating system's lock."""
        if self in self.open_ones:
            self.open_ones.discard(self)
            os.close(self.descriptor)

    def lock(self) -> bool | None:
        """Try to get the operating system's lock on the file; return whether it worked, None if there are no locks."""
        try:
            return lock_descriptor(self.descriptor, blocking=False)
        except OSError:
            return None

    def is_in_place(self) -> bool:
        """Return whether the open file is still the file at :attr:`path`: it was neither removed nor replaced."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    def write(self, holder: Holder) -> None:
        """Write who holds the lock, as JSON, after a line break, as on Windows the first byte is locked for readers."""
        text = b"\n" + json.dumps(asdict(holder)).encode() + b"\n"
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        os.write(self.descriptor, text)
        os.ftruncate(self.descriptor, len(text))

    def read(self) -> Holder | None:
        """Return who holds the lock, or None if that is not written in the file yet."""
        os.lseek(self.descriptor, 1, os.SEEK_SET)
        try:
            return Holder(**json.loads(os.read(self.descriptor, _MOST_BYTES)))
        except (ValueError, TypeError):
            return None

    def beat(self) -> None:
        """Set the file's modification time to now, to show that the process is still running."""
        with contextlib.suppress(OSError):  # the network may be down; the next beat may succeed
            os.utime(self.descriptor if os.utime in os.supports_fd else self.path)


def _close_in_child() -> None:
    for file in list(_File.open_ones):
        file.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


def _create(lock: Path) -> _File | None:
    """Create the lock file, get the operating system's lock on it, and return it; None if another process was faster.

    The file names this process before it is locked. If the process is killed in between, its id shows that it ended.
    """
    job = next((os.environ[name] for name in JOB_VARIABLES if os.environ.get(name)), None)
    holder = Holder(socket.gethostname(), os.getpid(), job, time.time(), locked=False)
    try:
        file = _File(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return None
    try:
        file.write(holder)
        while (locked := file.lock()) is False:  # another process checks it for an instant
            time.sleep(0.001)
        if file.is_in_place():
            if locked:
                file.write(replace(holder, locked=True))
            return file
    except BaseException:
        _release(file)
        raise
    file.close()
    return None


def _clear(lock: Path) -> None:
    """Remove an existing lock file if the process that wrote it has ended.

    Raises:
        _Busy: the process is still running.
    """
    try:
        file = _open(lock)
    except FileNotFoundError:
        return
    try:
        free = file.lock()
        if not file.is_in_place():
            return
        seen = os.fstat(file.descriptor)
        holder = file.read()
        if _lives(holder, free, lock.parent, seen.st_mtime):
            raise _Busy(holder)
        if _WINDOWS:
            file.close()
        _remove(lock, seen)
    finally:
        file.close()


def _open(lock: Path) -> _File:
    try:
        return _File(lock, os.O_RDWR)
    except PermissionError:  # another user's file in a shared folder
        return _File(lock, os.O_RDONLY)


def _lives(holder: Holder | None, free: bool | None, folder: Path, beat: float) -> bool:
    """Return whether the process that wrote a lock file is still running.

    Args:
        holder: the process; None if the file does not name it yet.
        free: whether the operating system's lock on the file was free; None if there are no locks here.
        folder: the file's folder.
        beat: the file's modification time, in seconds since 1970.
    """
    if holder is not None and holder.host == socket.gethostname():
        if holder.locked and free is not None:
            return not free
        if not _runs(holder.pid):
            return False
    return clock_of(folder) - beat < STALE_SECONDS


def _runs(pid: int) -> bool:
    """Return whether a process runs on this machine; always True on Windows, where checking could end the process."""
    if _WINDOWS:
        return True
    with contextlib.suppress(PermissionError):  # another user's process
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True


def clock_of(folder: Path) -> float:
    """Return the time, in seconds since 1970, by the clock of a folder's file system, which may be another machine."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime


def _remove(lock: Path, seen: os.stat_result) -> None:
    """Remove the lock file of a process that has ended, unless the file's status is no longer the one in ``seen``."""
    moved = lock.with_name(f"{lock.name}.{uuid.uuid4().hex}")
    try:
        os.rename(lock, moved)
    except FileNotFoundError:  # another process was faster
        return
    except PermissionError:
        if _WINDOWS:  # another process has it open to do the same
            return
        raise
    found = os.stat(moved)
    if os.path.samestat(found, seen) and found.st_mtime_ns == seen.st_mtime_ns:
        os.unlink(moved)
    else:
        os.rename(moved, lock)


@contextlib.contextmanager
def _beating(file: _File) -> Iterator[None]:
    """Within the block, update a lock file's modification time regularly, in a thread of its own."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(BEAT_SECONDS):
            file.beat()

    thread = threading.Thread(target=beat, name="lock-beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _release(file: _File) -> None:
    """Close this process's lock file, and remove it, unless another process has replaced it meanwhile."""
    if file not in _File.open_ones:  # a forked child has closed it
        return
    try:
        with contextlib.suppress(OSError):  # its folder is gone, or (Windows) a waiting process has it open
            mine = file.is_in_place()
            if _WINDOWS:
                file.close()
            if mine:
                os.unlink(file.path)
    finally:
        file.close()
