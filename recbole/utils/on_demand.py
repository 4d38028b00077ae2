"""Makes packages load their modules on first use instead of at import."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from typing import Any

from recbole.utils.errors import NotAvailable


def from_modules(
    package: str, homes: Mapping[str, str], absent: Mapping[str, str] | None = None
) -> Callable[[str], Any]:
    """Return a package's ``__getattr__`` that imports a public name's module when the name is first used.

    Args:
        package: dotted name of the package.
        homes: dict from a public name to the module that defines it: the name of a module in the package, or the dotted
            name of a module elsewhere.
        absent: dict from a name that RecBole's package has and this one lacks to the reason. Using such a name raises
            :class:`NotAvailable`. None for no such names.

    Returns:
        A function from a name to the object. It raises AttributeError for a name in neither dict.
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
    """Return a package's ``__getattr__`` that finds class ``Name`` in the module ``name``, imported on first use."""

    def find(name: str) -> Any:
        home = f"{package}.{name.lower()}"
        if name.startswith("_") or importlib.util.find_spec(home) is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(home), name)

    return find
