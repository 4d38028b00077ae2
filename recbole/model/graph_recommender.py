"""What models share that embed users and items by their place in the interaction graph."""

import torch
from torch import nn

from recbole.model.abstract_recommender import GeneralRecommender
from recbole.model.graph import InteractionGraph, propagate
from recbole.utils import InputType


class GraphRecommender(GeneralRecommender):
    """Two embedding tables and the graph of the retained *training* pairs; scores are inner products.

    A subclass defines :meth:`forward` and ``calculate_loss``.

    Attributes:
        graph: :class:`~recbole.model.graph.InteractionGraph`.
        norm_adj_matrix: its normalised adjacency, sparse CSR [n_users + n_items, n_users + n_items].
    """

    input_type = InputType.PAIRWISE
    selective = ("user_embedding.weight",)
    batch_free = ("forward",)

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.embedding_size = config["embedding_size"]
        self.user_embedding = nn.Embedding(self.n_users, self.embedding_size)
        self.item_embedding = nn.Embedding(self.n_items, self.embedding_size)
        self.rebuild(dataset)

    @property
    def reach(self):
        """An edge that leaves changes what is ``n_layers`` propagations away."""
        return self.n_layers

    def rebuild(self, dataset):
        """Build the graph of the retained training pairs."""
        self.graph = InteractionGraph(dataset, self.device)
        self.norm_adj_matrix = self.graph.adjacency(dtype=self.user_embedding.weight.dtype)
        self._cache = None

    def forward(self):
        """Return what scores are made of: ``(users [n_users, d], items [n_items, d])``."""
        raise NotImplementedError

    def get_ego_embeddings(self):
        """Return the parameters, users above items: [n_users + n_items, d]."""
        return torch.cat([self.user_embedding.weight, self.item_embedding.weight])

    def layer_mean(self, matrices):
        """Return the mean of the parameters and of each propagation of them, ``(users, items)``.

        Args:
            matrices: the symmetric matrix of each propagation in turn.
        """
        layer = total = self.get_ego_embeddings()
        for matrix in matrices:
            layer = propagate(matrix, layer)
            total = total + layer
        return self.split(total / (len(matrices) + 1))

    def split(self, nodes):
        """Cut [n_users + n_items, d] into users and items."""
        return torch.split(nodes, [self.n_users, self.n_items])

    def egos(self, interaction):
        """Return the parameters of a batch's users, items and negative items, each [batch, d]."""
        return self.gathered(self.user_embedding.weight, self.item_embedding.weight, interaction)

    def gathered(self, users, items, interaction):
        """Return the rows of two tables for a batch's users, items and negative items, each [batch, d].

        By ``index_select``, here and in other models: its second derivatives take a sixth of an index's.
        """
        sides = (users, self.USER_ID), (items, self.ITEM_ID), (items, self.NEG_ITEM_ID)
        return tuple(nodes.index_select(0, interaction[field]) for nodes, field in sides)

    def representations(self):
        """Return :meth:`forward`; without gradients, computed once for each state of the parameters and the graph.

        The sums see writes through ``.data``, which the version counters miss.
        """
        if torch.is_grad_enabled():
            return self.forward()
        key = [(p.data_ptr(), p._version, float(p.sum(dtype=torch.float64))) for p in self.parameters()]
        if self._cache is None or self._cache[0] != key or self._cache[1] is not self.norm_adj_matrix:
            self._cache = (key, self.norm_adj_matrix, self.forward())
        return self._cache[2]

    def train(self, mode=True):
        """Set the mode and drop the cached embeddings."""
        self._cache = None
        return super().train(mode)

    def predict(self, interaction):
        """Return the scores [batch] of (user, item) pairs."""
        users, items = self.representations()
        return (users[interaction[self.USER_ID]] * items[interaction[self.ITEM_ID]]).sum(dim=1)

    def full_sort_predict(self, interaction):
        """Return the scores [batch, n_items]."""
        users, items = self.representations()
        return users[interaction[self.USER_ID]] @ items.T
