"""Names and hyper-parameters of this package's algorithms, read from their source text without importing them.

The command line needs both for ``--help``, but importing an algorithm imports torch, which takes seconds. Source files
are therefore parsed instead. A class whose body assigns a string to ``name`` is an algorithm. Only the definition of
the dataclass that the body assigns to ``Hyper`` is executed. If this fails because the dataclass uses other names of
the file, the file is imported.
"""

import ast
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recbole.unlearning import hyper
from recbole.unlearning.hyper import NoHyperParameters


@dataclass(frozen=True)
class Declared:
    """Name, class and hyper-parameters of an algorithm, read from its source file, usually without importing it.

    Attributes:
        name: the algorithm's name on the command line.
        module: dotted name of the algorithm's module.
        cls: name of the algorithm's class in that module.
        about: first line of the class's docstring.
        hyper: dataclass of the hyper-parameters, with types, defaults and help texts.
    """

    name: str
    module: str
    cls: str
    about: str
    hyper: type[NoHyperParameters]

    def load(self) -> type[Any]:
        """Import the algorithm's module, and return its class."""
        found: type[Any] = getattr(importlib.import_module(self.module), self.cls)
        return found


def declared(path: Path, module: str) -> list[Declared]:
    """Return the unlearning algorithms that a source file defines, in the order of the file.

    Args:
        path: path of the file.
        module: dotted name of the module that the file contains.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    found = []
    for node in classes.values():
        said = _assigned(node)
        name = said.get("name")
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            about = inspect.cleandoc(ast.get_docstring(node) or "").partition("\n")[0]
            parameters = _hyper(said.get("Hyper"), classes) or _imported(module, node.name)
            found.append(Declared(name.value, module, node.name, about, parameters))
    return found


def _assigned(node: ast.ClassDef) -> dict[str, ast.expr]:
    """Return the assignments to plain names in a class body: name to the assigned expression."""
    plain = [line for line in node.body if isinstance(line, ast.Assign)]
    return {target.id: line.value for line in plain for target in line.targets if isinstance(target, ast.Name)}


def _hyper(named: ast.expr | None, classes: Mapping[str, ast.ClassDef]) -> type[NoHyperParameters] | None:
    """Return the dataclass that an algorithm assigns to ``Hyper``; ``None`` if its definition needs the whole file.

    Args:
        named: the assigned expression; ``None`` if the algorithm's class body has no such assignment.
        classes: class name to definition, for the classes of the file. Base classes of the dataclass are found here, or
            in :mod:`recbole.unlearning.hyper`.
    """
    names = dict(vars(hyper))
    if not isinstance(named, ast.Name):
        return None
    lines: list[ast.stmt] = []
    wanted = named.id
    while wanted not in names and wanted in classes:
        lines.insert(0, classes[wanted])
        base = classes[wanted].bases[:1]
        wanted = base[0].id if base and isinstance(base[0], ast.Name) else ""
    if wanted not in names:
        return None
    try:
        exec(compile(ast.Module(lines, type_ignores=[]), "<hyper-parameters>", "exec"), names)
    except NameError:  # the dataclass uses a constant or an import of the file
        return None
    found: type[NoHyperParameters] = names[named.id]
    return found


def _imported(module: str, cls: str) -> type[NoHyperParameters]:
    """Import a module, and return the ``Hyper`` dataclass of one of its classes."""
    found: type[NoHyperParameters] = getattr(importlib.import_module(module), cls).Hyper
    return found
