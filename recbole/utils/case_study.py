"""RecBole's module for case studies, loaded from :mod:`recbole.doors.case_study` on first use."""

from recbole.utils.on_demand import from_modules

__getattr__ = from_modules(__name__, dict.fromkeys(("full_sort_scores", "full_sort_topk"), "recbole.doors.case_study"))
