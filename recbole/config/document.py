"""Checks a YAML document before it is converted to Python values: limited size and nesting, and no key twice."""

from typing import Any

import yaml

from recbole.utils import UserError

_MOST = 100_000
"""The largest number of values in a document. A value that is repeated by a YAML alias (``*name``) counts each time."""

_DEEPEST = 50


def composed(loader: Any, where: str) -> yaml.Node | None:
    """Parse a YAML text without converting it to Python values, and check it.

    Args:
        loader: a PyYAML loader of the text.
        where: the name of the file (or other source), for messages.

    Returns:
        The root node; None if the text is empty.

    Raises:
        UserError: values are nested more than 50 deep, a value contains itself through an alias, there are more than
            100,000 values (repetitions by aliases included), or a mapping has a key twice.
        yaml.YAMLError: the text is not valid YAML.
    """
    try:
        root = loader.get_single_node()
    except RecursionError as error:
        raise UserError(f"{where}: nested more than {_DEEPEST} deep") from error
    if root is not None:
        _size(root, where, (), {})
    return root


def _size(node: yaml.Node, where: str, above: tuple[int, ...], sizes: dict[int, int]) -> int:
    """Return how many values a YAML node contains, itself included; values repeated by aliases count each time.

    Args:
        node: the node.
        where: the name of the file, for messages.
        above: ``id()`` of each node that contains this one.
        sizes: ``id()`` of a node to its number of values, for the nodes counted so far; extended in place.

    Raises:
        UserError: as :func:`composed`.
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
    """Raise a UserError if a mapping has a key twice; ``where`` is the name of the file, for the message."""
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if isinstance(key, yaml.ScalarNode):
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                raise UserError(f"{where}, lines {lines[name]} and {line}: {key.value!r} is set twice; remove one")
            lines[name] = line
