"""Evaluation of models: computes metrics and returns them as rows of a result table.

All models are evaluated on the same evaluation rows. An evaluation row is one ranking: the input of a user or session,
the relevant items, and the candidates to rank.

RecBole's ``Collector``, ``Evaluator`` and metric classes can also be imported from here; they are loaded from
:mod:`recbole.doors` on first use.
"""

from typing import TYPE_CHECKING

from recbole.utils.on_demand import from_modules

if TYPE_CHECKING:
    from recbole.evaluator.asked import Asked
    from recbole.evaluator.kinds import Reference
    from recbole.evaluator.metrics import find_metric, of_lists, of_scores, per_row
    from recbole.evaluator.probe import Probe, evaluate, get_probe, probe_names
    from recbole.evaluator.settings import EvalSettings, check_metrics, result_name
    from recbole.evaluator.table import COLUMNS, Table
    from recbole.evaluator.utility import mean_utility
    from recbole.evaluator.views import NOBODY, TargetView, Views, build_views

__all__ = [
    "COLUMNS",
    "NOBODY",
    "Asked",
    "EvalSettings",
    "Probe",
    "Reference",
    "Table",
    "TargetView",
    "Views",
    "build_views",
    "check_metrics",
    "evaluate",
    "find_metric",
    "get_probe",
    "mean_utility",
    "of_lists",
    "of_scores",
    "per_row",
    "probe_names",
    "result_name",
]

# loaded on first use: the report only reads COLUMNS and must not import torch
__getattr__ = from_modules(
    __name__,
    {
        "Asked": "asked",
        "Reference": "kinds",
        **dict.fromkeys(("find_metric", "of_lists", "of_scores", "per_row"), "metrics"),
        **dict.fromkeys(("Probe", "evaluate", "get_probe", "probe_names"), "probe"),
        **dict.fromkeys(("EvalSettings", "check_metrics", "result_name"), "settings"),
        **dict.fromkeys(("COLUMNS", "Table"), "table"),
        "mean_utility": "utility",
        **dict.fromkeys(("NOBODY", "TargetView", "Views", "build_views"), "views"),
        **dict.fromkeys(("Collector", "DataStruct", "Evaluator"), "recbole.doors.evaluation"),
        **dict.fromkeys(("AbstractMetric", "LossMetric", "TopkMetric", "metrics_dict"), "recbole.doors.metrics"),
    },
)
