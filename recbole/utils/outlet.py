"""Output streams for which a failure to write does not end the program, but discards further output."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any


class Outlet:
    """A text stream that discards all further output as soon as writing fails.

    Writing fails, for example, if the disk is full, or if the program at the other end of a pipe has ended.

    Args:
        stream: the stream to write to; None to discard everything.
        told: function that is called with the error when writing fails, except at the end of a pipe (as in ``| head``);
            None for no call.
    """

    def __init__(self, stream: Any, told: Callable[[OSError], None] | None = None) -> None:
        self._stream = _nowhere() if stream is None else stream
        self._told = told
        with contextlib.suppress(AttributeError, OSError, ValueError):
            self._stream.reconfigure(errors="backslashreplace")  # if the encoding lacks a character

    def write(self, text: str) -> int:
        """Write a text, or discard it, and return its length."""
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
        """Call the function ``act``, which uses the stream; if it fails, discard all further output."""
        try:
            act()
        except ValueError as error:
            if not self._stream.closed:
                raise
            self._give_up(OSError(errno.EPIPE, str(error)))
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Discard all further output, also that of Python's flush at exit, and call ``told`` with the error."""
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
    """Within the block, replace standard output and error by :class:`Outlet`, so that their failure ends no program.

    A program may also be started with standard input, output or error closed. In that case the file descriptor (0, 1 or
    2) is connected to the null device. Otherwise the next file that the program opens would get this descriptor, and
    libraries would write their output into the file.
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
