"""The fake GPU rejects what a real GPU rejects, and computes what the CPU computes."""

import pytest
import torch
from fake_device import Mixed, fake_device
from torch import nn
from torch.nn import functional


@pytest.fixture
def gpu():
    with fake_device() as device:
        yield device


REFUSED = {
    "addition": lambda here, there: here + there,
    "product": lambda here, there: here @ there.T,
    "concatenation": lambda here, there: torch.cat([here, there]),
    "index of the CPU's": lambda here, there: here[torch.tensor([0, 1])],
    "index into the CPU's": lambda here, there: there[(here[:, 0] * 0).long()],
    "assignment by index": lambda here, there: here.index_put((torch.tensor([0]),), here[:1]),
    "choice": lambda here, there: torch.where(there > 0, here, here),
    "embedding": lambda here, there: functional.embedding(torch.tensor([0]), here),
    "scatter": lambda here, there: here.scatter_add(0, torch.zeros(1, 1, dtype=torch.int64), here),
    "in place": lambda here, there: there.add_(here),
}


@pytest.mark.parametrize("name", REFUSED)
def test_mixing_is_refused(name, gpu):
    numbers = torch.arange(6.0).view(2, 3)
    with pytest.raises(Mixed):
        REFUSED[name](numbers.to(gpu), numbers)


def test_numpy_takes_nothing_from_the_device(gpu):
    there = torch.arange(3.0, device=gpu)
    with pytest.raises(Mixed):
        there.numpy()
    assert there.cpu().numpy().tolist() == there.tolist() == [0, 1, 2]


def test_numbers_and_copies_cross_over(gpu):
    there = torch.arange(3.0).to(gpu)
    assert there.device == gpu and (there * torch.tensor(2.0) + 1).tolist() == [1, 3, 5]
    there.copy_(torch.zeros(3))
    here = torch.ones(3)
    here.copy_(there)
    assert here.tolist() == there.tolist() == [0, 0, 0] and here.device.type == "cpu"
    assert float(there.sum()) == 0 and bool((there == 0).all())


def test_writing_through_a_view_reaches_the_whole(gpu):
    table = torch.zeros(3, 2, device=gpu)
    table[1:].fill_(2.0)
    table.view(-1)[:2].add_(1)
    assert table.tolist() == [[1, 1], [2, 2], [2, 2]]


def test_derivatives_are_the_cpus_to_the_bit(gpu):
    def train(device):
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 1)).to(device)
        optimizer = torch.optim.Adam(model.parameters(), fused=True)
        x = torch.randn(8, 4).to(device)
        parameters = list(model.parameters())
        first = torch.autograd.grad(model(x).square().sum(), parameters, create_graph=True)
        second = torch.autograd.grad(first, parameters, [torch.ones_like(g) for g in first])
        model(x).square().mean().backward()
        optimizer.step()
        assert all(p.device.type == torch.device(device).type for p in model.parameters())
        return [t.detach().cpu() for t in (*second, *model.state_dict().values())]

    assert all(torch.equal(one, other) for one, other in zip(train("cpu"), train(gpu), strict=True))
