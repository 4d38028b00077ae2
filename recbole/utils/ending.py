"""How a program ends: with its status, or in one line that says why it stopped and whether it can go on.

Signals that ask a run to stop (:data:`SIGNALS`) raise :class:`Stopped` where the run is. Inside of :func:`waiting`,
where a snapshot can be had soon, they wait for it, :data:`PATIENCE` seconds at most; a second signal does not wait.
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
"""Ctrl-C; the usual request to end; a terminal that is gone; a scheduler's warning that the time is nearly up."""

PATIENCE = 10.0
"""Seconds that a signal waits for the next place where a snapshot can be taken."""

MOMENT = 2.0
"""Seconds that one of several processes waits for another to say the same."""

USER_ERROR = 2
_OF_PLACES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.ENAMETOOLONG)

_NO_MEMORY = re.compile(r"out of memory|allocate memory|size calculation overflowed", re.IGNORECASE)


class Stopped(KeyboardInterrupt):
    """A signal asked the run to stop; ``number`` is the signal's, ``which`` says which process got it, if not this."""

    def __init__(self, number: int, which: str = "") -> None:
        super().__init__(number)
        self.number, self.which = number, which


class _Asked:
    """Which signal came, whether it was raised, how many places let it wait, and what the run can go on from.

    ``looked`` tells whether the run has looked for a snapshot of before, ``kept`` are files that it goes on from.
    """

    def __init__(self) -> None:
        self.number = self.waiting = 0
        self.raised = self.looked = False
        self.kept: set[Path] = set()


_asked = _Asked()


def asked_to_stop() -> bool:
    """Return whether a signal has come."""
    return _asked.number != 0


def asked_by() -> int:
    """Return the number of the signal that has come, or 0."""
    return _asked.number


def stop_if_asked() -> None:
    """End the run, if a signal has come: all that can be kept is written.

    Raises:
        Stopped: one has.
    """
    if _asked.number:
        _insist()


def can_go_on_from(path: Path) -> None:
    """Note a file from which the run, given again, goes on as long as the file is there."""
    looked_for_snapshot()
    _asked.kept.add(path)


def looked_for_snapshot() -> None:
    """Note that the run knows from here on whether there is a snapshot to go on from."""
    _asked.looked = True


@contextlib.contextmanager
def waiting(on: bool = True) -> Iterator[None]:
    """Let signals wait, inside of this block, for a :func:`stop_if_asked`; with ``on`` False they do not.

    Raises:
        Stopped: a signal has come, and there was none.
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
    """Do a program's work and return its exit status, whatever happens to its streams and whoever stops it.

    Args:
        program: its name, before what it tells.
        work: returns an exit status.
        kept: what is said of the work when it was stopped; by default whether there is a snapshot.
        tells: whether this process is the one to say that it was stopped. One that is not leaves the others
            :data:`MOMENT` seconds to say what the user can mend, and to end it.

    Returns:
        The work's status; 2 for a ``UserError``, a disk that takes no more, a name too long and a want of memory; 128
        and the signal's number.
    """
    with lasting_streams(), _heard():
        try:
            return work()
        except KeyboardInterrupt as stopped:
            return _stopped(program, stopped, kept, tells())
        except Exception as error:
            if _asked.number:  # what fails as a signal comes, fails of it: other processes that are gone
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
    """Return in one line what the user, or whoever looks after the system, can mend, else None."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _OF_PLACES:
        return f"{error.filename or 'cannot write'}: {error.strerror}"
    told = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _NO_MEMORY.search(told)):
        return f"out of memory: {told[:200]}; make batches, the model or the catalogue smaller"
    return None


def _stopped(program: str, stopped: KeyboardInterrupt, kept: str | None, tell: bool) -> int:
    """Say that a signal stopped the program and what is left of its work; return the exit status."""
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
    """Hear signals inside of this block; one that was ignored before (as `nohup` has it) stays so."""
    global _asked  # noqa: PLW0603 - of this process, as its signal handlers are
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
    if _asked.raised:  # the run is ending: what cleans up is not disturbed by more signals
        return
    signal.setitimer(signal.ITIMER_REAL, PATIENCE, PATIENCE)  # code that swallows what is raised is asked again
    if not (first and _asked.waiting):
        _insist()


def _insist(*_of: object) -> None:
    _asked.raised = True
    raise Stopped(_asked.number)


def ignore_signals() -> None:
    """Leave it to the process that started this one to stop it."""
    for name in SIGNALS:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
