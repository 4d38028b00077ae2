"""RecBole's register of metrics, on demand: see :mod:`recbole.doors.metrics`."""

from recbole.utils.on_demand import from_modules

__getattr__ = from_modules(__name__, {"metrics_dict": "recbole.doors.metrics"})
