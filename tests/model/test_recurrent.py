"""Our implementation of GRU layers, compared with PyTorch's."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from recbole.model.recurrent import run_gru


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("lengths", [[3, 7, 1, 7, 2], [4, 4], [1]])
def test_states_and_derivatives_equal_those_of_pytorch(layers, lengths):
    draw = torch.Generator().manual_seed(1)
    gru = nn.GRU(3, 4, layers, bias=False, batch_first=True).double()
    x = torch.randn(len(lengths), max(lengths), 3, generator=draw, dtype=torch.float64, requires_grad=True)
    packed = pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    leaves = [x, *gru.parameters()]

    def derivatives(states, last):
        gradient = torch.autograd.grad(states.square().sum() + last.sin().sum(), leaves, create_graph=True)
        second = torch.autograd.grad(sum(part.square().sum() for part in gradient), leaves)
        return states, last, *gradient, *second

    ours = derivatives(*run_gru(gru, packed))
    packed = pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False)
    states, last = gru(packed)
    for found, expected in zip(ours, derivatives(states.data, last[-1]), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_dropout_between_layers_is_applied_in_training_only():
    gru = nn.GRU(3, 4, 2, bias=False, batch_first=True, dropout=0.5)
    packed = pack_padded_sequence(torch.ones(2, 3, 3), torch.tensor([3, 2]), batch_first=True, enforce_sorted=False)
    trained = [run_gru(gru, packed)[1] for _ in range(2)]
    gru.eval()
    still = [run_gru(gru, packed)[1] for _ in range(2)]
    assert not torch.equal(*trained) and torch.equal(*still)
