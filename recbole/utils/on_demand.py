"""Packages that import their modules when something of them is asked for, and not before."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def from_modules(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package that imports a name's module when the name is first asked for.

    Args:
        package: dotted name of the package.
        homes: public name to the package's module that has it.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        setattr(sys.modules[package], name, found)
        return found

    return find
