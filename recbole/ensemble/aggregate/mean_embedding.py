"""The mean of the vectors: RecEraser's MeanAgg, and what some publications call SISA."""

import torch

from recbole.ensemble.aggregate.base import OfVectors


class MeanEmbedding(OfVectors):
    """A user's, and an item's, vector is the mean of what the shards' models have; scores are inner products.

    Other than the mean of the scores it multiplies vectors of different shards, that were never fitted to each other.
    """

    name = "mean_embedding"

    def combined(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the means, [n_users, d] and [n_items, d]."""
        users, items = zip(*self.pairs, strict=True)
        return torch.stack(users).mean(dim=0), torch.stack(items).mean(dim=0)
