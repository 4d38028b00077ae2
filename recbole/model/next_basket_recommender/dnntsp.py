"""DNNTSP: graph convolutions and attention over baskets."""

from collections.abc import Callable
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from recbole.config import Config
from recbole.data import Dataset, Interaction
from recbole.model.abstract_recommender import NextBasketRecommender
from recbole.model.basket_histories import Incidence, pairs_within
from recbole.model.graph import propagate
from recbole.model.layers import normalised
from recbole.model.presences import Presences, power_above, symmetric
from recbole.model.user_views import UserView
from recbole.utils import UserError

AT_ONCE = 2**16
"""Approximate size of each smaller batch of :meth:`DNNTSP.pieces`: the sum, over users, of the number of history
baskets times the number of items in all of them."""

NODES_AT_ONCE = 1024
"""Number of nodes for which :meth:`DNNTSP._second_moments` computes at a time (64 MiB with 4 heads, 32 dimensions)."""


class DNNTSP(NextBasketRecommender):
    """Graph convolutions over the items of each basket, attention over time, and gated item embeddings.

    L. Yu et al., "Predicting Temporal Sets with Deep Neural Networks", KDD 2020 (equation numbers not checked; sizes
    and biases as in the authors' code). A user's nodes are the distinct items of the history; a time step t is a
    basket. Let W_ij be the number of the user's baskets with both i and j, and W_ii = 1, all divided by their maximum.
    A_t has the entry W_ij if basket t contains both items, W_ii on its diagonal, and 0 elsewhere. E are item
    embeddings, BN is batch normalisation, and L, q, alpha, w and b are parameters::

        H_t = relu(BN(L A_t H_t)), twice, from H_t = E at every t
        H = causal multi-head self-attention over t, node by node
        z_i = sum_t (q . H_it) H_it
        e_i = (1 - alpha_i) E_i + alpha_i z_i for items of the history, else E_i
        score_i = w . e_i + b;  loss = multi-label soft margin of the scores against the next basket

    The loss is the mean over users and items without padding. An item outside the history has the same score for all
    users, so the scores are computed as ``E w + b`` plus a change at the items in the history. Only non-zero entries of
    A_t are stored.

    Batch normalisation uses the real baskets of each user. With ``legacy_bn`` it also uses padding time steps, where
    A_t is the identity, as in the authors' code. The user frequencies in the paper are not in that code, nor here. In
    the methods below, H_t before the attention contains the states of the nodes at time step t, and z_i is the summary
    of node i.
    """

    rebuild_changes_scores = False

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        size, self.n_heads = config["embedding_size"], config["n_heads"]
        if size % self.n_heads:
            raise UserError(f"n_heads: embedding_size {size} is not a multiple of {self.n_heads}")
        self.legacy_bn = config["legacy_bn"]
        self.item_embedding = nn.Embedding(self.n_items, size)
        self.convolutions = nn.ModuleList(nn.Linear(size, size) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm1d(size) for _ in range(2))
        self.query, self.key, self.value = (nn.Linear(size, size, bias=False) for _ in range(3))
        self.aggregate = nn.Linear(size, 1, bias=False)
        self.alpha = nn.Parameter(torch.rand(self.n_items, 1))
        self.output = nn.Linear(size, 1)

    def rebuild(self, dataset: Dataset) -> None:
        """Do nothing: the graphs are built from the histories in each batch."""

    def reads(self) -> dict[str, tuple[str, ...]]:
        """Return the gate ``alpha``, read only for items in histories; every batch reads all item embeddings."""
        return {"alpha": (self.HISTORY_ITEMS,)}

    def pieces(self, interaction: Interaction) -> list[Interaction]:
        """Split a batch into smaller ones of users with similar history lengths, each of about size :data:`AT_ONCE`."""
        lengths = interaction[self.HISTORY_LENGTH]
        order = torch.argsort(lengths, stable=True)
        steps = lengths * (interaction[self.HISTORY_ITEMS] > 0).sum(dim=(1, 2))
        number = steps.clamp_min(AT_ONCE // self.people_at_once)[order].cumsum(0) // AT_ONCE
        return [interaction[rows] for rows in order.split(number.unique_consecutive(return_counts=True)[1].tolist())]

    def forward(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items]."""
        user, item, embedded, z = self._nodes(interaction)
        scores = self.output(self.item_embedding.weight).T.expand(len(interaction), -1)
        change = self.alpha.index_select(0, item) * (z - embedded) @ self.output.weight.T
        return scores.index_put((user, item), change.squeeze(1), accumulate=True)

    def user_views(self, dataset: Dataset | None = None) -> dict[str, UserView]:
        """Return the :class:`UserView` ``summary``, each user's mean of z; protection changes the value projection."""
        moments = self._second_moments, self._of_moments
        return self.views_of_histories(dataset, "summary", self._mean_summary, ("value.weight",), moments)

    def _mean_summary(self, interaction: Interaction) -> torch.Tensor:
        """Return the mean of the item summaries z (see the class) over each user's history items, float [batch, d]."""
        user, _, _, z = self._nodes(interaction)
        count = torch.bincount(user, minlength=len(interaction)).clamp_min(1).unsqueeze(1)
        return z.new_zeros(len(interaction), z.shape[1]).index_add(0, user, z) / count

    @torch.no_grad()
    def _second_moments(self, interaction: Interaction) -> torch.Tensor:
        """Return what each user's mean of the summaries z depends on besides the value projection, in evaluation mode.

        Let ``c_it`` contain the averages of the states of node i under the attention weights of each head at step t.
        H_it after the attention is a linear function of ``c_it``, given by the value projection. The mean of z over a
        user's nodes is therefore a function of the value projection and the mean over nodes of ``sum_t c_it c_it^T``.

        Returns:
            The latter mean for each user, float [batch, n_heads * d, n_heads * d].
        """
        history = Incidence.of(interaction[self.HISTORY_ITEMS])
        user, item, node, lengths = self._placed(history, interaction[self.HISTORY_LENGTH])
        presences, states = self._states(history, user, node, self.item_embedding(item))
        heads = functional.linear(states, torch.cat([self.query.weight, self.key.weight]))
        size = self.n_heads * states.shape[1]
        moments = states.new_zeros(len(interaction), size, size)
        for group in presences.groups(lengths):
            for start in range(group.start, group.stop, NODES_AT_ONCE):
                nodes = slice(start, min(start + NODES_AT_ONCE, group.stop))
                seen = presences.seen(states, heads, self.n_heads, nodes, lengths[nodes])
                moments.index_add_(0, user[nodes], seen.transpose(1, 2) @ seen)
        return moments / torch.bincount(user, minlength=len(interaction)).clamp_min(1).view(-1, 1, 1)

    def _of_moments(self, moments: torch.Tensor) -> torch.Tensor:
        """Return each user's mean of the summaries z, float [batch, d], from the result of :meth:`_second_moments`."""
        value, q = (w.view(self.n_heads, -1, *w.shape[1:]) for w in (self.value.weight, self.aggregate.weight[0]))
        seen = (moments @ torch.einsum("hkd,hk->hd", value, q).flatten()).view(len(moments), self.n_heads, -1)
        return torch.einsum("hkd,nhd->nhk", value, seen).flatten(1)

    def _nodes(self, interaction: Interaction) -> tuple[torch.Tensor, ...]:
        """Return the nodes (distinct items of each user's history) of a batch, with their embeddings and summaries z.

        In evaluation mode equal states are computed only once, because batch normalisation has fixed statistics.

        Returns:
            ``(user, item, embedded, z)``. ``user`` and ``item``, int64 [nodes]: batch row and item id of each node.
            ``embedded`` and ``z``, float [nodes, d]: embedding and summary of each node.
        """
        history = Incidence.of(interaction[self.HISTORY_ITEMS])
        user, item, node, lengths = self._placed(history, interaction[self.HISTORY_LENGTH])
        embedded = self.item_embedding(item)
        z = (self._at_all_steps if self.training else self._at_presences)(history, user, node, embedded, lengths)
        return user, item, embedded, z

    def _placed(self, history: Incidence, lengths: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the nodes (distinct items of each user's history) of a batch, sorted by history length.

        In evaluation mode they are first sorted by the number of baskets with the item plus one, rounded up to a power
        of two.

        Args:
            history: the entries (items in baskets) of the batch's histories.
            lengths: int64 [batch], number of baskets in each history.

        Returns:
            ``(user, item, node, lengths)``, all int64. ``user`` and ``item`` [nodes]: batch row and item id of each
            node. ``node`` [entries]: the node of each entry. ``lengths`` [nodes]: number of baskets in the history of
            the node's user.
        """
        user, item, node, count = history.nodes(self.n_items)
        lengths = lengths[user]
        order = torch.argsort(lengths, stable=True)
        if not self.training:
            order = order[torch.argsort(power_above(count[order] + 1), stable=True)]
        place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
        return user[order], item[order], place[node], lengths[order]

    def _at_presences(
        self, history: Incidence, user: torch.Tensor, node: torch.Tensor, embedded: torch.Tensor, lengths: torch.Tensor
    ) -> torch.Tensor:
        """Return the item summaries z, float [nodes, d], from the distinct states of each node, in evaluation mode.

        Args:
            history: the entries (items in baskets) of the batch's histories.
            user, node, lengths: as returned by :meth:`_placed`.
            embedded: float [nodes, d], embedding of each node.
        """
        presences, states = self._states(history, user, node, embedded)
        heads, along = self._heads(states), self._along(states)
        return torch.cat([
            presences.attended(heads, along, nodes, lengths[nodes]) for nodes in presences.groups(lengths)
        ])  # fmt: skip

    def _states(
        self, history: Incidence, user: torch.Tensor, node: torch.Tensor, embedded: torch.Tensor
    ) -> tuple[Presences, torch.Tensor]:
        """Return the distinct states of the nodes after the convolutions, in evaluation mode.

        The arguments are those of :meth:`_at_presences`.

        Returns:
            The :class:`Presences`, which say which row belongs to which node and time step, and the states, float
            [rows, d].
        """
        presences = Presences.of(history, node, len(user))
        first, second, weight, largest = self._edges(history, user, node)
        rows = torch.arange(len(presences.node), device=user.device)
        to, of = torch.cat([presences.of_entry[first], rows]), torch.cat([presences.of_entry[second], rows])
        weight = torch.cat([weight.squeeze(1), (1 / largest)[user[presences.node]]])
        mixing = symmetric(to, of, weight, len(rows))
        embedded = functional.embedding(presences.node, embedded)
        return presences, self._convolved(embedded, lambda x: propagate(mixing, x))

    def _at_all_steps(
        self, history: Incidence, user: torch.Tensor, node: torch.Tensor, embedded: torch.Tensor, lengths: torch.Tensor
    ) -> torch.Tensor:
        """Return the item summaries z, float [nodes, d], from the states at all time steps, for training.

        Batch normalisation needs all steps then. The arguments are those of :meth:`_at_presences`.
        """
        kept = torch.full_like(lengths, history.n_slots) if self.legacy_bn else lengths
        start = kept.cumsum(0) - kept
        of_node = torch.repeat_interleave(kept)
        alive = torch.arange(len(of_node), device=kept.device) - start[of_node] < lengths[of_node]
        first, second, weight, largest = self._edges(history, user, node)
        to, of = start[node[first]] + history.slot[first], start[node[second]] + history.slot[second]
        diagonal = torch.where(alive, 1 / largest[user[of_node]], 1.0).unsqueeze(1)

        def mix(states: torch.Tensor) -> torch.Tensor:
            return (diagonal * states).index_add(0, to, weight * states.index_select(0, of))

        return self._summaries(self._convolved(embedded.index_select(0, of_node), mix), lengths, kept)

    def _convolved(self, states: torch.Tensor, mix: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Return states, float [rows, d], after the two convolutions.

        Args:
            states: float [rows, d], the embeddings; a row is a (node, time step) pair or a distinct state.
            mix: multiplies the states of each time step t by the co-occurrence matrix A_t (see the class).
        """
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            states = torch.relu(normalised(cast("nn.Linear", convolution), cast("nn.BatchNorm1d", norm), mix(states)))
        return states

    def _edges(
        self, history: Incidence, user: torch.Tensor, node: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return all ordered pairs of different items in the same basket.

        Args:
            history: the entries (items in baskets) of the batch's histories.
            user, node: as returned by :meth:`_placed`.

        Returns:
            ``(first, second, weight, largest)``. ``first`` and ``second``, int64 [edges]: indices of the two entries.
            ``weight``, float [edges, 1]: W of the two items (see the class). ``largest``, float [users]: the maximum by
            which each user's W was divided.
        """
        first, second = pairs_within(history.basket)
        differ = node[first] != node[second]
        first, second = first[differ], second[differ]
        i, j = node[first], node[second]
        _, pair, count = torch.unique(i * len(user) + j, return_inverse=True, return_counts=True)
        weight = count[pair].to(self.alpha.dtype)
        largest = weight.new_ones(history.n_users).scatter_reduce(0, user[i], weight, "amax")
        return first, second, (weight / largest[user[i]]).unsqueeze(1), largest

    def _heads(self, states: torch.Tensor) -> torch.Tensor:
        """Return the queries, keys and values of states [rows, d], one after the other, float [rows, 3 d]."""
        return functional.linear(states, torch.cat([self.query.weight, self.key.weight, self.value.weight]))

    def _along(self, states: torch.Tensor) -> torch.Tensor:
        """Return each head's inner product of its part of the weights q and of the states' values, [rows, n_heads]."""
        along = self.value.weight * self.aggregate.weight.T
        return functional.linear(states, along.unflatten(0, (self.n_heads, -1)).sum(dim=1))

    def _summaries(self, states: torch.Tensor, lengths: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Return the item summaries z, float [nodes, d], padding nodes with similar history lengths together.

        Args:
            states: float [sum of ``kept``, d], the states of each node at its time steps, one node after the other.
            lengths: int64 [nodes], number of baskets in the history of each node's user.
            kept: int64 [nodes], number of time steps of each node in ``states``, not less than its length.
        """
        sizes = power_above(lengths).unique_consecutive(return_counts=True)[1].tolist()
        kept = kept.split(sizes)
        heads = self._heads(states).split([int(part.sum()) for part in kept])
        return torch.cat(list(map(self._summary, heads, lengths.split(sizes), kept)))

    def _summary(self, heads: torch.Tensor, lengths: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Return the item summaries z, float [nodes, d], of nodes that are padded to the same number of time steps.

        Args:
            heads: float [sum of ``kept``, 3 d], queries, keys and values at each node's time steps; see :meth:`_heads`.
            lengths, kept: as in :meth:`_summaries`.
        """
        t = torch.arange(int(lengths.max()), device=lengths.device)
        place = ((kept.cumsum(0) - kept).unsqueeze(1) + t).clamp_max(len(heads) - 1)
        padded = heads.index_select(0, place.flatten()).view(*place.shape, -1)  # steps beyond the length get weight 0
        query, key, value = (h.unflatten(2, (self.n_heads, -1)).transpose(1, 2) for h in padded.chunk(3, dim=2))
        attended = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        attended = attended.transpose(1, 2).flatten(2)
        weights = self.aggregate(attended) * (t < lengths.unsqueeze(1)).unsqueeze(2)
        return (weights * attended).sum(dim=1)

    def calculate_loss(self, interaction: Interaction) -> torch.Tensor:
        """Return the multi-label soft margin loss, a scalar, averaged over items and users."""
        right = self.target_matrix(interaction)[:, 1:]
        return functional.multilabel_soft_margin_loss(self.forward(interaction)[:, 1:], right)

    def loss_sum(self, interaction: Interaction, outputs: torch.Tensor | None = None) -> torch.Tensor:
        """Return the loss summed over users, a scalar; in evaluation mode without a tensor of size [batch, n_items].

        If ``outputs`` (the result of :meth:`outputs` for the batch) is given, the loss is computed from them.
        """
        own = outputs is None and not self.training
        return super().loss_sum(interaction, self.outputs(interaction) if own else outputs)

    def outputs(self, interaction: Interaction) -> torch.Tensor:
        """Return the distinct scores in a batch, float [n_items + nodes].

        The first ``n_items`` are the items' scores for users without the item in their history. The others are the
        scores of the nodes, that is, of the items in each user's history. Every score of the batch is one of these, so
        the loss is a convex function of them.
        """
        _, item, embedded, z = self._nodes(interaction)
        change = self.alpha.index_select(0, item) * (z - embedded)
        return torch.cat([self.output(self.item_embedding.weight), self.output(embedded + change)]).squeeze(1)

    def loss_of(self, outputs: torch.Tensor, interaction: Interaction) -> torch.Tensor:
        """Return the multi-label soft margin loss, a scalar, given the distinct scores of :meth:`outputs`."""
        times, right = self._counts(interaction)
        times, right = times.to(outputs.dtype), right.to(outputs.dtype)
        total = times @ functional.softplus(outputs) - right @ outputs
        return total / ((self.n_items - 1) * len(interaction))

    def _counts(self, interaction: Interaction) -> tuple[torch.Tensor, torch.Tensor]:
        """Return how many scores of the batch equal each of the :meth:`outputs`, and how many of these are of targets.

        Both are int64 [n_items + nodes], and 0 for padding.
        """
        history = Incidence.of(interaction[self.HISTORY_ITEMS])
        user, item, *_ = self._placed(history, interaction[self.HISTORY_LENGTH])
        all_items = torch.arange(self.n_items, device=item.device)
        times = torch.where(all_items > 0, len(interaction) - torch.bincount(item, minlength=self.n_items), 0)
        target = interaction[self.TARGET_ITEMS]
        owner, place = (target > 0).nonzero(as_tuple=True)
        wanted = torch.unique(owner * self.n_items + target[owner, place])
        right = torch.isin(user * self.n_items + item, wanted).long()
        others = torch.bincount(wanted % self.n_items, minlength=self.n_items)
        others -= torch.bincount(item[right > 0], minlength=self.n_items)
        return torch.cat([times, torch.ones_like(item)]), torch.cat([others, right])

    def full_sort_predict(self, interaction: Interaction) -> torch.Tensor:
        """Return the scores of all items, float [batch, n_items]."""
        return self.forward(interaction)
