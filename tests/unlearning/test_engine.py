"""Vector-Jacobian products: what ``torch.autograd.grad`` returns, with PyTorch's private engine and without it."""

import pytest
import torch

from recbole.unlearning.second_order import engine
from recbole.unlearning.second_order.engine import pulled_back


@pytest.fixture(params=["engine", "public"])
def either(request, monkeypatch):
    if request.param == "public":
        monkeypatch.setattr(engine, "_RUN", None)
    return request.param


def test_the_engine_is_there():
    assert engine._RUN is not None, "torch.autograd.grad does instead; see what it imports"


def test_products_are_those_of_autograd_to_the_bit(either):
    draw = torch.Generator().manual_seed(1)
    a, b, unused = (torch.randn(3, 4, generator=draw, requires_grad=True) for _ in range(3))
    u, v = torch.randn(3, generator=draw), torch.randn(4, generator=draw, requires_grad=True)
    outputs = [(a * b).sigmoid().sum(1), (a.exp() * b).sum(0)]
    wanted = torch.autograd.grad(outputs, [a, b, unused], [u, v], create_graph=True, allow_unused=True)
    found = pulled_back(outputs, [a, b, unused], [u, v], create_graph=True)
    assert found[2] is None and wanted[2] is None
    assert all(torch.equal(x, y) for x, y in zip(found[:2], wanted[:2], strict=True))
    ones = torch.ones(3, 4)
    second = pulled_back(found[:1], [a, v], [ones])
    assert all(map(torch.equal, second, torch.autograd.grad(wanted[:1], [a, v], [ones], retain_graph=True)))
    plain = pulled_back(outputs, [a], [u, v])[0]
    assert torch.equal(plain, wanted[0]) and not plain.requires_grad  # and the graph was kept


def test_a_vector_of_another_shape_is_refused(either):
    a = torch.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="shape"):
        pulled_back([a * 2], [a], [torch.ones(4)])
