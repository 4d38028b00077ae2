"""A model with squared losses, whose retrained optimum is the solution of a linear system."""

import numpy as np
import torch
from asking import ask
from torch import nn

from recbole.model.abstract_recommender import GeneralRecommender
from recbole.unlearning.registry import get_algorithm
from recbole.unlearning.second_order.curvature import HessianProduct, gradient
from recbole.unlearning.second_order.subspace import Subspace
from recbole.utils import InputType

PENALTY = 0.5


class Linear(GeneralRecommender):
    """Squared losses of ``a_u + b_i``; with ``spread``, plus the mean of ``a`` over the people who share items."""

    input_type = InputType.POINTWISE
    convex = True

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        self.a, self.b = nn.Embedding(self.n_users, 1), nn.Embedding(self.n_items, 1)
        self.spread = bool(config["spread"])
        if self.spread:
            self.reach = 1
        else:
            self.row_tables = {"a.weight": (self.USER_ID,), "b.weight": (self.ITEM_ID,)}
        self.rebuild(dataset)

    def rebuild(self, dataset):
        pairs = torch.from_numpy(dataset.inter_matrix("csr").toarray())
        self.of_user, self.of_item = (m / m.sum(1, keepdim=True).clamp_min(1) for m in (pairs, pairs.T))

    def calculate_loss(self, interaction):
        user, item = interaction[self.USER_ID], interaction[self.ITEM_ID]
        score = self.a(user) + self.b(item)
        if self.spread:
            score = score + (self.of_user @ (self.of_item @ self.a.weight))[user]
        wanted = torch.sin(user * 12.9898 + item * 78.233).to(score)
        return 0.5 * (score.squeeze(1) - wanted).square().mean()

    def full_sort_predict(self, interaction):
        return self.a(interaction[self.USER_ID]) + self.b.weight.T


def newton(model, dataset, penalty):
    """Put a linear model at the minimum of its summed loss plus ``penalty / 2`` times the squared norm."""
    whole, batch = Subspace(model), dataset.collate(dataset.train_examples())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    product = HessianProduct(whole, [batch])
    eye = torch.eye(len(whole.vector()), dtype=torch.float64)
    dense = torch.stack([product(row) for row in eye]) + penalty * eye
    whole.add(torch.linalg.solve(dense, -gradient(whole, [batch])))
    return whole.vector(), dense


EXACT = {f"{name}_hessian_samples": 10**6 for name in ("scif", "ceu", "idea")}
EXACT |= {"retain_samples_used_for_update": 10**6, "gif_retain_samples": 10**6, "train_neg_sample_args": None}


def fresh(data):
    return data.masked(np.zeros(len(data.log), dtype=bool))


def start_linear(config, data, name, hyper, off=0.0, **more):
    """Train and retrain; return an algorithm on the base, the rows to forget, the retrained parameters, the Hessian.

    Args:
        config: the fixture.
        data: a data set, of which some people's rows are to be forgotten.
        name: the algorithm's.
        hyper: by which a step is a Newton step for losses regularised by ``PENALTY``; functions get the number left.
        off: added to every trained parameter.
        more: further settings.
    """
    rows = data.examples_of(np.array([15, 20]))[2:9:2]
    n = len(data.train_examples()) - len(rows)
    hyper = {key: value(n) if callable(value) else value for key, value in hyper.items()}
    conf = config("unused", **EXACT | hyper | more)
    model = Linear(conf, data).double()
    base, _ = newton(model, data, PENALTY)
    Subspace(model).add(torch.full_like(base, off))
    after = data.masked(data.forgotten.copy())
    after.forget(rows)
    goal, dense = newton(Linear(conf, after).double(), after, PENALTY)
    return get_algorithm(name)(conf, model, data), rows, base, goal, dense


def forget_linear(config, data, name, hyper, off=0.0, **more):
    """Train, forget, retrain, as of :func:`start_linear`.

    Returns:
        base, unlearned and retrained parameters, the outcome and the dense Hessian.
    """
    algorithm, rows, base, goal, dense = start_linear(config, data, name, hyper, off, **more)
    outcome = ask(algorithm, rows, 0)
    return base, Subspace(algorithm.model).vector(), goal, outcome, dense
