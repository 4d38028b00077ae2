"""Trainable collaborative-filtering models: equations compared with slow versions, and behaviour under forgetting."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from general_oracles import ORACLES, bpr_of, rows_of, tables, teacher_layers

from recbole.data import Interaction, Negatives
from recbole.data.sampler import in_turn
from recbole.model import get_model, recommender
from recbole.trainer import ResumeFile, TrainingLoop
from recbole.unlearning.algorithms.scif import Scif
from recbole.unlearning.request import Request
from recbole.utils import UserError, stream
from recbole.utils.deadline import Deadline

SETTINGS = {
    "SGL": {"n_layers": 2, "drop_ratio": 0.3, "ssl_tau": 0.4},
    "SpectralCF": {"n_layers": 2},
    "NeuMF": {"mf_embedding_size": 4, "mlp_embedding_size": 3, "mlp_hidden_size": [5, 4]},
    "WMF": {"learning_rate": 0.05},
    "SimRec": {"soft_samples": 30, "soft_tau": 0.3, "teacher_epochs": 1, "reg_weight": 0.01, "distill_weight": 0.1},
    "DCCF": {"n_intents": 3},
}
GRAPH_MODELS = ("SGL", "SpectralCF", "DCCF")
MODELS = pytest.mark.parametrize("name", ORACLES)


@pytest.fixture(autouse=True)
def double_precision():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def build(config, small_dataset):
    """A function: ``build(name, rows, **settings)`` returns a model with random weights and its data without rows."""

    def make(name, rows=(), spread=0.3, **settings):
        cls = get_model(name)
        cfg = config("unused", model=name, **(SETTINGS[name] | settings))
        cfg.bind_model(cls)
        mask = np.zeros(len(small_dataset.log), dtype=bool)
        mask[np.asarray(rows, dtype=np.int64)] = True
        dataset = type(small_dataset)(cfg, small_dataset.log, mask)
        torch.manual_seed(1)
        model = cls(cfg, dataset)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn_like(p) * spread)
        return model.eval(), dataset

    return make


@pytest.fixture
def some_rows(small_dataset):
    """A fifth of the training rows."""
    train = small_dataset.train_rows
    return np.sort(stream(3, "rows").choice(train, len(train) // 5, replace=False))


def batch_of(model, dataset, examples):
    negatives = Negatives(dataset.config, dataset, model.input_type)
    return negatives.add(dataset.collate(examples), in_turn(stream(1, "negatives")))


def pairs_of(dataset):
    rows = dataset.train_rows
    return set(zip(dataset.log.user[rows].tolist(), dataset.log.item[rows].tolist(), strict=True))


def everybody(dataset):
    return Interaction({"user_id": torch.arange(dataset.n_users)})


def all_scores(model, dataset):
    with torch.no_grad():
        return model.full_sort_predict(everybody(dataset)).view(dataset.n_users, -1).clone()


def gradient(model, batch, create_graph=False):
    parameters = [p for p in model.parameters() if p.requires_grad]
    return torch.autograd.grad(model.calculate_loss(batch), parameters, create_graph=create_graph)


def test_simrecs_weights_are_applied_only_in_training(build):
    """They are discontinuous in the parameters.

    In training the loss is that of the original program; elsewhere it is differentiable.
    """
    model, dataset = build("SimRec")
    batch = batch_of(model, dataset, dataset.train_examples()[::13])
    losses = {}
    for training in (True, False):
        model.train(training)
        torch.manual_seed(3)
        losses[training] = float(model.calculate_loss(batch).detach())
        torch.manual_seed(3)
        expected, _ = ORACLES["SimRec"](model, pairs_of(dataset), batch)
        assert losses[training] == pytest.approx(float(expected.detach()), rel=1e-9)
    assert losses[True] != pytest.approx(losses[False], rel=1e-4)


def move(model, directions, step):
    with torch.no_grad():
        for p, direction in zip((p for p in model.parameters() if p.requires_grad), directions, strict=True):
            p.add_(step * direction)


# --- equations -------------------------------------------------------------------------------------------------------
@MODELS
def test_loss_and_scores_equal_the_equations(build, some_rows, name):
    model, dataset = build(name, some_rows)
    examples = dataset.train_examples()
    batch = batch_of(model, dataset, examples if name == "WMF" else examples[::13])
    assert len(torch.unique(batch["user_id"])) < len(batch), "a user occurs repeatedly in the batch"
    loss, scores = ORACLES[name](model, pairs_of(dataset), batch)
    assert float(model.calculate_loss(batch).detach()) == pytest.approx(float(loss.detach()), rel=1e-9)
    times = len(batch) if model.loss_reduction == "mean" else 1
    assert float(model.loss_sum(batch).detach()) == pytest.approx(float(loss.detach()) * times, rel=1e-9)
    asked = dataset.collate(examples)
    expected = scores[asked["user_id"], asked["item_id"]]
    for context in (torch.no_grad, torch.enable_grad):
        with context():
            found = model.full_sort_predict(everybody(dataset)).view(scores.shape)
            assert torch.allclose(found, scores, rtol=1e-9, atol=1e-12)
            assert torch.allclose(model.predict(asked), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["ND", "RW"])
def test_the_other_graph_augmentations_of_sgl(build, some_rows, kind):
    model, dataset = build("SGL", some_rows, type=kind)
    batch = batch_of(model, dataset, dataset.train_examples()[::29])
    loss, _ = ORACLES["SGL"](model, pairs_of(dataset), batch)
    assert float(model.calculate_loss(batch).detach()) == pytest.approx(float(loss.detach()), rel=1e-9)
    first, second = model.views()[0]
    assert torch.equal(first.values(), second.values()) == (kind == "ND"), "only RW has a graph for each layer"


@MODELS
def test_gradients_and_hessians_equal_finite_differences(build, name):
    model, dataset = build(name)
    batch = batch_of(model, dataset, dataset.train_examples()[::9])
    first = gradient(model, batch, create_graph=True)
    generator = torch.Generator().manual_seed(3)
    directions = [torch.randn(g.shape, generator=generator) for g in first]
    parameters = [p for p in model.parameters() if p.requires_grad]
    second = torch.autograd.grad(first, parameters, directions, allow_unused=True)
    losses, gradients, step = [], [], 1e-5
    for move_by in (step, -2 * step):
        move(model, directions, move_by)
        losses.append(float(model.calculate_loss(batch).detach()))
        gradients.append(gradient(model, batch))
    along = sum(float((g * d).sum()) for g, d in zip([g.detach() for g in first], directions, strict=True))
    assert along == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-6)
    for up, down, found in zip(*gradients, second, strict=True):
        expected = (up - down) / (2 * step)
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))
        assert expected.abs().max() > 0


@MODELS
def test_the_loss_reads_only_the_declared_rows_of_the_batch(build, name):
    model, dataset = build(name)
    parameters = dict(model.named_parameters())
    assert model.selective and all(parameters[table].requires_grad for table in model.selective)
    assert all("user" in table for table in model.selective)
    batch = batch_of(model, dataset, dataset.train_examples()[:5])
    grads = dict(zip((n for n, p in parameters.items() if p.requires_grad), gradient(model, batch), strict=True))
    for table, fields in model.row_tables.items():
        read = torch.unique(torch.cat([batch[field] for field in fields if field in batch]))
        rest = torch.ones(len(grads[table]), dtype=torch.bool)
        rest[read] = False
        assert not grads[table][rest].any() and grads[table][read].any()
    assert len(model.row_tables) == (4 if name == "NeuMF" else 0), "all other models read whole tables or the graph"


# --- forgetting ------------------------------------------------------------------------------------------------------
@MODELS
def test_rebuilding_equals_building_on_the_remaining_rows(build, some_rows, name):
    model, dataset = build(name)
    before = all_scores(model, dataset)
    fresh, reduced = build(name, some_rows)
    model.rebuild(reduced)
    assert torch.equal(all_scores(model, dataset), all_scores(fresh, reduced)), "scores do not use an old graph"
    assert torch.equal(all_scores(model, dataset), before) == (name not in GRAPH_MODELS)
    batch = batch_of(fresh, reduced, reduced.train_examples()[::7])
    assert torch.equal(model.calculate_loss(batch), fresh.calculate_loss(batch))


class Normalised(get_model("BPR")):
    """A model with the default ``rebuild`` and BatchNorm statistics from training."""

    rebuild = recommender.AbstractRecommender.rebuild

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.norm = torch.nn.BatchNorm1d(2)


def test_rebuilding_keeps_batchnorm_statistics(build, config, small_dataset):
    _, dataset = build("NeuMF")
    model = Normalised(config("unused", "BPR"), dataset)
    model.norm(torch.randn(64, 2) * 3 + 1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    assert before["norm.running_mean"].all() and before["norm.num_batches_tracked"] == 1
    model.rebuild(dataset)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("name", [*GRAPH_MODELS, "SimRec"])
def test_the_graph_has_exactly_the_retained_training_pairs(build, some_rows, name):
    model, dataset = build(name, some_rows)
    holder = model.teacher if name == "SimRec" else model
    matrix = holder.norm_adj_matrix.to_dense()
    assert torch.equal(matrix, matrix.T)
    users, items = (matrix[: model.n_users, model.n_users :] > 0).nonzero(as_tuple=True)
    assert set(zip(users.tolist(), items.tolist(), strict=True)) == pairs_of(dataset)
    assert not matrix[: model.n_users, : model.n_users].any() and not matrix[model.n_users :, model.n_users :].any()
    forgotten = (dataset.log.user[some_rows], dataset.log.item[some_rows] + model.n_users)
    assert len(some_rows) and not matrix[forgotten].any()


@pytest.mark.parametrize("name", GRAPH_MODELS)
@pytest.mark.parametrize("how", ["in place", "data", "load"])
def test_scores_never_use_old_weights(build, name, how):
    model, dataset = build(name)
    before = all_scores(model, dataset)
    with torch.no_grad():
        if how == "in place":
            model.item_embedding.weight[3] += 1.0
        elif how == "data":
            model.item_embedding.weight.data[3] += 1.0
        else:
            model.load_state_dict(build(name, spread=0.5)[0].state_dict())
    after = all_scores(model, dataset)
    model.train().eval()  # discards cached embeddings
    assert not torch.equal(after, before) and torch.equal(after, all_scores(model, dataset))


@pytest.mark.parametrize("name", GRAPH_MODELS)
def test_scores_use_a_graph_that_was_assigned(build, some_rows, name):
    """Unlearning methods that change the graph temporarily assign ``norm_adj_matrix``."""
    model, dataset = build(name)
    before = all_scores(model, dataset)
    whole, model.norm_adj_matrix = model.norm_adj_matrix, build(name, some_rows)[0].norm_adj_matrix
    assert not torch.equal(all_scores(model, dataset), before)
    model.norm_adj_matrix = whole
    assert torch.equal(all_scores(model, dataset), before)


@MODELS
def test_scif_applies_to_a_trained_model(build, name):
    model, dataset = build(name, epochs=2, train_batch_size=64, spread=0.0, damping=0.01)
    TrainingLoop(dataset.config, model, dataset).fit()
    users = model.selective[0]
    frozen = {n: p.detach().clone() for n, p in model.named_parameters() if n not in model.selective}
    before = dict(model.named_parameters())[users].detach().clone()
    rows = dataset.train_rows[[40, 41]]
    outcome = Scif(dataset.config, model, dataset).forget([Request(0, "somebody", rows)], Deadline())
    assert outcome.status == "applied" and 0 < outcome.relative_change < 10
    after = dict(model.named_parameters())
    moved = (after[users] != before).any(dim=1).nonzero().flatten()
    assert set(dataset.log.user[rows].tolist()) <= set(moved.tolist())
    assert all(torch.equal(value, after[n]) for n, value in frozen.items())


def test_forgetting_in_wmf_removes_only_the_first_term(build, some_rows):
    """The gradient of a request is exactly the difference of the whole losses with and without the rows."""
    whole, dataset = build("WMF")
    everything = batch_of(whole, dataset, dataset.train_examples())
    left, reduced = build("WMF", some_rows)
    rest = batch_of(left, reduced, reduced.train_examples())
    gone = batch_of(left, reduced, some_rows)
    expected = [a - b for a, b in zip(gradient(left, rest), gradient(whole, everything), strict=True)]
    for found, wanted in zip(gradient(left, gone), expected, strict=True):
        assert torch.allclose(-found, wanted, atol=1e-9) and wanted.abs().max() > 0


# --- random draws ---------------------------------------------------------------------------------------------------
def values(views):
    return torch.cat([matrix.to_dense().flatten() for view in views for matrix in view])


@pytest.mark.parametrize("kind", ["ED", "ND", "RW"])
def test_graph_augmentations_depend_on_seed_and_epoch(build, kind):
    model, dataset = build("SGL", type=kind)
    other, _ = build("SGL", type=kind, seed=9)
    fixed = values(model.views())
    model.train()
    seen = []
    for epoch in (0, 1, 0):
        model.begin_epoch(epoch, dataset)
        seen.append(values(model.views()))
    assert torch.equal(seen[0], seen[2]) and not torch.equal(seen[0], seen[1])
    assert torch.equal(values(model.eval().views()), fixed) and not torch.equal(fixed, seen[0])
    assert not torch.equal(values(other.views()), fixed)
    first, second = model.views()
    assert not torch.equal(first[0].to_dense(), second[0].to_dense())


@pytest.mark.parametrize(("kind", "kept"), [("ED", 0.7), ("ND", 0.49), ("RW", 0.7)])
def test_graph_augmentations_drop_their_fraction(build, kind, kept):
    shares = []
    for seed in range(40):
        model, _ = build("SGL", type=kind, seed=seed)
        shares += [float((m.values() > 0).float().mean()) for view in model.views() for m in view]
    assert np.mean(shares) == pytest.approx(kept, abs=0.02)


def test_only_the_forgotten_edge_leaves_the_graph_augmentations(build, some_rows):
    model, _ = build("SGL")
    before = [view[0].to_dense() > 0 for view in model.views()]
    _, reduced = build("SGL", some_rows)
    model.rebuild(reduced)
    gone = torch.zeros_like(before[0])
    users, items = reduced.log.user[some_rows], reduced.log.item[some_rows] + model.n_users
    gone[users, items] = gone[items, users] = True
    for old, view in zip(before, model.views(), strict=True):
        assert torch.equal(view[0].to_dense() > 0, old & ~gone)


def test_simrec_trains_the_teacher_before_the_student(build, monkeypatch):
    """Two epochs of the teacher without validation, then three epochs of the student."""
    validated = []
    monkeypatch.setattr("recbole.trainer.loop.validation", lambda *_: validated.append(1) or ({}, 1.0))
    model, dataset = build("SimRec", teacher_epochs=2, train_batch_size=64, epochs=3, weight_decay=0.1)
    states, after = [{k: v.clone() for k, v in model.state_dict().items()}], TrainingLoop._after_epoch

    def watched(trainer):
        states.append({k: v.clone() for k, v in trainer.model.state_dict().items()})
        after(trainer)

    monkeypatch.setattr(TrainingLoop, "_after_epoch", watched)
    progress = TrainingLoop(dataset.config, model, dataset).fit()
    moved = [{k for k in new if not torch.equal(old[k], new[k])} for old, new in pairwise(states)]
    teacher = {name for name in states[0] if name.startswith("teacher.")}
    assert moved == [teacher] * 2 + [states[0].keys() - teacher] * 3
    assert (len(validated), len(progress.losses), progress.best_epoch) == (3, 5, 4)
    assert {name for name, p in model.named_parameters() if not p.requires_grad} == teacher


def test_the_teachers_loss(build, some_rows):
    model, dataset = build("SimRec", some_rows, teacher_reg_weight=0.03)
    batch = batch_of(model, dataset, dataset.train_examples()[::13])
    users, items = torch.split(sum(teacher_layers(model, pairs_of(dataset))), [model.n_users, model.n_items])
    rows = rows_of(batch)
    expected = sum(bpr_of(rows, users, items, gamma=0.0)) / len(rows) + 0.03 * tables(model.teacher).square().sum()
    model.begin_epoch(0, dataset)
    assert float(model.calculate_loss(batch).detach()) == pytest.approx(float(expected.detach()), rel=1e-9)


def test_a_teacher_that_diverges_ends_the_training(build):
    model, dataset = build("SimRec", teacher_reg_weight=3e38)
    with torch.no_grad():
        model.teacher.user_embedding.weight.mul_(1e150)
    with pytest.raises(UserError, match="training diverged: the loss of epoch 0, batch 0 is not a number"):
        TrainingLoop(dataset.config, model, dataset).fit()


def test_a_model_is_informed_of_every_epoch(build, monkeypatch):
    model, dataset = build("SGL", epochs=3)
    told = []
    monkeypatch.setattr(type(model), "begin_epoch", lambda self, epoch, data: told.append((epoch, data, self.training)))
    TrainingLoop(dataset.config, model, dataset).fit()
    assert told == [(epoch, dataset, True) for epoch in range(3)]


class Killed(Exception):
    """Raised in place of a kill."""


@MODELS
def test_a_killed_and_resumed_training_gives_identical_results(build, name, tmp_path, monkeypatch):
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")
    settings = {"epochs": 3, "train_batch_size": 64, "spread": 0.0, "teacher_epochs": 1}
    settings = {k: v for k, v in settings.items() if k != "teacher_epochs" or name == "SimRec"}
    model, dataset = build(name, **settings)
    TrainingLoop(dataset.config, model, dataset).fit()
    expected = {key: value.clone() for key, value in model.state_dict().items()}
    for kill_at in (2, 7):
        resume = ResumeFile(tmp_path / f"{kill_at}.resume", "same")
        model, dataset = build(name, **settings)
        trainer, steps, step = TrainingLoop(dataset.config, model, dataset, resume), [], TrainingLoop._step

        def killed(self, batch, kill_at=kill_at, steps=steps, step=step):
            steps.append(1)
            if len(steps) > kill_at:
                raise Killed
            return step(self, batch)

        monkeypatch.setattr(TrainingLoop, "_step", killed)
        with pytest.raises(Killed):
            trainer.fit()
        monkeypatch.setattr(TrainingLoop, "_step", step)
        model, dataset = build(name, **settings)
        torch.manual_seed(99)
        TrainingLoop(dataset.config, model, dataset, ResumeFile(tmp_path / f"{kill_at}.resume", "same")).fit()
        assert all(torch.equal(value, model.state_dict()[key]) for key, value in expected.items())


# --- the rest --------------------------------------------------------------------------------------------------------
def test_pairs_are_scored_in_batches(build, monkeypatch):
    model, dataset = build("NeuMF")
    whole = all_scores(model, dataset)
    monkeypatch.setattr(recommender, "PAIRS_AT_ONCE", 3 * dataset.n_items)
    assert torch.allclose(all_scores(model, dataset), whole)


@pytest.mark.parametrize("half", ["mf_train", "mlp_train"])
def test_neumf_with_only_one_branch(build, half):
    model, dataset = build("NeuMF", **{half: False})
    batch = batch_of(model, dataset, dataset.train_examples()[:9])
    model.calculate_loss(batch).backward()
    unused, used = ("mf", "mlp") if half == "mf_train" else ("mlp", "mf")
    assert getattr(model, f"user_{unused}_embedding").weight.grad is None
    assert getattr(model, f"user_{used}_embedding").weight.grad.any()


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("SGL", {"type": "EX"}, "ED, ND, RW"),
        ("NeuMF", {"use_pretrain": True}, "use_pretrain"),
        ("NeuMF", {"mf_train": False, "mlp_train": False}, "needs at least one of them"),
        ("WMF", {"train_neg_sample_args": {"distribution": "uniform", "sample_num": 1}}, "null"),
    ],
)
def test_invalid_settings_are_errors(build, name, settings, said):
    with pytest.raises(UserError, match=said):
        build(name, **settings)


@pytest.mark.parametrize("name", ["SGL", "SpectralCF", "NeuMF"])
def test_parameters_have_recboles_names(build, name):
    expected = {
        "SGL": {"user_embedding.weight", "item_embedding.weight"},
        "SpectralCF": {"user_embedding.weight", "item_embedding.weight", "filters.0", "filters.1"},
        "NeuMF": {f"{s}_{h}_embedding.weight" for s in ("user", "item") for h in ("mf", "mlp")}
        | {f"mlp_layers.mlp_layers.{n}.{w}" for n in (1, 4) for w in ("weight", "bias")}
        | {"predict_layer.weight", "predict_layer.bias"},
    }
    assert set(build(name)[0].state_dict()) == expected[name]
