"""DCCF: graph convolution with latent intents and contrastive losses."""

import torch
from torch import nn
from torch.nn import functional as F

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.contrast import info_nce
from recbole.model.graph import propagate
from recbole.model.graph_recommender import GraphRecommender
from recbole.model.init import xavier_normal_initialization
from recbole.model.present import map_present, present_users


class DCCF(GraphRecommender):
    """Graph convolution combined with attention to latent intents; the outputs of both also give edges new weights.

    X. Ren et al., "Disentangled Contrastive Collaborative Filtering", SIGIR 2023. Written from memory of the paper and
    of how the authors' published program behaves; equation numbers not checked. A layer maps
    the node embeddings ``E`` [nodes, d] to ``E + Z + R + H_z + H_r``:

    * ``Z`` is LightGCN's propagation of ``E``;
    * ``R = softmax(E C) C^T`` is a mixture of K = ``n_intents`` prototypes ``C`` [d, K]; users and items have separate
      prototypes;
    * ``H_z`` and ``H_r`` are each node's weighted mean of its neighbours' ``E``. An edge has the weight
      ``(1 + cos) / 2``, where ``cos`` is the cosine of its two nodes in ``Z`` (for ``H_z``) or ``R`` (for ``H_r``).

    The final embeddings are the sum of all layers. The contrastive losses compare each layer's ``Z`` with its ``R``,
    ``H_z`` and ``H_r``. As in the authors' program they are means over the batch's distinct users (items), which serve
    as each other's negatives, and the regularisers are squared norms that are not divided by the batch size. These
    terms depend on the whole batch, not on single examples.
    """

    loss_of_examples = False
    batch_free = ("layers",)

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        self.n_layers = config["n_layers"]
        self.temp = config["temp"]
        self.emb_reg, self.cen_reg, self.ssl_reg = config["emb_reg"], config["cen_reg"], config["ssl_reg"]
        self.user_intent = nn.Parameter(torch.empty(self.embedding_size, config["n_intents"]))
        self.item_intent = nn.Parameter(torch.empty(self.embedding_size, config["n_intents"]))
        nn.init.xavier_normal_(self.user_intent)
        nn.init.xavier_normal_(self.item_intent)
        self.apply(xavier_normal_initialization)

    def rebuild(self, dataset: Dataset) -> None:
        """Build the graph of the retained training pairs."""
        super().rebuild(dataset)
        self.present = present_users(dataset, self.device)

    def _intents(self, nodes: torch.Tensor) -> torch.Tensor:
        """Return ``R``, each node's mixture of intent prototypes, float [n_users + n_items, d].

        Fake users of a spam attack without retained interactions (see :func:`present_users`) get zeros.
        """

        def mixed(rows: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
            return torch.softmax(rows @ prototypes, dim=1) @ prototypes.T

        users, items = self.split(nodes)
        of_users = map_present(lambda rows: mixed(rows, self.user_intent), users, self.present)
        return torch.cat([of_users, mixed(items, self.item_intent)])

    def _reweighted(self, guide: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
        """Return the weighted mean of each node's neighbours in ``nodes``, float [n_users + n_items, d].

        The weight of an edge is ``(1 + cos) / 2``, with the cosine of its two nodes' rows in ``guide`` (same shape).
        """
        alike = self.graph.likeness(F.normalize(guide, dim=1))
        return self.graph.weighted_mean((1 + alike) / 2, nodes)

    def layers(self) -> tuple[torch.Tensor, list[tuple[torch.Tensor, ...]]]:
        """Return the sum of all layers' embeddings, [n_users + n_items, d], and a list of what each layer added.

        A layer adds four tensors of this shape: the graph convolution Z, the intents R, and the means of neighbours
        with weights from Z (H_z) and from R (H_r). The contrastive losses compare R, H_z and H_r with Z.
        """
        nodes = total = self.get_ego_embeddings()
        parts: list[tuple[torch.Tensor, ...]] = []
        for _ in range(self.n_layers):
            z, r = propagate(self.norm_adj_matrix, nodes), self._intents(nodes)
            parts.append((z, r, self._reweighted(z, nodes), self._reweighted(r, nodes)))
            nodes = nodes + sum(parts[-1])
            total = total + nodes
        return total, parts

    def forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the final embeddings, ``(users [n_users, d], items [n_items, d])``."""
        return self.split(self.layers()[0])

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the sum of the mean BPR loss, the two regularisers and the weighted contrastive losses, a scalar."""
        total, parts = self.layers()
        u, p, n = self.gathered(*self.split(total), interaction)
        ranking = F.softplus((u * n).sum(dim=1) - (u * p).sum(dim=1)).mean()
        size = self.emb_reg * sum(ego.square().sum() for ego in self.egos(interaction))
        intents = self.cen_reg * (self.user_intent.square().sum() + self.item_intent.square().sum())
        nodes = torch.unique(interaction[self.USER_ID]), torch.unique(interaction[self.ITEM_ID]) + self.n_users
        pairs = [(z, other) for z, *others in parts for other in others]
        contrast = sum(self._contrast(*(x.index_select(0, own) for x in pair)) for pair in pairs for own in nodes)
        return ranking + size + intents + self.ssl_reg * contrast

    def _contrast(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        """Return the mean InfoNCE loss between two embeddings [n, d] of the same n nodes, a scalar.

        The positive of a row of ``first`` is the same row of ``second``; all rows of ``second`` are candidates.
        """
        own = torch.arange(len(first), device=first.device)
        return info_nce(F.normalize(first, dim=1), F.normalize(second, dim=1), own, self.temp).mean()
