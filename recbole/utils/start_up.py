"""Makes programs start faster, by pausing Python's garbage collection during imports."""

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Switch garbage collection off within the block, which imports torch and other modules.

    Collections after the block skip the objects that exist at its end. Imported modules consist of a million objects
    that are never freed; to look at all of them in each full collection takes a tenth of the CPU time of a short run.
    If torch is already imported, this function does nothing.
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
