"""Starts the processes of a distributed run, and reads what the environment tells each of them."""

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence

from recbole.utils.errors import UserError

_LAUNCHER = "ERASE_LAUNCHER"
"""The environment variable with the process id of the process that launched this one."""

_PR_SET_PDEATHSIG = 1  # from Linux's <sys/prctl.h>
_ORPHANED = 137
"""The exit status of a process whose parent has ended: the same as after SIGKILL."""


def launched() -> bool:
    """Return whether a launcher started this process as one of several.

    Raises:
        UserError: some of the launcher's environment variables are missing or invalid.
    """
    if _number("WORLD_SIZE", 1) < 2:
        return False
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise UserError(
            f"the environment variable WORLD_SIZE says that a launcher started several processes, but it has no "
            f"{', '.join(missing)}: unset WORLD_SIZE, or start the run with torchrun or --nproc"
        )
    return True


def local_rank() -> int:
    """Return this process's number on its machine, from 0."""
    return _number("LOCAL_RANK", 0)


def _number(name: str, usual: int) -> int:
    """Return the integer in an environment variable, or ``usual`` if it is unset or empty.

    Raises:
        UserError: it is not a whole number from 0.
    """
    said = os.environ.get(name) or str(usual)
    if not said.strip().isdecimal() or len(said) > 9:
        raise UserError(f"the environment variable {name} should be a whole number, not {said!r}")
    return int(said)


def die_with_launcher() -> None:
    """Make this process end as soon as the process that launched it ends, if :func:`launch` started it."""
    if said := os.environ.pop(_LAUNCHER, None):
        _die_with(int(said))


def die_with_starter() -> None:
    """Make this process end as soon as its parent ends, if ``multiprocessing`` started it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        _when(parent.join)


def _die_with(parent: int) -> None:
    """Make this process end as soon as its parent (a process id) ends, even if the parent is killed.

    On Linux the kernel does it. Elsewhere a thread checks once a second.
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
    """End this process when ``gone``, which is called in its own thread, returns."""

    def watch() -> None:
        gone()
        os._exit(_ORPHANED)

    threading.Thread(target=watch, name="watches-parent", daemon=True).start()


def launch(nproc: int, world_size: int, group_offset: int, address: str, port: int, argv: Sequence[str]) -> int:
    """Start this machine's processes of a distributed run, wait for them, and return the exit status.

    Args:
        nproc: the number of processes on this machine.
        world_size: the number of processes on all machines; -1 or 0 means ``nproc``.
        group_offset: the rank of this machine's first process.
        address, port: where the machine with rank 0 listens.
        argv: the program and its arguments, which all processes receive.

    Raises:
        UserError: ``world_size`` or ``group_offset`` is not a multiple of ``nproc``.
    """
    machines, odd = divmod(max(world_size, nproc), nproc)
    if odd or group_offset % nproc:
        raise UserError(
            f"--world_size {world_size} and --group_offset {group_offset} are not multiples of --nproc {nproc}"
        )
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    config = LaunchConfig(
        min_nodes=machines,
        max_nodes=machines,
        nproc_per_node=nproc,
        run_id="erase",
        rdzv_backend="static",
        rdzv_endpoint=f"{address}:{port}",
        rdzv_configs={"rank": group_offset // nproc},
        max_restarts=0,
    )
    os.environ[_LAUNCHER] = str(os.getpid())
    try:
        elastic_launch(config, sys.executable)(*argv)
    except ChildFailedError as error:
        return max(failure.exitcode for failure in error.failures.values())
    finally:
        del os.environ[_LAUNCHER]
    return 0
