"""Starting the processes of a run that has several, and what each is told in its environment."""

import os
import sys
from collections.abc import Sequence

from recbole.utils.errors import UserError


def launched() -> bool:
    """Return whether a launcher started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def local_rank() -> int:
    """Return this process's number on its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))


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
