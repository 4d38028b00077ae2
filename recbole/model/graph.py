"""The user-item graph of the retained training interactions, and propagation over it."""

import warnings
from copy import copy
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch

from recbole.data import Dataset
from recbole.data.ids import distinct, without


class InteractionGraph:
    """The bipartite graph of the distinct (user, item) pairs in the retained training interactions.

    The node number of a user is the user id; that of an item is ``n_users`` plus the item id. Each pair is stored as
    two directed edges, from the user to the item and back. The adjacency matrix can be computed with other edge weights
    (0 drops an edge) without rebuilding the graph. A graph never changes; :meth:`without` returns a new one. ``len``
    returns the number of pairs, called ``n_edges`` below.

    Attributes:
        tails: int64 [2 n_edges], the node at which each directed edge ends. Edges are sorted by start, then end node.
        counts: int64 [n_nodes], number of edges that start at each node.
        n_nodes: ``n_users + n_items``.

    Args:
        dataset: the data; interactions that its mask marks as forgotten give no edges.
        device: device of the tensors.
    """

    def __init__(self, dataset: Dataset, device: torch.device | str | None = None) -> None:
        log, rows, n_users, n_items = dataset.log, dataset.train_rows, dataset.n_users, dataset.n_items
        pairs = distinct(log.user[rows] * n_items + log.item[rows])
        users = torch.from_numpy(pairs // n_items).to(device)
        items = torch.from_numpy(pairs % n_items).to(device)
        self.n_users, self.n_nodes = n_users, n_users + n_items
        by_item = torch.argsort(items, stable=True)
        tails = torch.cat([items + n_users, users[by_item]])
        counts = (torch.bincount(users, minlength=n_users), torch.bincount(items, minlength=n_items))
        self._hold(tails, torch.cat(counts))

    def _hold(self, tails: torch.Tensor, counts: torch.Tensor) -> None:
        self.tails, self.counts = tails, counts
        self._pointers = torch.cat([counts.new_zeros(1), counts.cumsum(0)])

    def __len__(self) -> int:
        return len(self.tails) // 2

    @cached_property
    def heads(self) -> torch.Tensor:
        """The node at which each directed edge starts, int64 [2 n_edges], in the order of ``tails``."""
        return torch.arange(self.n_nodes, device=self.tails.device).repeat_interleave(self.counts)

    @property
    def users(self) -> torch.Tensor:
        """User id of each pair, int64 [n_edges]; pairs are sorted by user, then item."""
        return self.heads[: len(self)]

    @cached_property
    def items(self) -> torch.Tensor:
        """Item id of each pair, int64 [n_edges], in the order of ``users``."""
        return self.tails[: len(self)] - self.n_users

    @cached_property
    def pair(self) -> torch.Tensor:
        """Index of the pair (in the order of ``users``) to which each directed edge belongs, int64 [2 n_edges]."""
        pairs = torch.arange(len(self), device=self.tails.device)
        return torch.cat([pairs, torch.argsort(self.tails[: len(self)], stable=True)])

    def without(self, dataset: Dataset, rows: np.ndarray) -> Self:
        """Return the graph after more interactions were forgotten, bit-identical to one built from the retained ones.

        Finding the edges takes time proportional to the number of training interactions of the affected users. An edge
        is removed if no retained training interaction has its user and item.

        Args:
            dataset: the data from which the graph was built, with a mask that now also marks ``rows`` as forgotten.
            rows: int64, row indices in ``dataset.log`` of the interactions forgotten since the graph was built.
        """
        log, n_items = dataset.log, dataset.n_items
        theirs = log.rows_of(distinct(log.user[rows]))
        theirs = theirs[dataset.in_training(theirs)]
        pairs = distinct(log.user[rows] * n_items + log.item[rows])
        pairs = without(pairs, distinct(log.user[theirs] * n_items + log.item[theirs]))
        users, items = (torch.from_numpy(ids).to(self.tails.device) for ids in np.divmod(pairs, n_items))
        items += self.n_users
        heads, tails = torch.cat([users, items]), torch.cat([items, users])
        places = self._places(heads, tails)
        gone = places >= 0
        if not gone.any():
            return self
        kept = torch.ones(len(self.tails), dtype=torch.bool, device=self.tails.device)
        kept[places[gone]] = False
        graph = copy(self)
        for name in ("heads", "items", "pair"):
            graph.__dict__.pop(name, None)
        graph._hold(self.tails[kept], self.counts - torch.bincount(heads[gone], minlength=self.n_nodes))
        return graph

    def _places(self, heads: torch.Tensor, tails: torch.Tensor) -> torch.Tensor:
        """Return the index of each directed edge from a head to a tail node, int64 [n]; -1 if it is not in the graph.

        Args:
            heads, tails: int64 [n], nodes at which the edges start and end.
        """
        low, end = self._pointers[heads], self._pointers[heads + 1]
        high, last = end, max(len(self.tails) - 1, 0)
        if not len(self.tails) or not len(heads):
            return torch.full_like(heads, -1)
        for _ in range(int(self.counts.max()).bit_length()):
            middle = (low + high) // 2
            less = (low < high) & (self.tails[middle.clamp_max(last)] < tails)
            low, high = torch.where(less, middle + 1, low), torch.where(less, high, middle)
        there = (low < end) & (self.tails[low.clamp_max(last)] == tails)
        return torch.where(there, low, -1)

    def degrees(self, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Return the sum of the weights of each node's edges, plus 1e-7 as in RecBole, float64 [n_nodes].

        Args:
            weights: weight of each pair, float [n_edges]; None means 1.
        """
        if weights is None:
            return self.counts.to(torch.float64) + 1e-7
        weights = weights.to(torch.float64)[self.pair]
        total = torch.zeros(self.n_nodes, dtype=torch.float64, device=weights.device)
        return total.index_add_(0, self.heads, weights) + 1e-7  # a weighted bincount is not deterministic on a GPU

    def adjacency(
        self, weights: torch.Tensor | None = None, power: float = -0.5, dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        """Return the symmetric matrix ``D^power A D^power`` as a sparse CSR tensor [n_nodes, n_nodes].

        ``A`` has the edge weights as entries, and ``D`` is the diagonal matrix of the :meth:`degrees`.

        Args:
            weights: weight of each pair, float [n_edges]; None means 1.
            power: -0.5 for LightGCN's normalisation, 0 for the plain adjacency.
            dtype: dtype of the result; computations are in float64.
        """
        scale = self.degrees(weights) ** power
        values = scale.repeat_interleave(self.counts).mul_(scale[self.tails])
        if weights is not None:
            values = values * weights.to(torch.float64)[self.pair]
        return self.csr(values.to(dtype))

    def csr(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sparse CSR tensor [n_nodes, n_nodes] with the given value for each directed edge, [2 n_edges]."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse (CSR|invariant)")  # PyTorch warns that CSR is in beta
            return torch.sparse_csr_tensor(self._pointers, self.tails, values, (self.n_nodes, self.n_nodes))

    def likeness(self, nodes: torch.Tensor) -> torch.Tensor:
        """Return, for each pair, the inner product of its user's and its item's vector, float [n_edges].

        Args:
            nodes: float [n_nodes, d], one vector per node.
        """
        return _EdgeProducts.apply(self, nodes, nodes) / 2

    def weighted_mean(self, weights: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
        """Return the weighted mean of each node's neighbours, float [n_nodes, d], differentiable in both arguments.

        Args:
            weights: weight of each pair, float [n_edges]; a node whose edge weights add up to 0 gets zeros.
            nodes: float [n_nodes, d], one vector per node.
        """
        total = _WeightedProduct.apply(self, weights, torch.cat([nodes, torch.ones_like(nodes[:, :1])], dim=1))
        size = total[:, -1:]
        return total[:, :-1] / torch.where(size > 0, size, 1.0)


class _EdgeProducts(torch.autograd.Function):
    """The products ``a_u . b_i + a_i . b_u`` for each pair (u, i) of a graph, float [n_edges].

    ``a`` and ``b`` are float [n_nodes, d], one vector per node. Differentiable in both to any order, without scatter
    operations.
    """

    @staticmethod
    def forward(ctx: Any, graph: InteractionGraph, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        ctx.graph = graph
        ctx.save_for_backward(left, right)
        u, i = graph.users, graph.items + graph.n_users
        products = left.index_select(0, u) * right.index_select(0, i)  # many times faster than left[u] on the CPU
        other = products if left is right else left.index_select(0, i) * right.index_select(0, u)
        return (products + other).sum(dim=1)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[None, torch.Tensor, torch.Tensor]:
        left, right = ctx.saved_tensors
        product = _WeightedProduct.apply
        return None, product(ctx.graph, gradient, right), product(ctx.graph, gradient, left)


class _WeightedProduct(torch.autograd.Function):
    """Product of the weighted adjacency matrix and a matrix [n_nodes, d].

    Differentiable to any order in the matrix and in the pairs' weights, float [n_edges].
    """

    @staticmethod
    def forward(ctx: Any, graph: InteractionGraph, weights: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
        ctx.graph = graph
        ctx.save_for_backward(weights, dense)
        return graph.csr(weights[graph.pair].to(dense.dtype)) @ dense

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[None, torch.Tensor, torch.Tensor]:
        weights, dense = ctx.saved_tensors
        gradient = gradient.contiguous()
        along = _EdgeProducts.apply(ctx.graph, gradient, dense)
        return None, along, _WeightedProduct.apply(ctx.graph, weights, gradient)


class _SymmetricProduct(torch.autograd.Function):
    """``A @ x`` for a symmetric ``A``. The gradient is a product with ``A`` too, so derivatives of any order exist."""

    @staticmethod
    def forward(ctx: Any, matrix: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
        ctx.matrix = matrix
        return matrix @ dense

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[None, torch.Tensor]:
        return None, _SymmetricProduct.apply(ctx.matrix, gradient.contiguous())


def propagate(matrix: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
    """Return ``matrix @ embeddings`` for a symmetric sparse matrix, differentiable in ``embeddings`` to any order."""
    return _SymmetricProduct.apply(matrix.to(embeddings.dtype), embeddings)
