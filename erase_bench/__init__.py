"""The installed commands, such as ``erase-bench``. They first check that RecBole is not installed in the same place.

RecBole and ERASE bench both install a package called ``recbole``, so the later installation overwrites files of the
earlier one. This module therefore imports nothing from ``recbole`` before the check. In an installation, the folder of
this file also contains the folders ``configs`` and ``dataset`` (each data set's ``prepare.py``).
"""

import importlib.util
import sys
from pathlib import Path

from erase_bench.early import hear_signals

_OF_RECBOLE = Path("quick_start", "quick_start.py")  # a core file of RecBole 1.2.1 that this project does not have
_OURS = Path("properties", "deciding.yaml")


def mixed_with_recbole() -> str | None:
    """Check whether RecBole's files are in the folder of this project's package ``recbole``.

    Returns:
        A one-line error message if they are, if this project's files are missing there, or if there is no package
        ``recbole``; otherwise None.
    """
    found = importlib.util.find_spec("recbole")
    folders = list(found.submodule_search_locations or []) if found else []
    if not folders:
        return "the package recbole is missing: install erase-bench again"
    folder = Path(folders[0])
    if not (folder / _OF_RECBOLE).exists() and (folder / _OURS).exists():
        return None
    return (
        f"RecBole is also installed in {folder}, and one of the two has overwritten files of the other, because both "
        "packages are called recbole. Use a separate environment, or pip uninstall both and install erase-bench again"
    )


def bench() -> int:
    """Run ``erase-bench``; return its exit status."""
    return _run("erase-bench", "recbole.quick_start.family", "main")


def train() -> int:
    """Run ``erase-train``; return its exit status."""
    return _run("erase-train", "recbole.quick_start.main", "train_main")


def unlearn() -> int:
    """Run ``erase-unlearn``; return its exit status."""
    return _run("erase-unlearn", "recbole.quick_start.main", "unlearn_main")


def make_forget_set() -> int:
    """Run ``erase-make-forget-set``; return its exit status."""
    return _run("erase-make-forget-set", "recbole.quick_start.main", "make_forget_set_main")


def _run(program: str, module: str, function: str) -> int:
    """Run a program, unless :func:`mixed_with_recbole` finds a mistake, which is then printed.

    Args:
        program: the program's name, for messages.
        module: the dotted name of the module to import.
        function: the function of the module that runs the program and returns the exit status.

    Returns:
        The program's exit status; 2 after a mistake.
    """
    hear_signals(program)
    mistake = mixed_with_recbole()
    if mistake:
        print(f"{program}: {mistake}", file=sys.stderr)
        return 2
    status: int = getattr(importlib.import_module(module), function)()
    return status
