"""Random: scores without any information."""

import torch
from torch import nn

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.utils import InputType, ModelType, keyed


class Random(GeneralRecommender):
    """Scores each (user, item) pair by a hash of seed, user id and item id, so that evaluations are repeatable.

    RecBole's Random draws one score vector per batch, which all users of the batch share.
    """

    type = ModelType.TRADITIONAL
    input_type = InputType.POINTWISE
    rebuild_changes_scores = False

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.fake_loss = nn.Parameter(torch.zeros(1))
        self.key = keyed.key(config["seed"], "random")

    def rebuild(self, dataset: Dataset) -> None:
        """Do nothing: the model derives nothing from the data."""

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return a scalar zero; there is nothing to learn."""
        return self.fake_loss.sum() * 0

    def _hash(self, user: torch.Tensor, item: torch.Tensor) -> torch.Tensor:
        return keyed.uniform(self.key, user, item).float()

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of (user, item) pairs, float [batch] in [0, 1)."""
        return self._hash(interaction[self.USER_ID], interaction[self.ITEM_ID])

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items] in [0, 1)."""
        user = interaction[self.USER_ID].unsqueeze(1)
        return self._hash(user, torch.arange(self.n_items, device=user.device))
