"""Adagrad with sparse gradients equals PyTorch's Adagrad, and only changes rows that the loss reads."""

from unittest.mock import patch

import numpy as np
import pytest
import torch
from small_worlds import trained, weights

from recbole.data import Interaction
from recbole.trainer import make_optimizer, optimizers
from recbole.trainer.learners import rows_alone
from recbole.trainer.sparse_adagrad import Adagrad
from recbole.trainer.sparse_adam import Adam

START = {"initial_accumulator_value": 1e-8}


def gradients(steps=60, shape=(9, 5), seed=1):
    """Yield gradients of which some rows, and entries of others, are zero; None once in a while."""
    draw = np.random.default_rng(seed)
    for step in range(steps):
        kept = (draw.random(shape[0]) < 0.3)[:, None] & (draw.random(shape) < 0.9)
        values = np.where(kept, draw.normal(size=shape) * 1e-4, 0.0).astype(np.float32)
        yield torch.from_numpy(values) if step % 11 != 7 else None


def run(cls, form=lambda gradient: gradient, reload_at=None, **options):
    """Return a parameter's values after each step."""
    parameter = torch.nn.Parameter(torch.linspace(-1, 1, 45).view(9, 5))
    optimizer, trace = cls([parameter], lr=0.05, **options), []
    for step, gradient in enumerate(gradients()):
        if step == reload_at:
            state = optimizer.state_dict()
            optimizer = cls([parameter], lr=0.05, **options)
            optimizer.load_state_dict(state)
        if gradient is not None:
            parameter.grad = form(gradient)
            optimizer.step()
        trace.append(parameter.detach().clone())
    return torch.stack(trace)


def by_row(gradient):
    return gradient.to_sparse(1)


def repeated(gradient):
    """Return a sparse gradient that names each of its rows twice."""
    half = (gradient / 2).to_sparse(1)
    return torch.sparse_coo_tensor(
        half.indices().repeat(1, 2), half.values().repeat(2, 1), half.shape, check_invariants=True
    )


@pytest.mark.parametrize("options", [{}, START, START | {"lr_decay": 0.1, "eps": 1e-3}, {"weight_decay": 0.1}], ids=str)
@pytest.mark.parametrize("form", [by_row, repeated, torch.Tensor.to_sparse_coo])
def test_every_step_is_that_of_torchs_adagrad_to_the_bit(options, form):
    expected = run(torch.optim.Adagrad, **options)
    assert torch.equal(run(Adagrad, form, **options), expected)
    assert torch.equal(run(Adagrad, form, reload_at=31, **options), expected)
    assert (expected[-1] != expected[0]).any()


def test_where_the_sums_of_squares_start_matters():
    assert not torch.allclose(run(Adagrad), run(Adagrad, **START), atol=1e-3)


@pytest.mark.parametrize("model", ["BPR", "NeuMF"])
def test_a_model_trained_row_by_row_has_the_bits_of_one_trained_densely(worlds, model):
    world = worlds(model)
    before = {key: world.config[key] for key in ("learner", "train_batch_size", "learning_rate")}
    world.config["learner"], world.config["train_batch_size"], world.config["learning_rate"] = "adagrad", 2, 0.05
    seen = []

    def counted(optimizer, module, batch):
        rows_alone(optimizer, module, batch)
        seen.append(any(p.grad is not None and p.grad.is_sparse for p in module.parameters()))

    try:
        with patch("recbole.trainer.loop.rows_alone", counted):
            one = weights(trained(world.config, world.data()))
        with patch("recbole.trainer.loop.rows_alone", lambda *_: None):
            other = weights(trained(world.config, world.data()))
    finally:
        for key, value in before.items():
            world.config[key] = value
    assert all(seen)
    assert all(torch.equal(one[name], other[name]) for name in one)


class Toy(torch.nn.Module):
    """A table of 40 rows, looked up by two fields."""

    row_tables = {"table": ("item", "other")}  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Parameter(torch.ones(40, 2))


def after(optimizer_class, batch, **options):
    """Return the toy's gradient after the rows of a batch were read, as it is given to an optimizer."""
    toy = Toy()
    rows = torch.cat([batch["item"], batch["other"]])
    toy.table[rows].square().sum().backward()
    rows_alone(optimizer_class([toy.table], lr=0.1, **options), toy, batch)
    return toy.table.grad


FEW = Interaction({"item": torch.tensor([3, 7]), "other": torch.tensor([7, 1])})
MANY = Interaction({"item": torch.arange(20), "other": torch.arange(20)})


def test_which_gradients_are_left_as_rows():
    gradient = after(Adagrad, FEW)
    assert gradient.is_sparse and gradient.indices().tolist() == [[1, 3, 7]]
    assert gradient.values().tolist() == [[2.0, 2.0], [2.0, 2.0], [4.0, 4.0]]
    assert not after(Adagrad, MANY).is_sparse, "of most rows there is nothing to be saved"
    assert not after(Adagrad, FEW, weight_decay=0.1).is_sparse, "all rows decay"
    assert not after(Adam, FEW).is_sparse and not after(optimizers.SGD, FEW).is_sparse


def test_learners_make_the_optimizer_that_is_asked_for():
    own = {"learner": "Adagrad", "adagrad_accumulator": 1e-8, "learning_rate": 0.05, "weight_decay": 0.0}
    optimizer = make_optimizer(own, Toy())
    assert isinstance(optimizer, Adagrad) and not optimizer.decays
    assert optimizer.param_groups[0]["initial_accumulator_value"] == 1e-8
    (state,) = optimizer.state.values()
    assert (state["sum"] == torch.tensor(1e-8)).all()
    own["adagrad_accumulator"] = None
    assert make_optimizer(own, Toy()).param_groups[0]["initial_accumulator_value"] == 0.0
