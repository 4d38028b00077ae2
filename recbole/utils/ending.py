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
"""Signals that stop a run: Ctrl-C, the usual request to end, a closed terminal, a scheduler's time warning."""

PATIENCE = 10.0
"""The most seconds that a signal waits for the next place where a snapshot can be taken."""

MOMENT = 2.0
"""Seconds that a process waits for another one to report the same error."""

USER_ERROR = 2
_OF_PLACES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ENAMETOOLONG)

_NO_MEMORY = re.compile(r"out of memory|allocate memory|size calculation overflowed", re.IGNORECASE)


class Stopped(KeyboardInterrupt):
    """A signal stopped the run: its ``number``, and ``which`` process received it, if not this one."""

    def __init__(self, number: int, which: str = "") -> None:
        super().__init__(number)
        self.number, self.which = number, which


class _Asked:
    """The signal that came (0 for none), whether it was raised, the depth of :func:`waiting` blocks, and snapshots.

    ``looked`` is true after the run has looked for an earlier snapshot; ``kept`` are the snapshot files.
    """

    def __init__(self) -> None:
        self.number = self.waiting = 0
        self.raised = self.looked = False
        self.kept: set[Path] = set()


_asked = _Asked()


def asked_to_stop() -> bool:
    """Return whether a signal that stops the run has come."""
    return _asked.number != 0


def asked_by() -> int:
    """Return the number of the signal that has come, or 0."""
    return _asked.number


def stop_if_asked() -> None:
    """Stop the run if a signal has come. Call this after everything worth keeping has been written.

    Raises:
        Stopped: a signal has come.
    """
    if _asked.number:
        _insist()


def can_go_on_from(path: Path) -> None:
    """Register a snapshot file. While it exists, the same command continues from it."""
    looked_for_snapshot()
    _asked.kept.add(path)


def looked_for_snapshot() -> None:
    """Note that the run has looked for a snapshot, so that messages can say whether there is one."""
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
        kept: what to say about the work after an interruption; None says whether there is a snapshot.
        tells: returns whether this process prints the message about an interruption. A process that does not waits
            :data:`MOMENT` seconds before it reports a user error, so that another one can report it and end this one.

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
    """Return a one-line message if the user or the administrator can fix the error, otherwise None."""
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
        there = sorted(path for path in _asked.kept if path.exists())
        kept = "the same command goes on from its last snapshot, or starts over if there is none"
        if there:
            kept = f"the same command goes on from the snapshot {there[-1]}"
        elif _asked.looked:
            kept = "there is no snapshot: the same command starts over"
    how = "interrupted" if number == signal.SIGINT else f"{which}stopped by {signal.Signals(number).name}"
    if tell:
        print(f"{program}: {how}; {kept}", file=sys.stderr)
    return 128 + number


@contextlib.contextmanager
def _heard() -> Iterator[None]:
    """Handle signals within the block, except those that were ignored before (as under ``nohup``)."""
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
    first, _asked.number = not _asked.number, _asked.number or number
    if _asked.raised:  # the run is ending: further signals do not disturb its cleaning up
        return
    signal.setitimer(signal.ITIMER_REAL, PATIENCE, PATIENCE)  # raised again, in case some code catches it
    if not (first and _asked.waiting):
        _insist()


def _insist(*_of: object) -> None:
    _asked.raised = True
    raise Stopped(_asked.number)


def ignore_signals() -> None:
    """Ignore :data:`SIGNALS` in this process; the process that started it handles them."""
    for name in SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
