"""Streams that may fail: what nobody can read any more is thrown away, and the work goes on."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any


class Outlet:
    """A text stream that a reader may leave, or whose disk may be full: what is written after that is thrown away.

    Args:
        stream: to write to; None (it was closed before the program began) throws everything away.
        told: called with the error when the stream fails otherwise than by a reader who has left.
    """

    def __init__(self, stream: Any, told: Callable[[OSError], None] | None = None) -> None:
        self._stream = _nowhere() if stream is None else stream
        self._told = told
        with contextlib.suppress(AttributeError, OSError, ValueError):
            self._stream.reconfigure(errors="backslashreplace")  # of a terminal that lacks a character

    def write(self, text: str) -> int:
        """Write a text and return its length, whatever became of it."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Hand on what was written, if anybody is there."""
        self._try(self._stream.flush)

    def close(self) -> None:
        """Close the stream; what could not be written is lost."""
        self.flush()
        self._try(self._stream.close)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except ValueError as error:
            if not self._stream.closed:
                raise
            self._give_up(OSError(errno.EPIPE, str(error)))
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Lead the stream, and what it still holds, to nowhere: the interpreter flushes it once more at its end."""
        with contextlib.suppress(OSError, ValueError), _nowhere() as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())
            self._stream.flush()
        self._stream = _nowhere()
        if self._told is not None and error.errno != errno.EPIPE:
            self._told(error)


def _nowhere() -> Any:
    return open(os.devnull, "w", encoding="utf-8")


def _tell_of_output(error: OSError) -> None:
    print(f"standard output cannot be written ({error.strerror}); the run goes on, and its log tells", file=sys.stderr)


@contextlib.contextmanager
def lasting_streams() -> Iterator[None]:
    """Let standard output and error be an :class:`Outlet` inside of this block.

    A standard stream that was closed when the program began is opened to nowhere, so that no file of the run gets its
    number, and with it what libraries write to the stream.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
    before = sys.stdout, sys.stderr
    sys.stderr = Outlet(before[1])
    sys.stdout = Outlet(before[0], _tell_of_output)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before
