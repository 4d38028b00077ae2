"""RecBole's sequence transforms, imported on demand; see :mod:`recbole.doors.transforms`."""

from recbole.utils.on_demand import from_modules

__getattr__ = from_modules(__name__, {"construct_transform": "recbole.doors.transforms"})
