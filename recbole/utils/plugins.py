"""Plug-ins: algorithms, models, metrics and scenarios that other installed distributions add by entry points."""

from collections.abc import Container
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from recbole.utils.errors import UserError

ALGORITHMS, MODELS = "erase_bench.algorithms", "erase_bench.models"
METRICS, SCENARIOS = "erase_bench.metrics", "erase_bench.scenarios"
"""Entry-point groups. A distribution declares ``name = module:object`` in one of them."""


def offered(group: str, own: Container[str] = ()) -> dict[str, EntryPoint]:
    """Return the entry points in a group, by name, without importing them.

    Args:
        group: one of the groups above.
        own: names that this package has itself.

    Raises:
        UserError: two distributions offer the same name, or one offers a name that this package has.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        if point.name in own:
            raise UserError(
                f"the installed package {_distribution(point)} offers {group} '{point.name}', which this package has "
                "itself; rename that entry point, or uninstall the package"
            )
        if point.name in found and found[point.name].value != point.value:
            raise UserError(
                f"two installed packages offer {group} '{point.name}': {_distribution(found[point.name])} and "
                f"{_distribution(point)}; uninstall one"
            )
        found[point.name] = point
    return found


def load(point: EntryPoint) -> Any:
    """Import the object that an entry point names, and return it.

    Raises:
        UserError: it cannot be imported; the message names the distribution.
    """
    try:
        return point.load()
    except Exception as error:  # foreign code may raise anything
        raise UserError(
            f"{_distribution(point)} offers {point.group} '{point.name}', which cannot be imported "
            f"({type(error).__name__}: {error})"
        ) from error


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value
