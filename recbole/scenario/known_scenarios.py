"""Finds scenarios: those in this folder, and those that other installed distributions offer by entry points."""

import importlib
import inspect
import pkgutil
from functools import cache

from recbole import scenario as room
from recbole.config import Config
from recbole.scenario.base import Scenario
from recbole.utils import UserError, plugins


@cache
def scenarios() -> dict[str, type[Scenario]]:
    """Return all scenarios as a dict from name to class, those of this package first.

    Raises:
        UserError: an entry point of another distribution is not a :class:`Scenario` whose name is the entry point's.
    """
    modules = [importlib.import_module(f"{room.__name__}.{m.name}") for m in pkgutil.iter_modules(room.__path__)]
    classes = [cls for module in modules for cls in vars(module).values() if inspect.isclass(cls)]
    found = {cls.name: cls for cls in classes if issubclass(cls, Scenario) and cls.name}
    for name, point in plugins.offered(plugins.SCENARIOS, found).items():
        cls = plugins.load(point)
        if not (inspect.isclass(cls) and issubclass(cls, Scenario) and cls.name == name):
            raise UserError(
                f"the entry point '{name}' for scenarios is {point.value}, which is not a Scenario with that name"
            )
        found[name] = cls
    return found


def scenario_of(config: Config) -> Scenario:
    """Return the scenario that a run's settings select, by default that of sensitive items.

    Creating the scenario changes ``config``: it sets further settings (:meth:`Scenario.settle`).

    Raises:
        UserError: the settings select several scenarios, or contradict each other.
    """
    from recbole.scenario.sensitive import Sensitive

    chosen = [cls for cls in scenarios().values() if cls is not Sensitive and cls.chosen(config)]
    if len(chosen) > 1:
        names = " and ".join(f"--{cls.name}" for cls in chosen)
        raise UserError(f"{names} both say what is to be forgotten: give only one of them")
    return (chosen[0] if chosen else Sensitive)(config)
