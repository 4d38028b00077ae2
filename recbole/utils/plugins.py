"""Plug-ins: algorithms, models, metrics and scenarios that other installed distributions offer by entry points."""

from collections.abc import Container
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from recbole.utils.errors import UserError

ALGORITHMS, MODELS = "erase_bench.algorithms", "erase_bench.models"
METRICS, SCENARIOS = "erase_bench.metrics", "erase_bench.scenarios"
"""The groups of entry points. A distribution offers an object by declaring ``name = module:object`` in one of them."""


def offered(group: str, own: Container[str] = ()) -> dict[str, EntryPoint]:
    """Return what other distributions offer in a group, without importing it.

    Args:
        group: :data:`ALGORITHMS`, :data:`MODELS`, :data:`METRICS` or :data:`SCENARIOS`.
        own: the names of this package's own algorithms, models, metrics or scenarios, which no other may have.

    Returns:
        A dict from the name of the offered object to its entry point.

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
        UserError: the object cannot be imported; the message names the distribution that offers it.
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
