"""SpectralCF: spectral convolution on the interaction graph."""

from functools import partial

import torch
from torch import nn

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.graph import propagate
from recbole.model.graph_recommender import GraphRecommender
from recbole.model.init import xavier_uniform_initialization
from recbole.model.loss import BPRLoss, EmbLoss
from recbole.model.present import map_present, present_users


class SpectralCF(GraphRecommender):
    """Graph convolutions ``X <- sigmoid((I + L) X W)`` with ``L = I - D^-1 A``; embeddings are the concatenated layers.

    L. Zheng et al., "Spectral Collaborative Filtering", RecSys 2018 (equation numbers not checked). As in RecBole the
    paper's ``U U^T`` and ``U Lambda U^T`` are replaced by the identity and the Laplacian, which needs no eigenvectors.
    The regulariser is RecBole's: the unsquared norms of the final embeddings.
    """

    loss_of_examples = False

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.n_layers = config["n_layers"]
        self.reg_weight = config["reg_weight"]
        size = (self.embedding_size, self.embedding_size)
        self.filters = nn.ParameterList(nn.Parameter(torch.normal(0.01, 0.02, size)) for _ in range(self.n_layers))
        self.mf_loss = BPRLoss()
        self.reg_loss = EmbLoss()
        self.apply(xavier_uniform_initialization)

    def rebuild(self, dataset: Dataset) -> None:
        """Build the graph of the retained training pairs."""
        super().rebuild(dataset)
        dtype = self.user_embedding.weight.dtype
        self.norm_adj_matrix = self.graph.adjacency(power=0, dtype=dtype)
        users = present_users(dataset, self.device)
        items = torch.arange(self.n_users, self.graph.n_nodes, device=self.device)
        self.present = torch.cat([users, items])
        self.inverse_degrees = (1 / self.graph.degrees()).to(dtype).unsqueeze(1)

    def forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the embeddings ``(users, items)``, float [n_users or n_items, (n_layers + 1) * d]."""
        layers = [self.get_ego_embeddings()]
        for weight in self.filters:
            layer = layers[-1]
            neighbours = self.inverse_degrees * propagate(self.norm_adj_matrix, layer)
            filtered = map_present(partial(torch.matmul, other=weight), 2 * layer - neighbours, self.present)
            layers.append(torch.sigmoid(filtered))
        return self.split(torch.cat(layers, dim=1))

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the mean BPR loss plus ``reg_weight`` times the norms of the batch's final embeddings, a scalar."""
        u, p, n = self.gathered(*self.forward(), interaction)
        loss = self.mf_loss((u * p).sum(dim=1), (u * n).sum(dim=1))
        return loss + self.reg_weight * self.reg_loss(u, p, n)
