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

    S. Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009. As in the paper, the loss
    of an example (user, item, negative item) contains ``reg_weight`` / 2 times the squared norms of its three factor
    vectors. By default ``reg_weight`` is null and the loss does not contain them, as in RecBole, where the only
    regulariser is the optimiser's ``weight_decay``, which applies to all rows in every step.
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
        """Return the factor vectors of users, float [batch, d], for user ids (int64 [batch])."""
        return self.user_embedding.weight.index_select(0, user)  # backward takes a third of nn.Embedding's time

    def get_item_embedding(self, item: torch.Tensor) -> torch.Tensor:
        """Return the factor vectors of items, float [batch, d], for item ids (int64 [batch])."""
        return self.item_embedding.weight.index_select(0, item)

    def forward(self, user: torch.Tensor, item: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the factor vectors of users and of items, each float [batch, d], for ids (int64 [batch])."""
        return self.get_user_embedding(user), self.get_item_embedding(item)

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the mean loss over the batch's (user, item, negative item) triples, a scalar."""
        return self.loss_of(self.outputs(interaction), interaction)

    def outputs(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of the positive and of the negative item, float [batch, 2].

        With ``reg_weight``, the factor vectors of user, positive and negative item, multiplied by the square root of
        ``reg_weight``, are appended: [batch, 2 + 3 d]. The regulariser is half the sum of their squares, so that the
        loss is a convex function of the result.
        """
        user, positive = self.forward(interaction[self.USER_ID], interaction[self.ITEM_ID])
        negative = self.get_item_embedding(interaction[self.NEG_ITEM_ID])
        scores = torch.stack([(user * positive).sum(dim=1), (user * negative).sum(dim=1)], dim=1)
        if not self.reg_weight:
            return scores
        return torch.cat([scores, math.sqrt(self.reg_weight) * torch.cat([user, positive, negative], dim=1)], dim=1)

    def loss_of(self, outputs: torch.Tensor, interaction: Interaction) -> torch.Tensor:
        """Return the mean loss over the batch, a scalar, given the result of :meth:`outputs`."""
        if not self.reg_weight:
            return self.loss(*outputs.unbind(dim=1))
        return self.loss(outputs[:, 0], outputs[:, 1]) + outputs[:, 2:].square().sum(dim=1).mean() / 2

    def vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the factor vectors of all users [n_users, d] and items [n_items, d]."""
        return self.user_embedding.weight, self.item_embedding.weight

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of the (user, item) pairs, float [batch]."""
        user, item = self.forward(interaction[self.USER_ID], interaction[self.ITEM_ID])
        return (user * item).sum(dim=1)

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items]."""
        return torch.matmul(self.get_user_embedding(interaction[self.USER_ID]), self.item_embedding.weight.T)
