"""UltraRE's aggregation: user embeddings from the user's own shard, item embeddings as the mean over shards."""

from collections.abc import Sequence

import torch

from recbole.ensemble.aggregate.base import OfVectors
from recbole.model.abstract_recommender import AbstractRecommender


class Merge(OfVectors):
    """Combines each user's embedding from the user's own shard with item embeddings averaged over the shards.

    The score of item i for user u is ``p_u(own shard) . mean_k q_i(k)``: the inner product of the user embedding in the
    shard with the user's rows, and the item embedding's mean over all shards k. Y. Li et al., "UltraRE: Enhancing
    RecEraser for Recommendation Unlearning via Error Decomposition", NeurIPS 2023 (equation numbers not checked). The
    paper copies each user's embedding from the own shard into all models and averages the models' scores, which gives
    the same result.
    """

    name = "merge"
    of_users = True
    user_shard: torch.Tensor

    def follow(self, members: Sequence[int], whole: AbstractRecommender | None, user_shard: torch.Tensor) -> None:
        """Update ``members`` and the shard of each user, and discard the combined embeddings.

        Args:
            members: numbers of the shards with training examples, ascending.
            whole: not used.
            user_shard: int64 [n_users], the shard of each user's rows.
        """
        super().follow(members, whole, user_shard)
        self.user_shard = user_shard

    def combined(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return user embeddings from the users' own shards and mean item embeddings.

        A user whose shard has no training examples has the initial embedding of that shard's model.

        Returns:
            User embeddings, float [n_users, d], and item embeddings, float [n_items, d].
        """
        every = [model.vectors() for model in self.shards]  # type: ignore[operator]  # see refuse()
        users = torch.stack([users for users, _ in every])
        items = torch.stack([items for _, items in self.pairs]).mean(dim=0)
        return users[self.user_shard, torch.arange(users.shape[1], device=users.device)], items
