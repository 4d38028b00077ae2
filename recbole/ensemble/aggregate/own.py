"""No aggregation: a user's scores come from the model of the user's own shard."""

from collections.abc import Callable, Sequence

import torch

from recbole.config import Config
from recbole.data import Interaction
from recbole.ensemble.aggregate.base import Aggregator
from recbole.model.abstract_recommender import AbstractRecommender, GeneralRecommender
from recbole.utils import UserError


class Own(Aggregator):
    """Scores items for a user with the model of the user's own shard alone, without any combination.

    The user's own shard is the one with the user's rows. The method is not from a publication. It is a reference for
    aggregations of partitions that divide users, where the other shards' models are not trained on the user's rows. It
    needs no training, and a request changes only the scores of users in the shards that the request affects.
    """

    name = "own"
    of_users = True
    user_shard: torch.Tensor

    def __init__(self, config: Config, shards: Sequence[AbstractRecommender]) -> None:
        super().__init__(config, shards)
        self.user = config["USER_ID_FIELD"]

    @classmethod
    def refuse(cls, model: AbstractRecommender) -> None:
        """Check that the model scores items for users who are given by an id.

        Args:
            model: the model of a shard, trained or not.

        Raises:
            UserError: the model is a session or basket model.
        """
        if not isinstance(model, GeneralRecommender):
            raise UserError(
                f"--aggregate own needs a model that scores items for user ids, but {type(model).__name__} does not; "
                "use --aggregate mean"
            )

    def follow(self, members: Sequence[int], whole: AbstractRecommender | None, user_shard: torch.Tensor) -> None:
        """Update ``members`` and the shard of each user.

        Args:
            members: numbers of the shards with training examples, ascending.
            whole: not used.
            user_shard: int64 [n_users], the shard of each user's rows.
        """
        super().follow(members, whole, user_shard)
        self.user_shard = user_shard

    def scores(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items]."""
        return self._by_shard(interaction, lambda model, part: model.full_sort_predict(part).view(len(part), -1))

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores, float [batch], of (user, item) pairs."""
        return self._by_shard(interaction, lambda model, part: model.predict(part))

    def _by_shard(
        self, interaction: Interaction, score: Callable[[AbstractRecommender, Interaction], torch.Tensor]
    ) -> torch.Tensor:
        """Score each row of a batch with the model of its user's shard; return the scores in the order of the batch.

        Args:
            interaction: the batch.
            score: maps a model and a part of the batch to scores, float [part, ...].
        """
        shards = self.user_shard[interaction[self.user]]
        rows = [torch.nonzero(shards == shard)[:, 0] for shard in shards.unique().tolist()]
        parts = [score(self.shards[int(shards[at[0]])], interaction[at]) for at in rows]
        return torch.cat(parts)[torch.cat(rows).argsort()]
