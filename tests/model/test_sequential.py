"""Session models, compared with slow implementations of their equations, one sequence at a time, in float64."""

import json
from itertools import pairwise
from math import erf

import numpy as np
import pytest
import torch
from torch.func import functional_call

from recbole.config import Config
from recbole.data import Interaction, create_dataset
from recbole.evaluator import mean_utility
from recbole.model import get_model
from recbole.model.next_item import begun_alike
from recbole.trainer import TrainingLoop, load_checkpoint, load_weights, make_optimizer
from recbole.unlearning.registry import get_algorithm
from recbole.unlearning.request import Request
from recbole.utils import UserError
from recbole.utils.deadline import Deadline

SIZES = {
    "GRU4Rec": {"embedding_size": 4, "hidden_size": 5, "num_layers": 2},
    "NARM": {"embedding_size": 4, "hidden_size": 5, "n_layers": 2},
    "SASRec": {"hidden_size": 4, "inner_size": 6, "n_heads": 2, "n_layers": 2},
    "SRGNN": {"embedding_size": 4, "step": 2},
}
MODELS = list(SIZES)
NO_DROPOUT = {"dropout_prob": 0.0, "dropout_probs": [0.0, 0.0], "hidden_dropout_prob": 0.0, "attn_dropout_prob": 0.0}


def draw_sessions(n=30, longest=12, n_items=39):
    draw = np.random.default_rng(11)
    return [draw.integers(1, n_items + 1, size).tolist() for size in draw.integers(1, longest + 1, n)]


@pytest.fixture(scope="module")
def data(sessions):
    """A function that returns a data set of 30 sessions, with model sizes as in `SIZES` and no dropout."""
    return lambda name, **more: sessions(draw_sessions(), name, **SIZES.get(name, {}) | NO_DROPOUT | more)


@pytest.fixture(scope="module")
def fitted(data):
    """A function that returns a data set, a model in float64 with random weights, and a batch with repeated items."""

    def make(name, **more):
        dataset = data(name, **more)
        torch.manual_seed(3)
        model = get_model(name)(dataset.config, dataset).double()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.4)
        draw = np.random.default_rng(5)
        lengths = np.array([5, 1, 2, 5, 3, 4, 1, 5])
        items = draw.integers(1, 4, (8, 5)) * (np.arange(5) < lengths[:, None])
        columns = {"item_id_list": items, "item_length": lengths}
        columns |= {key: draw.integers(1, 40, 8) for key in ("item_id", "neg_item_id", "user_id")}
        return dataset, model, Interaction(columns)

    return make


# --- the equations ---------------------------------------------------------------------------------------------------
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(inputs, weights, prefix, layers):
    """Return the states of a GRU without biases, layer by layer and step by step."""
    for layer in range(layers):
        w_i, w_h = (np.split(weights[f"{prefix}.weight_{side}_l{layer}"], 3) for side in ("ih", "hh"))
        h, states = np.zeros(w_h[0].shape[1]), []
        for x in inputs:
            r, z = (sigmoid(w_i[gate] @ x + w_h[gate] @ h) for gate in (0, 1))
            h = (1 - z) * np.tanh(w_i[2] @ x + r * (w_h[2] @ h)) + z * h
            states.append(h)
        inputs = states
    return inputs


def encode_gru4rec(items, w):
    last = gru(w["item_embedding.weight"][items], w, "gru_layers", 2)[-1]
    return w["dense.weight"] @ last + w["dense.bias"]


def encode_narm(items, w):
    states = gru(w["item_embedding.weight"][items], w, "gru", 2)
    last = states[-1]
    local = np.zeros_like(last)
    for h in states:
        local += (w["v_t.weight"][0] @ sigmoid(w["a_1.weight"] @ h + w["a_2.weight"] @ last)) * h
    return w["b.weight"] @ np.concatenate([local, last])


def normalised(x, w, name):
    return (x - x.mean()) / np.sqrt(x.var() + 1e-12) * w[f"{name}.weight"] + w[f"{name}.bias"]


def linear(x, w, name):
    return w[f"{name}.weight"] @ x + w[f"{name}.bias"]


def encode_sasrec(items, w):
    xs = [w["item_embedding.weight"][item] + w["position_embedding.weight"][at] for at, item in enumerate(items)]
    xs = [normalised(x, w, "LayerNorm") for x in xs]
    for layer in range(2):
        at, ff = f"trm_encoder.layer.{layer}.multi_head_attention", f"trm_encoder.layer.{layer}.feed_forward"
        q, k, v = ([linear(x, w, f"{at}.{part}").reshape(2, 2) for x in xs] for part in ("query", "key", "value"))
        out = []
        for t, x in enumerate(xs):
            context = []
            for head in range(2):
                scores = np.exp([q[t][head] @ k[s][head] / np.sqrt(2) for s in range(t + 1)])
                context.append(sum(a * v[s][head] for s, a in enumerate(scores / scores.sum())))
            hidden = normalised(linear(np.concatenate(context), w, f"{at}.dense") + x, w, f"{at}.LayerNorm")
            inner = linear(hidden, w, f"{ff}.dense_1")
            inner = inner * (1 + np.vectorize(erf)(inner / np.sqrt(2))) / 2
            out.append(normalised(linear(inner, w, f"{ff}.dense_2") + hidden, w, f"{ff}.LayerNorm"))
        xs = out
    return xs[-1]


def encode_srgnn(items, w):
    nodes, pairs = sorted(set(items)), set(pairwise(items))
    h = {node: w["item_embedding.weight"][node] for node in nodes}
    for _ in range(2):
        new = {}
        for node in nodes:
            a = []
            for name, bias, those in (
                ("gnn.linear_edge_in", "gnn.b_iah", [u for u, v in pairs if v == node]),
                ("gnn.linear_edge_out", "gnn.b_ioh", [v for u, v in pairs if u == node]),
            ):
                sent = [linear(h[other], w, name) for other in those]
                a.append((sum(sent) / len(sent) if sent else 0) + w[bias])
            i = np.split(w["gnn.w_ih"] @ np.concatenate(a) + w["gnn.b_ih"], 3)
            s = np.split(w["gnn.w_hh"] @ h[node] + w["gnn.b_hh"], 3)
            r, z = sigmoid(i[0] + s[0]), sigmoid(i[1] + s[1])
            new[node] = (1 - z) * h[node] + z * np.tanh(i[2] + r * s[2])
        h = new
    last, total = h[items[-1]], 0
    for item in items:
        weight = w["linear_three.weight"][0] @ sigmoid(linear(last, w, "linear_one") + linear(h[item], w, "linear_two"))
        total = total + weight * h[item]
    return linear(np.concatenate([total, last]), w, "linear_transform")


ENCODERS = {"GRU4Rec": encode_gru4rec, "NARM": encode_narm, "SASRec": encode_sasrec, "SRGNN": encode_srgnn}


@pytest.mark.parametrize("name", MODELS)
def test_scores_and_losses_equal_the_equations(fitted, name):
    for loss_type in ("CE", "BPR"):
        _, model, batch = fitted(name, loss_type=loss_type)
        w = {key: value.detach().numpy() for key, value in model.named_parameters()}
        items, lengths = batch["item_id_list"].tolist(), batch["item_length"].tolist()
        encoded = [ENCODERS[name](row[:length], w) for row, length in zip(items, lengths, strict=True)]
        scores = np.array(encoded) @ w["item_embedding.weight"].T
        rows, target, negative = np.arange(8), batch["item_id"].numpy(), batch["neg_item_id"].numpy()
        if loss_type == "CE":
            losses = np.log(np.exp(scores).sum(axis=1)) - scores[rows, target]
        else:
            losses = -np.log(1e-10 + sigmoid(scores[rows, target] - scores[rows, negative]))
        assert model.full_sort_predict(batch).detach().numpy() == pytest.approx(scores, abs=1e-9)
        assert model.predict(batch).detach().numpy() == pytest.approx(scores[rows, target], abs=1e-9)
        assert model.calculate_loss(batch).item() == pytest.approx(losses.mean(), abs=1e-9)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_and_hessians_equal_finite_differences(fitted, name):
    _, model, batch = fitted(name)
    model.eval()
    names = [key for key, _ in model.named_parameters()]
    values = [value.detach().clone().requires_grad_() for value in model.parameters()]

    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, batch):
            return self.model.loss_sum(batch)

    def loss(*values):
        return functional_call(Loss(), {f"model.{k}": v for k, v in zip(names, values, strict=True)}, (batch[:3],))

    # No real position looks up the padding's embedding, but its row in the softmax still has a gradient.
    assert torch.autograd.gradcheck(loss, values, fast_mode=True)
    assert torch.autograd.gradgradcheck(loss, values, fast_mode=True)


@pytest.mark.parametrize("name", MODELS)
def test_trimming_padding_does_not_change_scores(fitted, name):
    _, model, batch = fitted(name, MAX_ITEM_LIST_LENGTH=12)
    assert model.trims
    wide = Interaction(dict(batch.interaction))
    wide["item_id_list"] = torch.nn.functional.pad(batch["item_id_list"], (0, 7))
    assert model.full_sort_predict(wide).allclose(model.full_sort_predict(batch), atol=1e-12, rtol=0)
    gradients = []
    for form in (batch, wide):
        model.zero_grad()
        model.calculate_loss(form).backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    assert all(one.allclose(two, atol=1e-12, rtol=0) for one, two in zip(*gradients, strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_the_factors_give_the_scores(fitted, name):
    """Includes sequences that are prefixes of others or occur twice."""
    _, model, batch = fitted(name)
    model.eval()
    first, lengths = batch[torch.zeros(5, dtype=torch.int64)], torch.arange(5, 0, -1)
    begun = first["item_id_list"] * (torch.arange(5) < lengths[:, None])
    more = Interaction(first.interaction | {"item_id_list": begun, "item_length": lengths})
    batch = Interaction({key: torch.cat([batch[key], more[key]]) for key in batch})
    encoded, table, target = model.factors(batch)
    torch.testing.assert_close(encoded @ table.T, model.outputs(batch), rtol=1e-10, atol=1e-10)
    assert torch.equal(target, batch["item_id"])
    pieces = [model.factors(piece) for piece in model.factor_pieces(batch)]
    encodings = torch.cat([part[0] for part in pieces])
    torch.testing.assert_close(encodings.sort(dim=0).values, encoded.sort(dim=0).values, rtol=1e-10, atol=1e-10)


def test_prefixes_of_a_sequence_are_encoded_together():
    item_seq = torch.tensor([[1, 2, 0], [1, 2, 3], [2, 0, 0], [1, 0, 0], [1, 2, 3], [1, 3, 0]])
    read, run = begun_alike(item_seq, torch.tensor([2, 3, 1, 1, 3, 2]))
    assert item_seq[read].tolist() == [[1, 2, 3], [1, 3, 0], [2, 0, 0]]
    assert run.tolist() == [0, 0, 2, 0, 0, 1]


@pytest.mark.parametrize("name", MODELS)
def test_dropout_is_applied_only_in_training(data, name):
    dataset = data(name, dropout_prob=0.5, dropout_probs=[0.5, 0.5], hidden_dropout_prob=0.5)
    model, batch = get_model(name)(dataset.config, dataset), dataset.collate(dataset.train_examples())
    model.eval()
    assert model.calculate_loss(batch).equal(model.calculate_loss(batch))
    model.train()
    assert model.calculate_loss(batch).equal(model.calculate_loss(batch)) == (
        name == "SRGNN"
    )  # this model has no dropout


def test_an_unknown_loss_is_an_error(data):
    with pytest.raises(UserError, match="loss_type: 'MSE' is not CE or BPR"):
        dataset = data("GRU4Rec")
        dataset.config["loss_type"] = "MSE"
        get_model("GRU4Rec")(dataset.config, dataset)


def test_srgnn_reduces_the_learning_rate_in_steps(data):
    dataset = data("SRGNN")
    model = get_model("SRGNN")(dataset.config, dataset)
    optimizer = make_optimizer(dataset.config, model)
    scheduler, rates = model.scheduler(optimizer), []
    for _ in range(7):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates == pytest.approx([1e-3] * 3 + [1e-4] * 3 + [1e-5])


# --- runs ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", MODELS)
def test_scif_applies_to_a_trained_model(data, name):
    dataset = data(name, epochs=8, learning_rate=0.02, damping=1.0, scif_iterations=10)
    torch.manual_seed(0)
    model = get_model(name)(dataset.config, dataset)
    TrainingLoop(dataset.config, model, dataset).fit()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    algorithm = get_algorithm("scif")(dataset.config, model, dataset.masked(dataset.forgotten.copy()))
    longest = int(np.argmax(np.diff(dataset.log.offsets)))
    rows = dataset.log.rows_of([longest])[1:3]
    outcome = algorithm.forget([Request(0, "somebody", rows)], Deadline())
    assert (outcome.status, outcome.reason) == ("applied", "")
    assert outcome.n_examples[0] > outcome.n_examples[1] > 0
    changed = {key for key, value in model.state_dict().items() if not value.equal(before[key])}
    assert changed == set(model.selective)


def test_pop_sbr_counts_targets_and_has_the_same_evaluation_rows(data):
    dataset = data("Pop_SBR")
    dataset = dataset.masked(np.random.default_rng(0).random(len(dataset.log)) < 0.2)
    model = get_model("Pop_SBR")(dataset.config, dataset)
    counts = np.bincount(dataset.log.item[dataset.train_examples()], minlength=40)
    questions = dataset.eval_rows("test").inputs[:]
    assert model.full_sort_predict(questions).numpy() == pytest.approx(
        np.tile(counts / counts.max(), (len(questions), 1))
    )
    progress = TrainingLoop(dataset.config, model, dataset).fit()
    assert progress.losses == [] and progress.best_result == mean_utility(
        model, dataset.eval_rows("valid"), dataset.config
    )


@pytest.mark.parametrize("similarity", ["jaccard", "tanimoto", "cosine", "binary"])
def test_sknn_equals_a_version_with_sets(data, similarity):
    dataset = data("SKNN_SBR", k=3, sample_size=5, similarity=similarity)
    dataset = dataset.masked(np.random.default_rng(1).random(len(dataset.log)) < 0.1)
    model = get_model("SKNN_SBR")(dataset.config, dataset)
    assert not model.trainable
    log, known = dataset.log, {}
    for user in range(1, dataset.n_users):
        rows = [row for row in log.rows_of([user]) if not dataset.forgotten[row] and log.split[row] <= 0]
        if len(rows) > 1:
            known[user] = ({int(item) for item in log.item[rows]}, max(log.columns["timestamp"][rows]))
    questions = dataset.eval_rows("test").inputs[:]
    scores = model.full_sort_predict(questions).numpy()
    assert (scores.max(axis=1) == 1).sum() > 5  # rows that have neighbours
    for at, user in enumerate(questions["user_id"].tolist()):
        mine = {item for item in questions["item_id_list"][at].tolist() if item}
        others = [(time, items) for other, (items, time) in known.items() if other != user and items & mine]
        found = []
        for time, items in sorted(others, reverse=True)[:5]:
            both, sizes = len(items & mine), (len(items), len(mine))
            dice, cosine = 2 * both / sum(sizes), both / np.sqrt(sizes[0] * sizes[1])
            found.append(({"binary": dice, "cosine": cosine}.get(similarity, both / (sum(sizes) - both)), time, items))
        expected = np.zeros(40)
        for value, _, items in sorted(found, key=lambda one: one[:2], reverse=True)[:3]:
            expected[list(items)] += value
        assert scores[at] == pytest.approx(expected / max(expected.max(), 1e-30), abs=1e-6)
    target = torch.arange(len(questions)) % 39 + 1
    questions["item_id"] = target
    assert model.predict(questions).tolist() == scores[np.arange(len(questions)), target].tolist()


def test_sknn_rejects_an_unknown_similarity(data):
    dataset = data("SKNN_SBR", similarity="euclid")
    with pytest.raises(UserError, match="similarity: 'euclid' is not one of jaccard"):
        get_model("SKNN_SBR")(dataset.config, dataset)


def test_a_checkpoint_of_erase_gives_the_same_scores(reference):
    name = "model_GRU4Rec_seed_2_dataset_diginetica_sample_best.pth"
    expected = json.loads((reference / "compat/expected.json").read_text())[name]
    told = {key: expected["config"][key] for key in ("load_col", "user_inter_num_interval", "item_inter_num_interval")}
    told |= {"data_path": str(reference / "data"), "time_precision": "single", "topk": [10, 20], "use_gpu": False}
    config = Config("GRU4Rec", "diginetica_sample", config_dict=told)
    config.bind_model(get_model("GRU4Rec"))
    dataset = create_dataset(config, get_model("GRU4Rec").type)
    counts = {"users": dataset.n_users, "items": dataset.n_items, "inters": len(dataset.log)}
    assert counts == expected["counts_with_padding"]
    model = get_model("GRU4Rec")(config, dataset)
    load_weights(model, load_checkpoint(reference / "compat" / name), name)
    for split, values in (("valid", expected["best_valid"]), ("test", expected["test"])):
        assert mean_utility(model, dataset.eval_rows(split), config) == pytest.approx(values, abs=5e-5)
