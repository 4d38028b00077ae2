"""Ways to put the models of shards together, one file each; to add one, add the file and its name to the settings."""

import importlib

from recbole.config.ensembles import AGGREGATES
from recbole.ensemble.aggregate.base import Aggregator
from recbole.utils import UserError, suggest


def get_aggregator(name: str) -> type[Aggregator]:
    """Return the class of an aggregation.

    Raises:
        UserError: when there is none of that name, naming the nearest.
    """
    if name not in AGGREGATES:
        raise UserError(f"--aggregate: there is no '{name}'{suggest(name, AGGREGATES)}")
    module = importlib.import_module(f"{__name__}.{name}")
    return next(cls for cls in vars(module).values() if isinstance(cls, type) and vars(cls).get("name") == name)
