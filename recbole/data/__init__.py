"""The log, its split, and what each task makes of them."""

from recbole.data.batches import Negatives, TrainBatches
from recbole.data.dataset import Change, Dataset, EvalRows, Ragged, create_dataset
from recbole.data.interaction import Interaction, cat_interactions

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
