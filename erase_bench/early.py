"""Handles signals while a program is still importing its modules."""

import contextlib
import os
import signal
from types import FrameType

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")


def hear_signals(program: str) -> None:
    """Make a signal that stops the program end this process with a one-line message instead of a traceback.

    The handlers are replaced once the program installs its own. The exit status is 128 plus the signal's number.

    Args:
        program: the program's name in the message.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):
            if os.environ.get("RANK", "0") == "0":  # in a distributed run only the main process prints
                os.write(2, f"{program}: stopped before it began\n".encode())
        os._exit(128 + number)  # no file is open yet, so none is left incomplete

    stop.only_before = True  # type: ignore[attr-defined]
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
