"""Node states of the model DNNTSP without repetitions, for evaluation mode.

DNNTSP computes a vector, called state, for each item of a user's history (a node) at each time step (basket). The state
is the same at all steps whose basket lacks the item, so it is stored only once.
"""

import warnings
from dataclasses import dataclass
from typing import Self

import torch
from torch.nn import functional

from recbole.model.basket_histories import Incidence


@dataclass(frozen=True)
class Presences:
    """The distinct states of nodes; a node is one item in the history of one user.

    A node has a state at each time step, that is, for each basket in the history of its user. All steps whose basket
    lacks the item have the same state, called the absence state. Each step with the item has a state of its own, called
    a presence state. Tensors of states have one row per distinct state: for each node the absence state, followed by
    the presence states in order of time.

    Attributes:
        first: int64 [nodes], row index of each node's absence state.
        size: int64 [nodes], number of rows of each node: 1 plus the number of baskets with the item.
        node: int64 [rows], the node of each row.
        slot: int64 [rows], the time step of each presence state, from 0; -1 for an absence state.
        of_entry: int64 [entries], row index of the presence state of each entry (item in a basket) of the history.
    """

    first: torch.Tensor
    size: torch.Tensor
    node: torch.Tensor
    slot: torch.Tensor
    of_entry: torch.Tensor

    @classmethod
    def of(cls, history: Incidence, node: torch.Tensor, n_nodes: int) -> Self:
        """Return the :class:`Presences` of a batch of basket histories, which number its distinct states.

        Args:
            history: the entries (items in baskets) of the histories.
            node: int64 [entries], the node of each entry.
            n_nodes: number of nodes.
        """
        size = torch.bincount(node, minlength=n_nodes) + 1
        first = size.cumsum(0) - size
        order = torch.argsort(node, stable=True)  # entries are in the order of time
        row = torch.arange(len(order), device=node.device) + node[order] + 1
        of_entry = torch.empty_like(row).scatter_(0, order, row)
        slot = row.new_full((n_nodes + len(row),), -1).scatter_(0, of_entry, history.slot)
        return cls(first, size, torch.repeat_interleave(size), slot, of_entry)

    def groups(self, lengths: torch.Tensor) -> list[slice]:
        """Return slices of adjacent nodes that can be padded to the same size at little cost; together, all nodes.

        In a group, the nodes' values of ``size`` round up to the same power of two, and so do their history lengths.

        Args:
            lengths: int64 [nodes], number of time steps (baskets) in the history of each node's user.
        """
        widths = torch.stack([power_above(self.size), power_above(lengths)])
        _, counts = torch.unique_consecutive(widths, return_counts=True, dim=1)
        ends = counts.cumsum(0).tolist()
        return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]

    def attended(self, heads: torch.Tensor, along: torch.Tensor, nodes: slice, lengths: torch.Tensor) -> torch.Tensor:
        """Return ``z_i = sum_t (q . H_it) H_it`` for each node i in a slice, float [nodes, d].

        ``H_it`` is the output of causal multi-head self-attention over the states of node i, at time step t. ``q`` is a
        vector of learned weights. Attention is computed over distinct states instead of time steps. An absence state
        counts as often as the number of steps with it.

        Args:
            heads: float [rows, 3 d], the queries, keys and values of all states; each has its heads one after the
                other.
            along: float [rows, heads], for each head the inner product of its part of ``q`` and its part of the value.
            nodes: the slice of nodes, not empty.
            lengths: int64 [nodes], number of time steps of each node in the slice.
        """
        place, valid, log_times = self._steps(nodes, lengths, heads.dtype)
        query, key, value = self._by_head(place, heads, 3, along.shape[1])
        weights = _weights(query, key, log_times)
        along = functional.embedding(place, along).permute(2, 0, 1)  # [heads, size, nodes]
        share = (weights * along.unsqueeze(1)).sum(dim=(0, 2)) * valid  # [queries, nodes]
        whole = (weights * share.unsqueeze(1)).sum(dim=1, keepdim=True)  # [heads, 1, size, nodes]
        return (whole * value).sum(dim=2).flatten(0, 1).T

    def seen(
        self, states: torch.Tensor, heads: torch.Tensor, n_heads: int, nodes: slice, lengths: torch.Tensor
    ) -> torch.Tensor:
        """Return the mean of a node's states under the attention weights of each query and head.

        This is the output of multi-head self-attention, but of the states themselves instead of their values. Each node
        has a query for its absence state at every time step, followed by a query for each of its presence states.

        Args:
            states: float [rows, d], all states.
            heads: float [rows, 2 d], the queries and keys of all states; each has its heads one after the other.
            n_heads: number of heads.
            nodes: the slice of nodes, not empty.
            lengths: int64 [nodes], number of time steps of each node in the slice.

        Returns:
            float [nodes, queries, n_heads * d], the means of the heads one after the other. All zeros for a query of
            the absence state at a step with the item, and for padding.
        """
        place, valid, log_times = self._steps(nodes, lengths, heads.dtype)
        query, key = self._by_head(place, heads, 2, n_heads)
        weights = _weights(query, key, log_times) * valid.unsqueeze(1)
        return torch.einsum("hqsn,snd->nqhd", weights, functional.embedding(place, states)).flatten(2)

    @staticmethod
    def _by_head(place: torch.Tensor, heads: torch.Tensor, kinds: int, n_heads: int) -> torch.Tensor:
        """Return projections of some states, split into heads: float [kinds, heads, d / heads, size, nodes].

        Args:
            place: int64 [size, nodes], the rows of the states.
            heads: float [rows, kinds * d], the projections of all states, one after the other.
            kinds: number of projections: 2 for queries and keys, 3 for queries, keys and values.
            n_heads: number of heads.
        """
        states = functional.embedding(place, heads).permute(2, 0, 1)
        return states.contiguous().unflatten(0, (kinds, n_heads, -1))  # nodes last: operations on long rows are faster

    def _steps(
        self, nodes: slice, lengths: torch.Tensor, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the attention queries of some nodes, and the states that they attend to.

        Each node has a query for its absence state at every time step, followed by a query for each of its presence
        states. The arguments are those of :meth:`attended`.

        Returns:
            ``(place, valid, log_times)``. ``place``, int64 [size, nodes]: the rows of the nodes' states, padded with
            other rows to the largest size. ``valid``, float [queries, nodes]: 1 if the node has the query's state at
            the query's time step, 0 if not and for padding. ``log_times``, float [queries, size, nodes]: logarithm of
            the number of time steps, up to the query's, at which the node has each state; minus infinity if there are
            none, and for padding.
        """
        first, size = self.first[nodes], self.size[nodes]
        step, t = (torch.arange(int(n.max()), device=size.device).unsqueeze(1) for n in (size, lengths))
        there = step < size
        place = (first + step).clamp_max(len(self.slot) - 1)
        slot = torch.where(there, self.slot[place], len(t))[1:]  # padding is at step len(t), after all others
        present = slot.new_zeros(len(t) + 1, len(size)).scatter_(0, slot, 1)[:-1]
        time = torch.cat([t.expand_as(present), slot.clamp_max(len(t) - 1)])
        valid = torch.cat([(present == 0) & (t < lengths), there[1:]])
        absent = (1 - present).cumsum(0).gather(0, time)
        times = torch.cat([absent.unsqueeze(1), (slot <= time.unsqueeze(1)).to(absent.dtype)], dim=1)
        return place, valid.to(dtype), times.to(dtype).log()


def _weights(query: torch.Tensor, key: torch.Tensor, log_times: torch.Tensor) -> torch.Tensor:
    """Return attention weights over states, float [heads, queries, size, nodes]; they add up to 1 over ``size``.

    Args:
        query, key: float [heads, d / heads, size, nodes], of each state.
        log_times: float [queries, size, nodes], see :meth:`Presences._steps`; a state at n time steps gets n-fold
            weight.
    """
    scores = (query.unsqueeze(3) * key.unsqueeze(2)).sum(dim=1) / query.shape[1] ** 0.5
    n_steps = len(log_times) - scores.shape[1] + 1
    scores = torch.cat([scores[:, :1].expand(-1, n_steps, -1, -1), scores[:, 1:]], dim=1)
    return (scores + log_times).softmax(dim=2)


def symmetric(i: torch.Tensor, j: torch.Tensor, values: torch.Tensor, n: int) -> torch.Tensor:
    """Return a symmetric matrix as a sparse CSR tensor [n, n].

    Args:
        i, j: int64 [entries], row and column of each entry. Both (i, j) and (j, i) must be given, in any order.
        values: float [entries], the value of each entry.
        n: number of rows and columns.
    """
    order = torch.argsort(i * n + j)
    pointers = functional.pad(torch.bincount(i, minlength=n).cumsum(0), (1, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns that CSR tensors are in beta
        return torch.sparse_csr_tensor(pointers, j[order], values[order], (n, n), check_invariants=False)


def power_above(sizes: torch.Tensor) -> torch.Tensor:
    """Return each of ``sizes`` (int64, at least 1) rounded up to a power of two, float64."""
    return torch.exp2(torch.log2(sizes.double()).ceil())
