"""Starting the processes of a run that has several, and what each is told in its environment."""

import os
import sys
from collections.abc import Sequence

from recbole.utils.errors import UserError


def launched() -> bool:
    """Return whether a launcher started this process as one of several.

    Raises:
        UserError: the environment says so in part only.
    """
    if _number("WORLD_SIZE", 1) < 2:
        return False
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if name not in os.environ]
    if missing:
        raise UserError(
            f"the environment's WORLD_SIZE says that a launcher started this process as one of several, but it has no "
            f"{', '.join(missing)}: unset WORLD_SIZE, or start it by torchrun or --nproc"
        )
    return True


def local_rank() -> int:
    """Return this process's number on its machine, from 0."""
    return _number("LOCAL_RANK", 0)


def _number(name: str, usual: int) -> int:
    """Return what the environment says by a name; nothing at all counts as the usual."""
    said = os.environ.get(name) or str(usual)
    if not said.strip().isdecimal() or len(said) > 9:
        raise UserError(f"the environment's {name} should be a whole number, not {said!r}")
    return int(said)


def launch(nproc: int, world_size: int, group_offset: int, address: str, port: int, argv: Sequence[str]) -> int:
    """Run ``nproc`` of the ``world_size`` processes of a run, each with all of the arguments; return the exit status.

    Args:
        nproc: processes on this machine.
        world_size: processes on all machines; -1 or 0 for those of this machine alone.
        group_offset: the rank of this machine's first process.
        address, port: where the machine with rank 0 listens.
        argv: the program and its arguments.

    Raises:
        UserError: when the numbers do not fit together.
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
    try:
        elastic_launch(config, sys.executable)(*argv)
    except ChildFailedError as error:
        return max(failure.exitcode for failure in error.failures.values())
    return 0
