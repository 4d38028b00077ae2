"""Checks of a YAML document before its values are built: limited size and nesting, and no key twice."""

from typing import Any

import yaml

from recbole.utils import UserError

_MOST = 100_000
"""Most values that a document may expand to; the values of an alias count each time it is used."""

_DEEPEST = 50


def composed(loader: Any, where: str) -> yaml.Node | None:
    """Parse a YAML text and return its root node; None if the text is empty.

    Args:
        loader: a PyYAML loader of the text.
        where: name of the file (or other source) in messages.

    Raises:
        UserError: values are nested more than 50 deep, a value contains itself through an alias, there are more than
            100,000 values once aliases are expanded, or a mapping has a key twice.
        yaml.YAMLError: it is not valid YAML.
    """
    try:
        root = loader.get_single_node()
    except RecursionError as error:
        raise UserError(f"{where}: nested more than {_DEEPEST} deep") from error
    if root is not None:
        _size(root, where, (), {})
    return root


def _size(node: yaml.Node, where: str, above: tuple[int, ...], sizes: dict[int, int]) -> int:
    """Return how many values a YAML node has once its aliases are expanded.

    Args:
        node: the node.
        where: name of the file in messages.
        above: ``id()`` of each node that contains this one.
        sizes: dict from ``id()`` of a node to its result, for the nodes counted so far; extended in place.
    """
    line = f"{where}, line {node.start_mark.line + 1}"
    if id(node) in above:
        raise UserError(f"{line}: the value with this anchor contains itself")
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
        raise UserError(f"{line}: this value has more than {_MOST} parts once its aliases are expanded")
    return sizes[id(node)]


def _refuse_twice(node: yaml.MappingNode, where: str) -> None:
    """Raise a UserError if a key occurs twice in a mapping."""
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                raise UserError(f"{where}, lines {lines[name]} and {line}: {key.value!r} is set twice; remove one")
            lines[name] = line
