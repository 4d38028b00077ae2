"""Adam with sparse gradients equals Adam, and skips entries that no longer move."""

import math

import numpy as np
import pytest
import torch

from recbole.trainer.sparse_adam import Adam, SparseAdam

LR = 0.02


def gradients(steps, shape=(7, 9), share=0.02, seed=1, every=None):
    """Yield sparse gradients (None once in a while); entry (0, 0) has one only every so many steps."""
    draw = np.random.default_rng(seed)
    for step in range(steps):
        mask = draw.random(shape) < share
        mask[0, 0] = every is not None and step % every == 0
        values = np.where(mask, draw.normal(size=shape), 0.0)
        yield torch.from_numpy(values) if step % 11 != 7 else None


def run(optimizer_class, steps=700, dtype=torch.float64, sparse=True, reload_at=None, **options):
    """Return a parameter's values after each step."""
    parameter = torch.nn.Parameter(torch.linspace(-1, 1, 63, dtype=dtype).view(7, 9))
    options = {"lr": LR, **options}
    optimizer, trace = optimizer_class([parameter], **options), []
    for step, gradient in enumerate(gradients(steps, every=301)):
        if step == reload_at:
            state = optimizer.state_dict()
            optimizer = optimizer_class([parameter], **options)
            optimizer.load_state_dict(state)
        if gradient is not None:
            parameter.grad = gradient.to(dtype).to_sparse_coo() if sparse else gradient.to(dtype)
            optimizer.step()
        trace.append(parameter.detach().clone())
    return torch.stack(trace)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"betas": (0.0, 0.999)},
        {"betas": (0.5, 0.9), "eps": 1e-3},
        {"weight_decay": 0.1},
        {"betas": (0.9, 0.5)},
        {"fused": True},
    ],
    ids=str,
)
def test_every_step_is_that_of_adam(options):
    expected = run(torch.optim.Adam, sparse=False, **options)
    torch.testing.assert_close(run(Adam, **options), expected, rtol=0, atol=1e-13)
    single = (run(kind, dtype=torch.float32, sparse=kind is Adam, **options) for kind in (Adam, torch.optim.Adam))
    torch.testing.assert_close(*single, rtol=0, atol=1e-6)
    assert (expected[-1] != expected[0]).all()


def test_a_reloaded_state_goes_on_with_the_same_bits():
    whole = run(Adam, dtype=torch.float32)
    assert all(torch.equal(run(Adam, dtype=torch.float32, reload_at=at), whole) for at in (1, 150, 500))


def test_the_lazy_variant_moves_nothing_else():
    trace, sparse = run(SparseAdam, 40), list(gradients(40, every=301))
    for before, after, gradient in zip(trace, trace[1:], sparse[1:], strict=False):
        same = torch.ones_like(before, dtype=torch.bool) if gradient is None else gradient == 0
        assert torch.equal(before[same], after[same])
    assert not torch.allclose(trace[-1], run(Adam, 40)[-1], atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.9)])
def test_an_entry_is_left_alone_when_less_than_rounding_is_left_of_its_motion(dtype, betas):
    """After gradients of several kinds, all that Adam in float64 would still add is below eps lr / 2."""
    tiny = torch.finfo(dtype).eps / 2 * LR
    for kind in ("one", "many", "growing"):
        parameter = torch.nn.Parameter(torch.zeros(1, 1, dtype=dtype))
        exact = torch.nn.Parameter(torch.zeros(1, 1, dtype=torch.float64))
        ours, theirs = Adam([parameter], lr=LR, betas=betas), torch.optim.Adam([exact], lr=LR, betas=betas, eps=0)
        still = None
        for step in range(900):
            size = {"one": float(step == 0), "many": 1.0, "growing": 1.2**step}[kind] if step < 40 else 0.0
            before = parameter.detach().clone()
            exact.grad = torch.full_like(exact, size)
            parameter.grad = torch.full_like(parameter, size).to_sparse_coo()
            if not size:
                parameter.grad = torch.zeros_like(parameter).sparse_mask(torch.zeros(1, 1).to_sparse_coo())
            ours.step()
            theirs.step()
            moving = len(ours._moving[parameter][0])
            if still is None and step > 40 and not moving:
                still, there = step, exact.item()
            if still is not None:
                assert torch.equal(before, parameter)
        assert 10 < still < 600
        assert abs(exact.item() - there) < tiny


def test_gradients_of_whole_rows():
    """An embedding's sparse gradient holds rows."""
    table = {True: torch.nn.Embedding(30, 4, sparse=True), False: torch.nn.Embedding(30, 4)}
    table[True].load_state_dict(table[False].state_dict())
    optimizers = {
        True: Adam(table[True].parameters(), lr=LR),
        False: torch.optim.Adam(table[False].parameters(), lr=LR),
    }
    draw = torch.Generator().manual_seed(3)
    for _ in range(60):
        rows, goal = torch.randint(30, (5,), generator=draw), torch.randn(5, 4, generator=draw)
        for sparse, optimizer in optimizers.items():
            optimizer.zero_grad()
            (table[sparse](rows) - goal).square().sum().backward()
            assert table[sparse].weight.grad.is_sparse == sparse
            optimizer.step()
    torch.testing.assert_close(table[True].weight, table[False].weight, rtol=0, atol=1e-6)
    assert math.isfinite(table[True].weight.sum().item())
