"""Distributed training: several processes (started by ``torchrun`` or ``--nproc``) that train one model together.

The processes form a group, in which each has a number, its rank. The process with rank 0 is the main process, which
alone writes files. In a run without a group, every function here behaves as in a group of one process.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist

from recbole.utils.ending import MOMENT
from recbole.utils.errors import UserError
from recbole.utils.launcher import launched, local_rank

T = TypeVar("T")


@contextlib.contextmanager
def joined(use_gpu: bool) -> Iterator[None]:
    """Join the process group for the duration of the block, if this process was started as one of several.

    Args:
        use_gpu: whether each process computes on a GPU of its own, if CUDA is available.

    Raises:
        UserError: the other processes cannot be reached, or one of them has ended. It is raised after a pause of a few
            seconds, in which the program that started the processes can report the real cause and end this one.
    """
    try:
        start(use_gpu)
        yield
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error).lower()):
            raise
        time.sleep(2 * MOMENT)
        told = (str(error).strip().splitlines() or [""])[0][:200]
        raise UserError(
            f"another process of this distributed run has ended or cannot be reached; see its own output ({told})"
        ) from error
    finally:
        stop()


def start(use_gpu: bool) -> None:
    """Join the process group, if this process was started as one of several. Do nothing if it has joined already.

    Args:
        use_gpu: as for :func:`joined`. On GPUs the processes communicate by NCCL, otherwise by Gloo.
    """
    if launched() and not dist.is_initialized():
        cuda = use_gpu and torch.cuda.is_available()
        if cuda:
            torch.cuda.set_device(local_rank())
        dist.init_process_group("nccl" if cuda else "gloo")


def stop() -> None:
    """Leave the process group, if this process is in one."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Return this process's rank, its number from 0 among the processes of the run; 0 without a process group."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes of the run; 1 without a process group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Return whether this is the main process, which has rank 0 and alone writes files."""
    return rank() == 0


def sum_gradients(parameters: Iterable[torch.nn.Parameter], value: float) -> float:
    """Replace the gradient of every trained parameter by its sum over all processes, in each process.

    Where a process has no gradient for a parameter, it counts as zero.

    Args:
        parameters: the model's parameters.
        value: a number that is summed too, such as the loss.

    Returns:
        The sum of ``value`` over all processes.
    """
    if world_size() == 1:
        return value
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
    for parameter, gradient in zip(trained, gradients, strict=True):
        parameter.grad = gradient
    parts = [gradient.reshape(-1) for gradient in gradients]
    flat = torch.cat([*parts, parts[0].new_tensor([value])])
    dist.all_reduce(flat)
    for gradient, part in zip(gradients, torch.split(flat[:-1], [len(part) for part in parts]), strict=True):
        gradient.copy_(part.view_as(gradient))
    return float(flat[-1])


def share_buffers(model: torch.nn.Module) -> None:
    """Copy the model's floating-point buffers, such as BatchNorm's running statistics, from rank 0 to all processes.

    Rank 0 saves the model, so afterwards all processes evaluate exactly the model that is saved. An average of the
    buffers would be wrong if a process got no example of a small batch, and would change the last bits of constants.
    """
    if world_size() > 1:
        for buffer in model.buffers():
            if buffer.is_floating_point():
                dist.broadcast(buffer, 0)


def agreed(value: T) -> T:
    """Return in all processes the value that rank 0 passed, so that all take the same decision.

    Args:
        value: this process's value, which may differ from rank 0's, such as whether a time limit has passed.
    """
    return _gathered(value)[0]


def interleaved(part: np.ndarray) -> np.ndarray:
    """Join the rows that the processes have computed into one array, if they were distributed to the processes in turn.

    Args:
        part: [rows of this process, ...]. In the process with rank r of n processes, these are the rows r, r + n,
            r + 2n, ... of all rows.

    Returns:
        [all rows, ...] in the original order, of the same dtype; the same in every process.
    """
    parts = _gathered(part)
    whole = parts[0].repeat(len(parts), axis=0)[: sum(map(len, parts))] if len(parts) > 1 else parts[0]
    for start_at, piece in enumerate(parts if len(parts) > 1 else ()):
        whole[start_at :: len(parts)] = piece
    return whole


def concatenated(part: np.ndarray) -> np.ndarray:
    """Join the arrays of all processes along the first axis, in the order of ranks.

    Args:
        part: [rows of this process, ...].

    Returns:
        [all rows, ...] of the same dtype, the same in every process.
    """
    return np.concatenate(_gathered(part))


def _gathered(value: T) -> list[T]:
    """Return in every process the values that all processes passed, in the order of ranks."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values
