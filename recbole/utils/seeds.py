"""Independent random streams: each one is a generator keyed by the run's seed, a name and indices.

A stream does not depend on draws from other streams. If a run is killed and repeats an epoch, a batch or a request, it
draws the same numbers again.
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
    """Return a NumPy generator for ``(seed, *key)``. Parts of the key are names (str) or indices (int >= 0)."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(_entropy(seed, key))))


def torch_seed(seed: SupportsInt, *key: str | SupportsInt) -> int:
    """Return a 63-bit seed for torch, derived from ``(seed, *key)``."""
    return int(np.random.SeedSequence(_entropy(seed, key)).generate_state(1, np.uint64)[0]) >> 1


def init_seed(seed: SupportsInt, reproducibility: bool = True, device: str | torch.device = "cpu") -> None:
    """Seed the global random generators of Python, NumPy and torch, and choose torch's deterministic kernels.

    This package itself uses only torch's global generator, to initialise layers; other packages' models may use all.

    On the CPU all kernels are deterministic. On a GPU, torch warns if an operator has no deterministic kernel, and uses
    a non-deterministic one. ``torch.use_deterministic_algorithms`` would do the same, but it imports torch's compiler,
    which takes as long as importing torch itself.

    Args:
        seed: the run's seed.
        reproducibility: False allows kernels that are not deterministic.
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
