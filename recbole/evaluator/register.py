"""RecBole's module for its register of metrics, loaded from :mod:`recbole.doors.metrics` on first use."""

from recbole.utils.on_demand import from_modules

__getattr__ = from_modules(__name__, {"metrics_dict": "recbole.doors.metrics"})
