"""The user-item graph of the retained training pairs, and propagation over it."""

import warnings
from typing import Any

import torch

from recbole.data import Dataset
from recbole.data.ids import distinct


class InteractionGraph:
    """The bipartite graph of retained training pairs; nodes are all user ids, then all item ids.

    Its adjacency can be weighted anew (a view that leaves edges out has zeros) without building it anew.

    Attributes:
        users, items: int64 [n_edges], the pairs, each once, sorted.
        heads, tails: int64 [2 n_edges], the directed edges between nodes, sorted: the adjacency's entries.
        pair: int64 [2 n_edges], which of the pairs each of them is.
        n_nodes: ``n_users + n_items``.

    Args:
        dataset: under the mask to build from.
        device: where the tensors live.
    """

    def __init__(self, dataset: Dataset, device: torch.device | str | None = None) -> None:
        log, rows, n_users, n_items = dataset.log, dataset.train_rows, dataset.n_users, dataset.n_items
        pairs = distinct(log.user[rows] * n_items + log.item[rows])
        self.users = torch.from_numpy(pairs // n_items).to(device)
        self.items = torch.from_numpy(pairs % n_items).to(device)
        self.n_users, self.n_nodes = n_users, n_users + n_items
        by_item = torch.argsort(self.items, stable=True)
        self.heads = torch.cat([self.users, self.items[by_item] + n_users])
        self.tails = torch.cat([self.items + n_users, self.users[by_item]])
        self.pair = torch.cat([torch.arange(len(pairs), device=device), by_item])
        degrees = torch.bincount(self.heads, minlength=self.n_nodes)
        self._pointers = torch.cat([degrees.new_zeros(1), degrees.cumsum(0)])

    def degrees(self, weights: torch.Tensor | None = None) -> torch.Tensor:
        """Return the summed weight of each node's edges, float64 [n_nodes], plus RecBole's 1e-7."""
        weights = torch.ones(len(self.users), device=self.users.device) if weights is None else weights
        weights = weights.to(torch.float64)[self.pair]
        total = torch.zeros(self.n_nodes, dtype=torch.float64, device=weights.device)
        return total.index_add_(0, self.heads, weights) + 1e-7  # a weighted bincount is not deterministic on a GPU

    def adjacency(
        self, weights: torch.Tensor | None = None, power: float = -0.5, dtype: torch.dtype = torch.float32
    ) -> torch.Tensor:
        """Return ``D^power A D^power``, symmetric, as a sparse CSR tensor [n_nodes, n_nodes].

        Args:
            weights: weight of each pair [n_edges], ones by default; ``D`` is recounted from them.
            power: -0.5 for LightGCN's normalisation, 0 for the plain adjacency.
            dtype: of the values, which are worked out in float64.
        """
        scale = self.degrees(weights) ** power
        values = scale[self.heads] * scale[self.tails]
        if weights is not None:
            values = values * weights.to(torch.float64)[self.pair]
        return self.csr(values.to(dtype))

    def csr(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sparse CSR tensor [n_nodes, n_nodes] with a value for each of ``heads``, ``tails``."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse (CSR|invariant)")  # "beta", once a process
            return torch.sparse_csr_tensor(self._pointers, self.tails, values, (self.n_nodes, self.n_nodes))

    def likeness(self, nodes: torch.Tensor) -> torch.Tensor:
        """Return the inner product of both ends of each pair [n_edges], given a vector for each node [n_nodes, d]."""
        return _EdgeProducts.apply(self, nodes, nodes) / 2

    def weighted_mean(self, weights: torch.Tensor, nodes: torch.Tensor) -> torch.Tensor:
        """Return each node's mean of its neighbours' vectors [n_nodes, d], differentiable in ``weights`` too.

        Args:
            weights: weight of each pair [n_edges]; a node whose edges weigh nothing gets zeros.
            nodes: [n_nodes, d].
        """
        total = _WeightedProduct.apply(self, weights, torch.cat([nodes, torch.ones_like(nodes[:, :1])], dim=1))
        size = total[:, -1:]
        return total[:, :-1] / torch.where(size > 0, size, 1.0)


class _EdgeProducts(torch.autograd.Function):
    """``a_u . b_i + a_i . b_u`` for each pair (u, i); differentiable to any order, without scattering."""

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
    """The adjacency with the weights of pairs, times a dense matrix; differentiable in both, to any order."""

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
    """``A @ x`` for a symmetric ``A``: its gradient is the same product again, to any order."""

    @staticmethod
    def forward(ctx: Any, matrix: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
        ctx.matrix = matrix
        return matrix @ dense

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[None, torch.Tensor]:
        return None, _SymmetricProduct.apply(ctx.matrix, gradient.contiguous())


def propagate(matrix: torch.Tensor, embeddings: torch.Tensor) -> torch.Tensor:
    """Return ``matrix @ embeddings`` for a symmetric sparse matrix, differentiable twice and more."""
    return _SymmetricProduct.apply(matrix.to(embeddings.dtype), embeddings)
