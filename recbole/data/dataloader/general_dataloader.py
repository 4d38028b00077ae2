"""RecBole's data loaders, imported on demand; see :mod:`recbole.doors.loaders`."""

from recbole.data.dataloader import HOMES
from recbole.utils.on_demand import from_modules

__getattr__ = from_modules(__name__, HOMES)
