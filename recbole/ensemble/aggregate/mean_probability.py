"""The aggregation of SISA's paper for classifiers: the mean of the shards' predicted probabilities."""

import math
from collections.abc import Sequence

import torch

from recbole.config import Config
from recbole.data import Interaction
from recbole.ensemble.aggregate.base import Aggregator
from recbole.model.abstract_recommender import AbstractRecommender


class MeanProbability(Aggregator):
    """The logarithm of the mean, over shards, of the probabilities that the shards' models give to an item.

    The score is ``y_ui = log (1/K sum_k p_k(i))``, where ``p_k`` is the softmax of shard k's scores over all items. L.
    Bourtoule et al., "Machine Unlearning", S&P 2021, average the prediction vectors of the shards' classifiers. Unlike
    with the mean of scores (``mean``), a shard that is sure of an item can outweigh shards that are not. Scores are
    logarithms, so that their softmax is the mean probability.
    """

    name = "mean_probability"

    def __init__(self, config: Config, shards: Sequence[AbstractRecommender]) -> None:
        super().__init__(config, shards)
        self.item = config["ITEM_ID_FIELD"]

    def scores(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items]; the padding item 0 gets its row's lowest score."""
        first, *others = self.models
        total = self._log_probabilities(first, interaction)
        for model in others:
            total = torch.logaddexp(total, self._log_probabilities(model, interaction))
        total = total - math.log(len(self.members))
        return torch.cat([total.amin(dim=1, keepdim=True), total], dim=1)

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores, float [batch], of (user or sequence, item) pairs."""
        return self.scores(interaction).gather(1, interaction[self.item][:, None])[:, 0]

    @staticmethod
    def _log_probabilities(model: AbstractRecommender, interaction: Interaction) -> torch.Tensor:
        """Return a model's log probabilities, float [batch, n_items - 1], of all items except for the padding 0."""
        return model.full_sort_predict(interaction).view(len(interaction), -1)[:, 1:].log_softmax(dim=1)
