"""The algorithms, found by looking into this folder, and their hyper-parameters."""

import importlib
import pkgutil
import types
import typing
from dataclasses import dataclass, fields
from functools import cache

from recbole.unlearning.algorithm import UnlearningAlgorithm
from recbole.utils import UserError, suggest

ERASE_ALGORITHMS = ("scif", "kookmin", "fanchuan", "gif", "ceu", "idea", "seif")


@dataclass(frozen=True)
class HyperParameter:
    """One flag: its name, type, default and help, and the algorithms that read it."""

    name: str
    type: type
    default: object
    help: str
    algorithms: tuple


@cache
def _classes():
    from recbole.unlearning import algorithms as room

    for module in pkgutil.iter_modules(room.__path__):
        importlib.import_module(f"{room.__name__}.{module.name}")
    found, waiting = {}, [UnlearningAlgorithm]
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        if cls.name:
            found[cls.name] = cls
    return found


def algorithm_names():
    """Return the names of the algorithms: ERASE's seven, then others that are there."""
    return [*ERASE_ALGORITHMS, *sorted(set(_classes()) - set(ERASE_ALGORITHMS))]


def get_algorithm(name):
    """Return the class of an algorithm.

    Raises:
        UserError: when there is none of that name, naming the nearest.
    """
    if name not in _classes():
        raise UserError(f"--unlearning_algorithm: there is no '{name}'{suggest(name, algorithm_names())}")
    return _classes()[name]


def hyper_parameters():
    """Return every algorithm's :class:`HyperParameter`, one for each name, sorted by name."""
    found = {}
    for name in algorithm_names():
        hints = typing.get_type_hints(_classes()[name].Hyper)
        for field in fields(_classes()[name].Hyper):
            others = found[field.name].algorithms if field.name in found else ()
            kind = _plain_type(hints[field.name])
            found[field.name] = HyperParameter(field.name, kind, field.default, field.metadata["help"], (*others, name))
    return [found[name] for name in sorted(found)]


def _plain_type(hint):
    """Return ``float`` for ``float | None``."""
    if isinstance(hint, types.UnionType):
        return next(kind for kind in typing.get_args(hint) if kind is not type(None))
    return hint


def markdown():
    """Return the table of all hyper-parameters that docs/algorithms.md shows."""
    lines = ["| flag | default | of | |", "|---|---|---|---|"]
    for one in hyper_parameters():
        default = "" if one.default is None else f"`{one.default}`"
        lines.append(f"| `--{one.name}` | {default} | {', '.join(one.algorithms)} | {one.help} |")
    return "\n".join(lines) + "\n"
