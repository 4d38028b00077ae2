"""RecBole's case study, on demand: see :mod:`recbole.doors.case_study`."""

from recbole.utils.on_demand import from_modules

__getattr__ = from_modules(__name__, dict.fromkeys(("full_sort_scores", "full_sort_topk"), "recbole.doors.case_study"))
