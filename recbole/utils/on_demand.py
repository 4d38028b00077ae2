"""Packages that import their modules when something of them is asked for, and not before."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from typing import Any

from recbole.utils.errors import NotAvailable


def from_modules(
    package: str, homes: Mapping[str, str], absent: Mapping[str, str] | None = None
) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package that imports a name's module when the name is first asked for.

    Args:
        package: dotted name of the package.
        homes: public name to the module that has it: one of the package's own, or the dotted name of another.
        absent: name that RecBole has there to why it cannot be had here.
    """

    def find(name: str) -> Any:
        if absent and name in absent:
            raise NotAvailable(f"{package}.{name}: {absent[name]}")
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = homes[name] if "." in homes[name] else f"{package}.{homes[name]}"
        found = getattr(importlib.import_module(home), name)
        setattr(sys.modules[package], name, found)
        return found

    return find


def from_lower_case(package: str) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package whose class ``X`` is in its module ``x``, whenever that was added."""

    def find(name: str) -> Any:
        home = f"{package}.{name.lower()}"
        if name.startswith("_") or importlib.util.find_spec(home) is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(home), name)

    return find
