"""Finds unlearning algorithms by name: this package's own and those of other installed distributions."""

from __future__ import annotations

import inspect
import pkgutil
import typing
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole.unlearning import algorithms
from recbole.unlearning.declared import Declared, declared
from recbole.unlearning.hyper import plain_type
from recbole.utils import UserError, plugins, suggest

if TYPE_CHECKING:
    from recbole.unlearning.algorithm import UnlearningAlgorithm

ERASE_ALGORITHMS = ("scif", "kookmin", "fanchuan", "gif", "ceu", "idea", "seif")
"""Names of the algorithms that are also in ERASE, the benchmark that this package re-implements."""


@dataclass(frozen=True)
class HyperParameter:
    """A hyper-parameter of one or several algorithms, as the command line offers it.

    Attributes:
        name: name of the command-line flag and of the configuration key.
        type: type of the value, such as ``float``; ``None`` may be allowed in addition.
        default: the default value.
        help: the help text.
        algorithms: names of the algorithms that have this hyper-parameter.
    """

    name: str
    type: type
    default: Any
    help: str
    algorithms: tuple[str, ...]


@cache
def _own() -> dict[str, Declared]:
    """Return the algorithms in the folder ``algorithms/``, read from the source files: name to declaration."""
    folder = Path(algorithms.__path__[0])
    names = [module.name for module in pkgutil.iter_modules(algorithms.__path__)]
    found = [one for name in names for one in declared(folder / f"{name}.py", f"{algorithms.__name__}.{name}")]
    return {one.name: one for one in found}


@cache
def _others() -> dict[str, type[UnlearningAlgorithm]]:
    """Return the algorithms that other installed distributions offer: name to class."""
    return {name: _loaded(point) for name, point in plugins.offered(plugins.ALGORITHMS, _own()).items()}


def _loaded(point: EntryPoint) -> type[UnlearningAlgorithm]:
    """Return the algorithm's class that an entry point of another distribution names.

    Raises:
        UserError: the class cannot be imported, is no subclass of ``UnlearningAlgorithm``, has no ``name`` or another
            one than the entry point, or has abstract methods.
    """
    cls = plugins.load(point)
    offer = f"the installed {point.group} '{point.name}' ({point.value})"
    if not _is_algorithm(cls):
        raise UserError(f"{offer} must be a subclass of UnlearningAlgorithm with a name and no abstract methods")
    if cls.name != point.name:
        raise UserError(f"{offer} has the name '{cls.name}': entry point and class must have the same name")
    return cls


def _is_algorithm(thing: Any) -> bool:
    """Return whether an object is a subclass of ``UnlearningAlgorithm`` with a name and no abstract methods."""
    from recbole.unlearning.algorithm import UnlearningAlgorithm

    is_one = isinstance(thing, type) and issubclass(thing, UnlearningAlgorithm)
    return is_one and bool(thing.name) and not inspect.isabstract(thing)


def algorithm_names() -> list[str]:
    """Return the names of all algorithms: first the seven of the ERASE benchmark, then the others alphabetically."""
    return [*ERASE_ALGORITHMS, *sorted({*_own(), *_others()} - set(ERASE_ALGORITHMS))]


def own_names() -> list[str]:
    """Return the names of this package's algorithms, without plug-ins, in the order of :func:`algorithm_names`."""
    return [*ERASE_ALGORITHMS, *sorted(set(_own()) - set(ERASE_ALGORITHMS))]


def get_algorithm(name: str) -> type[UnlearningAlgorithm]:
    """Return the class of an algorithm.

    Raises:
        UserError: there is no algorithm of this name; the message suggests a similar name, if there is one.
    """
    if name in _own():
        return _own()[name].load()
    if name not in _others():
        raise UserError(f"--unlearning_algorithm: there is no '{name}'{suggest(name, algorithm_names())}")
    return _others()[name]


def check_kind(algorithm: type[UnlearningAlgorithm], kind: str) -> None:
    """Check that an algorithm can answer a kind of request.

    Args:
        algorithm: the algorithm's class.
        kind: ``rows`` (requests to forget interactions) or ``attribute`` (to unlearn an attribute of users).

    Raises:
        UserError: it cannot. The message lists this package's algorithms that can.
    """
    if kind in algorithm.kinds:
        return
    others = ", ".join(name for name in own_names() if kind in get_algorithm(name).kinds)
    if kind == "attribute":
        raise UserError(
            f"{algorithm.name} forgets interactions and cannot unlearn a user attribute (--attribute); "
            f"use --unlearning_algorithm {others}"
        )
    raise UserError(
        f"{algorithm.name} unlearns a user attribute: name it with --attribute of unlearn.py; to forget interactions, "
        f"use {others}"
    )


def about(name: str) -> str:
    """Return the first line of the docstring of an algorithm's class.

    Raises:
        UserError: there is no algorithm of this name.
    """
    if name in _own():
        return _own()[name].about
    return (get_algorithm(name).__doc__ or "").strip().partition("\n")[0]


def hyper_parameters(names: Iterable[str] | None = None) -> list[HyperParameter]:
    """Return the hyper-parameters of some algorithms, each once, sorted by name.

    Args:
        names: the algorithms' names; ``None`` for all algorithms.

    Raises:
        UserError: two algorithms declare hyper-parameters of the same name with different types or defaults.
    """
    found: dict[str, HyperParameter] = {}
    for name in algorithm_names() if names is None else names:
        hyper = _own()[name].hyper if name in _own() else _others()[name].Hyper
        hints = typing.get_type_hints(hyper)
        for one in fields(hyper):
            kind, before = plain_type(hints[one.name]), found.get(one.name)
            others = before.algorithms if before else ()
            if before and (before.type, before.default) != (kind, one.default):
                raise UserError(
                    f"--{one.name}: algorithms '{name}' and '{others[0]}' declare different types or defaults for it; "
                    "rename the hyper-parameter of one of them"
                )
            found[one.name] = HyperParameter(one.name, kind, one.default, one.metadata["help"], (*others, name))
    return [found[name] for name in sorted(found)]


def markdown() -> str:
    """Return the table of this package's own hyper-parameters in docs/algorithms.md, as Markdown text."""
    lines = ["| flag | default | of | |", "|---|---|---|---|"]
    for one in hyper_parameters(own_names()):
        default = "" if one.default is None else f"`{one.default}`"
        lines.append(f"| `--{one.name}` | {default} | {', '.join(one.algorithms)} | {one.help} |")
    return "\n".join(lines) + "\n"
