"""Graph operators and contrastive losses, compared with dense matrices, including second derivatives."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole.data import create_dataset
from recbole.model import contrast
from recbole.model.contrast import info_nce, log_partition
from recbole.model.graph import InteractionGraph, propagate
from recbole.utils import ModelType


@pytest.fixture
def graph(small_dataset):
    return InteractionGraph(small_dataset.masked(np.arange(len(small_dataset.log)) % 3 > 0))


def dense(graph, weights=None):
    a = torch.zeros(graph.n_nodes, graph.n_nodes, dtype=torch.float64)
    weights = torch.ones(len(graph.users), dtype=torch.float64) if weights is None else weights
    for user, item, weight in zip(graph.users.tolist(), (graph.items + graph.n_users).tolist(), weights, strict=True):
        a[user, item] = a[item, user] = weight
    return a


def random(*shape, seed=1):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).requires_grad_()


@pytest.fixture(scope="session")
def repeated(tmp_path_factory, write_inter, config):
    """Data in which a pair occurs up to four times, in one or several splits."""
    folder = tmp_path_factory.mktemp("repeated")
    rows = [(f"u{user}", f"i{at * at % 5}", at) for user in range(6) for at in range(5 + 3 * user)]
    write_inter(folder, rows, "user_id:token item_id:token timestamp:float")
    return create_dataset(config(folder), ModelType.GENERAL)


def tensors(graph):
    parts = {name: getattr(graph, name) for name in ("tails", "counts", "heads", "users", "items", "pair")}
    matrix = graph.adjacency()
    return parts | {"crow": matrix.crow_indices(), "col": matrix.col_indices(), "values": matrix.values()}


@given(st.lists(st.lists(st.integers(0, 10**6), max_size=30), min_size=1, max_size=4), st.booleans())
@settings(deadline=None)
def test_a_graph_without_rows_equals_that_of_the_mask(repeated, requests, looked_at):
    data = repeated.masked(np.zeros(len(repeated.log), dtype=bool))
    graph = InteractionGraph(data)
    for request in requests:
        rows = np.array(request, dtype=np.int64) % len(data.log)
        if looked_at:
            before = {name: tensor.clone() for name, tensor in tensors(graph).items()}
        old, changed = graph, data.forget(rows)
        graph = graph.without(data, changed.rows)
        found, expected = tensors(graph), tensors(InteractionGraph(data))
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert all(found[name].dtype == expected[name].dtype for name in expected)
        if looked_at:
            assert all(torch.equal(before[name], tensor) for name, tensor in tensors(old).items())


def test_a_pair_leaves_the_graph_with_its_last_row(repeated):
    data = repeated.masked(np.zeros(len(repeated.log), dtype=bool))
    graph, pairs = InteractionGraph(data), data.log.user * data.n_items + data.log.item
    twice = np.flatnonzero(data.in_training() & (pairs == np.bincount(pairs[data.in_training()]).argmax()))
    assert len(twice) > 1
    data.forget(twice[:-1])
    assert graph.without(data, twice[:-1]) is graph
    data.forget(twice[-1:])
    assert len(graph.without(data, twice[-1:])) == len(graph) - 1


@pytest.mark.parametrize("power", [-0.5, 0])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_adjacency_matrix(graph, power, weighted):
    weights = torch.rand(len(graph.users), dtype=torch.float64) if weighted else None
    a = dense(graph, weights)
    scale = (a.sum(dim=1) + 1e-7) ** power
    expected = scale[:, None] * a * scale
    found = graph.adjacency(weights, power, torch.float64).to_dense()
    assert torch.allclose(found, expected, rtol=1e-12, atol=0) and torch.equal(found, found.T)
    assert torch.allclose(graph.degrees(weights), a.sum(dim=1) + 1e-7)


def test_operators_and_their_derivatives(graph):
    a, n = dense(graph), graph.n_nodes
    nodes, weights = random(n, 2), torch.rand(len(graph.users), dtype=torch.float64).requires_grad_()
    ends = nodes[graph.users], nodes[graph.items + graph.n_users]
    assert torch.allclose(graph.likeness(nodes), (ends[0] * ends[1]).sum(dim=1))
    w = dense(graph, weights.detach())
    total = w.sum(dim=1, keepdim=True)
    expected = torch.where(total > 0, w @ nodes / total, 0.0)
    assert torch.allclose(graph.weighted_mean(weights, nodes), expected)
    matrix = graph.adjacency(power=0, dtype=torch.float64)
    assert torch.allclose(propagate(matrix, nodes), a @ nodes)
    for function, inputs in (
        (lambda x: propagate(matrix, x)[:9].square(), (nodes,)),
        (lambda x: graph.likeness(x)[:9], (nodes,)),
        (lambda v, x: graph.weighted_mean(v, x)[:9], (weights, nodes)),
    ):
        assert torch.autograd.gradcheck(function, inputs, fast_mode=True)
        assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


def test_nodes_of_weight_zero_are_not_in_the_mean(graph):
    found = graph.weighted_mean(torch.zeros(len(graph.users)), torch.ones(graph.n_nodes, 2))
    assert not found.any()


@pytest.mark.parametrize("at_once", [2**24, 1, 20])
def test_the_contrastive_loss_does_not_depend_on_the_block_size(monkeypatch, at_once):
    anchors, candidates = random(7, 3), random(9, 3, seed=2)
    positives, tau = torch.tensor([0, 3, 3, 8, 1, 2, 5]), 0.3
    expected = []
    for a, own in zip(anchors, positives.tolist(), strict=True):
        scores = torch.exp(candidates @ a / tau)
        expected.append(-torch.log(scores[own] / scores.sum()))
    expected = torch.stack(expected)
    monkeypatch.setattr(contrast, "PRODUCTS_AT_ONCE", at_once)
    found = info_nce(anchors, candidates, positives, tau)
    assert torch.allclose(found, expected, rtol=1e-12)
    for one, other in zip(
        torch.autograd.grad(found.sum(), (anchors, candidates)),
        torch.autograd.grad(expected.sum(), (anchors, candidates)),
        strict=True,
    ):
        assert torch.allclose(one, other)
    assert torch.autograd.gradgradcheck(lambda a, c: log_partition(a, c, tau), (anchors, candidates), fast_mode=True)


def test_blocks_are_not_stored_for_the_backward_pass(monkeypatch):
    def kept(at_once):
        monkeypatch.setattr(contrast, "PRODUCTS_AT_ONCE", at_once)
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            log_partition(random(64, 2), random(64, 2), 1.0)
        return max(sizes)

    assert kept(2**24) == 64 * 64
    assert kept(64) <= 2 * 64
