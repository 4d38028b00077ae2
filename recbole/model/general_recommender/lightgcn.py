"""LightGCN: graph convolution without weights and nonlinearities."""

import torch

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.graph_recommender import GraphRecommender
from recbole.model.init import xavier_uniform_initialization
from recbole.model.loss import BPRLoss, EmbLoss


class LightGCN(GraphRecommender):
    """Embeddings propagated ``n_layers`` times over the normalised graph and averaged, trained with the BPR loss.

    X. He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation", SIGIR 2020
    (equation numbers not checked). The graph consists of the retained *training* pairs. The regulariser is RecBole's
    (:class:`~recbole.model.loss.EmbLoss`), whose norms are squared only with ``require_pow``.
    """

    loss_of_examples = False

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.n_layers = config["n_layers"]
        self.reg_weight = config["reg_weight"]
        self.require_pow = config["require_pow"]
        self.mf_loss = BPRLoss()
        self.reg_loss = EmbLoss()
        self.apply(xavier_uniform_initialization)

    def forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the propagated embeddings ``(users [n_users, d], items [n_items, d])``."""
        return self.layer_mean([self.norm_adj_matrix] * self.n_layers)

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the mean BPR loss plus ``reg_weight`` times the regulariser of the batch's embedding parameters."""
        u, p, n = self.gathered(*self.forward(), interaction)
        loss = self.mf_loss((u * p).sum(dim=1), (u * n).sum(dim=1))
        return loss + self.reg_weight * self.reg_loss(*self.egos(interaction), require_pow=self.require_pow)
