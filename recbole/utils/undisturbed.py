"""Separates a run that a Python script started from the settings of the process, such as those of logging and torch."""

import contextlib
import logging
import os
from collections.abc import Iterator

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Compute as torch does by default within the block, and after it restore what a run changes in the process.

    Within the block torch computes gradients, and new tensors are float32, whatever the script has set. After the block
    the script's settings hold again: these, logging, torch's number of threads and torch's determinism flags.

    Logging means the handlers and levels of the root logger and of this package's logger ``recbole``. At the beginning
    of the block, ``recbole`` has no handlers, so that a run can add its own; these are closed at the end.
    """
    import torch

    loggers = [logging.getLogger(), logging.getLogger("recbole")]
    before = [(one.handlers[:], one.level, one.propagate) for one in loggers]
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    cudnn = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    cublas, dtype = os.environ.get(_CUBLAS), torch.get_default_dtype()
    loggers[1].handlers = []
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)
        for one, (handlers, level, propagate) in zip(loggers, before, strict=True):
            for added in [handler for handler in one.handlers if handler not in handlers]:
                added.close()
            one.handlers, one.propagate = handlers, propagate
            one.setLevel(level)
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(mode)
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = cudnn
        if cublas is None:
            os.environ.pop(_CUBLAS, None)
