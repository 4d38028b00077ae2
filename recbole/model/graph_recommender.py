"""Base class of models that propagate user and item embeddings over the interaction graph."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from torch import nn

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.model.graph import InteractionGraph, propagate
from recbole.model.user_views import UserView
from recbole.utils import InputType

_Cached = tuple[list[tuple[int, int, float]], torch.Tensor, tuple[torch.Tensor, torch.Tensor]]
"""Cached embeddings: a key (address, version and sum of each parameter), the adjacency matrix, and the embeddings."""


class GraphRecommender(GeneralRecommender, ABC):
    """A model with two embedding tables and the graph of the retained *training* pairs; scores are inner products.

    A subclass defines :meth:`forward` and ``calculate_loss``.

    Attributes:
        graph: :class:`~recbole.model.graph.InteractionGraph` of the retained training interactions.
        norm_adj_matrix: normalised adjacency matrix of the graph, sparse CSR [n_users + n_items, n_users + n_items].
    """

    input_type = InputType.PAIRWISE
    selective = ("user_embedding.weight",)
    batch_free: tuple[str, ...] = ("forward",)
    n_layers: int
    graph: InteractionGraph
    _left: np.ndarray | None = None  # during rebuild_without, its argument ``rows``

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.embedding_size = config["embedding_size"]
        self.user_embedding = nn.Embedding(self.n_users, self.embedding_size)
        self.item_embedding = nn.Embedding(self.n_items, self.embedding_size)
        self.rebuild(dataset)

    @property
    def reach(self) -> float:  # type: ignore[override]  # it is only read
        """``n_layers``: removing an edge changes the embeddings of nodes up to this many edges away."""
        return self.n_layers

    def rebuild(self, dataset: Dataset) -> None:
        """Build the graph of the retained training pairs and its adjacency matrix.

        If :meth:`rebuild_without` calls this method, edges are removed from the current graph instead.
        """
        rows, self._left = self._left, None
        self.graph = InteractionGraph(dataset, self.device) if rows is None else self.graph.without(dataset, rows)
        self.norm_adj_matrix = self.graph.adjacency(dtype=self.user_embedding.weight.dtype)
        self._cache: _Cached | None = None

    def rebuild_without(self, dataset: Dataset, rows: np.ndarray) -> None:
        """Remove the edges of newly forgotten interactions from the graph, and update what depends on it.

        See :meth:`AbstractRecommender.rebuild_without`.
        """
        self._left = rows
        try:
            self.rebuild(dataset)
        finally:
            self._left = None

    def reads(self) -> dict[str, tuple[str, ...]]:
        """Return both embedding tables with the batch fields of their row ids (see :meth:`AbstractRecommender.reads`).

        A node without examples has no edges, so no propagation passes its row on to other nodes. A subclass whose loss
        reads further rows, such as the negatives of a contrastive loss, overrides this method or ``candidates``.
        """
        items = (self.ITEM_ID, self.NEG_ITEM_ID)
        return {"user_embedding.weight": (self.USER_ID,), "item_embedding.weight": items}

    @abstractmethod
    def forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the embeddings whose inner products are the scores: ``(users [n_users, d], items [n_items, d])``."""

    def get_ego_embeddings(self) -> torch.Tensor:
        """Return the embedding parameters before propagation, users then items: float [n_users + n_items, d]."""
        return torch.cat([self.user_embedding.weight, self.item_embedding.weight])

    def layer_mean(self, matrices: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Propagate the embedding parameters, and return the mean of the parameters and of all propagated embeddings.

        Args:
            matrices: for each propagation in turn, the symmetric matrix to multiply by.

        Returns:
            ``(users [n_users, d], items [n_items, d])``.
        """
        layer = total = self.get_ego_embeddings()
        for matrix in matrices:
            layer = propagate(matrix, layer)
            total = total + layer
        return self.split(total / (len(matrices) + 1))

    def split(self, nodes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Split a matrix [n_users + n_items, d] into users [n_users, d] and items [n_items, d]."""
        users, items = torch.split(nodes, [self.n_users, self.n_items])
        return users, items

    def egos(self, interaction: Interaction) -> tuple[torch.Tensor, ...]:
        """Return the embeddings before propagation of a batch's users, items and negative items, each [batch, d]."""
        return self.gathered(self.user_embedding.weight, self.item_embedding.weight, interaction)

    def gathered(self, users: torch.Tensor, items: torch.Tensor, interaction: Interaction) -> tuple[torch.Tensor, ...]:
        """Return the rows of two tables for a batch's users, items and negative items, each [batch, d].

        ``index_select`` is used because its second derivatives take a sixth of the time of indexing with ``[]``.
        """
        sides = (users, self.USER_ID), (items, self.ITEM_ID), (items, self.NEG_ITEM_ID)
        return tuple(nodes.index_select(0, interaction[field]) for nodes, field in sides)

    def representations(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ``(users, items)``, the result of :meth:`forward`, which is cached if gradients are disabled.

        The cached result is used until the parameters or the graph change. Parameters are compared by their sums too,
        because writing to ``.data`` does not change version counters.
        """
        if torch.is_grad_enabled():
            return self.forward()
        key = [(p.data_ptr(), p._version, float(p.sum(dtype=torch.float64))) for p in self.parameters()]
        if self._cache is None or self._cache[0] != key or self._cache[1] is not self.norm_adj_matrix:
            self._cache = (key, self.norm_adj_matrix, self.forward())
        return self._cache[2]

    def vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the embeddings of :meth:`representations`: users [n_users, d] and items [n_items, d]."""
        return self.representations()

    def user_views(self, dataset: Dataset | None = None) -> dict[str, UserView]:
        """Return the :class:`UserView` ``table``, the user table, and ``propagated``, the users of :meth:`forward`."""
        propagated = UserView(lambda: self.forward()[0], ("user_embedding.weight",), table=False)
        return super().user_views(dataset) | {"propagated": propagated}

    def train(self, mode: bool = True) -> Self:
        """Set training or evaluation mode, and drop the cached embeddings."""
        self._cache = None
        return super().train(mode)

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of the (user, item) pairs, float [batch]."""
        users, items = self.representations()
        return (users[interaction[self.USER_ID]] * items[interaction[self.ITEM_ID]]).sum(dim=1)

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items]."""
        users, items = self.representations()
        return users[interaction[self.USER_ID]] @ items.T
