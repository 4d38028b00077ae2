"""GraphEraser's aggregation: one learned weight a shard."""

from collections.abc import Sequence

import torch
from torch import nn

from recbole.config import Config
from recbole.data import Interaction
from recbole.ensemble.aggregate.base import Aggregator
from recbole.model.abstract_recommender import AbstractRecommender, GeneralRecommender
from recbole.model.loss import BPRLoss
from recbole.utils import InputType, UserError


class Static(Aggregator):
    """Scores are the mean of the shards' models' scores by weights on the simplex, trained by the BPR loss.

    LBAggr of M. Chen et al., "Graph Unlearning", CCS 2022 (equation numbers not checked), carried over to
    recommendation. There a shard's model gives the probabilities of a node's classes, and the weights minimise the
    cross-entropy of a softmax of their weighted sum (a second softmax, of probabilities), plus their length; they are
    clamped at zero after each step, and divided by their sum in the end. What is kept is what it does: one weight a
    shard, none below zero, together one, learned on retained training data with all else frozen. The rest has no
    meaning here. Scores are not probabilities, and a user has many right items, so the loss is that of putting a
    retained training item above a negative. The ranking does not depend on the sum of the weights, but that loss falls
    with it: weights that are divided only in the end would be learned at another scale than they are used at. So they
    are a softmax of free numbers at every step. The length is left out: with a sum of one it is least where they start,
    at the plain mean, from which nothing moves them but the loss.
    """

    name = "static"
    input_type = InputType.PAIRWISE

    def __init__(self, config: Config, shards: Sequence[AbstractRecommender]) -> None:
        super().__init__(config, shards)
        self.logits = nn.Parameter(torch.zeros(len(shards), device=config["device"]))
        self.item, self.negative = config["ITEM_ID_FIELD"], config["NEG_PREFIX"] + config["ITEM_ID_FIELD"]
        self.bpr = BPRLoss()

    @classmethod
    def refuse(cls, model: AbstractRecommender) -> None:
        """Refuse sessions and baskets, whose training draws no negatives for a person."""
        if not isinstance(model, GeneralRecommender):
            raise UserError(
                f"--aggregate static learns from pairs of a user and an item, and {type(model).__name__} is no model "
                "of such; --ensemble sisa takes it"
            )

    def weights(self) -> torch.Tensor:
        """Return the weights of the models that take part; they sum to one."""
        return self.logits[torch.tensor(self.members, device=self.logits.device)].softmax(dim=0)

    def scores(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of every item, [batch, n_items]."""
        total = torch.zeros((), device=self.logits.device)
        for weight, model in zip(self.weights(), self.models, strict=True):
            total = total + weight * model.full_sort_predict(interaction).view(len(interaction), -1)
        return total

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores [batch] of (user, item) pairs, differentiable by the weights."""
        with torch.no_grad():
            parts = torch.stack([model.predict(interaction) for model in self.models])
        return self.weights() @ parts

    def loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the mean BPR loss over (user, item, negative item)."""
        negatives = Interaction({**interaction.interaction, self.item: interaction[self.negative]})
        return self.bpr(self.predict(interaction), self.predict(negatives))
