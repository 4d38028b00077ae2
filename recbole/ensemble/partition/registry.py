"""Finds partitions by name."""

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from recbole.ensemble import partition
from recbole.ensemble.partition.base import Partition
from recbole.utils import UserError, suggest


@cache
def partition_names() -> tuple[str, ...]:
    """Return the names of the partitions, sorted.

    The files of this folder are searched for a line ``name = ...``, and not imported.
    """
    folder = Path(partition.__path__[0])
    modules = sorted(module.name for module in pkgutil.iter_modules(partition.__path__))
    return tuple(one for one in modules if f'\n    name = "{one}"\n' in (folder / f"{one}.py").read_text("utf-8"))


def get_partition(name: str) -> type[Partition]:
    """Return the class of the partition with this name.

    Raises:
        UserError: there is no such partition; the message suggests the most similar name and lists all names.
    """
    if name not in partition_names():
        raise UserError(
            f"--partition: there is no '{name}'{suggest(name, partition_names())}; "
            f"known: {', '.join(partition_names())}"
        )
    module = importlib.import_module(f"{partition.__name__}.{name}")
    here = [one for one in vars(module).values() if isinstance(one, type) and issubclass(one, Partition)]
    return next(one for one in here if vars(one).get("name") == name)
