"""Popularity, for sessions."""

import numpy as np
import torch

from recbole.data import Dataset
from recbole.model.general_recommender.pop import Pop
from recbole.utils import ModelType


class Pop_SBR(Pop):
    """Scores an item by how many retained training examples it is the target of; asked exactly what session models are.

    ERASE's Pop_SBR counts an item at most once a batch, and is asked other questions than the session models.
    """

    type = ModelType.SEQUENTIAL
    trims = True
    trainable = False

    def rebuild(self, dataset: Dataset) -> None:
        """Count the targets of the retained training examples."""
        counts = np.bincount(dataset.log.item[dataset.train_examples()], minlength=self.n_items)
        self.item_cnt = torch.from_numpy(counts).unsqueeze(1).to(self.item_cnt.device)
