"""Makes a package import its modules only when one of their names is first used, to keep ``import`` fast."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from typing import Any

from recbole.utils.errors import NotAvailable


def from_modules(
    package: str, homes: Mapping[str, str], absent: Mapping[str, str] | None = None
) -> Callable[[str], Any]:
    """Return the function ``__getattr__`` of a package whose public names are imported on first use.

    Args:
        package: dotted name of the package.
        homes: dict from each public name to the module that defines it: the name of a module in the package, or the
            dotted name of a module elsewhere.
        absent: dict from names that exist in RecBole's package but not in this one to the reason, or to what to use
            instead; None if there are no such names.

    Returns:
        A function from a name to the object. It raises :class:`NotAvailable` for a name in ``absent``, and
        AttributeError for a name in neither dict.
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
    """Return the function ``__getattr__`` of a package in which class ``Name`` is in the module ``name`` (lower case).

    The module is imported on first use.

    Args:
        package: dotted name of the package.

    Returns:
        A function from a class name to the class. It raises AttributeError if there is no such module or class.
    """

    def find(name: str) -> Any:
        home = f"{package}.{name.lower()}"
        if name.startswith("_") or importlib.util.find_spec(home) is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(home), name)

    return find
