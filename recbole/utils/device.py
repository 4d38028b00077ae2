"""What differs between a CPU and a GPU: clocks, memory, and how exactly numbers are multiplied."""

import contextlib
import time
from collections.abc import Iterator

import torch


def now(device: torch.device | str | None = None) -> float:
    """Return ``time.perf_counter`` once a device has done all that it was asked to do.

    A GPU works on while Python goes ahead: a clock that does not wait measures how fast work was asked for.

    Args:
        device: a CUDA device is waited for; the CPU, or None, has nothing to wait for.
    """
    if device is not None and torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def peak_memory(device: torch.device | str) -> dict[str, float]:
    """Return ``{"peak_gpu_mib": most MiB that this process's tensors took on a CUDA device}``; empty on the CPU."""
    if torch.device(device).type != "cuda":
        return {}
    return {"peak_gpu_mib": torch.cuda.max_memory_allocated(device) / 2**20}


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Multiplies float32 matrices as such: no TF32, and no autocast, whatever was switched on; restored afterwards.

    TF32 keeps 10 bits of a product's factors, so that the residual of conjugate gradients stays near 1e-3. What cuDNN
    computes is left alone: PyTorch's switch that turns cuDNN off cannot be used where its precision has been changed.
    """
    matmul = torch.backends.cuda.matmul
    # PyTorch 2.9 has a new name for this, and refuses to read the old one once somebody has set the new
    name, exact = ("fp32_precision", "ieee") if hasattr(matmul, "fp32_precision") else ("allow_tf32", False)
    before = getattr(matmul, name)
    setattr(matmul, name, exact)
    try:
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        setattr(matmul, name, before)
