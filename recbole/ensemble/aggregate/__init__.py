"""Aggregations, which combine the scores of the shards' models into those of the ensemble; one per file.

To add an aggregation, add a file here with a subclass of ``Aggregator``, and the file's name to ``AGGREGATES`` in
``recbole/config/ensembles.py``.
"""

import importlib

from recbole.config.ensembles import AGGREGATES
from recbole.ensemble.aggregate.base import Aggregator
from recbole.utils import UserError, suggest


def get_aggregator(name: str) -> type[Aggregator]:
    """Return the class of the aggregation with this name.

    Raises:
        UserError: there is no such aggregation; the message suggests the most similar name and lists all names.
    """
    if name not in AGGREGATES:
        raise UserError(f"--aggregate: there is no '{name}'{suggest(name, AGGREGATES)}; known: {', '.join(AGGREGATES)}")
    module = importlib.import_module(f"{__name__}.{name}")
    return next(cls for cls in vars(module).values() if isinstance(cls, type) and vars(cls).get("name") == name)
