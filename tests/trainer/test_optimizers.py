"""Our optimizers without PyTorch's checks: the same numbers, states and hooks as PyTorch's."""

import pytest
import torch

from recbole.trainer import optimizers
from recbole.trainer.sparse_adagrad import Adagrad

PAIRS = [
    (optimizers.Adam, torch.optim.Adam, {"fused": True}),
    (optimizers.Adam, torch.optim.Adam, {"weight_decay": 0.1}),
    (optimizers.AdamW, torch.optim.AdamW, {"fused": True}),
    (optimizers.SGD, torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    (Adagrad, torch.optim.Adagrad, {"initial_accumulator_value": 1e-8, "lr_decay": 0.1}),
    (optimizers.RMSprop, torch.optim.RMSprop, {}),
]


def trained(cls, options):
    """Return the parameters after some steps with a schedule, a state taken up in between, and a group added."""
    draw = torch.Generator().manual_seed(3)
    weight, bias = (torch.nn.Parameter(torch.randn(size, generator=draw)) for size in ((4, 3), (3,)))
    optimizer = cls([weight], lr=0.1, **options)
    optimizer.add_param_group({"params": [bias], "lr": 0.2})
    seen = []
    optimizer.register_step_post_hook(lambda *told: seen.append(len(told)))
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    for step in range(5):
        optimizer.zero_grad(set_to_none=True)
        assert weight.grad is None
        (torch.randn(5, 4, generator=draw) @ weight + bias).square().sum().backward()
        optimizer.step()
        schedule.step()
        if step == 2:
            state = optimizer.state_dict()
            optimizer = cls([{"params": [weight]}, {"params": [bias]}], lr=0.1, **options)
            optimizer.load_state_dict(state)
            schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    assert len(seen) == 3
    return weight, bias


@pytest.mark.parametrize(("own", "torchs", "options"), PAIRS)
def test_the_same_bits(own, torchs, options):
    found, wanted = trained(own, options), trained(torchs, options)
    assert all(torch.equal(a, b) and a.requires_grad for a, b in zip(found, wanted, strict=True))


def test_gradients_are_off_during_a_step_and_on_within_a_closure():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = optimizers.SGD([weight], lr=0.5)

    def closure():
        loss = weight.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 2.0
    assert weight.tolist() == [0.0, 0.0] and torch.is_grad_enabled()
