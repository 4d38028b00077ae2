"""The mean of the shards' embeddings: RecEraser's MeanAgg, which some publications call SISA."""

import torch

from recbole.ensemble.aggregate.base import OfVectors


class MeanEmbedding(OfVectors):
    """Averages the embeddings of each user (and item) over the shards; scores are inner products of the means.

    Unlike the mean of the scores, this multiplies embeddings from different shards, which were never trained together.
    """

    name = "mean_embedding"

    def combined(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean user and item embeddings, float [n_users, d] and [n_items, d]."""
        users, items = zip(*self.pairs, strict=True)
        return torch.stack(users).mean(dim=0), torch.stack(items).mean(dim=0)
