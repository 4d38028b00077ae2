"""Random numbers that are functions of what they are drawn for: the same on every device, in every order."""

from typing import TypeVar

import torch

Integers = TypeVar("Integers", int, torch.Tensor)

_MASK = 0xFFFFFFFF


def mix(numbers: Integers) -> Integers:
    """Scramble integers (an int64 tensor, or an int) in [0, 2^32) so that near ones land far apart."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        numbers = ((numbers ^ (numbers >> shift)) * factor) & _MASK
    return numbers ^ (numbers >> 16)


def unit(numbers: torch.Tensor) -> torch.Tensor:
    """Turn scrambled integers of a tensor into float32 in [0, 1)."""
    return (numbers >> 8).float() / 2**24


def hashed_uniform(key: int, *columns: torch.Tensor) -> torch.Tensor:
    """Return one float32 in [0, 1) for each row of the columns (int64 tensors of one shape) under a key (int)."""
    numbers: int | torch.Tensor = key & _MASK
    for column in columns:
        numbers = mix(numbers ^ (column * 0x9E3779B1 & _MASK))
    return unit(torch.as_tensor(numbers))
