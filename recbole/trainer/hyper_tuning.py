"""Offers ``HyperTuning`` (hyper-parameter search) under RecBole's module name; it is loaded on first use."""

from recbole.utils.on_demand import from_modules

__getattr__ = from_modules(__name__, {"HyperTuning": "recbole.doors.tuning"})
