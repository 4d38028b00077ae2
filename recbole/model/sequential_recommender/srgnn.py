"""SR-GNN: a graph network over sessions."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from recbole.config import Config
from recbole.data import Dataset
from recbole.model.next_item import NextItemRecommender


@dataclass(frozen=True)
class SessionGraph:
    """A batch of sequences as one graph; its nodes are the distinct (sequence, item) pairs.

    Attributes:
        items: int64 [nodes], item id of each node.
        alias: int64 [positions], the node at each position of the batch's sequences, one sequence after the other.
        row: int64 [positions], the sequence (row of the batch) to which each position belongs.
        source, target: int64 [edges], the nodes of an item and of the item after it; a repeated transition is one edge.
    """

    items: torch.Tensor
    alias: torch.Tensor
    row: torch.Tensor
    source: torch.Tensor
    target: torch.Tensor


def session_graph(item_seq: torch.Tensor, n_items: int) -> SessionGraph:
    """Return the :class:`SessionGraph` of sequences (int64 [batch, width], padded with 0 on the right)."""
    row, column = item_seq.nonzero(as_tuple=True)
    nodes, alias = torch.unique(row * n_items + item_seq[row, column], return_inverse=True)
    inside = row[1:] == row[:-1]
    edges = torch.unique(alias[:-1][inside] * len(nodes) + alias[1:][inside])
    return SessionGraph(nodes % n_items, alias, row, edges // len(nodes), edges % len(nodes))


def _mean(values: torch.Tensor, start: torch.Tensor, end: torch.Tensor) -> torch.Tensor:
    """Return, for each node, the mean of the values at the start nodes of its incoming edges, float [nodes, d].

    The mean is 0 for a node without incoming edges.

    Args:
        values: float [nodes, d].
        start, end: int64 [edges], the nodes at which each edge starts and ends.
    """
    total = torch.zeros_like(values).index_add(0, end, values.index_select(0, start))
    return total / torch.bincount(end, minlength=len(values)).clamp_min(1).unsqueeze(1)


class GNN(nn.Module):
    """Gated graph network: ``step`` rounds of messages along and against the edges, each with a GRU-like update.

    Y. Li et al., "Gated Graph Sequence Neural Networks", ICLR 2016 (equation numbers not checked).

    Args:
        embedding_size: size d of the node vectors.
        step: number of rounds.
    """

    def __init__(self, embedding_size: int, step: int = 1) -> None:
        super().__init__()
        d, self.step = embedding_size, step
        self.w_ih = nn.Parameter(torch.empty(3 * d, 2 * d))
        self.w_hh = nn.Parameter(torch.empty(3 * d, d))
        self.b_ih = nn.Parameter(torch.empty(3 * d))
        self.b_hh = nn.Parameter(torch.empty(3 * d))
        self.b_iah = nn.Parameter(torch.empty(d))
        self.b_ioh = nn.Parameter(torch.empty(d))
        self.linear_edge_in = nn.Linear(d, d)
        self.linear_edge_out = nn.Linear(d, d)

    def forward(self, graph: SessionGraph, hidden: torch.Tensor) -> torch.Tensor:
        """Return the updated node vectors, float [nodes, d], for initial vectors ``hidden`` [nodes, d]."""
        for _ in range(self.step):
            before = _mean(self.linear_edge_in(hidden), graph.source, graph.target) + self.b_iah
            after = _mean(self.linear_edge_out(hidden), graph.target, graph.source) + self.b_ioh
            from_edges = F.linear(torch.cat([before, after], dim=1), self.w_ih, self.b_ih).chunk(3, dim=1)
            from_self = F.linear(hidden, self.w_hh, self.b_hh).chunk(3, dim=1)
            reset, update = (torch.sigmoid(a + b) for a, b in zip(from_edges[:2], from_self[:2], strict=True))
            new = torch.tanh(from_edges[2] + reset * from_self[2])
            hidden = (1 - update) * hidden + update * new
        return hidden


class SRGNN(NextItemRecommender):
    """A graph network over the session's items, pooled by attention with the last item as query.

    With node vectors ``h_1 .. h_t`` along the session: ``alpha_j = q . sigmoid(W1 h_t + W2 h_j)``, and the session's
    vector is ``W3 [sum_j alpha_j h_j ; h_t]``.

    S. Wu et al., "Session-based Recommendation with Graph Neural Networks", AAAI 2019 (equation numbers not checked). A
    repeated transition is one edge, as in RecBole. The learning rate is multiplied by ``lr_dc`` every ``lr_dc_step``
    epochs, as in the authors' program and in ERASE, the benchmark that this package re-implements.
    """

    selective = ("item_embedding.weight", "linear_transform.weight", "linear_transform.bias")

    def __init__(self, config: Config, dataset: Dataset) -> None:
        super().__init__(config, dataset)
        d = config["embedding_size"]
        self.decay = {"step_size": config["lr_dc_step"], "gamma": config["lr_dc"]}
        self.item_embedding = nn.Embedding(self.n_items, d, padding_idx=0)
        self.gnn = GNN(d, config["step"])
        self.linear_one = nn.Linear(d, d)
        self.linear_two = nn.Linear(d, d)
        self.linear_three = nn.Linear(d, 1, bias=False)
        self.linear_transform = nn.Linear(2 * d, d)
        for parameter in self.parameters():
            parameter.data.uniform_(-1 / math.sqrt(d), 1 / math.sqrt(d))

    def scheduler(self, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.StepLR:
        """Return a scheduler that multiplies the learning rate by ``lr_dc`` every ``lr_dc_step`` epochs."""
        return torch.optim.lr_scheduler.StepLR(optimizer, **self.decay)

    def forward(self, item_seq: torch.Tensor, item_seq_len: torch.Tensor) -> torch.Tensor:
        """Return the session vectors, float [batch, d]; arguments as in :meth:`NextItemRecommender.forward`."""
        graph = session_graph(item_seq, self.n_items)
        hidden = self.gnn(graph, self.item_embedding(graph.items))
        last = hidden.index_select(0, graph.alias[item_seq_len.cumsum(0) - 1])
        energy = self.linear_one(last).index_select(0, graph.row) + self.linear_two(hidden).index_select(0, graph.alias)
        alpha = self.linear_three(torch.sigmoid(energy))
        session = torch.zeros_like(last).index_add(0, graph.row, alpha * hidden.index_select(0, graph.alias))
        return self.linear_transform(torch.cat([session, last], dim=1))
