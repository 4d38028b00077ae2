"""Pop_SBR: popularity for session-based recommendation."""

import numpy as np
import torch

from recbole.data import Dataset
from recbole.model.general_recommender.pop import Pop
from recbole.utils import ModelType


class Pop_SBR(Pop):
    """Scores an item by the number of retained training examples whose target it is.

    It is evaluated on the same test examples as the other session-based models. In ERASE, the benchmark that this
    package re-implements, Pop_SBR counts an item at most once per batch and is evaluated on other examples.
    """

    type = ModelType.SEQUENTIAL
    trims = True
    trainable = False

    def rebuild(self, dataset: Dataset) -> None:
        """Count how often each item is the target of a retained training example."""
        counts = np.bincount(dataset.log.item[dataset.train_examples()], minlength=self.n_items)
        self.item_cnt = torch.from_numpy(counts).unsqueeze(1).to(self.item_cnt.device)
