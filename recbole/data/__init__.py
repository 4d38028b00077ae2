"""The log, its split, and what each task makes of them."""

from typing import TYPE_CHECKING

from recbole.utils.on_demand import from_modules

if TYPE_CHECKING:
    from recbole.data.batches import Negatives, TrainBatches
    from recbole.data.dataset import Change, Dataset, Ragged, create_dataset
    from recbole.data.interaction import Interaction, cat_interactions
    from recbole.data.questions import EvalRows

__all__ = [
    "Change",
    "Dataset",
    "EvalRows",
    "Interaction",
    "Negatives",
    "Ragged",
    "TrainBatches",
    "cat_interactions",
    "create_dataset",
]

# what makes files of files reads atomic ones, and needs no torch
__getattr__ = from_modules(
    __name__,
    {
        **dict.fromkeys(("Negatives", "TrainBatches"), "batches"),
        **dict.fromkeys(("Change", "Dataset", "Ragged", "create_dataset"), "dataset"),
        "EvalRows": "questions",
        **dict.fromkeys(("Interaction", "cat_interactions"), "interaction"),
    },
)
