"""GraphEraser's aggregation: one learned weight per shard."""

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
    """A weighted mean of the shards' scores: one weight per shard, non-negative, with sum 1, trained by BPR.

    This adapts LBAggr in M. Chen et al., "Graph Unlearning", CCS 2022 (equation numbers not checked) to recommendation.
    In the paper a shard's model gives class probabilities of a node. The weights minimise the cross-entropy of a
    softmax of the weighted sum of these probabilities (a second softmax), plus the norm of the weights. They are
    clamped at zero after each step, and divided by their sum after training.

    As in the paper, there is one weight per shard, non-negative, with sum 1. The weights are learned on retained
    training data, with the shards' models fixed, and the loss includes the norm of the weights (times
    ``aggregate_reg``, 1 by default as in the paper). Two things differ. Scores are not probabilities and a user has
    many positive items, so the loss is BPR, which ranks a retained training item above a negative. And the weights are
    a softmax of unconstrained parameters at every step. The BPR loss falls as the sum of the weights grows. Weights
    that are normalised only after training would therefore be used at another scale than the one at which they were
    learned.

    With partitions by user, only the model of a user's own shard was trained on the user's rows. The BPR loss alone
    would put all weight on the shards with the most rows and leave all other users with arbitrary scores. The norm,
    which is smallest for equal weights, prevents this.

    Attributes:
        logits: float [shards], the parameters whose softmax are the weights.
    """

    name = "static"
    input_type = InputType.PAIRWISE

    def __init__(self, config: Config, shards: Sequence[AbstractRecommender]) -> None:
        super().__init__(config, shards)
        self.logits = nn.Parameter(torch.zeros(len(shards), device=config["device"]))
        self.item, self.negative = config["ITEM_ID_FIELD"], config["NEG_PREFIX"] + config["ITEM_ID_FIELD"]
        self.bpr, self.reg = BPRLoss(), config["aggregate_reg"]

    @classmethod
    def refuse(cls, model: AbstractRecommender) -> None:
        """Check that the model is trained on (user, item) pairs with negatives per user.

        Args:
            model: the model of a shard, trained or not.

        Raises:
            UserError: the model is a session or basket model.
        """
        if not isinstance(model, GeneralRecommender):
            raise UserError(
                f"--aggregate static learns from (user, item) pairs, but {type(model).__name__} does not; "
                "use --ensemble sisa"
            )

    def weights(self) -> torch.Tensor:
        """Return the weights of the shards with training examples, float [len(members)]; they sum to one."""
        return self.logits[torch.tensor(self.members, device=self.logits.device)].softmax(dim=0)

    def scores(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items]."""
        total = torch.zeros((), device=self.logits.device)
        for weight, model in zip(self.weights(), self.models, strict=True):
            total = total + weight * model.full_sort_predict(interaction).view(len(interaction), -1)
        return total

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores, float [batch], of (user, item) pairs, differentiable with respect to the weights."""
        with torch.no_grad():
            parts = torch.stack([model.predict(interaction) for model in self.models])
        return self.weights() @ parts

    def loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the mean BPR loss of (user, item, negative) rows plus ``aggregate_reg`` |weights|, a scalar."""
        negatives = Interaction({**interaction.interaction, self.item: interaction[self.negative]})
        bpr = self.bpr(self.predict(interaction), self.predict(negatives))
        return bpr + self.reg * self.weights().norm()
