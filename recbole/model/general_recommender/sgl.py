"""SGL: LightGCN with a contrastive loss between two subsampled graphs."""

import torch
from torch.nn import functional as F

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.contrast import info_nce
from recbole.model.graph_recommender import GraphRecommender
from recbole.model.init import xavier_uniform_initialization
from recbole.model.loss import EmbLoss
from recbole.model.present import present_users, with_batch
from recbole.utils import UserError, keyed

VIEWS = ("ED", "ND", "RW")
"""The values of the setting ``type``: edge dropout, node dropout, and edge dropout anew in each layer."""


class SGL(GraphRecommender):
    """LightGCN with a contrastive loss between a node's embeddings in two views, copies of the graph with fewer edges.

    J. Wu et al., "Self-supervised Graph Learning for Recommendation", SIGIR 2021 (equation numbers not checked). The
    BPR and contrastive losses are sums over the batch; the regulariser is RecBole's
    (:class:`~recbole.model.loss.EmbLoss`). All other users (items), including the padding row as in RecBole, are
    negatives of a user (item).

    Views are drawn anew in each epoch. Whether an edge is kept depends only on (seed, epoch, view, layer, user, item).
    So runs are repeatable, interrupted runs resume bit-identically, and forgetting an edge does not change which other
    edges are kept. In evaluation mode the views are fixed, so that second-order methods differentiate a fixed function.
    RecBole drops an exact fraction of the edges; here each edge is dropped independently.

    The setting ``type`` is ED (drop edges), ND (drop nodes) or RW (drop different edges in each layer). The probability
    is ``drop_ratio``.
    """

    loss_reduction = "sum"
    loss_of_examples = False
    batch_free = ("forward", "seen")

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.view_type = config["type"]
        if self.view_type not in VIEWS:
            raise UserError(f"type: SGL's views are one of {', '.join(VIEWS)}, not {self.view_type!r}")
        self.n_layers = int(config["n_layers"])
        self.drop_ratio = config["drop_ratio"]
        self.ssl_tau, self.ssl_weight = config["ssl_tau"], config["ssl_weight"]
        self.reg_weight = config["reg_weight"]
        self.seed, self.epoch = config["seed"], 0
        self.reg_loss = EmbLoss()
        self.apply(xavier_uniform_initialization)

    def rebuild(self, dataset: Dataset) -> None:
        """Build the graph of the retained training pairs; views are drawn at their first use."""
        super().rebuild(dataset)
        self._views: tuple[int | str, list[list[torch.Tensor]]] | None = None
        self.present = present_users(dataset, self.device)

    def reads(self) -> dict[str, tuple[str, ...]]:
        """Return only the user table, because the contrastive loss reads every item row in every batch.

        See :meth:`AbstractRecommender.reads`.
        """
        return {"user_embedding.weight": (self.USER_ID,)}

    def candidates(self) -> dict[str, torch.Tensor]:
        """Return ``{"user_embedding.weight": ids}``, int64, for the users that are contrastive negatives."""
        return {"user_embedding.weight": self.present}

    def begin_epoch(self, epoch: int, dataset: Dataset) -> None:
        """Store the number of the epoch, on which the views depend."""
        self.epoch = epoch

    def views(self) -> list[list[torch.Tensor]]:
        """Return the two views of the current epoch; each is a list with the sparse adjacency matrix of each layer.

        In evaluation mode they are the fixed views.
        """
        key = self.epoch if self.training else "fixed"
        if self._views is None or self._views[0] != key:
            self._views = (key, [self._view(key, number) for number in range(2)])
        return self._views[1]

    def _view(self, key: int | str, number: int) -> list[torch.Tensor]:
        """Return a view: a list with the sparse adjacency matrix of each layer.

        Args:
            key: the epoch, or ``"fixed"`` for the views in evaluation mode.
            number: 0 or 1, which of the two views.
        """
        layers = self.n_layers if self.view_type == "RW" else 1
        kept = [self._kept(keyed.key(self.seed, "views", key, number, layer)) for layer in range(layers)]
        matrices = [self.graph.adjacency(keep, dtype=self.user_embedding.weight.dtype) for keep in kept]
        return matrices if self.view_type == "RW" else matrices * self.n_layers

    def _kept(self, key: int) -> torch.Tensor:
        """Return which pairs of the graph are kept, bool [n_edges], for the hash key of a view (or of its layer)."""
        users, items = self.graph.users, self.graph.items
        if self.view_type == "ND":
            sides = [
                keyed.uniform(key, side, torch.arange(size, device=users.device)) >= self.drop_ratio
                for side, size in enumerate((self.n_users, self.n_items))
            ]
            return sides[0][users] & sides[1][items]
        return keyed.uniform(key, users, items) >= self.drop_ratio

    def forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the embeddings propagated on the whole graph, ``(users [n_users, d], items [n_items, d])``."""
        return self.layer_mean([self.norm_adj_matrix] * self.n_layers)

    def seen(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return the embeddings propagated in each of the two views: a list of two tuples ``(users, items)``."""
        return [self.layer_mean(matrices) for matrices in self.views()]

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the sum of the BPR loss, the weighted regulariser and the weighted contrastive loss, a scalar."""
        u, p, n = self.gathered(*self.forward(), interaction)
        ranking = F.softplus((u * n).sum(dim=1) - (u * p).sum(dim=1)).sum()
        first, second = self.seen()
        users, items = interaction[self.USER_ID], interaction[self.ITEM_ID]
        present = with_batch(self.present, users, self.n_users)
        one, other = (table.index_select(0, present) for table in (first[0], second[0]))
        contrast = self._contrast(one, other, torch.searchsorted(present, users.contiguous()))
        contrast = contrast + self._contrast(first[1], second[1], items)
        return ranking + self.reg_weight * self.reg_loss(*self.egos(interaction)) + self.ssl_weight * contrast

    def _contrast(self, first: torch.Tensor, second: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
        """Return the InfoNCE loss of nodes between two views, summed over ``nodes``, a scalar.

        Args:
            first, second: float [n, d], the embeddings of all users (or items) in the two views.
            nodes: int64 [batch], row indices of the nodes, with repetitions. The negatives of a node are all other rows
                of ``second``.
        """
        nodes, counts = torch.unique(nodes, return_counts=True)
        anchors, candidates = F.normalize(first.index_select(0, nodes), dim=1), F.normalize(second, dim=1)
        return (counts * info_nce(anchors, candidates, nodes, self.ssl_tau)).sum()
