"""BPR: matrix factorisation with a pairwise loss."""

import torch
from torch import nn

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.model.init import xavier_normal_initialization
from recbole.model.loss import BPRLoss
from recbole.utils import InputType


class BPR(GeneralRecommender):
    """Matrix factorisation, ``score = u . i``, trained with the pairwise BPR loss and, as in RecBole, no regulariser.

    S. Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009. The paper regularises the
    factors; here, as in RecBole, ``weight_decay`` does so.
    """

    input_type = InputType.PAIRWISE
    rebuild_changes_scores = False
    selective = ("user_embedding.weight",)

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.embedding_size = config["embedding_size"]
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
        """Return the mean BPR loss over (user, item, negative item)."""
        return self.loss_of(self.outputs(interaction), interaction)

    def outputs(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of the positive and of the negative item, [batch, 2]."""
        user, positive = self.forward(interaction[self.USER_ID], interaction[self.ITEM_ID])
        negative = self.get_item_embedding(interaction[self.NEG_ITEM_ID])
        return torch.stack([(user * positive).sum(dim=1), (user * negative).sum(dim=1)], dim=1)

    def loss_of(self, outputs: torch.Tensor, interaction: Interaction) -> torch.Tensor:
        """Return the mean BPR loss, given the scores of :meth:`outputs`."""
        return self.loss(*outputs.unbind(dim=1))

    def vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the factors of all users [n_users, d] and items [n_items, d]."""
        return self.user_embedding.weight, self.item_embedding.weight

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores [batch] of (user, item) pairs."""
        user, item = self.forward(interaction[self.USER_ID], interaction[self.ITEM_ID])
        return (user * item).sum(dim=1)

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores [batch, n_items]."""
        return torch.matmul(self.get_user_embedding(interaction[self.USER_ID]), self.item_embedding.weight.T)
