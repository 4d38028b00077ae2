"""What a YAML document may be, looked at before any value is made of it: a tree of moderate size, each key once."""

from typing import Any

import yaml

from recbole.utils import UserError

_MOST = 100_000
"""Values that a document may come to, those of aliases counted wherever they stand."""

_DEEPEST = 50


def composed(loader: Any, where: str) -> yaml.Node | None:
    """Return the root of a loader's only document, None of an empty one.

    Args:
        loader: of PyYAML.
        where: what messages call the document.

    Raises:
        UserError: it is nested more than 50 deep or within itself, comes to more than 100,000 values, or has a key
            twice.
        yaml.YAMLError: it is no YAML.
    """
    try:
        root = loader.get_single_node()
    except RecursionError as error:
        raise UserError(f"{where}: nested more than {_DEEPEST} deep") from error
    if root is not None:
        _size(root, where, (), {})
    return root


def _size(node: yaml.Node, where: str, above: tuple[int, ...], sizes: dict[int, int]) -> int:
    """Return how many values a node comes to; ``sizes`` has those that were counted before, by identity."""
    line = f"{where}, line {node.start_mark.line + 1}"
    if id(node) in above:
        raise UserError(f"{line}: what has this anchor holds itself")
    if len(above) > _DEEPEST:
        raise UserError(f"{line}: nested more than {_DEEPEST} deep")
    if id(node) not in sizes:
        parts: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            _refuse_twice(node, where)
            parts = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            parts = node.value
        sizes[id(node)] = 1 + sum(_size(part, where, (*above, id(node)), sizes) for part in parts)
    if sizes[id(node)] > _MOST:
        raise UserError(f"{line}: aliases make this more than {_MOST} values")
    return sizes[id(node)]


def _refuse_twice(node: yaml.MappingNode, where: str) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                raise UserError(f"{where}, lines {lines[name]} and {line}: {key.value!r} is set twice; leave one")
            lines[name] = line
