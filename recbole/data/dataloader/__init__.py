"""RecBole's data loaders, imported on demand; see :mod:`recbole.doors.loaders`."""

from recbole.utils.on_demand import from_modules

HOMES = {
    **dict.fromkeys(("AbstractDataLoader", "FullSortEvalDataLoader", "TrainDataLoader"), "recbole.doors.loaders"),
    "NegSampleEvalDataLoader": "recbole.doors.sampled_loader",
}

__getattr__ = from_modules(__name__, HOMES)
