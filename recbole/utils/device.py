"""Differences between CPU and GPU: clocks, memory, and precision of matrix products."""

import contextlib
import time
from collections.abc import Iterator

import torch


def now(device: torch.device | str | None = None) -> float:
    """Return ``time.perf_counter()`` after a device has finished all its queued work.

    A GPU works asynchronously. Without waiting, a clock measures only how fast work was queued.

    Args:
        device: a CUDA device is synchronised; for the CPU or None nothing is waited for.
    """
    if device is not None and torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def peak_memory(device: torch.device | str) -> dict[str, float]:
    """Return ``{"peak_gpu_mib": ...}``, the peak MiB of this process's tensors on a CUDA device; empty on the CPU."""
    if torch.device(device).type != "cuda":
        return {}
    return {"peak_gpu_mib": torch.cuda.max_memory_allocated(device) / 2**20}


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Within the block, multiply float32 matrices in full precision: without TF32 and without autocast.

    TF32 keeps 10 bits of each factor's mantissa, with which the residual of conjugate gradients stays near 1e-3.
    cuDNN's precision is left alone, because PyTorch's switch that turns cuDNN off fails where that precision has been
    changed.
    """
    matmul = torch.backends.cuda.matmul
    # PyTorch 2.9 renamed this switch, and refuses to read the old name once the new one has been set
    name, exact = ("fp32_precision", "ieee") if hasattr(matmul, "fp32_precision") else ("allow_tf32", False)
    before = getattr(matmul, name)
    setattr(matmul, name, exact)
    try:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        setattr(matmul, name, before)
