"""Output streams whose failure does not end the program: further output is discarded."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any


class Outlet:
    """A text stream that discards further output once writing fails: its reader has ended, or the disk is full.

    Args:
        stream: the stream to write to; None (it was closed before the program began) discards everything.
        told: function that is called with the error if writing fails, except where only the reader has ended (as in
            ``| head``); None for no call.
    """

    def __init__(self, stream: Any, told: Callable[[OSError], None] | None = None) -> None:
        self._stream = _nowhere() if stream is None else stream
        self._told = told
        with contextlib.suppress(AttributeError, OSError, ValueError):
            self._stream.reconfigure(errors="backslashreplace")  # if the encoding lacks a character

    def write(self, text: str) -> int:
        """Write a text and return its length, even if it was discarded."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush the stream, ignoring failures."""
        self._try(self._stream.flush)

    def close(self) -> None:
        """Close the stream, ignoring failures."""
        self.flush()
        self._try(self._stream.close)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, act: Callable[[], object]) -> None:
        """Call ``act``; if that fails, discard all further output."""
        try:
            act()
        except ValueError as error:
            if not self._stream.closed:
                raise
            self._give_up(OSError(errno.EPIPE, str(error)))
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Redirect the stream to the null device, so that Python's flush at exit does not fail too."""
        with contextlib.suppress(OSError, ValueError), _nowhere() as nowhere:
            os.dup2(nowhere.fileno(), self._stream.fileno())
            self._stream.flush()
        self._stream = _nowhere()
        if self._told is not None and error.errno != errno.EPIPE:
            self._told(error)


def _nowhere() -> Any:
    return open(os.devnull, "w", encoding="utf-8")


def _warn(error: OSError) -> None:
    print(f"cannot write to standard output ({error.strerror}); the run continues, see its log", file=sys.stderr)


@contextlib.contextmanager
def lasting_streams() -> Iterator[None]:
    """Replace standard output and error by :class:`Outlet` within the block.

    If standard input, output or error was closed when the program began, its file descriptor (0, 1 or 2) is connected
    to the null device. Otherwise the next file that the run opens would get this descriptor, and output of libraries
    would end up in that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
    before = sys.stdout, sys.stderr
    sys.stderr = Outlet(before[1])
    sys.stdout = Outlet(before[0], _warn)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before
