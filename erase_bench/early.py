"""What stops a program before it has begun: while it imports what it is made of."""

import contextlib
import os
import signal
from types import FrameType

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")


def hear_signals(program: str) -> None:
    """Let a signal that asks to stop end this process in one line, until the program hears signals itself."""

    def stop(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):
            if os.environ.get("RANK", "0") == "0":  # of several the main one tells
                os.write(2, f"{program}: stopped before it began\n".encode())
        os._exit(128 + number)  # nothing was opened that could be left half done

    stop.only_before = True  # type: ignore[attr-defined]
    for name in _SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
