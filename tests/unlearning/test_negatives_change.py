"""The change of expected losses through negative sampling, compared with enumeration and the retrained optimum."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from asking import ask, open_case

from recbole.data import create_dataset
from recbole.data.split import TRAIN
from recbole.model.general_recommender.bpr import BPR
from recbole.model.general_recommender.lightgcn import LightGCN
from recbole.model.general_recommender.neumf import NeuMF
from recbole.model.sequential_recommender.gru4rec import GRU4Rec
from recbole.unlearning import negatives_change
from recbole.unlearning.algorithms.gif import Gif
from recbole.unlearning.algorithms.scif import Scif
from recbole.unlearning.negatives_change import NegativesChange
from recbole.unlearning.second_order.curvature import gradient, second_order
from recbole.unlearning.second_order.subspace import Subspace, flatten_gradient
from recbole.utils import ModelType, UserError, init_seed

HELD = {
    "a": ["p", "q", "r", "s", "p"],  # p twice, s by nobody else
    "b": ["q", "r", "t"],
    "c": ["p", "t", "u"],
    "d": ["q", "u", "v", "r"],
    "e": ["v", "p"],
}


class Regularised(BPR):
    """BPR with the squared norms of each example's three rows."""

    def calculate_loss(self, interaction):
        user, positive = self.forward(interaction[self.USER_ID], interaction[self.ITEM_ID])
        negative = self.get_item_embedding(interaction[self.NEG_ITEM_ID])
        norms = (user.square() + positive.square() + negative.square()).sum(dim=1)
        ranking = self.loss((user * positive).sum(dim=1), (user * negative).sum(dim=1))
        return ranking + 0.3 * norms.mean()

    def outputs(self, interaction):
        """The loss is no function of the scores alone."""


@pytest.fixture
def tiny(tmp_path, config, write_inter):
    """A factory: ``tiny(model, **settings)`` gives an algorithm on it, in double precision; every row is trained on."""
    rows = [(user, item, at) for user, items in HELD.items() for at, item in enumerate(items)]
    write_inter(tmp_path, rows, dataset="tiny")

    def make(model_class, algorithm=Gif, **settings):
        small = {"mf_embedding_size": 3, "mlp_embedding_size": 3, "mlp_hidden_size": [4], "dropout_prob": 0.0}
        conf = config(tmp_path, "NeuMF" if model_class is NeuMF else "BPR", "tiny", **small, **settings)
        data = create_dataset(conf, ModelType.GENERAL)
        data.log = replace(data.log, split=np.full(len(data.log), TRAIN, dtype=data.log.split.dtype))
        init_seed(4)
        return algorithm(conf, model_class(conf, data).double(), data)

    return make


def rows_of(data, user, items):
    """Return log rows of a user (token) on items (tokens); of an item that stands there twice, the first."""
    ids = {side: data.log.vocabulary[side].ids for side in ("user", "item")}
    mine = data.log.rows_of(ids["user"]([user]))
    return np.array([mine[np.flatnonzero(data.log.item[mine] == item)[0]] for item in ids["item"](list(items))])


def chances(data, user, alpha):
    """Return the chance of each item as a negative of a user under the mask, by the rules; ``alpha`` None: uniform."""
    rows = data.train_rows
    counts = np.bincount(data.log.item[rows], minlength=data.n_items)
    weights = np.ones(data.n_items) if alpha is None else np.where(counts > 0, counts.clip(1.0) ** (alpha or 0), 0)
    weights[0] = 0
    weights[data.log.item[rows[data.log.user[rows] == user]]] = 0
    return weights / weights.sum()


def expected(model, data, examples, alpha, times, negatives):
    """Return the summed expected losses of examples by enumeration of all their draws of ``times`` negatives."""
    total = 0.0
    for example in examples:
        chance = chances(data, data.log.user[example], alpha)
        for drawn in itertools.product(np.flatnonzero(chance), repeat=times):
            batch = negatives.beside(data.collate(np.array([example])), np.array(drawn))
            total = total + float(chance[list(drawn)].prod()) * model.loss_sum(batch) / len(batch)
    return total


def brute_force(algorithm, rows, alpha, times):
    """Return the gradient over all parameters of the change, summed over the examples that there were."""
    model, data = algorithm.model.eval(), algorithm.dataset
    examples, parts = data.train_examples(), []
    mask = data.forgotten.copy()
    mask[rows] = True
    for now in (data, data.masked(mask)):
        loss = expected(model, now, examples, alpha, times, algorithm.bench.negatives)
        values = list(model.parameters())
        parts.append(flatten_gradient(torch.autograd.grad(loss, values, allow_unused=True), values))
    return parts[1] - parts[0]


def summed(algorithm, weighted):
    with second_order(algorithm.model):
        return gradient(Subspace(algorithm.model), [b for b, _ in weighted], [w for _, w in weighted])


REQUESTS = {"two": ("a", "qs"), "of the others": ("b", "rt"), "everything": ("e", "vp"), "one of two": ("a", "p")}


@pytest.mark.parametrize("request_name", REQUESTS)
@pytest.mark.parametrize("alpha", [None, 0.5, 1.0])
@pytest.mark.parametrize(("model_class", "times"), [(Regularised, 1), (NeuMF, 1)])
def test_the_change_is_that_of_enumeration(tiny, model_class, times, alpha, request_name):
    kind = {"distribution": "uniform"} if alpha is None else {"distribution": "popularity", "alpha": alpha}
    algorithm = tiny(model_class, train_neg_sample_args=kind | {"sample_num": times})
    rows = rows_of(algorithm.dataset, *REQUESTS[request_name])
    wanted = brute_force(algorithm, rows, alpha, times)
    change = NegativesChange(open_case(algorithm, rows))
    found = summed(algorithm, change.of_requesters(0) + change.of_others(10**6, 0))
    torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-10)
    still_there = request_name == "one of two"
    assert change.count == (0 if still_there else len(rows))
    assert bool(wanted.any()) == (alpha is not None or not still_there)


@pytest.mark.parametrize("model_class", [Regularised, NeuMF])
def test_several_negatives_make_that_of_enumerating_their_tuples(tiny, model_class):
    test_the_change_is_that_of_enumeration(tiny, model_class, 3, 0.5, "of the others")


def test_a_pair_that_is_left_changes_nothing(tiny):
    algorithm = tiny(Regularised)
    change = NegativesChange(open_case(algorithm, rows_of(algorithm.dataset, "a", "p")))
    assert change.applies and not change.count and not change.of_requesters(0) and not change.of_others(10**6)


@pytest.mark.parametrize(("most_weights", "most_rows"), [(64, 2**18), (0, 2**18), (64, 5)])
def test_draws_and_rows_that_are_chosen_estimate_it(tiny, monkeypatch, most_weights, most_rows):
    kind = {"distribution": "popularity", "alpha": 1.0, "sample_num": 1}
    algorithm = tiny(Regularised, train_neg_sample_args=kind)
    case = open_case(algorithm, rows_of(algorithm.dataset, "a", "qs"))
    exact = NegativesChange(case)
    wanted = summed(algorithm, exact.of_requesters(0) + exact.of_others(10**6, 0))
    monkeypatch.setattr(negatives_change, "MOST_WEIGHTS", most_weights)
    monkeypatch.setattr(negatives_change, "MOST_ROWS", most_rows)
    found = []
    for index in range(100):
        change = NegativesChange(replace(case, requests=(replace(case.requests[0], index=index),)))
        found.append(summed(algorithm, change.of_requesters() + change.of_others(10)))
    error = torch.stack(found) - wanted
    assert error.std(dim=0).norm() > 1e-3 * wanted.norm(), "nothing was drawn"
    assert (error.mean(dim=0).abs() < 4.5 * error.std(dim=0) / 10 + 1e-9).all()


# --- the step -----------------------------------------------------------------------------------------------------


def row_optimum(model, data, user, damping, n):
    """Minimise over the user's row the expected losses of what they keep plus ``n damping / 2`` times its square.

    Everything else is frozen; Newton in float64, from the row that is there.
    """
    chance = chances(data, user, None)
    items = torch.from_numpy(np.flatnonzero(chance))
    table = model.item_embedding.weight.detach()
    kept = table[torch.from_numpy(data.log.item[data.examples_of(np.array([user]))])]

    def objective(row):
        apart = (kept @ row)[:, None] - (table[items] @ row)[None, :]
        return torch.nn.functional.softplus(-apart).mean(dim=1).sum() + n * damping / 2 * row.square().sum()

    row = model.user_embedding.weight[user].detach().clone()
    for _ in range(50):
        slope = torch.autograd.functional.jacobian(objective, row)
        row = row - torch.linalg.solve(torch.autograd.functional.hessian(objective, row), slope)
    assert slope.norm() < 1e-9
    return row


def step_and_distance(config, data, **settings):
    """Return SCIF's end of the requester's row, the optimum before, and the retrained optimum."""
    damping = 1e-3
    conf = config("unused", damping=damping, scif_iterations=1000, **settings)
    init_seed(3)
    model = BPR(conf, data).double()
    with torch.no_grad():
        model.item_embedding.weight.copy_(
            0.3 * torch.randn(data.n_items, 4, generator=torch.Generator().manual_seed(1))
        )
    user = int(np.argmin([abs(len(data.examples_of(np.array([user]))) - 20) for user in range(data.n_users)]))
    rows = data.examples_of(np.array([user]))[:2]
    n = len(data.train_examples()) - len(rows)
    start = row_optimum(model, data, user, damping, n)
    with torch.no_grad():
        model.user_embedding.weight[user] = start
    mask = data.forgotten.copy()
    mask[rows] = True
    goal = row_optimum(model, data.masked(mask), user, damping, n)
    assert ask(Scif(conf, model, data), rows).status == "applied"
    return model.user_embedding.weight[user].detach(), start, goal


def test_the_step_ends_near_the_retrained_optimum(config, data, monkeypatch):
    """With all negatives within the step's second order; without the change, half of the way is left."""
    fresh = [data.masked(data.forgotten.copy()) for _ in range(3)]
    exact, start, goal = step_and_distance(config, fresh[0], scif_negatives=0)
    drawn, _, _ = step_and_distance(config, fresh[1], scif_negatives=64)
    monkeypatch.setattr(NegativesChange, "of_requesters", lambda self, times=8: [])
    without, _, _ = step_and_distance(config, fresh[2], scif_negatives=0)
    left = [float((end - goal).norm() / (start - goal).norm()) for end in (exact, drawn, without)]
    assert left[0] < 0.04 and left[1] < 0.1 and left[2] > 5 * max(left[:2])


def test_all_negatives_are_refused_where_others_depend_on_what_moves(config, data):
    with pytest.raises(UserError, match=r"--scif_negatives 0: .*LightGCN"):
        conf = config("unused", "LightGCN", embedding_size=4, n_layers=2, scif_negatives=0)
        Scif(conf, LightGCN(conf, data), data)


def test_an_expectation_comes_in_pieces_and_from_draws_where_it_is_too_large(tiny, monkeypatch):
    algorithm = tiny(Regularised)
    case = open_case(algorithm, rows_of(algorithm.dataset, "a", "qs"))
    change = NegativesChange(case)
    whole = change.expected(case.change.before)
    monkeypatch.setattr(negatives_change, "PIECE", 3)
    pieces = change.expected(case.change.before)
    assert len(pieces) > len(whole) == 1 and max(len(batch) for batch, _ in pieces) <= 3
    torch.testing.assert_close(summed(algorithm, pieces), summed(algorithm, whole))
    monkeypatch.setattr(negatives_change, "MOST_SCORES", 1)
    drawn = change.expected(case.change.before)
    assert sum(len(batch) for batch, _ in drawn) == 64 * len(case.change.before)
    assert sum(weight * len(batch) for batch, weight in drawn) == pytest.approx(len(case.change.before))


# --- what the record says, and who has none -----------------------------------------------------------------------


def test_the_record_counts_the_new_negatives(tiny):
    for name, count in ((Scif, 2), (Gif, 2)):
        algorithm = tiny(BPR, name)
        rows = np.concatenate([rows_of(algorithm.dataset, *pairs) for pairs in (("a", "qs"), ("a", "p"))])
        assert ask(algorithm, rows).work["new_negatives"] == count, "of p, another row is left"


def test_sessions_and_baskets_have_no_such_change(sessions, worlds):
    walks = [[1, 2, 3, 4, 5, 6], [3, 4, 5, 6, 7], [2, 5, 8, 3, 1]]
    small = {"embedding_size": 4, "hidden_size": 4, "num_layers": 1, "dropout_prob": 0.0, "loss_type": "BPR"}
    data = sessions(walks, **small, train_neg_sample_args={"distribution": "popularity"})
    sampled = Gif(data.config, GRU4Rec(data.config, data), data)
    assert sampled.bench.negatives.times
    for algorithm in (sampled, worlds("DNNTSP").start("gif"), worlds("GRU4Rec").start("gif")):
        data = algorithm.dataset
        rows = data.log.rows_of(data.users_of(data.train_examples()[:1]))[1:3]
        case = open_case(algorithm, rows)
        change = NegativesChange(case)
        assert len(case.change.before) and not change.applies and not change.count
        assert not change.of_requesters() and not change.of_others(100)
        assert algorithm.observe(case).new_negatives == 0
