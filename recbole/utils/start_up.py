"""What a program does while it imports."""

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Look for no garbage while torch is imported, nor ever again among what was imported by then.

    A module's functions and classes are a million objects that stay. Each full collection goes through all of them: a
    tenth of the processor time of a short run. Where torch is there already nothing is done.
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
