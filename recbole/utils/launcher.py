"""Starts the processes of a distributed run, which train one model together, as ``torchrun`` does.

Each process has a rank, a number from 0, and finds it in environment variables. The process that starts the others is
called the launcher: ``torchrun``, or this program with ``--nproc``.
"""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

from recbole.utils.ending import Stopped, asked_by, waiting
from recbole.utils.errors import UserError

_LAUNCHER = "ERASE_LAUNCHER"
"""The environment variable in which :func:`launch` passes its process id to the processes that it starts."""

_main: list[subprocess.Popen[bytes]] = []
"""A list with the process of rank 0 if this process has started it, otherwise empty."""

_PAUSE = 0.1
"""Seconds between two checks whether the started processes have ended."""

_PR_SET_PDEATHSIG = 1  # from Linux's <sys/prctl.h>
_ORPHANED = 137
"""The exit status of a process that ends because its parent has ended: the same as after SIGKILL."""


def launched() -> bool:
    """Return whether a launcher (``torchrun`` or ``--nproc``) started this process as one of several.

    Raises:
        UserError: some of the environment variables that a launcher sets are missing or invalid.
    """
    if _number("WORLD_SIZE", 1) < 2:
        return False
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise UserError(
            f"the environment variable WORLD_SIZE is {os.environ['WORLD_SIZE']}, but there is no {', '.join(missing)}: "
            "unset WORLD_SIZE, or start the run with torchrun or --nproc"
        )
    return True


def local_rank() -> int:
    """Return the number of this process among those of the run on the same machine, from 0."""
    return _number("LOCAL_RANK", 0)


def _number(name: str, usual: int) -> int:
    """Return the integer in an environment variable, or ``usual`` if the variable is unset or empty.

    Raises:
        UserError: the value is not a whole number of at least 0.
    """
    said = os.environ.get(name) or str(usual)
    if not said.strip().isdecimal() or len(said) > 9:
        raise UserError(f"the environment variable {name} should be a whole number, not {said!r}")
    return int(said)


def die_with_launcher() -> None:
    """If :func:`launch` started this process, make it end as soon as the process that called the function ends."""
    if said := os.environ.pop(_LAUNCHER, None):
        _die_with(int(said))


def die_with_starter() -> None:
    """If ``multiprocessing`` started this process, make it end as soon as its parent process ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        _when(parent.join)


def _die_with(parent: int) -> None:
    """Make this process end as soon as its parent ends, even if the parent is killed.

    On Linux the kernel ends the process. In addition, for other systems, a thread checks the parent once a second.

    Args:
        parent: the process id of the parent.
    """
    with contextlib.suppress(OSError, AttributeError):  # the system has no prctl
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the parent has already ended
        os._exit(_ORPHANED)

    def gone() -> None:
        while os.getppid() == parent:
            time.sleep(1)

    _when(gone)


def _when(gone: Callable[[], object]) -> None:
    """Call the function ``gone`` in a thread of its own, and end this process when the function returns."""

    def watch() -> None:
        gone()
        os._exit(_ORPHANED)

    threading.Thread(target=watch, name="watches-parent", daemon=True).start()


def launch(nproc: int, world_size: int, group_offset: int, address: str, port: str, argv: Sequence[str]) -> int:
    """Start this machine's processes of a distributed run, wait for them, and return the exit status.

    Args:
        nproc: the number of processes on this machine.
        world_size: the number of processes on all machines; a number below ``nproc``, such as -1, means ``nproc``.
        group_offset: the rank of this machine's first process.
        address, port: the host name and port at which rank 0 listens. Port 0 selects a free port, which works on a
            single machine only.
        argv: the program and its arguments, which all processes receive.

    Returns:
        The largest exit status of the processes.

    Raises:
        UserError: ``world_size`` or ``group_offset`` is not a multiple of ``nproc``, or the port is in use.
        Stopped: this process received a signal and passed it on, or a signal ended one of the processes. Processes
            still running are killed.
    """
    everyone = max(world_size, nproc)
    if everyone % nproc or group_offset % nproc:
        raise UserError(
            f"--world_size {world_size} and --group_offset {group_offset} are not multiples of --nproc {nproc}"
        )
    if not group_offset:
        port = _free(port)
    own = os.environ | {_LAUNCHER: str(os.getpid()), "MASTER_ADDR": address, "MASTER_PORT": port}
    own |= {"WORLD_SIZE": str(everyone), "LOCAL_WORLD_SIZE": str(nproc)}
    workers: list[subprocess.Popen[bytes]] = []
    try:
        with waiting():
            for local in range(nproc):
                numbered = own | {"RANK": str(group_offset + local), "LOCAL_RANK": str(local)}
                # a new session each, so that they receive a terminal's signals only through this process
                workers.append(subprocess.Popen([sys.executable, *argv], env=numbered, start_new_session=True))
            if not group_offset:
                _main.append(workers[0])
            return _status(workers, group_offset)
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def _free(port: str) -> str:
    """Return a free port of this machine.

    Args:
        port: the port that the user chose, or 0 for any.

    Raises:
        UserError: the chosen port is in use, or is not the number of a port.
    """
    with socket.socket() as listener:
        if os.name == "posix":  # on Windows the option would let two processes listen
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", int(port)))
            return str(listener.getsockname()[1])
        except (OSError, OverflowError, ValueError) as error:
            raise UserError(f"cannot listen on --port {port} ({error}): choose another, or 0 for a free one") from error


def _status(workers: Sequence[subprocess.Popen[bytes]], first: int) -> int:
    """Wait until all processes have ended, or one has failed, and return the largest exit status.

    If this process receives a signal that stops the run, the signal is passed on to the others.

    Args:
        workers: the processes that were started.
        first: the rank of the first of them.

    Raises:
        Stopped: a process was ended by a signal that this process did not receive.
    """
    handed_on = False
    while True:
        found = [worker.poll() for worker in workers]
        if None not in found or (any(found) and not asked_by()):
            break
        if asked_by() and not handed_on:
            handed_on = True
            for worker in workers:
                worker.send_signal(asked_by() if os.name == "posix" else signal.SIGTERM)
        time.sleep(_PAUSE)
    for at, status in enumerate(found):
        if status is not None and status < 0 and not asked_by():
            raise Stopped(-status, f"process {first + at} ")
    return max(status or 0 for status in found)


def tells() -> bool:
    """Return whether this process prints the message about a signal that stopped the run.

    In a distributed run, the process with rank 0 prints it, because this process saves the snapshots to resume from.
    The process that started the others prints it only if rank 0 has not ended by a signal (exit status 128 or more).
    """
    try:
        return not launched() or os.environ["RANK"] == "0" if not _main else _main[0].returncode < 128
    except UserError:  # the environment is invalid, so no other process was started that could print it
        return True
