"""Speeds up a program's start."""

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Switch garbage collection off within the block, in which torch is imported, and then exempt what was imported.

    Imported modules are a million objects that are never freed. Going through them in each full collection takes a
    tenth of the CPU time of a short run. If torch is already imported, this does nothing.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        if "torch" in sys.modules:
            gc.freeze()
        gc.enable()
