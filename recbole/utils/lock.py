"""One writer at a time of the files that share a stem, whichever processes and machines want to write them.

The lock is a small file beside them that says who writes. It appears by exclusive creation, which every file system
offers, network ones too, and its writer renews its time of change. The operating system's lock on it tells a writer
of the same machine that was killed from one that works; between machines, and where such locks fail, silence tells.
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

logger = logging.getLogger(__name__)

IF_RUNNING = ("wait", "leave")
"""What to do while another process writes: wait until it ends, or end with one line."""

BEAT_SECONDS = 30.0
"""How often a writer shows that it lives."""

STALE_SECONDS = 300.0
"""How long a writer may be silent where nothing but its beats can tell whether it lives."""

JOB_VARIABLES = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
"""Where schedulers put the number of the job that a process belongs to."""

_FIRST_POLL, _LAST_POLL = 0.02, 0.5  # seconds between two looks at the lock: doubled from the one up to the other
_MOST_BYTES = 65536  # of a lock file that are read
_WINDOWS = os.name == "nt"  # an open file is neither renamed nor removed there


@dataclass(frozen=True)
class Holder:
    """Who writes, as the lock file says it.

    Attributes:
        host: the machine's name.
        pid: the process's number there.
        job: the scheduler's number of the job, if there is one.
        started: when it took the lock, in seconds since 1970.
        locked: whether it also has the operating system's lock on the file.
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
    """What the one who writes knows about its lock.

    Attributes:
        waited: whether another process was seen to write before, so that what is wanted may be there by now.
        path: the lock file.
    """

    waited: bool
    path: Path


class _Busy(Exception):
    """Somebody else writes."""

    def __init__(self, holder: Holder | None) -> None:
        super().__init__(str(holder or "a process that has just started"))


def lock_path(path: Path) -> Path:
    """Return the lock file of ``path``: beside it, with a short name, as names may fill all that is allowed."""
    return path.with_name(f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.lock")


@contextlib.contextmanager
def writer(path: Path, if_running: str = "wait", told: Callable[[str], None] = logger.info) -> Iterator[Writer]:
    """Be the only process that writes ``path`` and the files of its stem, until the block ends.

    Only one process of a run takes the lock, and only once: the same process would wait for itself. A forked child does
    not hold it. What a killed writer left is taken over: at once if it ran on this machine, else when it has been
    silent for ``STALE_SECONDS``.

    Args:
        path: the file that stands for the stem; its folder is made if there is none. It need not exist.
        if_running: one of ``IF_RUNNING``.
        told: is given one line that says who writes, before waiting.

    Raises:
        UserError: when the folder cannot be written to, or another process writes and ``if_running`` is ``leave``.
    """
    if if_running not in IF_RUNNING:
        raise UserError(f"if_running: '{if_running}' is not {' or '.join(IF_RUNNING)}")
    lock = lock_path(path)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file, waited = _acquire(path, lock, if_running, told)
    except OSError as error:
        raise UserError(f"cannot write {lock}: {error.strerror or error}") from error
    try:
        with _beating(file):
            yield Writer(waited, lock)
    finally:
        _release(file)


def _acquire(path: Path, lock: Path, if_running: str, told: Callable[[str], None]) -> tuple["_File", bool]:
    """Return the lock file once it is this process's, and whether another one was seen to have it."""
    pause = _FIRST_POLL
    sightings = 0
    while True:
        try:
            file = _create(lock)
            if file is None:
                _clear(lock)
        except _Busy as busy:
            sightings += 1
            if sightings == 2:  # at the first it may be one who looks, as this process does
                if if_running == "leave":
                    raise UserError(f"{path} is being written by {busy}; --if_running wait waits for it") from None
                told(f"waiting for {busy}, which writes {path}")
            time.sleep(pause)
            pause = min(2 * pause, _LAST_POLL)
        else:
            if file is not None:
                return file, sightings > 0


class _File:
    """A lock file that is open in this process; a forked child closes it without a trace."""

    open_ones: ClassVar[set["_File"]] = set()

    def __init__(self, path: Path, flags: int) -> None:
        self.path = path
        self.descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0), 0o666)
        self.open_ones.add(self)

    def close(self) -> None:
        """Close it, and with it let the operating system's lock go."""
        if self in self.open_ones:
            self.open_ones.discard(self)
            os.close(self.descriptor)

    def lock(self) -> bool | None:
        """Return whether the operating system gave its lock; None where it has none to give."""
        try:
            return lock_descriptor(self.descriptor, blocking=False)
        except OSError:
            return None

    def is_in_place(self) -> bool:
        """Return whether its path still leads to it, and it was not removed or replaced."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), os.stat(self.path))
        except FileNotFoundError:
            return False

    def write(self, holder: Holder) -> None:
        """Say who writes. The first byte is left empty: where it is locked, nobody else can read it."""
        text = b"\n" + json.dumps(asdict(holder)).encode() + b"\n"
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        os.write(self.descriptor, text)
        os.ftruncate(self.descriptor, len(text))

    def read(self) -> Holder | None:
        """Return who writes; None while that is not yet said."""
        os.lseek(self.descriptor, 1, os.SEEK_SET)
        try:
            return Holder(**json.loads(os.read(self.descriptor, _MOST_BYTES)))
        except (ValueError, TypeError):
            return None

    def beat(self) -> None:
        """Show that this process lives."""
        with contextlib.suppress(OSError):  # a network file system that is away: the next beat may reach it
            os.utime(self.descriptor if os.utime in os.supports_fd else self.path)


def _close_in_child() -> None:
    for file in list(_File.open_ones):
        file.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)


def _create(lock: Path) -> _File | None:
    """Return the new lock file, signed and locked; None if there is one.

    It is signed at once, so that one who is killed before it is locked can be told by its number.
    """
    job = next((os.environ[name] for name in JOB_VARIABLES if os.environ.get(name)), None)
    holder = Holder(socket.gethostname(), os.getpid(), job, time.time(), locked=False)
    try:
        file = _File(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return None
    try:
        file.write(holder)
        while (locked := file.lock()) is False:  # somebody looks at it, for an instant
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
    """Remove the lock file that there is, if its writer is dead.

    Raises:
        _Busy: when it lives.
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
    except PermissionError:  # another person's, in a folder of both
        return _File(lock, os.O_RDONLY)


def _lives(holder: Holder | None, free: bool | None, folder: Path, beat: float) -> bool:
    """Return whether a lock file's writer lives.

    Args:
        holder: who it is; None if it has not signed yet.
        free: whether the operating system's lock was free, None where that cannot be known.
        folder: where the file is.
        beat: when it was written or renewed, by the clock of its file system.
    """
    if holder is not None and holder.host == socket.gethostname():
        if holder.locked and free is not None:
            return not free
        if not _runs(holder.pid):
            return False
    return clock_of(folder) - beat < STALE_SECONDS


def _runs(pid: int) -> bool:
    """Return whether a process of this machine runs; True where asking would disturb it."""
    if _WINDOWS:
        return True
    with contextlib.suppress(PermissionError):  # another person's
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True


def clock_of(folder: Path) -> float:
    """Return the time by the clock of a folder's file system, which need not be this machine's."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return os.fstat(file.fileno()).st_mtime


def _remove(lock: Path, seen: os.stat_result) -> None:
    """Remove a dead writer's lock file, but not one that was renewed or replaced since it was seen."""
    aside = lock.with_name(f"{lock.name}.{uuid.uuid4().hex}")
    try:
        os.rename(lock, aside)
    except FileNotFoundError:  # somebody else was faster
        return
    except PermissionError:
        if _WINDOWS:  # somebody else has it open, to do the same
            return
        raise
    found = os.stat(aside)
    if os.path.samestat(found, seen) and found.st_mtime_ns == seen.st_mtime_ns:
        os.unlink(aside)
    else:
        os.rename(aside, lock)


@contextlib.contextmanager
def _beating(file: _File) -> Iterator[None]:
    """Renew a lock file's time of change from a thread of its own while the block runs."""
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
    """Remove the lock file, unless it is another's by now, and let it go."""
    if file not in _File.open_ones:  # this is a forked child, which has closed it
        return
    try:
        with contextlib.suppress(OSError):  # its folder is gone, or (Windows) one who waits has it open and removes it
            mine = file.is_in_place()
            if _WINDOWS:
                file.close()
            if mine:
                os.unlink(file.path)
    finally:
        file.close()
