"""Pop: the most popular items."""

import numpy as np
import torch
from torch import nn

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType, ModelType


class Pop(GeneralRecommender):
    """Scores an item by its number of retained training interactions.

    RecBole's Pop counts an item at most once per batch, because it assigns instead of accumulating the counts.
    """

    type = ModelType.TRADITIONAL
    input_type = InputType.POINTWISE
    item_cnt: torch.Tensor

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.fake_loss = nn.Parameter(torch.zeros(1))
        self.register_buffer("item_cnt", torch.zeros(self.n_items, 1, dtype=torch.int64))
        self.rebuild(dataset)

    def rebuild(self, dataset: Dataset) -> None:
        """Count the retained training interactions of each item."""
        counts = np.bincount(dataset.log.item[dataset.train_rows], minlength=self.n_items)
        self.item_cnt = torch.from_numpy(counts).unsqueeze(1).to(self.item_cnt.device)

    def learned(self) -> list[torch.Tensor]:
        """Return a list with the item counts, int64 [n_items, 1]."""
        return [self.item_cnt]

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return a scalar zero; items are counted when the model is built."""
        return self.fake_loss.sum() * 0

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the items' counts divided by the largest count, float [batch]."""
        return self._scores()[interaction[self.ITEM_ID]]

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items], equal for all users."""
        return self._scores().expand(len(interaction), -1)

    def _scores(self) -> torch.Tensor:
        counts = self.item_cnt.squeeze(1).to(torch.float32)
        return counts / counts.max().clamp_min(1)
