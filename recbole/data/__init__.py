"""The interaction log, its split into training, validation and test, and one data set class for each task.

The tasks are collaborative filtering (CF), session-based recommendation (SBR) and next-basket recommendation (NBR).
"""

from typing import TYPE_CHECKING

from recbole.utils.on_demand import from_modules

if TYPE_CHECKING:
    from recbole.data.batches import Negatives, TrainBatches
    from recbole.data.dataset import Change, Dataset
    from recbole.data.interaction import Interaction, cat_interactions
    from recbole.data.questions import EvalRows
    from recbole.data.ragged import Ragged

__all__ = [
    "Change",
    "Dataset",
    "EvalRows",
    "Interaction",
    "Negatives",
    "Ragged",
    "TrainBatches",
    "cat_interactions",
]

# imported on demand, because the data preparation uses this package without torch; RecBole's names: recbole.doors
__getattr__ = from_modules(
    __name__,
    {
        **dict.fromkeys(("Negatives", "TrainBatches"), "batches"),
        **dict.fromkeys(("Change", "Dataset"), "dataset"),
        "Ragged": "ragged",
        "EvalRows": "questions",
        **dict.fromkeys(("Interaction", "cat_interactions"), "interaction"),
        **dict.fromkeys(
            (
                *("create_dataset", "data_preparation"),
                *("load_split_dataloaders", "save_split_dataloaders"),
            ),
            "recbole.doors.data",
        ),
    },
)
