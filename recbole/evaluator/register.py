"""Offers ``metrics_dict`` (metric name to class) under RecBole's module name; it is loaded on first use."""

from recbole.utils.on_demand import from_modules

__getattr__ = from_modules(__name__, {"metrics_dict": "recbole.doors.metrics"})
