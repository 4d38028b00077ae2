"""Evaluation: pure functions of a model and a frozen view that return rows of one table."""

from recbole.evaluator.table import COLUMNS, Table
from recbole.evaluator.utility import mean_utility, utility
from recbole.evaluator.views import Views, build_views, evaluate

__all__ = ["COLUMNS", "Table", "Views", "build_views", "evaluate", "mean_utility", "utility"]
