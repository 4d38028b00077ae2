"""How a program ends: with its exit status, or with one line that says why it stopped and whether it can continue.

A signal that stops the program (:data:`SIGNALS`), such as Ctrl-C, raises the exception :class:`Stopped`. Usually this
happens at once. Within a :func:`waiting` block it happens at the next call of :func:`stop_if_asked`, before which the
run can save a snapshot to resume from, but at most :data:`PATIENCE` seconds later. A second signal acts at once.
"""

import contextlib
import errno
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from recbole.utils.errors import UserError
from recbole.utils.outlet import lasting_streams

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
"""Signals that stop a run: Ctrl-C, ``kill``, a closed terminal, and a scheduler's warning that time runs out."""

PATIENCE = 10.0
"""Seconds after which a signal in a :func:`waiting` block stops the run, even if no snapshot could be saved."""

MOMENT = 2.0
"""Seconds that a process of a run of several waits before it reports an error, which another one may report too."""

USER_ERROR = 2
_OF_PLACES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ENAMETOOLONG)

_NO_MEMORY = re.compile(
    r"out of memory|allocate memory|size calculation overflowed|launch worker thread|start new thread", re.IGNORECASE
)


class Stopped(KeyboardInterrupt):
    """Raised when a signal stops the run.

    Attributes:
        number: the signal's number.
        which: text for the message that names the process that received the signal, such as ``"process 1 "``; empty if
            it was this process.
    """

    def __init__(self, number: int, which: str = "") -> None:
        super().__init__(number)
        self.number, self.which = number, which


class _Asked:
    """What is known about signals and snapshots in the running program.

    A snapshot is a file with the state of an unfinished run, from which the run resumes if it is started again.

    Attributes:
        number: the number of the first signal that came; 0 for none.
        waiting: how many :func:`waiting` blocks are open, one inside the other.
        raised: whether :class:`Stopped` has been raised for the signal.
        looked: whether the run has looked for a snapshot of an earlier run.
        kept: the paths of this run's snapshots.
    """

    def __init__(self) -> None:
        self.number = self.waiting = 0
        self.raised = self.looked = False
        self.kept: set[Path] = set()


_asked = _Asked()


def asked_to_stop() -> bool:
    """Return whether this process has received a signal that stops the run."""
    return _asked.number != 0


def asked_by() -> int:
    """Return the number of the signal that stops the run, or 0 if this process has received none."""
    return _asked.number


def stop_if_asked() -> None:
    """Stop the run if a signal has come. Call this when everything that should be kept has been written.

    Raises:
        Stopped: a signal that stops the run has come.
    """
    if _asked.number:
        _insist()


def can_go_on_from(path: Path) -> None:
    """Register the file of a snapshot, from which an interrupted run can resume.

    If the run is stopped and the file exists, the message says that the same command continues from it.
    """
    looked_for_snapshot()
    _asked.kept.add(path)


def looked_for_snapshot() -> None:
    """Note that the run has looked for the snapshot of an earlier run.

    From now on, the message of a stopped run can say for certain that there is no snapshot, if none is registered.
    """
    _asked.looked = True


@contextlib.contextmanager
def waiting(on: bool = True) -> Iterator[None]:
    """Within the block, let signals take effect only at the next :func:`stop_if_asked` or at the end of the block.

    Args:
        on: False to let signals take effect at once, as outside of the block.

    Raises:
        Stopped: at the end of the outermost block, if a signal has come.
    """
    outer = _asked
    outer.waiting += on
    try:
        yield
    finally:
        outer.waiting -= on
    if not outer.waiting:
        stop_if_asked()


def ended(
    program: str, work: Callable[[], int], kept: str | None = None, tells: Callable[[], bool] = lambda: True
) -> int:
    """Run a program's work, report errors and signals in one line, and return the exit status.

    Args:
        program: the program's name, with which messages begin.
        work: function that does the work and returns an exit status.
        kept: the end of the message after a signal: text that says what the program has written. None for the usual
            text, which says from which snapshot the same command continues.
        tells: function that returns whether this process prints the message after a signal. If it returns False, the
            process also waits :data:`MOMENT` seconds before it reports a user error, so that another process of the
            run can report the error and end this one.

    Returns:
        The status that ``work`` returned; 2 after an error that the user can correct (a ``UserError``, a full or
            read-only disk, a file name that is too long, or lack of memory); 128 plus the signal's number after a
            signal. Any other exception is raised.
    """
    with lasting_streams(), _heard():
        try:
            return work()
        except KeyboardInterrupt as stopped:
            return _stopped(program, stopped, kept, tells())
        except Exception as error:
            if _asked.number:  # the signal caused this failure, for example by ending other processes
                return _stopped(program, Stopped(_asked.number), kept, tells())
            told = _mendable(error)
            if told is None:
                raise
        try:
            if not tells():
                time.sleep(MOMENT)
        except KeyboardInterrupt as stopped:
            return _stopped(program, stopped, kept, tells())
        print(f"{program}: {told}", file=sys.stderr)
        return USER_ERROR


@contextlib.contextmanager
def mended() -> Iterator[None]:
    """Raise errors of the block that the user can correct, such as lack of memory, as a ``UserError`` with one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if (told := _mendable(error)) is None:
            raise
        raise UserError(told) from error


def _mendable(error: Exception) -> str | None:
    """Return a one-line message for an error that the user or an administrator can correct; None for other errors."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _OF_PLACES:
        return f"{error.filename or 'cannot write'}: {error.strerror}"
    told = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, MemoryError) or _NO_MEMORY.search(told):
        return f"out of memory: {told[:200]}; use smaller batches, a smaller model or a smaller catalogue"
    return None


def _stopped(program: str, stopped: KeyboardInterrupt, kept: str | None, tell: bool) -> int:
    """Print that a signal stopped the program, and whether the same command continues; return the exit status.

    Args:
        program: the program's name.
        stopped: the exception that the signal has raised.
        kept: as for :func:`ended`.
        tell: False to print nothing.
    """
    number, which = getattr(stopped, "number", signal.SIGINT), getattr(stopped, "which", "")
    signal.setitimer(signal.ITIMER_REAL, 0)
    if kept is None:
        snapshots = sorted(path for path in _asked.kept if path.exists())
        kept = "the same command continues from its last snapshot, or starts over if there is none"
        if snapshots:
            kept = f"the same command continues from the snapshot {snapshots[-1]}"
        elif _asked.looked:
            kept = "there is no snapshot: the same command starts over"
    how = "interrupted" if number == signal.SIGINT else f"{which}stopped by {signal.Signals(number).name}"
    if tell:
        print(f"{program}: {how}; {kept}", file=sys.stderr)
    return 128 + number


@contextlib.contextmanager
def _heard() -> Iterator[None]:
    """Within the block, handle :data:`SIGNALS` as this module describes, except those that were ignored before.

    The command ``nohup``, for example, starts programs that ignore SIGHUP. Outside of the main thread, which alone can
    handle signals, this does nothing.
    """
    global _asked  # noqa: PLW0603 - signal handlers belong to the whole process too
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    outer, _asked = _asked, _Asked()
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _hear)
    again = signal.signal(signal.SIGALRM, _insist)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, again)
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if getattr(handler, "only_before", False) else handler)
        _asked = outer


def _hear(number: int, _frame: FrameType | None) -> None:
    """Handle a signal: raise :class:`Stopped` now, or only note the signal if a :func:`waiting` block is open."""
    first, _asked.number = not _asked.number, _asked.number or number
    if _asked.raised:  # the run is already ending: further signals must not interrupt its clean-up
        return
    signal.setitimer(signal.ITIMER_REAL, PATIENCE, PATIENCE)  # raises the exception again if some code catches it
    if not (first and _asked.waiting):
        _insist()


def _insist(*_of: object) -> None:
    """Raise :class:`Stopped` for the first signal that came. The arguments, those of a signal handler, are ignored."""
    _asked.raised = True
    raise Stopped(_asked.number)


def ignore_signals() -> None:
    """Ignore :data:`SIGNALS` in this process, for workers that are ended by the process that started them."""
    for name in SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
