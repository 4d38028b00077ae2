"""Distributed training: several processes (started by ``torchrun`` or ``--nproc``) that train one model.

In a single process every function here returns what a group of one would.
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
    """Be one of several processes, if there are any, inside of this block.

    Raises:
        UserError: the others cannot be found, or one of them has ended. Whoever ends this process too has a while to
            do so before.
    """
    try:
        start(use_gpu)
        yield
    except RuntimeError as error:
        if not (isinstance(error, dist.DistError) or "gloo" in str(error).lower()):
            raise
        time.sleep(2 * MOMENT)
        told = (str(error).strip().splitlines() or [""])[0][:200]
        raise UserError(f"another process of this run has ended, or cannot be found ({told})") from error
    finally:
        stop()


def start(use_gpu: bool) -> None:
    """Join the distributed process group, if there is one: with NCCL if each process has a GPU, else with Gloo."""
    if launched() and not dist.is_initialized():
        cuda = use_gpu and torch.cuda.is_available()
        if cuda:
            torch.cuda.set_device(local_rank())
        dist.init_process_group("nccl" if cuda else "gloo")


def stop() -> None:
    """Leave the distributed process group."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """Return this process's rank among all processes, from 0; 0 without a group."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes; 1 without a group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Return whether this is the process with rank 0, which alone writes files."""
    return rank() == 0


def sum_gradients(parameters: Iterable[torch.nn.Parameter], value: float) -> float:
    """Replace every parameter's gradient by its sum over processes; a missing gradient counts as zero.

    Args:
        parameters: the model's parameters.
        value: a number that is summed too, such as the loss.

    Returns:
        The sum of ``value`` over processes.
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
    """Copy the floating-point buffers of rank 0, such as BatchNorm's running statistics, to every process.

    So all processes evaluate the model that is saved. Buffers are not averaged, because a process may have no example
    of a small batch, and so that constants stay bit-identical.
    """
    if world_size() > 1:
        for buffer in model.buffers():
            if buffer.is_floating_point():
                dist.broadcast(buffer, 0)


def agreed(value: T) -> T:
    """Return rank 0's value in every process, so that decisions that depend on the clock are the same everywhere."""
    return _gathered(value)[0]


def interleaved(part: np.ndarray) -> np.ndarray:
    """Merge arrays in which process r holds rows r, r + n, r + 2n, ... into one array with all rows in order."""
    parts = _gathered(part)
    whole = parts[0].repeat(len(parts), axis=0)[: sum(map(len, parts))] if len(parts) > 1 else parts[0]
    for start_at, piece in enumerate(parts if len(parts) > 1 else ()):
        whole[start_at :: len(parts)] = piece
    return whole


def concatenated(part: np.ndarray) -> np.ndarray:
    """Return the arrays from all processes, concatenated in the order of ranks."""
    return np.concatenate(_gathered(part))


def _gathered(value: T) -> list[T]:
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values
