"""LightGCN."""

import torch
from torch import nn

from recbole.model.abstract_recommender import GeneralRecommender
from recbole.model.graph import normalised_adjacency, propagate
from recbole.model.init import xavier_uniform_initialization
from recbole.model.loss import BPRLoss, EmbLoss
from recbole.utils import InputType


class LightGCN(GeneralRecommender):
    """Embeddings averaged over ``n_layers`` of propagation on the normalised graph, trained by BPR.

    X. He et al., "LightGCN: Simplifying and Powering Graph Convolution Network for Recommendation", SIGIR 2020
    (equation numbers not checked). The graph holds the retained *training* pairs. The regulariser is RecBole's
    (:class:`~recbole.model.loss.EmbLoss`): norms that are not squared unless ``require_pow``.
    """

    input_type = InputType.PAIRWISE
    selective = ("user_embedding.weight",)

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.latent_dim = config["embedding_size"]
        self.n_layers = config["n_layers"]
        self.reg_weight = config["reg_weight"]
        self.require_pow = config["require_pow"]
        self.user_embedding = nn.Embedding(self.n_users, self.latent_dim)
        self.item_embedding = nn.Embedding(self.n_items, self.latent_dim)
        self.mf_loss = BPRLoss()
        self.reg_loss = EmbLoss()
        self.rebuild(dataset)
        self.apply(xavier_uniform_initialization)

    def rebuild(self, dataset):
        """Build the graph of the retained training pairs."""
        self.norm_adj_matrix = normalised_adjacency(dataset).to(self.device)
        self._cache = None

    def get_ego_embeddings(self):
        """Return the parameters, users above items: [n_users + n_items, d]."""
        return torch.cat([self.user_embedding.weight, self.item_embedding.weight])

    def forward(self):
        """Return the propagated embeddings ``(users [n_users, d], items [n_items, d])``."""
        layer = self.get_ego_embeddings()
        total = layer
        for _ in range(self.n_layers):
            layer = propagate(self.norm_adj_matrix.to(layer.dtype), layer)
            total = total + layer
        return torch.split(total / (self.n_layers + 1), [self.n_users, self.n_items])

    def calculate_loss(self, interaction):
        """Return the mean BPR loss plus ``reg_weight`` times the norms of the batch's parameters."""
        user, positive, negative = (interaction[f] for f in (self.USER_ID, self.ITEM_ID, self.NEG_ITEM_ID))
        users, items = self.forward()
        u, p, n = users[user], items[positive], items[negative]
        loss = self.mf_loss((u * p).sum(dim=1), (u * n).sum(dim=1))
        egos = self.user_embedding(user), self.item_embedding(positive), self.item_embedding(negative)
        return loss + self.reg_weight * self.reg_loss(*egos, require_pow=self.require_pow)

    def _propagated(self):
        """Return :meth:`forward`, computed once for each state of the parameters and the graph."""
        key = (self.user_embedding.weight._version, self.item_embedding.weight._version, id(self.norm_adj_matrix))
        if self._cache is None or self._cache[0] != key:
            self._cache = (key, [part.detach() for part in self.forward()])
        return self._cache[1]

    def train(self, mode=True):
        """Set the mode and drop the cached embeddings."""
        self._cache = None
        return super().train(mode)

    def predict(self, interaction):
        """Return the scores [batch] of (user, item) pairs."""
        users, items = self._propagated()
        return (users[interaction[self.USER_ID]] * items[interaction[self.ITEM_ID]]).sum(dim=1)

    def full_sort_predict(self, interaction):
        """Return the scores [batch, n_items]."""
        users, items = self._propagated()
        return users[interaction[self.USER_ID]] @ items.T
