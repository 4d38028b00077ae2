"""What the files of ``algorithms/`` declare, read without importing them.

A command line needs the algorithms' names and hyper-parameters, and to import an algorithm is to import torch: nobody
who asks for ``--help`` should wait for that. So the text of a file is looked at: at the class that says its ``name``,
and at the dataclass that it calls its ``Hyper``, which alone is executed. What cannot be had that way is imported.
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
    """An algorithm of this package that is not imported yet.

    Attributes:
        name: of the algorithm.
        module: dotted name of its file.
        cls: name of its class there.
        about: first line of the class's docstring.
        hyper: dataclass of its hyper-parameters, with their types, defaults and help.
    """

    name: str
    module: str
    cls: str
    about: str
    hyper: type[NoHyperParameters]

    def load(self) -> type[Any]:
        """Return the class."""
        found: type[Any] = getattr(importlib.import_module(self.module), self.cls)
        return found


def declared(path: Path, module: str) -> list[Declared]:
    """Return the algorithms of a file.

    Args:
        path: of the file.
        module: its dotted name.
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
    """Return what a class's body assigns to plain names."""
    plain = [line for line in node.body if isinstance(line, ast.Assign)]
    return {target.id: line.value for line in plain for target in line.targets if isinstance(target, ast.Name)}


def _hyper(named: ast.expr | None, classes: Mapping[str, ast.ClassDef]) -> type[NoHyperParameters] | None:
    """Return the dataclass that a file calls an algorithm's ``Hyper``; None when the file has to be imported for it."""
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
    except NameError:  # a constant of the file, or something that it imports
        return None
    found: type[NoHyperParameters] = names[named.id]
    return found


def _imported(module: str, cls: str) -> type[NoHyperParameters]:
    found: type[NoHyperParameters] = getattr(importlib.import_module(module), cls).Hyper
    return found
