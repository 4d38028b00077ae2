"""SISA's aggregation: the mean of the shards' scores."""

from collections.abc import Iterator

import torch

from recbole.data import Interaction
from recbole.ensemble.aggregate.base import Aggregator


class Mean(Aggregator):
    """The mean of the shards' scores, as in SISA. With a single shard the scores are bit-identical to its model's."""

    name = "mean"

    def scores(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items]."""
        parts = (model.full_sort_predict(interaction).view(len(interaction), -1) for model in self.models)
        return self._mean(parts)

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores, float [batch], of (user or sequence, item) pairs."""
        return self._mean(model.predict(interaction) for model in self.models)

    def _mean(self, parts: Iterator[torch.Tensor]) -> torch.Tensor:
        """Return the mean of the scores of the shards with training examples.

        Args:
            parts: the scores by each shard's model, all of the same shape.
        """
        total = next(parts).clone()
        for part in parts:
            total += part
        return total / len(self.members)
