"""SCIF compared with the exactly retrained optimum, and the parameters that it must not change."""

import numpy as np
import pytest
import torch
from asking import ask
from torch import nn
from torch.func import functional_call

from recbole.data.sampler import in_turn
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.model.general_recommender.bpr import BPR
from recbole.model.general_recommender.lightgcn import LightGCN
from recbole.trainer import TrainingLoop
from recbole.unlearning.algorithms.scif import Scif
from recbole.utils import UserError, init_seed


class FixedItems(GeneralRecommender):
    """Users against items that are given: convex in the users, and no negatives."""

    selective = ("user_embedding.weight",)

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.user_embedding = nn.Embedding(self.n_users, 4)
        self.row_tables = {"user_embedding.weight": (self.USER_ID,)}
        draw = torch.Generator().manual_seed(0)
        self.register_buffer("items", torch.randn(self.n_items, 4, generator=draw))
        self.register_buffer("wanted", torch.randn(self.n_items, generator=draw))

    def rebuild(self, dataset):
        """Nothing is derived from the data."""

    def forward(self, interaction):
        return self.calculate_loss(interaction)

    def calculate_loss(self, interaction):
        item = interaction[self.ITEM_ID]
        score = (self.user_embedding(interaction[self.USER_ID]) * self.items[item]).sum(dim=1)
        return self.pointwise(score, self.wanted[item]).mean()


class Ridge(FixedItems):
    """Squared loss: every user's objective is quadratic."""

    def pointwise(self, score, wanted):
        return (score - wanted) ** 2


class Logistic(FixedItems):
    """Logistic loss: convex, not quadratic."""

    def pointwise(self, score, wanted):
        return nn.functional.binary_cross_entropy_with_logits(score, (wanted > 0).to(score), reduction="none")


def optimum(model, dataset, penalty):
    """Train to the minimum of the summed loss plus ``penalty / 2`` times the squared norm of the users, by Newton."""
    batch = dataset.collate(dataset.train_examples())
    users = model.user_embedding.weight

    def objective(flat):
        values = {"user_embedding.weight": flat.view_as(users)}
        loss = functional_call(model, values, (batch,)) * len(batch)
        return loss + penalty / 2 * flat.square().sum()

    flat = torch.zeros(users.numel(), dtype=users.dtype)
    for _ in range(12):
        slope = torch.autograd.functional.jacobian(objective, flat)
        flat = flat - torch.linalg.solve(torch.autograd.functional.hessian(objective, flat, vectorize=True), slope)
    assert slope.norm() < 1e-10
    with torch.no_grad():
        users.copy_(flat.view_as(users))
    return users.detach().clone()


def train_rows(data, user, n):
    return data.examples_of(np.array([user]))[:n]


def requester(data, size):
    """Return a user with about ``size`` training rows."""
    counts = [len(data.examples_of(np.array([user]))) for user in range(data.n_users)]
    return int(np.argmin(np.abs(np.array(counts) - size)))


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# --- the retrained optimum ----------------------------------------------------------------------------------------

DAMPING = 0.01


def distances(config, data, model_class, size, n_forgotten):
    """Return how far a convex model is from the retrained optimum before and after SCIF, and the outcome.

    The objective that both optima minimise is SCIF's own: the mean loss over the examples that are left, plus
    ``damping / 2`` times the squared norm; in sums, a penalty of ``damping`` times their number.
    """
    conf = config("unused", damping=DAMPING, train_neg_sample_args=None, scif_iterations=1000)
    init_seed(3)
    model = model_class(conf, data).double()
    user = requester(data, size)
    rows = train_rows(data, user, n_forgotten)
    penalty = DAMPING * (len(data.train_examples()) - n_forgotten)
    start = optimum(model, data, penalty)
    retrained_data = data.masked(data.forgotten.copy())
    retrained_data.forget(rows)
    goal = optimum(model_class(conf, data).double(), retrained_data, penalty)
    outcome = ask(Scif(conf, model, data), rows, 0)
    found = model.user_embedding.weight.detach()
    others = np.delete(np.arange(data.n_users), user)
    assert torch.equal(found[others], start[others])
    return float((start - goal).norm()), float((found - goal).norm()), outcome


@pytest.mark.parametrize(("size", "n_forgotten"), [(20, 1), (20, 5), (10, 9), (3, 2)])
def test_on_a_quadratic_objective_one_step_is_retraining(config, data, size, n_forgotten):
    before, after, outcome = distances(config, data, Ridge, size, n_forgotten)
    assert outcome.status == "applied" and outcome.n_examples == (n_forgotten, 0)
    assert before > 1e-3
    assert after < 2e-6 * before + 1e-9


@pytest.mark.parametrize(("size", "n_forgotten"), [(20, 1), (20, 2), (15, 1)])
def test_on_a_convex_objective_nine_tenths_of_the_way_are_gone(config, data, size, n_forgotten):
    before, after, _ = distances(config, data, Logistic, size, n_forgotten)
    assert before > 1e-3
    assert after < 0.1 * before


def test_requests_one_after_the_other_end_where_retraining_ends(config, data):
    conf = config("unused", damping=1e-9, train_neg_sample_args=None, scif_iterations=1000)
    init_seed(3)
    model = Ridge(conf, data).double()
    users = [requester(data, size) for size in (12, 16, 20)]
    rows = [train_rows(data, user, 2) for user in users]
    start = optimum(model, data, 1e-6)
    scif = Scif(conf, model, data)
    assert [ask(scif, some, at).status for at, some in enumerate(rows)] == ["applied"] * 3
    goal = optimum(Ridge(conf, data).double(), data, 1e-6)
    found = model.user_embedding.weight.detach()
    assert float((found - goal)[users].norm()) < 1e-4 * float((start - goal)[users].norm())


# --- BPR ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(config, data):
    """A factory: ``trained(**settings)`` gives (config, trained BPR model); the model is trained once."""
    kept = []

    def make(**more):
        conf = config("unused", epochs=30, train_batch_size=64, learning_rate=0.02, eval_step=0, **more)
        init_seed(conf["seed"])
        model = BPR(conf, data)
        if not kept:
            TrainingLoop(conf, model, data).fit()
            kept.append(weights(model))
        model.load_state_dict(kept[0])
        return conf, model

    return make


def test_the_loss_on_what_is_forgotten_goes_up(trained, data):
    conf, model = trained(damping=0.01)
    scif = Scif(conf, model, data)
    for at, size in enumerate((8, 12, 16, 20)):
        rows = train_rows(data, requester(data, size), 2)
        pairs = scif.bench.negatives.add(data.collate(rows), in_turn(np.random.default_rng(at)), 50)
        before = model.loss_sum(pairs).item()
        assert ask(scif, rows, at).status == "applied"
        assert model.loss_sum(pairs).item() > before


def test_only_the_requesters_row_moves(trained, data):
    conf, model = trained()
    before = weights(model)
    user = requester(data, 12)
    outcome = ask(Scif(conf, model, data), train_rows(data, user, 3), 0)
    after = weights(model)
    moved = (after["user_embedding.weight"] != before["user_embedding.weight"]).any(dim=1)
    assert np.flatnonzero(moved.numpy()).tolist() == [user]
    assert torch.equal(after["item_embedding.weight"], before["item_embedding.weight"])
    change = after["user_embedding.weight"][user] - before["user_embedding.weight"][user]
    size = before["user_embedding.weight"][[0, user]].norm()
    assert outcome.relative_change == pytest.approx(float(change.norm() / size), rel=1e-4)
    assert outcome.work["solver"] == "converged" and outcome.work["residual"] <= 1e-6
    assert outcome.work["n_hvp"] <= 4 + 1, "the system has the size of one embedding"


def test_the_mask_is_set_and_the_negatives_know_it(trained, data):
    conf, model = trained()
    rows = train_rows(data, requester(data, 12), 3)
    scif = Scif(conf, model, data)
    n_train = scif.bench.n_train
    assert scif.bench.negatives.sampler.pairs.contains(data.log.user[rows], data.log.item[rows]).all()
    outcome = ask(scif, rows, 0)
    assert data.forgotten[rows].all() and data.forgotten.sum() == 3
    assert scif.bench.n_train == n_train - 3 == len(data.train_examples())
    assert not scif.bench.negatives.sampler.pairs.contains(data.log.user[rows], data.log.item[rows]).any()
    assert outcome.n_examples == (3, 0) and set(outcome.seconds) == {"prepare", "solve", "apply"}
    again = weights(model)
    assert ask(scif, rows, 1).reason == "no training example"
    assert same(weights(model), again)


def test_a_step_of_nothing_is_skipped_and_not_called_applied(trained, data, monkeypatch):
    conf, model = trained()
    before = weights(model)
    rows = train_rows(data, requester(data, 12), 3)
    forget = data.forget

    def nothing_changes(wanted):
        change = forget(wanted)
        same = np.arange(len(change.before))
        return type(change)(change.entities, change.rows[:0], change.before, change.before, same, same)

    monkeypatch.setattr(data, "forget", nothing_changes)
    outcome = ask(Scif(conf, model, data), rows, 0)
    assert (outcome.status, outcome.reason) == ("skipped", "the step changes no parameter")
    assert outcome.n_examples == (3, 3) and same(weights(model), before)


def test_a_nan_leaves_the_parameters_and_is_called_diverged(trained, data):
    conf, model = trained()
    rows = train_rows(data, requester(data, 12), 3)
    with torch.no_grad():
        model.item_embedding.weight[data.log.item[rows[0]], 1] = float("nan")
    before = weights(model)["user_embedding.weight"]
    outcome = ask(Scif(conf, model, data), rows, 0)
    assert outcome.status == "diverged" and outcome.reason and outcome.relative_change == 0
    assert torch.equal(model.user_embedding.weight, before)
    assert data.forgotten[rows].all(), "the rows are masked all the same"


def test_a_hessian_that_is_not_positive_is_damped_until_it_is(trained, data, monkeypatch):
    conf, model = trained()
    monkeypatch.setattr(BPR, "loss_of", lambda self, outputs, batch: -30 * self.loss(*outputs.unbind(dim=1)))
    outcome = ask(Scif(conf, model, data), train_rows(data, requester(data, 12), 3), 0)
    assert outcome.status == "applied" and outcome.work["damping"] > Scif.Hyper().damping
    assert outcome.work["solver"] == "converged", "along negative curvature there is no solution to converge to"


@pytest.mark.parametrize("damping", [-5.0, 0.0])
def test_a_damping_that_is_not_positive_is_refused(trained, data, damping):
    """Without any, who forgets everything has no curvature left, and a step of any length."""
    conf, model = trained(damping=damping)
    with pytest.raises(UserError, match=r"--damping: .* is not above 0"):
        Scif(conf, model, data)


def test_a_request_without_time_leaves_the_parameters(trained, data):
    conf, model = trained()
    before = weights(model)
    rows = train_rows(data, requester(data, 12), 3)
    outcome = ask(Scif(conf, model, data), rows, 0, seconds=0.0)
    assert outcome.status == "timeout" and "time was up" in outcome.reason
    assert same(weights(model), before) and data.forgotten[rows].all()
    assert sum(outcome.seconds.values()) > 0


@pytest.mark.parametrize("limit", [1e-4, 1e-2])
def test_max_norm_bounds_the_step_and_keeps_its_direction(trained, data, limit):
    rows = train_rows(data, requester(data, 12), 3)
    steps = []
    for max_norm in (None, limit):
        conf, model = trained(max_norm=max_norm)
        before = weights(model)["user_embedding.weight"]
        outcome = ask(Scif(conf, model, data.masked(data.forgotten.copy())), rows, 0)
        steps.append((model.user_embedding.weight.detach() - before).double())
    free, cut = steps
    assert cut.norm() == pytest.approx(min(limit, free.norm()), rel=1e-2)
    assert torch.cosine_similarity(free.reshape(-1), cut.reshape(-1), dim=0) > 0.99
    if free.norm() > limit:
        assert outcome.work["clipped_from"] == pytest.approx(float(free.norm()), rel=1e-3)


def test_the_same_request_gives_the_same_bits(trained, data):
    ends = []
    rows = train_rows(data, requester(data, 12), 3)
    for noise, index in ((0, 5), (1, 5), (0, 6)):
        conf, model = trained()
        torch.manual_seed(noise)
        ask(Scif(conf, model, data.masked(data.forgotten.copy())), rows, index)
        ends.append(weights(model))
    assert same(ends[0], ends[1])
    assert not same(ends[0], ends[2]), "negatives are keyed by the request's index"


def test_a_graph_loses_the_forgotten_edges(config, data):
    conf = config("unused", "LightGCN", embedding_size=4, n_layers=2)
    init_seed(2)
    model = LightGCN(conf, data)
    rows = train_rows(data, requester(data, 12), 3)
    ask(Scif(conf, model, data), rows, 0)
    fresh = LightGCN(conf, data)
    fresh.load_state_dict(model.state_dict())
    scores = [m.eval().full_sort_predict(data.eval_rows("test").inputs) for m in (model, fresh)]
    assert torch.equal(*scores)
