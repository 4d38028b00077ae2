"""Handles signals, such as Ctrl-C, while a program is still importing its modules."""

import contextlib
import os
import signal
from types import FrameType

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")


def hear_signals(program: str) -> None:
    """Let signals that stop the program, such as Ctrl-C, end this process with one line instead of a traceback.

    The exit status is then 128 plus the signal's number. This holds until the program handles signals itself.

    Args:
        program: the program's name, with which the line begins.
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
