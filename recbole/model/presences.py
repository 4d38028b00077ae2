"""Compact states for DNNTSP: a user's item has one state per basket with the item, and one for all other baskets."""

import warnings
from dataclasses import dataclass
from typing import Self

import torch
from torch.nn import functional

from recbole.model.basket_histories import Incidence


@dataclass(frozen=True)
class Presences:
    """The distinct states of nodes; a node is one item of one user.

    A node has one state for all time steps (baskets) without its item, called absence, and one for each step with it,
    called presence. Each state is a row. The rows of a node are adjacent: absence, then presences in order of time.

    Attributes:
        first: int64 [nodes], row index of each node's absence.
        size: int64 [nodes], number of rows of each node.
        node: int64 [rows], the node of each row.
        slot: int64 [rows], the time step of each presence; -1 for an absence.
        of_entry: int64 [entries], row index of each entry (item in a basket) of the history.
    """

    first: torch.Tensor
    size: torch.Tensor
    node: torch.Tensor
    slot: torch.Tensor
    of_entry: torch.Tensor

    @classmethod
    def of(cls, history: Incidence, node: torch.Tensor, n_nodes: int) -> Self:
        """Build the states of a history from the node of each of its entries (int64 [entries])."""
        size = torch.bincount(node, minlength=n_nodes) + 1
        first = size.cumsum(0) - size
        order = torch.argsort(node, stable=True)  # entries are in the order of time
        row = torch.arange(len(order), device=node.device) + node[order] + 1
        of_entry = torch.empty_like(row).scatter_(0, order, row)
        slot = row.new_full((n_nodes + len(row),), -1).scatter_(0, of_entry, history.slot)
        return cls(first, size, torch.repeat_interleave(size), slot, of_entry)

    def groups(self, lengths: torch.Tensor) -> list[slice]:
        """Return slices of adjacent nodes with similar ``size`` and history length (``lengths``, int64 [nodes])."""
        widths = torch.stack([power_above(self.size), power_above(lengths)])
        _, counts = torch.unique_consecutive(widths, return_counts=True, dim=1)
        ends = counts.cumsum(0).tolist()
        return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]

    def attended(self, heads: torch.Tensor, along: torch.Tensor, nodes: slice, lengths: torch.Tensor) -> torch.Tensor:
        """Return ``z_i = sum_t (q . H_it) H_it``, float [nodes, d]; ``H_it`` is causal attention of node i at step t.

        The attention is computed over states instead of time steps. A state of absence is weighted by the number of
        time steps that it represents.

        Args:
            heads: float [rows, 3 d], queries, keys and values of the states.
            along: float [rows, heads], inner product of ``q`` with each head's part of the value.
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
        """Return the states' mean under each query's attention weights, zeros for queries of no time step.

        Args:
            states: float [rows, d], the states.
            heads: float [rows, 2 d], their queries and keys.
            n_heads: number of heads.
            nodes: the slice of nodes, not empty.
            lengths: int64 [nodes], number of time steps of each node in the slice.

        Returns:
            float [nodes, queries, heads d], the heads one after the other.
        """
        place, valid, log_times = self._steps(nodes, lengths, heads.dtype)
        query, key = self._by_head(place, heads, 2, n_heads)
        weights = _weights(query, key, log_times) * valid.unsqueeze(1)
        return torch.einsum("hqsn,snd->nqhd", weights, functional.embedding(place, states)).flatten(2)

    @staticmethod
    def _by_head(place: torch.Tensor, heads: torch.Tensor, kinds: int, n_heads: int) -> torch.Tensor:
        """Return the projections of the states at ``place``, float [kinds, heads, d / heads, size, nodes]."""
        states = functional.embedding(place, heads).permute(2, 0, 1)
        return states.contiguous().unflatten(0, (kinds, n_heads, -1))  # long rows are faster than short ones

    def _steps(
        self, nodes: slice, lengths: torch.Tensor, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the attention queries of some nodes, and the states that they attend to.

        There is one query for the absence state at each time step, then one for each presence.

        Returns:
            ``(place, valid, log_times)``. ``place``, int64 [size, nodes]: row indices of the nodes' states, padded to
            the largest size. ``valid``, float [queries, nodes]: 1 if the node is in this state at this step, else 0.
            ``log_times``, float [queries, size, nodes]: logarithm of how many time steps up to the query's a state
            represents.
        """
        first, size = self.first[nodes], self.size[nodes]
        step, t = (torch.arange(int(n.max()), device=size.device).unsqueeze(1) for n in (size, lengths))
        there = step < size
        place = (first + step).clamp_max(len(self.slot) - 1)
        slot = torch.where(there, self.slot[place], len(t))[1:]  # len(t), after all steps, for padding
        present = slot.new_zeros(len(t) + 1, len(size)).scatter_(0, slot, 1)[:-1]
        time = torch.cat([t.expand_as(present), slot.clamp_max(len(t) - 1)])
        valid = torch.cat([(present == 0) & (t < lengths), there[1:]])
        absent = (1 - present).cumsum(0).gather(0, time)
        times = torch.cat([absent.unsqueeze(1), (slot <= time.unsqueeze(1)).to(absent.dtype)], dim=1)
        return place, valid.to(dtype), times.to(dtype).log()


def _weights(query: torch.Tensor, key: torch.Tensor, log_times: torch.Tensor) -> torch.Tensor:
    """Return attention weights, float [heads, queries, size, nodes], given ``query`` and ``key`` of each state."""
    scores = (query.unsqueeze(3) * key.unsqueeze(2)).sum(dim=1) / query.shape[1] ** 0.5
    n_steps = len(log_times) - scores.shape[1] + 1
    scores = torch.cat([scores[:, :1].expand(-1, n_steps, -1, -1), scores[:, 1:]], dim=1)
    return (scores + log_times).softmax(dim=2)


def symmetric(i: torch.Tensor, j: torch.Tensor, values: torch.Tensor, n: int) -> torch.Tensor:
    """Return a symmetric matrix as a sparse CSR tensor [n, n].

    Args:
        i, j: int64 [entries], row and column of each entry; with (i, j) also (j, i) must be given.
        values: float [entries], the values.
        n: number of rows and columns.
    """
    order = torch.argsort(i * n + j)
    pointers = functional.pad(torch.bincount(i, minlength=n).cumsum(0), (1, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch warns that CSR tensors are in beta
        return torch.sparse_csr_tensor(pointers, j[order], values[order], (n, n), check_invariants=False)


def power_above(sizes: torch.Tensor) -> torch.Tensor:
    """Return ``sizes`` (int64, at least 1) rounded up to powers of two, float64."""
    return torch.exp2(torch.log2(sizes.double()).ceil())
