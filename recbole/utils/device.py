"""Functions that depend on the device, CPU or GPU: time, peak memory, and the precision of matrix products."""

import contextlib
import time
from collections.abc import Iterator

import torch


def now(device: torch.device | str | None = None) -> float:
    """Return the time in seconds, as ``time.perf_counter()``, after waiting until a GPU has finished its work.

    A GPU works asynchronously: without waiting, one would measure only how fast work is queued.

    Args:
        device: the GPU to wait for; with the CPU or None, nothing is waited for.
    """
    if device is not None and torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def peak_memory(device: torch.device | str) -> dict[str, float]:
    """Return the peak memory of this process's tensors on a GPU, ``{"peak_gpu_mib": <MiB>}``; ``{}`` for the CPU."""
    if torch.device(device).type != "cuda":
        return {}
    return {"peak_gpu_mib": torch.cuda.max_memory_allocated(device) / 2**20}


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Within the block, multiply float32 matrices in full precision: without TF32 and without autocast.

    GPUs may round the factors of a product to TF32, with 10 bits of mantissa. This is too coarse for conjugate
    gradients: their relative residual stays near 1e-3. The precision of convolutions and recurrent layers (cuDNN) is
    not changed, because after a change PyTorch can no longer switch cuDNN off.
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
