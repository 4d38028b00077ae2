"""Next-basket models, compared with implementations for one user at a time, with loops and in float64."""

import json
from itertools import chain

import numpy as np
import pytest
import torch

from recbole.config import Config
from recbole.data import create_dataset
from recbole.model import abstract_recommender, get_model
from recbole.model.next_basket_recommender import dnntsp as dnntsp_file
from recbole.trainer import TrainingLoop, make_optimizer
from recbole.unlearning.registry import get_algorithm
from recbole.unlearning.request import Request
from recbole.utils import ModelType, UserError, keyed
from recbole.utils.deadline import Deadline

SETTINGS = {
    "use_gpu": False,
    "show_progress": False,
    "tensorboard": False,
    "embedding_size": 8,
    "hidden_size": 6,
    "MAX_NBR_HISTORY_BASKETS": 7,
    "group_size": 3,
    "n_neighbors": 4,
    "metrics": ["Recall"],
    "topk": [3],
    "valid_metric": "Recall@3",
}
N_ITEMS = 13


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """24 users with 4 to 10 baskets of 1 to 4 items; some histories are longer than the window."""
    draw, folder = np.random.default_rng(5), tmp_path_factory.mktemp("nbr")
    likes = {user: draw.choice(N_ITEMS, 6, replace=False) for user in range(24)}
    baskets = {
        user: [draw.choice(liked, draw.integers(1, 5), replace=False).tolist() for _ in range(draw.integers(4, 11))]
        for user, liked in likes.items()
    }
    (folder / "toy").mkdir()
    (folder / "toy/toy_merged.json").write_text(json.dumps(baskets))
    return folder


def build(folder, name, double=True, **more):
    config = Config(name, "toy", config_dict=SETTINGS | {"data_path": str(folder)} | more)
    cls = get_model(name)
    config.bind_model(cls)
    dataset = create_dataset(config, cls.type)
    torch.manual_seed(3)
    model = cls(config, dataset)
    return config, dataset, model.double() if double else model


def users_of(batch):
    """Yield the history of each user, a list of lists of item ids, and the target."""
    for history, target in zip(batch["history_item_matrix"].tolist(), batch["target_item_list"].tolist(), strict=True):
        baskets = [[item for item in basket if item] for basket in history]
        yield [basket for basket in baskets if basket], [item for item in target if item > 0]


def randomise(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.7)


def item_counts(dataset):
    return np.bincount(dataset.log.item[dataset.train_rows], minlength=dataset.n_items)


def test_batches_have_fewer_users_for_a_large_catalogue(folder, monkeypatch):
    _, dataset, model = build(folder, "Sets2Sets")
    batch = dataset.collate(dataset.train_examples())
    assert len(model.pieces(batch)) == -(-len(batch) // model.people_at_once)
    expected = model.eval().loss_sum(batch)
    for room, people in ((4 * model.n_items + 1, 4), (1, 1)):
        monkeypatch.setattr(abstract_recommender, "AT_ONCE", room)
        pieces = model.pieces(batch)
        assert [len(piece) for piece in pieces[:-1]] == [people] * (len(pieces) - 1)
        assert sum(map(len, pieces)) == len(batch)
        torch.testing.assert_close(sum(map(model.loss_sum, pieces)), expected)


# --- Sets2Sets ---------------------------------------------------------------------------------------------------


def gru(x, h, layer):
    """Compute one step of a GRU cell (K. Cho et al., EMNLP 2014) in PyTorch's formulation."""
    of_x = torch.chunk(layer.weight_ih_l0 @ x + layer.bias_ih_l0, 3)
    of_h = torch.chunk(layer.weight_hh_l0 @ h + layer.bias_hh_l0, 3)
    r, z = torch.sigmoid(of_x[0] + of_h[0]), torch.sigmoid(of_x[1] + of_h[1])
    return (1 - z) * torch.tanh(of_x[2] + r * of_h[2]) + z * h


def gate_at_the_start(n_items, seed):
    """Return the initial gate [n_items, n_items] in float64; row j and column i contain G_ij."""
    key, bound = keyed.key(seed, "gate_weight"), (3 / n_items) ** 0.5
    draws = [[float(keyed.uniform(key, j, i)) for i in range(n_items)] for j in range(n_items)]
    return bound * (2 * torch.tensor(draws, dtype=torch.float64) - 1)


def gate_of(model, start=None):
    """Return the whole gate [n_items, n_items], differentiable with respect to its stored entries."""
    start = gate_at_the_start(model.n_items, model._built_from["seed"]) if start is None else start
    rows, columns = model.gate_places // model.n_items, model.gate_places % model.n_items
    return start.index_put((rows, columns), model.gate_weight.double())


def sets2sets(model, baskets, gate=None):
    gate = gate_of(model) if gate is None else gate
    h, outputs = torch.zeros(6, dtype=torch.float64), []
    for basket in baskets:
        h = gru(sum(model.encoder_embedding.weight[item] for item in basket), h, model.encoder)
        outputs.append(h)
    d = sum(model.decoder_embedding.weight[item] for item in baskets[-1])
    weights = model.attention(torch.cat([d, h]))[: len(baskets)].softmax(0)
    c = sum(weight * output for weight, output in zip(weights, outputs, strict=True))
    s = gru(torch.relu(model.combine(torch.cat([d, c]))), h, model.decoder)
    f = torch.zeros(model.n_items, dtype=torch.float64)
    for basket in baskets:
        f[basket] += 1 / len(baskets)
    v = torch.sigmoid(gate.T @ f + model.gate_bias)
    logits = model.output(s) * (1 - (f > 0) * v) + f * v
    return torch.cat([torch.tensor([-torch.inf]), logits[1:]])


def sets2sets_loss(model, baskets, target, counts, gradient=True):
    p, loss = sets2sets(model, baskets).softmax(0), 0
    for item in range(1, model.n_items):
        weight = counts.max() / counts[item] if counts[item] else 0
        loss = loss + weight * (p[item] - float(item in target)) ** 2
    q = p if gradient else p.detach()
    others = [item for item in range(1, model.n_items) if item not in target]
    return loss + 10 * sum(torch.exp(q[j] - q[i]) for i in target for j in others) / len(target) / len(others)


@pytest.mark.parametrize("gradient", [False, True])
def test_sets2sets(folder, gradient):
    _, dataset, model = build(folder, "Sets2Sets", set_loss_gradient=gradient)
    randomise(model)
    batch, counts = dataset.collate(dataset.train_examples()), item_counts(dataset)
    model.rebuild(dataset)  # computes the weights in float64
    every = list(users_of(batch))
    expected = torch.stack([sets2sets(model, baskets) for baskets, _ in every])
    torch.testing.assert_close(model.full_sort_predict(batch), expected, rtol=0, atol=1e-9)
    expected = sum(sets2sets_loss(model, *user, counts, gradient) for user in every) / len(every)
    loss = model.calculate_loss(batch)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-9)
    wanted, got = (
        torch.autograd.grad(value, list(model.parameters()), allow_unused=True) for value in (expected, loss)
    )
    for (name, parameter), a, b in zip(model.named_parameters(), wanted, got, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9, msg=name) if a is not None else parameter.shape


def test_sets2sets_needs_a_window(folder):
    with pytest.raises(UserError, match="MAX_NBR_HISTORY_BASKETS"):
        build(folder, "Sets2Sets", MAX_NBR_HISTORY_BASKETS=-1)


def test_sets2sets_weights_follow_the_mask(folder):
    _, dataset, model = build(folder, "Sets2Sets")
    assert "item_weight" not in model.state_dict()
    gone = dataset.log.item == 3
    model.rebuild(dataset.masked(gone))
    counts = item_counts(dataset)
    counts[3] = 0
    expected = np.divide(counts.max(), counts, out=np.zeros(len(counts)), where=counts > 0)
    np.testing.assert_allclose(model.item_weight.numpy(), expected, rtol=1e-6)
    assert (build(folder, "Sets2Sets", inverse_frequency_weights=False)[2].item_weight == 1).all()


def test_sparse_adam_changes_only_the_entries_that_a_batch_reads(folder):
    config, dataset, model = build(folder, "Sets2Sets", learner="sparse_adam")
    batch = dataset.collate(dataset.train_examples()[:3])
    pairs = {(i, j) for history, _ in users_of(batch) for i in chain(*history) for j in chain(*history)}
    dense = build(folder, "Sets2Sets")[2]
    dense.load_state_dict(model.state_dict())
    before = model.gate_weight.detach().clone()
    optimizers = make_optimizer(config, model), torch.optim.Adam(dense.parameters())
    for own, optimizer in zip((model, dense), optimizers, strict=True):
        optimizer.zero_grad()
        own.train().calculate_loss(batch).backward()
        assert own.gate_weight.grad.is_sparse == (own is model)
        optimizer.step()
    for (name, one), two in zip(model.named_parameters(), dense.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-9, msg=name)  # the first step equals Adam's
    moved = model.gate_places[model.gate_weight != before]
    moved = set(zip((moved // model.n_items).tolist(), (moved % model.n_items).tolist(), strict=True))
    assert moved and moved <= pairs
    state = optimizers[0].state_dict()["state"]
    assert {"step", "exp_avg", "exp_avg_sq"} == set(state[next(iter(state))])


# --- DNNTSP ------------------------------------------------------------------------------------------------------


def dnntsp(model, users, training, n_slots=None):
    """Return the scores [users, n_items]; if ``training``, batch normalisation is over all users."""
    graphs, states = [], []
    for baskets, _ in users:
        nodes = sorted(set(chain(*baskets)))
        w = torch.tensor([[sum(i in b and j in b for b in baskets) if i != j else 1 for j in nodes] for i in nodes])
        w = w.double() / w.max()
        steps = []
        for t in range(n_slots or len(baskets)):
            inside = torch.tensor([t < len(baskets) and i in baskets[t] for i in nodes])
            a = w * inside[:, None] * inside[None, :]
            a[range(len(nodes)), range(len(nodes))] = w.diagonal() if t < len(baskets) else 1.0
            steps.append(a)
        graphs.append((nodes, steps))
        states.append([model.item_embedding.weight[nodes]] * len(steps))
    for linear, norm in zip(model.convolutions, model.norms, strict=True):
        states = [
            [linear(a @ h) for a, h in zip(g[1], own, strict=True)] for g, own in zip(graphs, states, strict=True)
        ]
        every = torch.cat([h for own in states for h in own])
        mean, var = (every.mean(0), every.var(0, correction=0)) if training else (norm.running_mean, norm.running_var)
        scale = norm.weight / torch.sqrt(var + norm.eps)
        states = [[torch.relu((h - mean) * scale + norm.bias) for h in own] for own in states]
    scores = []
    for (baskets, _), (nodes, _), own in zip(users, graphs, states, strict=True):
        e = [model.item_embedding.weight[item] for item in range(model.n_items)]
        for at, item in enumerate(nodes):
            h = torch.stack([step[at] for step in own])
            q, k, v = (layer(h).view(len(h), 4, 2) for layer in (model.query, model.key, model.value))
            z = 0
            for t in range(len(baskets)):
                heads = []
                for head in range(4):
                    weights = (k[: t + 1, head] @ q[t, head] / np.sqrt(2)).softmax(0)
                    heads.append(weights @ v[: t + 1, head])
                attended = torch.cat(heads)
                z = z + (model.aggregate.weight[0] @ attended) * attended
            e[item] = (1 - model.alpha[item]) * e[item] + model.alpha[item] * z
        scores.append(torch.stack([model.output(row).squeeze() for row in e]))
    return torch.stack(scores)


@pytest.mark.parametrize(("training", "legacy"), [(False, False), (True, False), (True, True)])
def test_dnntsp(folder, training, legacy):
    _, dataset, model = build(folder, "DNNTSP", legacy_bn=legacy)
    randomise(model)
    for norm in model.norms:
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    model.train(training)
    batch = dataset.collate(dataset.train_examples())
    every = list(users_of(batch))
    n_slots = batch["history_item_matrix"].shape[1] if legacy else None
    expected = dnntsp(model, every, training, n_slots)
    torch.testing.assert_close(model.full_sort_predict(batch), expected, rtol=0, atol=1e-9)
    right = torch.tensor([[item in target for item in range(model.n_items)] for _, target in every]).double()
    p = torch.sigmoid(expected[:, 1:])
    expected = -(right[:, 1:] * p.log() + (1 - right[:, 1:]) * (1 - p).log()).mean()
    loss = model.calculate_loss(batch)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-9)
    wanted, got = (torch.autograd.grad(value, list(model.parameters())) for value in (expected, loss))
    for (name, _), a, b in zip(model.named_parameters(), wanted, got, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-8, msg=name)


def test_dnntsp_has_the_same_loss_without_all_scores(folder):
    """Gradients and the Gauss-Newton product agree, too. No graph contains a tensor of users by items."""
    _, dataset, model = build(folder, "DNNTSP")
    randomise(model)
    model.eval()
    batch = dataset.collate(dataset.train_examples())
    parameters, right, shapes = list(model.parameters()), model.target_matrix(batch)[:, 1:], []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: shapes.append(tuple(x.shape)) or x, lambda x: x):
        outputs = model.outputs(batch)
        loss = model.loss_sum(batch, outputs)
    assert shapes and not any(len(batch) in shape and {model.n_items, model.n_items - 1} & {*shape} for shape in shapes)
    expected = len(batch) * model.calculate_loss(batch)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=0)
    torch.testing.assert_close(model.loss_sum(batch), expected, rtol=1e-10, atol=0)
    for a, b in zip(*(torch.autograd.grad(x, parameters, retain_graph=True) for x in (expected, loss)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-7)

    def pulled(score):
        slope = torch.autograd.grad(score, model.convolutions[0].weight, retain_graph=True, allow_unused=True)[0]
        return torch.zeros(64, dtype=torch.float64) if slope is None else slope.flatten()

    def curvature(of, loss_of):
        free = of.detach().requires_grad_()
        slope = torch.autograd.grad(loss_of(free), free, create_graph=True)[0]
        bent = torch.autograd.grad(slope.sum(), free)[
            0
        ]  # the loss has no mixed second derivatives with respect to scores
        rows = [pulled(x) for x in of.flatten()]
        return torch.stack(rows).T @ (bent.flatten().unsqueeze(1) * torch.stack(rows))

    def margin(scores):
        return len(batch) * torch.nn.functional.multilabel_soft_margin_loss(scores, right)

    by_scores = curvature(model.forward(batch)[:, 1:], margin)
    torch.testing.assert_close(curvature(outputs, lambda x: model.loss_sum(batch, x)), by_scores, rtol=1e-6, atol=1e-7)
    assert by_scores.abs().max() > 1e-6


def test_dnntsp_groups_histories_of_similar_length(folder, monkeypatch):
    _, dataset, model = build(folder, "DNNTSP")
    model.eval()
    batch = dataset.collate(dataset.train_examples())
    assert len(model.pieces(batch)) == 1
    expected = model.loss_sum(batch)
    monkeypatch.setattr(dnntsp_file, "AT_ONCE", 40)
    pieces = model.pieces(batch)
    lengths = torch.cat([piece["history_basket_length"] for piece in pieces])
    assert len(pieces) > 2 and len(lengths) == len(batch) and (lengths.diff() >= 0).all()
    torch.testing.assert_close(sum(map(model.loss_sum, pieces)), expected)


def test_dnntsp_rejects_a_number_of_heads_that_does_not_divide_the_size(folder):
    with pytest.raises(UserError, match="n_heads"):
        build(folder, "DNNTSP", n_heads=3)


# --- both ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "gradient_of_sets"), [("Sets2Sets", True), ("Sets2Sets", False), ("DNNTSP", None)])
def test_gradient_and_curvature_equal_finite_differences(folder, name, gradient_of_sets):
    from recbole.unlearning.second_order.curvature import HessianProduct, gradient, second_order
    from recbole.unlearning.second_order.subspace import Subspace

    _, dataset, model = build(folder, name, set_loss_gradient=gradient_of_sets)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    batch = dataset.collate(dataset.train_examples()[:6])
    with second_order(model):
        space = Subspace(model, None, [batch])
        generator = torch.Generator().manual_seed(1)
        direction = torch.randn(len(gradient(space, [batch])), generator=generator, dtype=torch.float64)
        g, hv = gradient(space, [batch]), HessianProduct(space, [batch])(direction)
        step, losses, slopes = 1e-5, [], []
        for sign in (1, -2):
            space.add(sign * step * direction)
            losses.append(model.loss_sum(batch).item())
            slopes.append(gradient(space, [batch]))
    assert (losses[0] - losses[1]) / (2 * step) == pytest.approx((g @ direction).item(), rel=1e-6)
    difference = (slopes[0] - slopes[1]) / (2 * step)
    assert ((difference - hv).norm() / hv.norm()).item() < 1e-5


@pytest.mark.parametrize("name", ["Sets2Sets", "DNNTSP", "GPTopFreq", "TIFUKNN"])
def test_scores_do_not_depend_on_other_users_in_the_batch(folder, name):
    _, dataset, model = build(folder, name)
    model.eval()
    questions = dataset.eval_rows("test").inputs
    alone = torch.cat([model.full_sort_predict(questions[at : at + 1]) for at in range(len(questions))])
    together = questions[:]
    torch.testing.assert_close(model.full_sort_predict(together), alone, rtol=0, atol=1e-6)
    together["item_id"] = torch.full((len(together),), 4)
    torch.testing.assert_close(model.predict(together), alone[:, 4], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["Sets2Sets", "DNNTSP"])
def test_trains_and_forgets(folder, name):
    config, dataset, model = build(folder, name, double=False, epochs=25, train_batch_size=8, learning_rate=0.02)
    progress = TrainingLoop(config, model, dataset).fit()
    assert progress.losses[-1] < 0.9 * progress.losses[0]
    forgetting = get_algorithm("scif")(config, model, dataset.masked(dataset.forgotten.copy()))
    log = dataset.log
    asked = log.user == 2
    rows = np.flatnonzero(asked & (log.item == log.item[dataset.train_rows][log.user[dataset.train_rows] == 2][0]))
    before = [parameter.detach().clone() for parameter in model.parameters()]
    outcome = forgetting.forget([Request(0, "somebody", rows)], Deadline())
    assert outcome.status == "applied" and outcome.n_examples == (1, 1)
    assert 0 < outcome.relative_change < 0.5
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


# --- baselines -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "personal", "general"), [("GPTopFreq", 1, 1), ("PTopFreq", 1, 0), ("GTopFreq", 0, 1)])
def test_top_frequencies(folder, name, personal, general):
    _, dataset, model = build(folder, name, MAX_NBR_HISTORY_BASKETS=-1)
    counts, batch = item_counts(dataset), dataset.eval_rows("test").inputs[:]
    for scores, (baskets, _) in zip(model.full_sort_predict(batch), users_of(batch), strict=True):
        own = [sum(item in basket for basket in baskets) for item in range(model.n_items)]
        key = [(personal * own[item], general * counts[item]) for item in range(model.n_items)]
        for i in range(1, model.n_items):
            for j in range(1, model.n_items):
                assert (scores[i] > scores[j]) == (key[i] > key[j])


def tifu_vector(baskets, size, within, between, n_items):
    groups = [baskets[at : at + size] for at in range(0, len(baskets), size)]
    total = np.zeros(n_items)
    for k, group in enumerate(groups, start=1):
        for j, basket in enumerate(group, start=1):
            factor = within ** (len(group) - j) / len(group) * between ** (len(groups) - k) / len(groups)
            total[basket] += factor
    return total


def test_tifu_knn(folder):
    _, dataset, model = build(folder, "TIFUKNN", double=False, MAX_NBR_HISTORY_BASKETS=-1, alpha=0.6)
    gone = dataset.log.item == 2
    dataset = dataset.masked(gone)
    model.rebuild(dataset)
    settings = (3, 0.9, 0.7, model.n_items)
    log, train = dataset.log, {}
    for row in dataset.train_rows:
        train.setdefault(log.user[row], {}).setdefault(log.basket[row], []).append(log.item[row])
    vectors = {user: tifu_vector(list(baskets.values()), *settings) for user, baskets in train.items()}
    rows = dataset.eval_rows("test")
    batch = rows.inputs[:]
    scores = model.full_sort_predict(batch).numpy()
    for at, (baskets, _) in enumerate(users_of(batch)):
        own = tifu_vector(baskets, *settings)
        others = [vector for user, vector in vectors.items() if user != rows.entity[at]]
        nearest = sorted(others, key=lambda vector: np.sum((vector - own) ** 2))[:4]
        np.testing.assert_allclose(scores[at], 0.6 * own + 0.4 * np.mean(nearest, axis=0), atol=1e-6)


def test_baselines_are_not_trained(folder):
    for name in ("GPTopFreq", "TIFUKNN"):
        config, dataset, model = build(folder, name, double=False)
        assert model.type is ModelType.NEXT_BASKET and not model.trainable
        progress = TrainingLoop(config, model, dataset).fit()
        assert progress.best_score > 0 and not progress.losses
