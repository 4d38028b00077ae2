"""Gradients, Hessian-vector products and solutions, compared with dense Hessians of small models."""

import gc

import numpy as np
import pytest
import torch
from asking import ask
from torch import nn
from torch.func import functional_call

from recbole.data import Interaction, Negatives
from recbole.data.sampler import in_turn
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.model.general_recommender.bpr import BPR
from recbole.model.general_recommender.lightgcn import LightGCN
from recbole.model.sequential_recommender.gru4rec import GRU4Rec
from recbole.unlearning.second_order import curvature
from recbole.unlearning.second_order.curvature import (
    HessianProduct,
    gradient,
    loss_and_gradient,
    second_order,
)
from recbole.unlearning.second_order.gauss_newton import GaussNewtonProduct
from recbole.unlearning.second_order.solvers import conjugate_gradients
from recbole.unlearning.second_order.subspace import Subspace, flatten, flatten_gradient
from recbole.utils import init_seed, stream

CLOSE = {"rtol": 1e-8, "atol": 1e-8}


class Task:
    """A float64 model, two batches of its training examples, and dense derivatives of their summed losses."""

    def __init__(self, model, dataset, batches):
        self.model, self.dataset, self.batches = model.double().eval(), dataset, batches
        self.names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        self.shapes = [dict(model.named_parameters())[name].shape for name in self.names]

    def point(self):
        parameters = dict(self.model.named_parameters())
        return torch.cat([parameters[name].detach().reshape(-1) for name in self.names])

    def loss(self, flat):
        parts = torch.split(flat, [shape.numel() for shape in self.shapes])
        values = {f"0.{n}": p.view(s) for n, p, s in zip(self.names, parts, self.shapes, strict=True)}
        losses = nn.ModuleList([self.model])
        losses.forward = self.model.loss_sum
        return sum(functional_call(losses, values, (batch,)) for batch in self.batches)

    def dense(self):
        """Return the gradient and the Hessian over all parameters, by torch's own reverse-over-reverse."""
        with second_order(self.model):
            point = self.point()
            first = torch.autograd.functional.jacobian(self.loss, point)
            return first, torch.autograd.functional.hessian(self.loss, point)

    def positions(self, subspace):
        """Return where a subspace's entries stand among all parameters."""
        numbers = torch.split(torch.arange(len(self.point())), [shape.numel() for shape in self.shapes])
        named = {n: part.view(shape) for n, part, shape in zip(self.names, numbers, self.shapes, strict=True)}
        return torch.cat([named[n][subspace.rows.get(n, slice(None))].reshape(-1) for n in subspace.names])


@pytest.fixture(scope="module")
def tasks(config, small_dataset, sessions):
    def pairwise(cls):
        settings = config("unused", cls.__name__, embedding_size=3, n_layers=2, dropout_prob=0.5)
        init_seed(1)
        model = cls(settings, small_dataset)
        negatives = Negatives(settings, small_dataset, model.input_type)
        examples = small_dataset.train_examples()
        parts = [small_dataset.collate(examples[:7]), small_dataset.collate(examples[40:60])]
        batches = [negatives.add(part, in_turn(stream(0, "negatives", at)), 2) for at, part in enumerate(parts)]
        return Task(model, small_dataset, batches)

    def recurrent():
        draw = np.random.default_rng(3)
        dataset = sessions(
            [draw.integers(1, 40, size=size) for size in (6, 7, 8)],
            embedding_size=3,
            hidden_size=4,
            num_layers=1,
            dropout_prob=0.5,
        )
        init_seed(1)
        model = GRU4Rec(dataset.config, dataset)
        return Task(model, dataset, [dataset.collate(dataset.train_examples()[:9])])

    return {"BPR": pairwise(BPR), "LightGCN": pairwise(LightGCN), "GRU4Rec": recurrent()}


MODELS = pytest.mark.parametrize("name", ["BPR", "LightGCN", "GRU4Rec"])


@pytest.fixture(scope="module")
def dense(tasks):
    return {name: task.dense() for name, task in tasks.items()}


@MODELS
def test_gradient(tasks, dense, name):
    task = tasks[name]
    with second_order(task.model):
        found = gradient(Subspace(task.model), task.batches)
        half = gradient(Subspace(task.model), task.batches, [0.5] * len(task.batches))
    torch.testing.assert_close(found, dense[name][0], **CLOSE)
    torch.testing.assert_close(2 * half, found, **CLOSE)
    assert found.norm() > 1e-3


@MODELS
def test_hessian_products(tasks, dense, name):
    task, (_, hessian) = tasks[name], dense[name]
    with second_order(task.model):
        subspace = Subspace(task.model)
        product = HessianProduct(subspace, task.batches)
        scaled = HessianProduct(subspace, task.batches, scale=0.25)
        weighted = HessianProduct(subspace, task.batches, weights=[4.0] * len(task.batches))
        generator = torch.Generator().manual_seed(0)
        for _ in range(3):  # the graph is kept: every product is of the same operator
            v = torch.randn(len(hessian), generator=generator, dtype=torch.float64)
            torch.testing.assert_close(product(v), hessian @ v, **CLOSE)
            torch.testing.assert_close(scaled(v), hessian @ v / 4, **CLOSE)
            torch.testing.assert_close(weighted(v), hessian @ v * 4, **CLOSE)
    assert product.count == 3
    assert hessian.abs().max() > 1e-3


@pytest.mark.parametrize("name", ["BPR", "GRU4Rec"])
def test_gauss_newton_products(tasks, name):
    task = tasks[name]
    with second_order(task.model):
        subspace = Subspace(task.model)
        expected = sum(gauss_newton(task, batch) for batch in task.batches)
        product = GaussNewtonProduct(subspace, task.batches, 0.5, [4.0] * len(task.batches))
        for at in range(3):
            v = torch.randn(len(expected), generator=torch.Generator().manual_seed(at), dtype=torch.float64)
            torch.testing.assert_close(product(v), 2 * expected @ v, **CLOSE)
            assert v @ product(v) >= 0
    assert expected.abs().max() > 1e-3


def gauss_newton(task, batch):
    """Return ``J' B J`` of a batch, dense, by torch's own Jacobian and Hessian."""
    parts = [shape.numel() for shape in task.shapes]

    def outputs(flat):
        values = {f"0.{n}": p.view(s) for n, p, s in zip(task.names, flat.split(parts), task.shapes, strict=True)}
        models = nn.ModuleList([task.model])
        models.forward = task.model.outputs
        return functional_call(models, values, (batch,)).reshape(-1)

    point = task.point()
    J, z = torch.autograd.functional.jacobian(outputs, point), outputs(point).detach()
    shape = task.model.outputs(batch).shape
    B = torch.autograd.functional.hessian(lambda flat: task.model.loss_sum(batch, flat.view(shape)), z)
    return J.T @ B @ J


@pytest.mark.parametrize("regulariser", [0.0, 0.3])
def test_gauss_newton_is_the_hessian_where_outputs_are_linear(tasks, monkeypatch, regulariser):
    task = tasks["BPR"]
    monkeypatch.setattr(task.model, "reg_weight", regulariser)
    subspace = Subspace(task.model, ("user_embedding.weight",), task.batches)
    v = torch.randn(len(subspace.vector()), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with second_order(task.model):
        image = GaussNewtonProduct(subspace, task.batches)(v)
        torch.testing.assert_close(image, HessianProduct(subspace, task.batches)(v), **CLOSE)


@MODELS
def test_a_kept_graph_gives_what_a_recomputed_one_gives(tasks, name):
    task = tasks[name]
    with second_order(task.model):
        subspace = Subspace(task.model, None, task.batches)
        kept = HessianProduct(subspace, task.batches)
        size = len(subspace.vector())
        for at in range(3):
            v = torch.randn(size, generator=torch.Generator().manual_seed(at), dtype=torch.float64)
            assert torch.equal(kept(v), HessianProduct(subspace, task.batches)(v))


PRODUCTS = pytest.mark.parametrize("product", [HessianProduct, GaussNewtonProduct])


@PRODUCTS
@pytest.mark.parametrize("name", ["BPR", "GRU4Rec"])
@pytest.mark.parametrize(("share", "n_kept"), [(0.0, 1), (0.7, 2)])
def test_parts_beyond_the_budget_are_made_anew_and_give_the_same(tasks, monkeypatch, name, product, share, n_kept):
    """The budget is a share of what all parts take; the first part is kept whatever it is."""
    task, weights = tasks[name], [0.5, 3.0, 2.0]
    batches = (task.batches * 3)[:3]
    with second_order(task.model):
        subspace = Subspace(task.model, None, batches)
        whole = product(subspace, batches, 0.5, weights)
        v = torch.randn(len(subspace.vector()), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        expected = whole(v)
        assert len(whole.kept) == 1, "small graphs are one part"
        monkeypatch.setattr(curvature, "PART_BYTES", 1)
        apart = product(subspace, batches, 0.5, weights)
        torch.testing.assert_close(apart(v), expected, **CLOSE)
        assert len(apart.kept) == 3
        monkeypatch.setattr(curvature, "KEPT_BYTES", share * apart.kept_bytes)
        made, real = [], product._trace
        monkeypatch.setattr(product, "_trace", lambda *args: made.append(args) or real(*args))
        tight = product(subspace, batches, 0.5, weights)
        for _ in range(2):
            torch.testing.assert_close(tight(v), expected, **CLOSE)
    assert len(tight.kept) == n_kept and 0 in tight.kept
    assert len(made) == 3 + (3 - n_kept), "kept parts are traced once, the others at each product"
    assert expected.norm() > 1e-3


@PRODUCTS
@pytest.mark.parametrize("name", ["BPR", "GRU4Rec"])
@pytest.mark.parametrize("part_bytes", [1, curvature.PART_BYTES])
def test_products_know_the_losses_and_their_gradient(tasks, monkeypatch, name, product, part_bytes):
    """From the graphs that they are taken of, kept or not."""
    task, weights = tasks[name], [0.5, 3.0, 2.0]
    batches = (task.batches * 3)[:3]
    monkeypatch.setattr(curvature, "PART_BYTES", part_bytes)
    monkeypatch.setattr(curvature, "KEPT_BYTES", 0)
    with second_order(task.model):
        subspace = Subspace(task.model, None, batches)
        loss, slope = loss_and_gradient(subspace, batches, weights)
        found, gradient_found = product(subspace, batches, 0.5, weights).loss_and_gradient()
    assert found == pytest.approx(0.5 * loss, rel=1e-9) and loss > 1
    torch.testing.assert_close(gradient_found, 0.5 * slope, **CLOSE)


def test_probabilities_are_kept_within_what_is_left_of_the_budget(tasks, monkeypatch):
    """What graphs hold comes first; without room the scores are taken anew, and the product is the same."""
    task = tasks["GRU4Rec"]
    with second_order(task.model):
        subspace = Subspace(task.model)
        kept = GaussNewtonProduct(subspace, task.batches)
        v = torch.ones(len(subspace.vector()), dtype=torch.float64)
        expected = kept(v)
        monkeypatch.setattr(curvature, "KEPT_BYTES", kept.kept_bytes - 1)
        tight = GaussNewtonProduct(subspace, task.batches)
        torch.testing.assert_close(tight(v), expected, **CLOSE)
    n_items = task.model.n_items
    assert kept.kept_bytes - tight.kept_bytes == len(task.batches[0]) * n_items * 8


@PRODUCTS
@pytest.mark.parametrize("moving", [("dense.weight",), ("item_embedding.weight",)])
def test_what_is_held_still_takes_no_part(tasks, moving, product):
    """Of the two factors of the scores the table moves alone, or not at all."""
    task = tasks["GRU4Rec"]
    with second_order(task.model):
        part, whole = Subspace(task.model, moving), Subspace(task.model)
        v = torch.randn(len(part.vector()), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        where = task.positions(part)
        wide = torch.zeros(len(task.point()), dtype=torch.float64)
        wide[where] = v
        expected = product(whole, task.batches)(wide)[where]
        torch.testing.assert_close(product(part, task.batches)(v), expected, **CLOSE)
    assert expected.norm() > 1e-3


@MODELS
def test_dropout_is_off_and_the_mode_comes_back(tasks, name):
    task = tasks[name]
    task.model.train()
    try:
        with second_order(task.model):
            assert not task.model.training
            first, second = (gradient(Subspace(task.model), task.batches) for _ in range(2))
        assert torch.equal(first, second)
        assert task.model.training
        with pytest.raises(KeyError), second_order(task.model):
            raise KeyError
        assert task.model.training
    finally:
        task.model.eval()


@MODELS
def test_solutions_are_those_of_the_dense_system(tasks, dense, name):
    task, (first, hessian) = tasks[name], dense[name]
    damping = float(1 - torch.linalg.eigvalsh(hessian)[0])  # positive definite
    with second_order(task.model):
        product = HessianProduct(Subspace(task.model), task.batches)
        found = conjugate_gradients(product, first, damping, 1e-13, 1000)
    right = np.linalg.solve(hessian.numpy() + damping * np.eye(len(hessian)), first.numpy())
    assert found.ended == "converged" and found.iterations == product.count
    np.testing.assert_allclose(found.x.numpy(), right, rtol=1e-8, atol=1e-10)


def test_the_rows_that_batches_read_are_the_whole_solution(tasks, dense):
    task, (first, hessian) = tasks["BPR"], dense["BPR"]
    damping = float(1 - torch.linalg.eigvalsh(hessian)[0])
    subspace = Subspace(task.model, None, task.batches)
    where = task.positions(subspace)
    assert len(where) < len(first)
    with second_order(task.model):
        own = gradient(subspace, task.batches)
        found = conjugate_gradients(HessianProduct(subspace, task.batches), own, damping, 1e-13, 1000)
    right = torch.linalg.solve(hessian + damping * torch.eye(len(hessian), dtype=torch.float64), first)
    torch.testing.assert_close(own, first[where], **CLOSE)
    torch.testing.assert_close(found.x, right[where], **CLOSE)
    left_out = torch.ones(len(first), dtype=torch.bool)
    left_out[where] = False
    assert not first[left_out].any() and not right[left_out].any()


def test_chosen_parameters_alone_are_a_block_of_the_hessian(tasks, dense):
    task, (first, _) = tasks["BPR"], dense["BPR"]
    subspace = Subspace(task.model, ("user_embedding.weight",), task.batches[:1])
    where = task.positions(subspace)
    with second_order(task.model):
        product = HessianProduct(subspace, task.batches[:1])
        v = torch.arange(1.0, len(where) + 1, dtype=torch.float64)
        block = Task(task.model, task.dataset, task.batches[:1]).dense()[1][where][:, where]
        torch.testing.assert_close(product(v), block @ v, **CLOSE)
    assert block.abs().max() > 1e-3
    assert first.shape[0] > len(where)


def test_the_hessian_of_a_recurrent_model_reaches_through_its_states(tasks, dense):
    task, (_, hessian) = tasks["GRU4Rec"], dense["GRU4Rec"]
    sizes = [shape.numel() for shape in task.shapes]
    blocks = {name: part for name, part in zip(task.names, torch.split(hessian, sizes), strict=True)}
    recurrent = [name for name in blocks if "weight_hh" in name]
    assert recurrent and all(blocks[name].abs().max() > 1e-6 for name in recurrent)
    torch.testing.assert_close(hessian, hessian.T, **CLOSE)


def test_moves_go_where_the_gradient_came_from(tasks):
    task = tasks["BPR"]
    subspace = Subspace(task.model, ("item_embedding.weight",), task.batches[:1])
    before = {n: p.detach().clone() for n, p in task.model.named_parameters()}
    step = torch.arange(1.0, len(subspace.vector()) + 1, dtype=torch.float64)
    torch.testing.assert_close(subspace.values(step)[0], subspace.values()[0] + step.view(-1, 3))
    subspace.add(step)
    after = dict(task.model.named_parameters())
    rows = subspace.rows["item_embedding.weight"]
    asked = {0, *task.batches[0]["item_id"].tolist(), *task.batches[0]["neg_item_id"].tolist()}
    assert set(rows.tolist()) == asked
    moved = after["item_embedding.weight"] - before["item_embedding.weight"]
    torch.testing.assert_close(moved[rows], step.view(-1, 3))
    moved = moved.detach().clone()
    moved[rows] = 0
    assert not moved.any()
    assert torch.equal(after["user_embedding.weight"], before["user_embedding.weight"])
    subspace.add(-step)
    torch.testing.assert_close(after["item_embedding.weight"].detach(), before["item_embedding.weight"])


def test_flat_vectors_and_shapes(tasks):
    task = tasks["LightGCN"]
    subspace = Subspace(task.model)
    v = torch.arange(float(len(task.point())), dtype=torch.float64)
    assert torch.equal(flatten(subspace.unflatten(v)), v)
    assert torch.equal(subspace.vector(), task.point())
    assert subspace.norm() == pytest.approx(float(task.point().norm()))
    assert torch.equal(flatten_gradient([None, v], [v[:2], v]), torch.cat([torch.zeros(2, dtype=torch.float64), v]))


def test_a_loss_without_curvature_has_a_zero_product():
    class Linear(AbstractRecommender):
        def __init__(self):
            super().__init__()
            self.w, self.unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(1))

        def loss_sum(self, batch):
            return (self.w * batch["x"]).sum()

    model, batch = Linear(), Interaction({"x": torch.tensor([[1.0, 2.0]])})
    subspace = Subspace(model)
    assert torch.equal(gradient(subspace, [batch, Interaction({})]), torch.tensor([1.0, 2.0, 0.0]))
    assert not HessianProduct(subspace, [batch, Interaction({})])(torch.ones(3)).any()


def test_batches_of_one_loss_share_the_propagation(tasks, monkeypatch):
    """What is shared is there during the call only, and each gradient is the sum of the batches' own."""
    task, weights = tasks["LightGCN"], [0.5, 3.0]
    subspace, forward, calls = Subspace(task.model), LightGCN.forward, []
    monkeypatch.setattr(LightGCN, "forward", lambda self: calls.append(1) or forward(self))
    with second_order(task.model):
        apart = sum(w * gradient(subspace, [batch]) for w, batch in zip(weights, task.batches, strict=True))
        assert len(calls) == 2
        torch.testing.assert_close(gradient(subspace, task.batches, weights), apart, **CLOSE)
        assert len(calls) == 3 and "forward" not in vars(task.model)
        product = HessianProduct(subspace, task.batches, 1.0, weights)
        product(apart)
    assert len(calls) == 4


@pytest.mark.parametrize("name", ["scif", "gif"])
@pytest.mark.parametrize("model", ["BPR", "LightGCN", "GRU4Rec", "Sets2Sets", "DNNTSP"])
def test_a_request_leaves_no_tensors_behind(worlds, model, name):
    """Neither in cycles of Python's, which wait for its collector, nor in a graph's, which none ever frees."""
    world, counts = worlds(model), []
    algorithm = world.start(name, gif_iterations=10, scif_iterations=10)
    kept = [world.requests[at].rows for at in range(5)]
    try:
        for at, rows in enumerate(kept):
            ask(algorithm, rows, at)
            gc.collect() if not counts else gc.disable()
            counts.append(sum(type(each) in (torch.Tensor, torch.nn.Parameter) for each in gc.get_objects()))
    finally:
        gc.enable()
    assert max(counts[2:]) - min(counts[2:]) <= 4 and counts[-1] <= counts[1] + 4, counts
