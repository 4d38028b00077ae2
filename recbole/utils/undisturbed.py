"""Restores what a run changes in the whole process, such as logging, after a run that a Python script started."""

import contextlib
import logging
import os
from collections.abc import Iterator

_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """After the block, restore logging, torch's number of threads and torch's determinism flags.

    Logging means the handlers and levels of the root logger and of this package's logger ``recbole``. At the beginning
    of the block, ``recbole`` has no handlers, so that a run can add its own; these are closed at the end.
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
