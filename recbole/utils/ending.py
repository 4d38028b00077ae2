"""How a program ends: with its exit status, or with one line that says why it stopped and whether it can continue.

Signals in :data:`SIGNALS` raise :class:`Stopped` at once. Within :func:`waiting`, where a snapshot will soon be
possible, they take effect at the next :func:`stop_if_asked`, after at most :data:`PATIENCE` seconds; a second signal
takes effect at once.
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
"""Seconds after which a delayed signal stops the run even if no snapshot could be taken since it came."""

MOMENT = 2.0
"""Seconds that a process of a distributed run waits before it reports an error that another one may report too."""

USER_ERROR = 2
_OF_PLACES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ENAMETOOLONG)

_NO_MEMORY = re.compile(r"out of memory|allocate memory|size calculation overflowed", re.IGNORECASE)


class Stopped(KeyboardInterrupt):
    """Raised when a signal stops the run.

    Attributes:
        number: the signal's number.
        which: text that names the process which received it, such as ``"process 1 "``; empty for this process.
    """

    def __init__(self, number: int, which: str = "") -> None:
        super().__init__(number)
        self.number, self.which = number, which


class _Asked:
    """The signals and snapshots of the running program.

    Attributes:
        number: number of the signal that came; 0 for none.
        waiting: how many :func:`waiting` blocks are open, one inside the other.
        raised: whether :class:`Stopped` has been raised for the signal.
        looked: whether the run has looked for an earlier snapshot.
        kept: the snapshot files.
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
    """Return the number of the signal that this process has received, or 0 if none."""
    return _asked.number


def stop_if_asked() -> None:
    """Stop the run if a signal has come. Call this after everything worth keeping has been written.

    Raises:
        Stopped: a signal has come.
    """
    if _asked.number:
        _insist()


def can_go_on_from(path: Path) -> None:
    """Register a snapshot file, which the message about an interruption names if the file still exists then."""
    looked_for_snapshot()
    _asked.kept.add(path)


def looked_for_snapshot() -> None:
    """Note that the run has looked for a snapshot, so that the message about an interruption can say if none exists."""
    _asked.looked = True


@contextlib.contextmanager
def waiting(on: bool = True) -> Iterator[None]:
    """Within the block, delay signals until the next :func:`stop_if_asked` or the end of the block.

    Args:
        on: False delays nothing.

    Raises:
        Stopped: at the end of the block, if a signal has come.
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
    """Run a program's work and return its exit status, even if it is interrupted or its output streams fail.

    Args:
        program: the program's name, which begins its messages.
        work: does the work and returns an exit status.
        kept: the end of the message about an interruption, which says what remains of the work. None for the usual
            text, which says from which snapshot the same command continues.
        tells: function that returns whether this process prints the message about an interruption. If it returns False,
            this process also waits :data:`MOMENT` seconds before it reports a user error, so that another process can
            report the error and end this one.

    Returns:
        The work's status; 2 for a ``UserError``, a full or read-only disk, a file name that is too long, or lack of
            memory; 128 plus the signal's number after a signal.
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


def _mendable(error: Exception) -> str | None:
    """Return a one-line message if the user or an administrator can fix the error; None for an internal error."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _OF_PLACES:
        return f"{error.filename or 'cannot write'}: {error.strerror}"
    told = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _NO_MEMORY.search(told)):
        return f"out of memory: {told[:200]}; use smaller batches, a smaller model or a smaller catalogue"
    return None


def _stopped(program: str, stopped: KeyboardInterrupt, kept: str | None, tell: bool) -> int:
    """Print that a signal stopped the program, and whether it can continue; return the exit status."""
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
    """Handle :data:`SIGNALS` within the block, except those that were already ignored (as under ``nohup``)."""
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
    """Handle a signal: raise :class:`Stopped` now, or at the end of the current :func:`waiting` block."""
    first, _asked.number = not _asked.number, _asked.number or number
    if _asked.raised:  # the run is already ending: further signals must not interrupt its clean-up
        return
    signal.setitimer(signal.ITIMER_REAL, PATIENCE, PATIENCE)  # raises the exception again if some code catches it
    if not (first and _asked.waiting):
        _insist()


def _insist(*_of: object) -> None:
    """Raise :class:`Stopped` for the signal that came; the arguments of a signal handler are ignored."""
    _asked.raised = True
    raise Stopped(_asked.number)


def ignore_signals() -> None:
    """Ignore :data:`SIGNALS` in this process; the process that started it handles them."""
    for name in SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
