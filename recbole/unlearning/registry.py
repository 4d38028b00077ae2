"""The algorithms, this package's own and those of other installed distributions, and their hyper-parameters."""

from __future__ import annotations

import inspect
import pkgutil
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole.unlearning import algorithms
from recbole.unlearning.declared import Declared, declared
from recbole.utils import UserError, plugins, suggest

if TYPE_CHECKING:
    from recbole.unlearning.algorithm import UnlearningAlgorithm

ERASE_ALGORITHMS = ("scif", "kookmin", "fanchuan", "gif", "ceu", "idea", "seif")


@dataclass(frozen=True)
class HyperParameter:
    """One flag: its name, type, default and help, and the algorithms that read it."""

    name: str
    type: type
    default: Any
    help: str
    algorithms: tuple[str, ...]


@cache
def _own() -> dict[str, Declared]:
    """Return this package's algorithms by name: what the files of ``algorithms/`` declare."""
    folder = Path(algorithms.__path__[0])
    names = [module.name for module in pkgutil.iter_modules(algorithms.__path__)]
    found = [one for name in names for one in declared(folder / f"{name}.py", f"{algorithms.__name__}.{name}")]
    return {one.name: one for one in found}


@cache
def _others() -> dict[str, type[UnlearningAlgorithm]]:
    """Return the algorithms of other distributions by name."""
    return {name: _loaded(point) for name, point in plugins.offered(plugins.ALGORITHMS, _own()).items()}


def _loaded(point: EntryPoint) -> type[UnlearningAlgorithm]:
    """Return the class that an entry point names.

    Raises:
        UserError: when it cannot be imported, is no algorithm, or goes by another name.
    """
    cls = plugins.load(point)
    offer = f"the installed {point.group} '{point.name}' ({point.value})"
    if not _is_algorithm(cls):
        raise UserError(f"{offer} is no subclass of UnlearningAlgorithm with a name and everything that is abstract")
    if cls.name != point.name:
        raise UserError(f"{offer} calls itself '{cls.name}': the entry point's name must be the class's")
    return cls


def _is_algorithm(thing: Any) -> bool:
    from recbole.unlearning.algorithm import UnlearningAlgorithm

    is_one = isinstance(thing, type) and issubclass(thing, UnlearningAlgorithm)
    return is_one and bool(thing.name) and not inspect.isabstract(thing)


def algorithm_names() -> list[str]:
    """Return the names of the algorithms: ERASE's seven, then others that are there."""
    return [*ERASE_ALGORITHMS, *sorted({*_own(), *_others()} - set(ERASE_ALGORITHMS))]


def own_names() -> list[str]:
    """Return the names of the algorithms that this package has itself, in the order of :func:`algorithm_names`."""
    return [*ERASE_ALGORITHMS, *sorted(set(_own()) - set(ERASE_ALGORITHMS))]


def get_algorithm(name: str) -> type[UnlearningAlgorithm]:
    """Return the class of an algorithm.

    Raises:
        UserError: when there is none of that name, naming the nearest.
    """
    if name in _own():
        return _own()[name].load()
    if name not in _others():
        raise UserError(f"--unlearning_algorithm: there is no '{name}'{suggest(name, algorithm_names())}")
    return _others()[name]


def about(name: str) -> str:
    """Return the first line of what an algorithm's class says of itself.

    Raises:
        UserError: as :func:`get_algorithm`.
    """
    if name in _own():
        return _own()[name].about
    return (get_algorithm(name).__doc__ or "").strip().partition("\n")[0]


def hyper_parameters(names: Iterable[str] | None = None) -> list[HyperParameter]:
    """Return the :class:`HyperParameter` of some algorithms, by default of all, one for each name, sorted by name.

    Raises:
        UserError: when two algorithms declare the same name with another type or default.
    """
    found: dict[str, HyperParameter] = {}
    for name in algorithm_names() if names is None else names:
        hyper = _own()[name].hyper if name in _own() else _others()[name].Hyper
        hints = typing.get_type_hints(hyper)
        for one in fields(hyper):
            kind, before = _plain_type(hints[one.name]), found.get(one.name)
            others = before.algorithms if before else ()
            if before and (before.type, before.default) != (kind, one.default):
                raise UserError(f"--{one.name}: '{name}' and '{others[0]}' declare it with another type or default")
            found[one.name] = HyperParameter(one.name, kind, one.default, one.metadata["help"], (*others, name))
    return [found[name] for name in sorted(found)]


def _plain_type(hint: Any) -> type:
    """Return ``float`` for ``float | None``."""
    if isinstance(hint, types.UnionType):
        return next(kind for kind in typing.get_args(hint) if kind is not type(None))
    return hint


def markdown() -> str:
    """Return the table of this package's own hyper-parameters that docs/algorithms.md shows."""
    lines = ["| flag | default | of | |", "|---|---|---|---|"]
    for one in hyper_parameters(own_names()):
        default = "" if one.default is None else f"`{one.default}`"
        lines.append(f"| `--{one.name}` | {default} | {', '.join(one.algorithms)} | {one.help} |")
    return "\n".join(lines) + "\n"
