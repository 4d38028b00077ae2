"""DNNTSP."""

from typing import cast

import torch
from torch import nn
from torch.nn import functional

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.abstract_recommender import NextBasketRecommender
from recbole.model.basket_histories import Incidence, pairs_within
from recbole.model.layers import normalised
from recbole.utils import UserError


class DNNTSP(NextBasketRecommender):
    r"""Graph convolutions over the items of each basket, attention over time, and gated item embeddings.

    L. Yu et al., "Predicting Temporal Sets with Deep Neural Networks", KDD 2020 (equation numbers not checked; sizes
    and biases as in the authors' code). A user's nodes are the distinct items of the history. Let W_ij be the number
    of baskets with both i and j, W_ii = 1, all over their maximum; A_t has W_ij where basket t holds both, W_ii on its
    diagonal and 0 elsewhere; E are item embeddings::

        H_t = relu(BN(L A_t H_t)), twice, from H_t = E at every t
        H = causal multi-head self-attention over t, node by node
        z_i = sum_t (q . H_it) H_it
        e_i = (1 - alpha_i) E_i + alpha_i z_i for items of the history, else E_i
        score_i = w . e_i + b;  loss = multi-label soft margin of the scores against the next basket

    The mean of the loss is over items (padding aside) and users. An item outside the history scores the same for
    everybody, so the scores are computed as ``E w + b`` plus a change at the items of the history. Of the A_t only the
    pairs that share a basket are held.

    Batch normalisation counts the true baskets of each user; with ``legacy_bn`` also the time steps that pad a batch,
    as in the original code, where A_t is the identity. The paper's users' frequencies do not occur in its code.
    """

    rebuild_changes_scores = False
    people_at_once = 64  # whose states fit into caches

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        size, self.n_heads = config["embedding_size"], config["n_heads"]
        if size % self.n_heads:
            raise UserError(f"n_heads: {self.n_heads} heads do not divide embedding_size {size}")
        self.legacy_bn = config["legacy_bn"]
        self.item_embedding = nn.Embedding(self.n_items, size)
        self.convolutions = nn.ModuleList(nn.Linear(size, size) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm1d(size) for _ in range(2))
        self.query, self.key, self.value = (nn.Linear(size, size, bias=False) for _ in range(3))
        self.aggregate = nn.Linear(size, 1, bias=False)
        self.alpha = nn.Parameter(torch.rand(self.n_items, 1))
        self.output = nn.Linear(size, 1)

    def rebuild(self, dataset: Dataset) -> None:
        """Do nothing: the graphs are made of each batch's histories."""

    def reads(self) -> dict[str, tuple[str, ...]]:
        """Return the field of the items that have a gate: those of histories. The embeddings of all items are read."""
        return {"alpha": (self.HISTORY_ITEMS,)}

    def forward(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores [batch, n_items]."""
        history, lengths = Incidence.of(interaction[self.HISTORY_ITEMS]), interaction[self.HISTORY_LENGTH]
        user, item, node = self._nodes(history, lengths)
        embedded, lengths = self.item_embedding(item), lengths[user]
        kept = torch.full_like(lengths, history.n_slots) if self.legacy_bn else lengths
        z = self._summaries(self._convolve(history, user, node, embedded, lengths, kept), lengths, kept)
        scores = self.output(self.item_embedding.weight).T.expand(history.n_users, -1)
        change = self.alpha.index_select(0, item) * (z - embedded) @ self.output.weight.T
        return scores.index_put((user, item), change.squeeze(1), accumulate=True)

    def _nodes(self, history: Incidence, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the nodes' users and items, nodes of short histories first, and the node of each entry."""
        user, item, node, _ = history.nodes(self.n_items)
        order = torch.argsort(lengths[user], stable=True)
        place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
        return user[order], item[order], place[node]

    def _convolve(
        self,
        history: Incidence,
        user: torch.Tensor,
        node: torch.Tensor,
        embedded: torch.Tensor,
        lengths: torch.Tensor,
        kept: torch.Tensor,
    ) -> torch.Tensor:
        """Return the states after the convolutions, [sum of kept, d]: node by node its ``kept`` time steps."""
        start = kept.cumsum(0) - kept
        of_node = torch.repeat_interleave(kept)
        alive = torch.arange(len(of_node), device=kept.device) - start[of_node] < lengths[of_node]
        i, j, t, weight, largest = self._edges(history, user, node)
        diagonal = torch.where(alive, 1 / largest[user[of_node]], 1.0).unsqueeze(1)
        to, of, weight = start[i] + t, start[j] + t, (weight / largest[user[i]]).unsqueeze(1)
        states = embedded.index_select(0, of_node)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            mixed = (diagonal * states).index_add(0, to, weight * states.index_select(0, of))
            states = torch.relu(normalised(cast("nn.Linear", convolution), cast("nn.BatchNorm1d", norm), mixed))
        return states

    def _edges(
        self, history: Incidence, user: torch.Tensor, node: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return where two different items share a basket.

        Returns:
            ``(i, j, t, weight, largest)``: int64 [edges] nodes and time steps; [edges], in how many of the user's
            baskets the two are; and [users], the maximum of W before it is divided by it.
        """
        first, second = pairs_within(history.basket)
        differ = node[first] != node[second]
        i, j, t = node[first][differ], node[second][differ], history.slot[first][differ]
        _, pair, count = torch.unique(i * len(user) + j, return_inverse=True, return_counts=True)
        weight = count[pair].to(self.alpha.dtype)
        return i, j, t, weight, weight.new_ones(history.n_users).scatter_reduce(0, user[i], weight, "amax")

    def _summaries(self, states: torch.Tensor, lengths: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Return z [nodes, d]; nodes whose lengths have the same power of two above them are padded together."""
        widths = torch.exp2(torch.log2(lengths.double()).ceil())
        sizes = widths.unique_consecutive(return_counts=True)[1].tolist()
        kept = kept.split(sizes)
        heads = torch.cat([self.query.weight, self.key.weight, self.value.weight])
        heads = functional.linear(states, heads).split([int(part.sum()) for part in kept])
        return torch.cat(list(map(self._summary, heads, lengths.split(sizes), kept)))

    def _summary(self, heads: torch.Tensor, lengths: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Return z [nodes, d] from the nodes' queries, keys and values [sum of kept, 3 d]."""
        t = torch.arange(int(lengths.max()), device=lengths.device)
        place = ((kept.cumsum(0) - kept).unsqueeze(1) + t).clamp_max(len(heads) - 1)
        padded = heads.index_select(0, place.flatten()).view(*place.shape, -1)  # nothing looks beyond a node's length
        query, key, value = (h.unflatten(2, (self.n_heads, -1)).transpose(1, 2) for h in padded.chunk(3, dim=2))
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        attended = attended.transpose(1, 2).flatten(2)
        weights = self.aggregate(attended) * (t < lengths.unsqueeze(1)).unsqueeze(2)
        return (weights * attended).sum(dim=1)

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the multi-label soft margin loss, the mean over items and users."""
        return self.loss_of(self.outputs(interaction), interaction)

    def outputs(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of the items, [batch, n_items - 1]."""
        return self.forward(interaction)[:, 1:]

    def loss_of(self, outputs: torch.Tensor, interaction: Interaction) -> torch.Tensor:
        """Return the multi-label soft margin loss, given the :meth:`outputs`."""
        return functional.multilabel_soft_margin_loss(outputs, self.target_matrix(interaction)[:, 1:])

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores [batch, n_items]."""
        return self.forward(interaction)
