"""RecBole's module for hyper-parameter search, loaded from :mod:`recbole.doors.tuning` on first use."""

from recbole.utils.on_demand import from_modules

__getattr__ = from_modules(__name__, {"HyperTuning": "recbole.doors.tuning"})
