"""The installed commands of ERASE bench, which look before they start whether RecBole's files lie among its own.

RecBole's distribution and this one both own the folder ``recbole`` of an environment; whichever is installed later
writes over the other's files. Nothing of ``recbole`` is imported here before that has been looked at. Beside this file
an installation has what a checkout has at its top: ``configs/``, and each data set's ``prepare.py`` in ``dataset/``.
"""

import importlib.util
import sys
from pathlib import Path

from erase_bench.early import hear_signals

_OF_RECBOLE = Path("quick_start", "quick_start.py")  # a core file of RecBole 1.2.1 that this project does not have
_OURS = Path("properties", "deciding.yaml")


def mixed_with_recbole() -> str | None:
    """Return one line that says so where RecBole's files lie in the folder of this project's package, else None."""
    found = importlib.util.find_spec("recbole")
    folders = list(found.submodule_search_locations or []) if found else []
    if not folders:
        return "the package recbole is gone: install erase-bench again"
    folder = Path(folders[0])
    if not (folder / _OF_RECBOLE).exists() and (folder / _OURS).exists():
        return None
    return (
        f"RecBole is installed into {folder} too, and one of the two has written over the other: both packages are "
        "called recbole. Use an environment of its own, or pip uninstall both and install erase-bench again"
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
    hear_signals(program)
    mistake = mixed_with_recbole()
    if mistake:
        print(f"{program}: {mistake}", file=sys.stderr)
        return 2
    status: int = getattr(importlib.import_module(module), function)()
    return status
