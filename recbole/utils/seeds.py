"""Every random stream is its own generator, keyed by the run's seed, its name and its indices.

A stream does not depend on what other streams drew before, so work that is replayed after a kill (an epoch, a batch,
a request) draws the same numbers again.
"""

from __future__ import annotations  # np.random is imported when it is first used, and torch by who seeds it

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
    """Return a NumPy generator for ``(seed, *key)``; key parts are names (str) or indices (int >= 0)."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(_entropy(seed, key))))


def torch_seed(seed: SupportsInt, *key: str | SupportsInt) -> int:
    """Return a 63-bit seed for torch from ``(seed, *key)``."""
    return int(np.random.SeedSequence(_entropy(seed, key)).generate_state(1, np.uint64)[0]) >> 1


def init_seed(seed: SupportsInt, reproducibility: bool = True, device: str | torch.device = "cpu") -> None:
    """Seed the global generators of Python, NumPy and torch and, if ``reproducibility``, ask for deterministic kernels.

    This package draws from none but torch's, and there what layers are built with; models from elsewhere may.

    On the CPU there are no others. On a GPU torch warns of an operator that has none, and goes on with what it has.
    ``torch.use_deterministic_algorithms`` would ask for the same, and import torch's compiler to tell it (as long as
    importing torch itself takes); nothing here is compiled.
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
