"""UltraRE's aggregation: a user's vector from the shard that holds the user, items' as the mean of all."""

from collections.abc import Sequence

import torch

from recbole.ensemble.aggregate.base import OfVectors
from recbole.model.abstract_recommender import AbstractRecommender


class Merge(OfVectors):
    """``y_ui = p_u(own shard) . mean_k q_i(k)``: only the items' vectors are an ensemble.

    Y. Li et al., "UltraRE: Enhancing RecEraser for Recommendation Unlearning via Error Decomposition", NeurIPS 2023
    (equation numbers not checked). There each user's row is copied from its own shard into all models, whose scores
    are averaged, which is the same.
    """

    name = "merge"
    of_users = True
    user_shard: torch.Tensor

    def follow(self, members: Sequence[int], whole: AbstractRecommender | None, user_shard: torch.Tensor) -> None:
        """Take up which shard holds which user, too."""
        super().follow(members, whole, user_shard)
        self.user_shard = user_shard

    def combined(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the users' own vectors, [n_users, d], and the mean of the items', [n_items, d].

        A user whose shard is empty has the vector that the shard's model started with.
        """
        every = [model.vectors() for model in self.shards]  # type: ignore[operator]  # refused without
        users = torch.stack([users for users, _ in every])
        items = torch.stack([items for _, items in self.pairs]).mean(dim=0)
        return users[self.user_shard, torch.arange(users.shape[1], device=users.device)], items
