"""Differences between CPU and GPU: clocks, memory, and precision of matrix products."""

import contextlib
import time
from collections.abc import Iterator

import torch


def now(device: torch.device | str | None = None) -> float:
    """Return ``time.perf_counter()``, in seconds, after a device has finished all its queued work.

    A GPU works asynchronously. Without waiting, a clock measures only how fast work was queued.

    Args:
        device: a CUDA device is synchronised; for the CPU or None nothing is waited for.
    """
    if device is not None and torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def peak_memory(device: torch.device | str) -> dict[str, float]:
    """Return ``{"peak_gpu_mib": ...}``, the peak MiB of this process's tensors on a CUDA device; on the CPU ``{}``."""
    if torch.device(device).type != "cuda":
        return {}
    return {"peak_gpu_mib": torch.cuda.max_memory_allocated(device) / 2**20}


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Within the block, multiply float32 matrices in full precision: without TF32 and without autocast.

    TF32 keeps 10 bits of each factor's mantissa. That is too coarse for conjugate gradients: the relative residual
    stays near 1e-3. The precision of cuDNN is not changed, because PyTorch can no longer turn cuDNN off afterwards.
    """
    matmul = torch.backends.cuda.matmul
    # PyTorch 2.9 renamed this flag, and raises an error if the old name is read after the new one has been set
    name, exact = ("fp32_precision", "ieee") if hasattr(matmul, "fp32_precision") else ("allow_tf32", False)
    before = getattr(matmul, name)
    setattr(matmul, name, exact)
    try:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        setattr(matmul, name, before)
