"""What models share that embed users and items by their place in the interaction graph."""

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
"""The state of the parameters, the adjacency, and the representations that they make."""


class GraphRecommender(GeneralRecommender, ABC):
    """Two embedding tables and the graph of the retained *training* pairs; scores are inner products.

    A subclass defines :meth:`forward` and ``calculate_loss``.

    Attributes:
        graph: :class:`~recbole.model.graph.InteractionGraph`.
        norm_adj_matrix: its normalised adjacency, sparse CSR [n_users + n_items, n_users + n_items].
    """

    input_type = InputType.PAIRWISE
    selective = ("user_embedding.weight",)
    batch_free: tuple[str, ...] = ("forward",)
    n_layers: int
    graph: InteractionGraph
    _left: np.ndarray | None = None  # the rows that leave, for a rebuild that knows of them

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.embedding_size = config["embedding_size"]
        self.user_embedding = nn.Embedding(self.n_users, self.embedding_size)
        self.item_embedding = nn.Embedding(self.n_items, self.embedding_size)
        self.rebuild(dataset)

    @property
    def reach(self) -> float:  # type: ignore[override]  # it is only read
        """An edge that leaves changes what is ``n_layers`` propagations away."""
        return self.n_layers

    def rebuild(self, dataset: Dataset) -> None:
        """Build the graph of the retained training pairs; in :meth:`rebuild_without`, from the one that is there."""
        rows, self._left = self._left, None
        self.graph = InteractionGraph(dataset, self.device) if rows is None else self.graph.without(dataset, rows)
        self.norm_adj_matrix = self.graph.adjacency(dtype=self.user_embedding.weight.dtype)
        self._cache: _Cached | None = None

    def rebuild_without(self, dataset: Dataset, rows: np.ndarray) -> None:
        """Take the edges of rows that were just forgotten out of the graph, and derive the rest by :meth:`rebuild`."""
        self._left = rows
        try:
            self.rebuild(dataset)
        finally:
            self._left = None

    def reads(self) -> dict[str, tuple[str, ...]]:
        """Return the fields of users and of items: a propagation reads a row by the edges of its own examples.

        A subclass whose loss reads others, as a contrast with everybody does, overrides it or ``candidates``.
        """
        items = (self.ITEM_ID, self.NEG_ITEM_ID)
        return {"user_embedding.weight": (self.USER_ID,), "item_embedding.weight": items}

    @abstractmethod
    def forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what scores are made of: ``(users [n_users, d], items [n_items, d])``."""

    def get_ego_embeddings(self) -> torch.Tensor:
        """Return the parameters, users above items: [n_users + n_items, d]."""
        return torch.cat([self.user_embedding.weight, self.item_embedding.weight])

    def layer_mean(self, matrices: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the mean of the parameters and of each propagation of them, ``(users, items)``.

        Args:
            matrices: the symmetric matrix of each propagation in turn.
        """
        layer = total = self.get_ego_embeddings()
        for matrix in matrices:
            layer = propagate(matrix, layer)
            total = total + layer
        return self.split(total / (len(matrices) + 1))

    def split(self, nodes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Cut [n_users + n_items, d] into users and items."""
        users, items = torch.split(nodes, [self.n_users, self.n_items])
        return users, items

    def egos(self, interaction: Interaction) -> tuple[torch.Tensor, ...]:
        """Return the parameters of a batch's users, items and negative items, each [batch, d]."""
        return self.gathered(self.user_embedding.weight, self.item_embedding.weight, interaction)

    def gathered(self, users: torch.Tensor, items: torch.Tensor, interaction: Interaction) -> tuple[torch.Tensor, ...]:
        """Return the rows of two tables for a batch's users, items and negative items, each [batch, d].

        By ``index_select``, here and in other models: its second derivatives take a sixth of an index's.
        """
        sides = (users, self.USER_ID), (items, self.ITEM_ID), (items, self.NEG_ITEM_ID)
        return tuple(nodes.index_select(0, interaction[field]) for nodes, field in sides)

    def representations(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return :meth:`forward`; without gradients, computed once for each state of the parameters and the graph.

        The sums see writes through ``.data``, which the version counters miss.
        """
        if torch.is_grad_enabled():
            return self.forward()
        key = [(p.data_ptr(), p._version, float(p.sum(dtype=torch.float64))) for p in self.parameters()]
        if self._cache is None or self._cache[0] != key or self._cache[1] is not self.norm_adj_matrix:
            self._cache = (key, self.norm_adj_matrix, self.forward())
        return self._cache[2]

    def vectors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the :meth:`representations`."""
        return self.representations()

    def user_views(self, dataset: Dataset | None = None) -> dict[str, UserView]:
        """Return ``table``, the parameters, and ``propagated``, what scores are made of."""
        propagated = UserView(lambda: self.forward()[0], ("user_embedding.weight",), table=False)
        return super().user_views(dataset) | {"propagated": propagated}

    def train(self, mode: bool = True) -> Self:
        """Set the mode and drop the cached embeddings."""
        self._cache = None
        return super().train(mode)

    def predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores [batch] of (user, item) pairs."""
        users, items = self.representations()
        return (users[interaction[self.USER_ID]] * items[interaction[self.ITEM_ID]]).sum(dim=1)

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores [batch, n_items]."""
        users, items = self.representations()
        return users[interaction[self.USER_ID]] @ items.T
