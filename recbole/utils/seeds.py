"""Random generators for separate purposes, each seeded with the run's seed and a key.

A key consists of names and indices, such as ``"negatives", 3``. The numbers from one generator do not depend on how
many are drawn from another. So if a run is killed and then repeats an epoch or a request, it draws the same numbers.
"""

from __future__ import annotations  # np.random loads on first use, torch only in init_seed

import os
import random
import zlib
from typing import TYPE_CHECKING, SupportsInt

import numpy as np

if TYPE_CHECKING:
    import torch


def _entropy(seed: SupportsInt, key: tuple[str | SupportsInt, ...]) -> list[int]:
    return [int(seed), *(zlib.crc32(k.encode()) if isinstance(k, str) else int(k) for k in key)]


def stream(seed: SupportsInt, *key: str | SupportsInt) -> np.random.Generator:
    """Return a new NumPy generator, which always yields the same numbers for the same seed and key.

    Args:
        seed: the run's seed.
        key: what the numbers are for: names, or indices of at least 0.
    """
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(_entropy(seed, key))))


def torch_seed(seed: SupportsInt, *key: str | SupportsInt) -> int:
    """Return a seed for a torch generator, from 0 to 2^63 - 1, computed from a seed and a key as in :func:`stream`."""
    return int(np.random.SeedSequence(_entropy(seed, key)).generate_state(1, np.uint64)[0]) >> 1


def init_seed(seed: SupportsInt, reproducibility: bool = True, device: str | torch.device = "cpu") -> None:
    """Seed the global random generators of Python, NumPy and torch, and make torch compute deterministically.

    This package itself uses only torch's global generator, to initialise layers. Models of other packages may use all.

    On the CPU, torch always computes deterministically. On a GPU, it warns if it has only a non-deterministic
    implementation of an operation, and uses this one. (``torch.use_deterministic_algorithms`` would do the same, but
    also import torch's compiler, which takes as long as importing torch itself.)

    Args:
        seed: the run's seed.
        reproducibility: False to also allow non-deterministic implementations on a GPU.
        device: the device on which the run computes.
    """
    import torch

    torch.manual_seed(int(seed))
    random.seed(int(seed))
    np.random.seed(int(seed) % 2**32)
    torch.backends.cudnn.benchmark = not reproducibility
    torch.backends.cudnn.deterministic = bool(reproducibility)
    strict = bool(reproducibility) and torch.device(device).type == "cuda"
    torch.set_deterministic_debug_mode("warn" if strict else "default")
    if strict:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
