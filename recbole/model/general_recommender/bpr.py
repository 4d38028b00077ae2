"""BPR: matrix factorisation with a pairwise loss."""

import math

import torch
from torch import nn

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.model.init import xavier_normal_initialization
from recbole.model.loss import BPRLoss
from recbole.utils import InputType


class BPR(GeneralRecommender):
    """Matrix factorisation, ``score = u . i``, trained with the pairwise BPR loss.

    S. Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009. As in the paper, an example
    (user, item, negative item) can add ``reg_weight`` / 2 times the squared norms of its three factor vectors to the
    loss. By default it does not, as in RecBole, where only ``weight_decay`` regularises, and that in all rows.
    """

    input_type = InputType.PAIRWISE
    rebuild_changes_scores = False
    selective = ("user_embedding.weight",)

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.embedding_size = config["embedding_size"]
        self.reg_weight = config["reg_weight"] or 0.0
        self.user_embedding = nn.Embedding(self.n_users, self.embedding_size)
        self.item_embedding = nn.Embedding(self.n_items, self.embedding_size)
        self.loss = BPRLoss()
        self.row_tables = {
            "user_embedding.weight": (self.USER_ID,),
            "item_embedding.weight": (self.ITEM_ID, self.NEG_ITEM_ID),
        }
        self.apply(xavier_normal_initialization)

    def rebuild(self, dataset: Dataset) -> None:
        """Do nothing: the model derives nothing from the data."""

    def get_user_embedding(self, user: torch.Tensor) -> torch.Tensor:
        """Return the factors [batch, d] for user ids, int64 [batch]."""
        return self.user_embedding.weight.index_select(0, user)  # its backward pass takes a third of nn.Embedding's

    def get_item_embedding(self, item: torch.Tensor) -> torch.Tensor:
        """Return the factors [batch, d] for item ids, int64 [batch]."""
        return self.item_embedding.weight.index_select(0, item)

    def forward(self, user: torch.Tensor, item: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the factors of users and of items, each [batch, d]."""
        return self.get_user_embedding(user), self.get_item_embedding(item)

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the mean loss over (user, item, negative item)."""
        return self.loss_of(self.outputs(interaction), interaction)

    def outputs(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of the positive and of the negative item, [batch, 2].

        With ``reg_weight``, the factors of user, positive and negative item, multiplied by its square root, are
        appended: [batch, 2 + 3 d]. The regulariser is then half the sum of their squares, a convex function of them.
        """
        user, positive = self.forward(interaction[self.USER_ID], interaction[self.ITEM_ID])
        negative = self.get_item_embedding(interaction[self.NEG_ITEM_ID])
        scores = torch.stack([(user * positive).sum(dim=1), (user * negative).sum(dim=1)], dim=1)
        if not self.reg_weight:
            return scores
        return torch.cat([scores, math.sqrt(self.reg_weight) * torch.cat([user, positive, negative], dim=1)], dim=1)

    def loss_of(self, outputs: torch.Tensor, interaction: Interaction) -> torch.Tensor:
        """Return the mean loss, a scalar, given the result of :meth:`outputs`."""
        if not self.reg_weight:
            return self.loss(*outputs.unbind(dim=1))
        return self.loss(outputs[:, 0], outputs[:, 1]) + outputs[:, 2:].square().sum(dim=1).mean() / 2

    def vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the factors of all users [n_users, d] and items [n_items, d]."""
        return self.user_embedding.weight, self.item_embedding.weight

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of the (user, item) pairs, float [batch]."""
        user, item = self.forward(interaction[self.USER_ID], interaction[self.ITEM_ID])
        return (user * item).sum(dim=1)

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items]."""
        return torch.matmul(self.get_user_embedding(interaction[self.USER_ID]), self.item_embedding.weight.T)
