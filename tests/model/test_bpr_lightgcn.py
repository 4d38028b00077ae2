"""BPR and LightGCN, compared with independent NumPy implementations in float64."""

import numpy as np
import pytest
import torch

from recbole.data import Negatives
from recbole.data.cf import GeneralDataset
from recbole.data.sampler import in_turn
from recbole.evaluator.scores import top_items
from recbole.model import get_model
from recbole.model.loss import BPRLoss, EmbLoss, EmbMarginLoss, RegLoss
from recbole.utils import stream

SETTINGS = {"embedding_size": 4, "n_layers": 3, "reg_weight": 0.01}
MODELS = pytest.mark.parametrize("name", ["BPR", "LightGCN"])


@pytest.fixture(scope="module")
def dataset(small_dataset, config):
    """The small data set with a tenth of the rows forgotten, and the settings of LightGCN."""
    made = small_dataset.masked(np.arange(len(small_dataset.log)) % 10 == 3)
    made.config = config("nowhere", "LightGCN", **SETTINGS)
    return made


def model_of(name, dataset, **settings):
    """Return a float64 model with large random weights."""
    for key, value in settings.items():
        dataset.config[key] = value
    torch.manual_seed(4)
    model = get_model(name)(dataset.config, dataset).double()
    model.rebuild(dataset)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.7)
    return model


def batch_of(model, dataset):
    examples = dataset.train_examples()[::11]
    return Negatives(dataset.config, dataset, model.input_type).add(
        dataset.collate(examples), in_turn(stream(1, "t")), times=2
    )


# --- NumPy implementation --------------------------------------------------------------------------------------------
def parameters(model):
    return {name: value.detach().numpy().copy() for name, value in model.named_parameters()}


def final(name, weights, dataset):
    """Return the final embeddings (users, items) of a model."""
    users, items = weights["user_embedding.weight"], weights["item_embedding.weight"]
    if name == "BPR":
        return users, items
    n, m = len(users), len(items)
    adjacency = np.zeros((n + m, n + m))
    for row in range(len(dataset.log)):
        if dataset.log.split[row] == 0 and not dataset.forgotten[row]:
            user, item = dataset.log.user[row], n + dataset.log.item[row]
            adjacency[user, item] = adjacency[item, user] = 1
    degree = adjacency.sum(axis=1) + 1e-7
    adjacency /= np.sqrt(degree[:, None] * degree)
    layers = [np.concatenate([users, items])]
    for _ in range(SETTINGS["n_layers"]):
        layers.append(adjacency @ layers[-1])
    mean = sum(layers) / len(layers)
    return mean[:n], mean[n:]


def loss_of(name, weights, dataset, batch, require_pow=False):
    users, items = final(name, weights, dataset)
    ids = [batch[field].numpy() for field in ("user_id", "item_id", "neg_item_id")]
    u, p, n = users[ids[0]], items[ids[1]], items[ids[2]]
    difference = (u * p).sum(1) - (u * n).sum(1)
    loss = np.mean(-np.log(1e-10 + 1 / (1 + np.exp(-difference))))
    require_pow |= name == "BPR"
    tables = weights["user_embedding.weight"], weights["item_embedding.weight"], weights["item_embedding.weight"]
    squares = [(table[rows] ** 2).sum() for table, rows in zip(tables, ids, strict=True)]
    norms = sum(squares) / 2 if require_pow else sum(np.sqrt(squares))
    return loss + SETTINGS["reg_weight"] * norms / len(batch)


# --- forward and loss ------------------------------------------------------------------------------------------------
@MODELS
def test_scores(name, dataset):
    model = model_of(name, dataset).eval()
    users, items = final(name, parameters(model), dataset)
    batch = batch_of(model, dataset)
    expected = users[batch["user_id"].numpy()] @ items.T
    with torch.no_grad():
        full, single = model.full_sort_predict(batch).view(len(batch), -1), model.predict(batch)
    assert full.numpy() == pytest.approx(expected, abs=1e-6)
    assert single.numpy() == pytest.approx(expected[np.arange(len(batch)), batch["item_id"].numpy()], abs=1e-6)


@MODELS
@pytest.mark.parametrize("require_pow", [False, True])
def test_loss(name, dataset, require_pow):
    model = model_of(name, dataset, require_pow=require_pow)
    batch = batch_of(model, dataset)
    expected = loss_of(name, parameters(model), dataset, batch, require_pow)
    assert float(model.calculate_loss(batch).detach()) == pytest.approx(expected, abs=1e-6)
    assert float(model.loss_sum(batch).detach()) == pytest.approx(expected * len(batch), abs=1e-4)


def central(function, value, at, step=1e-5):
    """Return the central difference of a function of a dictionary of arrays, with respect to one entry."""
    name, index = at
    up, down = ({key: array.copy() for key, array in value.items()} for _ in range(2))
    up[name][index] += step
    down[name][index] -= step
    return (function(up) - function(down)) / (2 * step)


@MODELS
def test_gradient_is_the_loss_of_the_numpy_model_by_finite_differences(name, dataset):
    model = model_of(name, dataset, require_pow=False)
    batch, weights = batch_of(model, dataset), parameters(model)
    model.calculate_loss(batch).backward()
    user, item, negative = (int(batch[field][0]) for field in ("user_id", "item_id", "neg_item_id"))
    places = [("user_embedding.weight", (user, 1)), ("item_embedding.weight", (item, 0))]
    places += [("item_embedding.weight", (negative, 3)), ("user_embedding.weight", (0, 2))]
    for place in places:
        expected = central(lambda value: loss_of(name, value, dataset, batch), weights, place)
        found = dict(model.named_parameters())[place[0]].grad[place[1]]
        assert float(found) == pytest.approx(expected, abs=1e-7)
    assert expected == 0, "the padding row has no gradient"


@MODELS
def test_second_derivatives_by_differences_of_gradients(name, dataset):
    model = model_of(name, dataset, require_pow=False)
    batch, values = batch_of(model, dataset), list(model.parameters())
    directions = [torch.randn(p.shape, dtype=p.dtype, generator=torch.Generator().manual_seed(1)) for p in values]
    first = torch.autograd.grad(model.calculate_loss(batch), values, create_graph=True)
    product = torch.autograd.grad(first, values, directions)
    gradients = []
    for step in (1e-5, -2e-5):
        with torch.no_grad():
            for value, direction in zip(values, directions, strict=True):
                value.add_(step * direction)
        gradients.append(torch.autograd.grad(model.calculate_loss(batch), values))
    for up, down, found in zip(*gradients, product, strict=True):
        assert found.numpy() == pytest.approx(((up - down) / 2e-5).numpy(), abs=1e-7)
        assert found.abs().max() > 1e-4


@MODELS
def test_the_loss_reads_only_the_declared_rows(name, dataset):
    """In every declared table, the gradient of a batch is zero in all rows that the batch does not look up."""
    model = model_of(name, dataset)
    batch = batch_of(model, dataset)
    model.calculate_loss(batch).backward()
    for table, fields in model.row_tables.items():
        gradient = dict(model.named_parameters())[table].grad
        read = torch.zeros(len(gradient), dtype=torch.bool)
        for field in fields:
            read[batch[field]] = True
        assert not gradient[~read].any() and gradient[read].any() and not read.all()
    assert name == "LightGCN" or set(model.row_tables) == set(parameters(model))
    assert set(model.selective) == {"user_embedding.weight"}


# --- what LightGCN derives from the data -----------------------------------------------------------------------------
def scores(model):
    with torch.no_grad():
        return model.full_sort_predict({"user_id": torch.arange(1, 25)}).clone()


def true_scores(model, dataset):
    users, items = final("LightGCN", parameters(model), dataset)
    return pytest.approx(users[1:] @ items.T, abs=1e-6)


def replace_parameter(model):
    model.user_embedding.weight = torch.nn.Parameter(model.user_embedding.weight.detach() * 2)


CHANGES = {
    "in place": lambda model: model.user_embedding.weight.add_(1),
    "one row": lambda model: model.item_embedding.weight[3].mul_(5),
    "through .data": lambda model: model.item_embedding.weight.data.add_(1),
    "a new parameter": replace_parameter,
    "load_state_dict": lambda model: model.load_state_dict({k: v + 1 for k, v in model.state_dict().items()}),
    "an optimizer": lambda model: torch.optim.SGD([model.user_embedding.weight], 1.0).step(),
}


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("training", [False, True])
def test_scores_never_use_old_weights(dataset, how, training):
    model = model_of("LightGCN", dataset).train(training)
    old = scores(model)
    model.user_embedding.weight.grad = torch.ones_like(model.user_embedding.weight)
    with torch.no_grad():
        CHANGES[how](model)
    assert scores(model).numpy() == true_scores(model, dataset)
    assert not torch.allclose(scores(model), old)


def test_scores_never_use_an_old_graph(dataset):
    model = model_of("LightGCN", dataset).eval()
    old = scores(model)
    for every in (2, 3, 4):
        masked = dataset.masked(dataset.forgotten | (np.arange(len(dataset.log)) % every == 0))
        model.rebuild(masked)
        assert scores(model).numpy() == true_scores(model, masked)
        assert not torch.allclose(scores(model), old)
    model.rebuild(dataset)
    assert torch.allclose(scores(model), old)


def test_a_forgotten_edge_propagates_nothing(dataset):
    """Before, a user's score depends on the neighbours over the edge.

    Afterwards, a user without edges depends on no other node.
    """
    log = dataset.log
    alone = dataset.masked(dataset.forgotten | (log.user == 5))
    model = model_of("LightGCN", dataset).eval()

    def heard():
        users, _ = model.forward()
        (gradient,) = torch.autograd.grad(users[5].sum(), model.item_embedding.weight)
        return set(torch.nonzero(gradient.abs().sum(dim=1)).ravel().tolist())

    reached = heard()
    assert set(log.item[dataset.examples_of([5])].tolist()) <= reached
    held_out = set(log.item[log.rows_of([5])].tolist()) - set(log.item[dataset.examples_of([5])].tolist())
    assert held_out and model.norm_adj_matrix.to_dense()[5, 25 + np.array(sorted(held_out))].abs().sum() == 0
    model.rebuild(alone)
    assert heard() == set()
    users, _ = model.forward()
    assert torch.allclose(users[5], model.user_embedding.weight[5] / (SETTINGS["n_layers"] + 1))


def test_a_repeated_pair_is_one_edge(tmp_path, write_inter, config):
    write_inter(tmp_path, [("a", "x", 1), ("a", "x", 2), ("a", "y", 3), ("b", "y", 1), ("b", "x", 2)])
    settings = config(tmp_path, "LightGCN", eval_args={"order": "TO", "split": {"RS": [1, 0, 0]}}, **SETTINGS)
    data = GeneralDataset.from_config(settings)
    dense = get_model("LightGCN")(settings, data).norm_adj_matrix.to_dense()
    assert (
        torch.equal(dense, dense.T) and torch.allclose(dense[dense > 0], torch.tensor(0.5)) and (dense > 0).sum() == 8
    )


def test_an_evaluation_does_not_use_embeddings_of_an_earlier_one(dataset):
    model = model_of("LightGCN", dataset).eval()
    rows = dataset.eval_rows("test")
    first = top_items(model, rows, 5)
    model.item_embedding.weight.data.neg_()
    assert not np.array_equal(first, top_items(model, rows, 5))


# --- losses under RecBole's names ------------------------------------------------------------------------------------
def test_losses_by_hand():
    a, b = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[1.0, 2.0], [2.0, 0.0]])
    assert EmbLoss()(a, b) == pytest.approx((5 + 3) / 2)
    assert EmbLoss()(a, b, require_pow=True) == pytest.approx((25 + 9) / 2 / 2)
    assert EmbLoss(norm=1)(a, b) == pytest.approx((7 + 5) / 2)
    assert RegLoss()([a, b]) == pytest.approx(8)
    assert EmbMarginLoss()(a, b) == pytest.approx((24 + 4 + 3) / 2)
    scores_p, scores_n = torch.tensor([0.0, 2.0]), torch.tensor([0.0, -1.0])
    assert BPRLoss()(scores_p, scores_n) == pytest.approx((np.log(2) + np.log(1 + np.exp(-3))) / 2)
    assert torch.isfinite(BPRLoss()(torch.tensor([-200.0]), torch.tensor([0.0])))
