"""RecBole's search for hyper-parameters, on demand: see :mod:`recbole.doors.tuning`."""

from recbole.utils.on_demand import from_modules

__getattr__ = from_modules(__name__, {"HyperTuning": "recbole.doors.tuning"})
