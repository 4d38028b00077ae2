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
    """Multiplies float32 numbers as such: no TF32, and no autocast, whatever was switched on; restored afterwards.

    TF32 keeps 10 bits of a product's factors, so that the residual of conjugate gradients stays near 1e-3.
    """
    before = [(holder, name, getattr(holder, name)) for holder, name, _ in _float32_switches()]
    try:
        for holder, name, exact in _float32_switches():
            setattr(holder, name, exact)
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            yield
    finally:
        for holder, name, value in before:
            setattr(holder, name, value)


def _float32_switches() -> list[tuple[object, str, object]]:
    """Return (holder, attribute, its value for exact products) of what lets a GPU round the factors of products.

    PyTorch 2.9 has new names for these, and refuses to read the old ones once somebody has set the new.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(matmul, "fp32_precision"):
        return [(holder, "fp32_precision", "ieee") for holder in (matmul, cudnn.conv, cudnn.rnn)]
    return [(holder, "allow_tf32", False) for holder in (matmul, cudnn)]
