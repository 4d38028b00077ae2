"""Evaluation: pure functions of a model and a frozen view that return rows of one table."""

from recbole.evaluator.table import COLUMNS, Table
from recbole.evaluator.targets import evaluate_targets
from recbole.evaluator.utility import mean_utility, utility
from recbole.evaluator.views import NOBODY, Views, build_views, evaluate

__all__ = [
    "COLUMNS",
    "NOBODY",
    "Table",
    "Views",
    "build_views",
    "evaluate",
    "evaluate_targets",
    "mean_utility",
    "utility",
]
