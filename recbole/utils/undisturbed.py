"""Restores process-wide state, such as logging, after a run that was started from Python."""

import contextlib
import logging
import os
from collections.abc import Iterator

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Restore logging handlers and levels, torch's number of threads and its determinism flags after the block.

    Within the block the package's logger (``recbole``) starts without handlers, so that a run can add its own. Those
    are closed at the end.
    """
    import torch

    loggers = [logging.getLogger(), logging.getLogger("recbole")]
    before = [(one.handlers[:], one.level, one.propagate) for one in loggers]
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    cudnn = torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic
    cublas = os.environ.get(_CUBLAS)
    loggers[1].handlers = []
    try:
        yield
    finally:
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
