"""Adam for sparse gradients leaves alone what they do not mention, and is Adam in what they do."""

import numpy as np
import pytest
import torch

from recbole.trainer.sparse_adam import SparseAdam

LR = 0.02


def gradients(steps, share, seed=1):
    """Yield gradients [7, 9] in which a share of the entries is not zero; None once in a while."""
    draw = np.random.default_rng(seed)
    for step in range(steps):
        values = np.where(draw.random((7, 9)) < share, draw.normal(size=(7, 9)), 0.0)
        yield torch.from_numpy(values) if step % 11 != 7 else None


def run(optimizer_class, steps=40, share=0.02, sparse=True, reload_at=None, **options):
    """Return a parameter's values after each step."""
    parameter = torch.nn.Parameter(torch.linspace(-1, 1, 63, dtype=torch.float64).view(7, 9))
    options = {"lr": LR, **options}
    optimizer, trace = optimizer_class([parameter], **options), []
    for step, gradient in enumerate(gradients(steps, share)):
        if step == reload_at:
            state = optimizer.state_dict()
            optimizer = optimizer_class([parameter], **options)
            optimizer.load_state_dict(state)
        if gradient is not None:
            parameter.grad = gradient.to_sparse_coo() if sparse else gradient
            optimizer.step()
        trace.append(parameter.detach().clone())
    return torch.stack(trace)


@pytest.mark.parametrize("options", [{}, {"betas": (0.0, 0.999)}, {"betas": (0.5, 0.9), "eps": 1e-3}, {"fused": True}])
def test_where_everything_is_mentioned_it_is_adam(options):
    expected = run(torch.optim.Adam, share=1.0, sparse=False, **options)
    torch.testing.assert_close(run(SparseAdam, share=1.0, **options), expected, rtol=0, atol=1e-13)
    torch.testing.assert_close(run(SparseAdam, share=1.0, sparse=False, **options), expected, rtol=0, atol=1e-13)


def test_a_reloaded_state_goes_on_with_the_same_bits():
    whole = run(SparseAdam)
    assert all(torch.equal(run(SparseAdam, reload_at=at), whole) for at in (1, 15, 30))


def test_nothing_else_is_moved():
    trace, sparse = run(SparseAdam), list(gradients(40, 0.02))
    for before, after, gradient in zip(trace, trace[1:], sparse[1:], strict=False):
        same = torch.ones_like(before, dtype=torch.bool) if gradient is None else gradient == 0
        assert torch.equal(before[same], after[same]) and (before[~same] != after[~same]).all()
    assert not torch.allclose(trace[-1], run(torch.optim.Adam, sparse=False)[-1], atol=1e-3)


def test_gradients_of_whole_rows():
    """An embedding's sparse gradient holds rows; one that is read twice counts twice."""
    table = {True: torch.nn.Embedding(5, 4, sparse=True), False: torch.nn.Embedding(5, 4)}
    table[True].load_state_dict(table[False].state_dict())
    optimizers = {
        True: SparseAdam(table[True].parameters(), lr=LR),
        False: torch.optim.Adam(table[False].parameters(), lr=LR),
    }
    draw = torch.Generator().manual_seed(3)
    for _ in range(20):
        rows, goal = torch.tensor([0, 1, 2, 3, 4, 2]), torch.randn(6, 4, generator=draw)
        for sparse, optimizer in optimizers.items():
            optimizer.zero_grad()
            (table[sparse](rows) - goal).square().sum().backward()
            assert table[sparse].weight.grad.is_sparse == sparse
            optimizer.step()
    torch.testing.assert_close(table[True].weight, table[False].weight, rtol=0, atol=1e-6)
