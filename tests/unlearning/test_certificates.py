"""What CEU and IDEA certify, against the retrained optimum."""

import math

import numpy as np
import pytest
import torch
from asking import ask
from quadratic import EXACT, PENALTY, Linear, fresh, newton
from test_algorithms import SPREAD, forget_linear

from recbole.unlearning import system
from recbole.unlearning.certificate import gaussian_delta, gaussian_sigma
from recbole.unlearning.registry import get_algorithm
from recbole.unlearning.second_order.curvature import loss_and_gradient
from recbole.unlearning.system import System


def test_ceu_tilts_the_objective(config, data):
    """The noise is the minimum's own shift: the Hessian takes it back to the tilt, of the deviation asked for."""
    shifts = {}
    for sigma in (0.0, 0.3):
        _, ended, goal, outcome, dense = forget_linear(config, fresh(data), "ceu", ceu_sigma=sigma, ceu_epsilon=1.0)
        shifts[sigma] = dense @ (ended - goal)
        certificate = outcome.work["certificate"]
        assert certificate["epsilon"] == 1.0 and certificate["sigma"] == sigma
        assert certificate["holds"] == (sigma > 0) and (certificate["delta"] == 1.0) == (sigma == 0)
    tilt = shifts[0.3] - shifts[0.0]
    assert tilt.std() == pytest.approx(0.3, rel=0.3) and abs(tilt.mean()) < 0.15


def test_ideas_noise_follows_its_bound(config, data):
    _, ended, goal, outcome, _ = forget_linear(
        config, data, "idea", idea_sigma=0.2, idea_epsilon=0.1, idea_iterations=5
    )
    certificate = outcome.work["certificate"]
    assert certificate["holds"] and (ended - goal).norm() > certificate["distance_bound"]
    needed = gaussian_sigma(0.1, 0.01, certificate["distance_bound"])
    assert certificate["sigma"] == max(0.2, needed)
    assert needed == pytest.approx(certificate["distance_bound"] * math.sqrt(2 * math.log(125)) / 0.1)
    quiet = {"idea_sigma": 0.0, "idea_epsilon": 1e12, "idea_iterations": 5}
    _, ended, goal, outcome, _ = forget_linear(config, fresh(data), "idea", **quiet)
    bound = outcome.work["certificate"]["distance_bound"]
    assert 1e-6 < (ended - goal).norm() <= bound * 1.001


@pytest.mark.parametrize("name", ["ceu", "idea"])
@pytest.mark.parametrize("damping", [0.0019, 0.0038])
def test_certificates_do_not_break_by_rounding(config, data, name, damping):
    """``damping * n / n`` is more than ``damping`` for one in forty."""
    hyper = {"ceu_lambda": damping, "ceu_sigma": 0.1, "idea_damping": damping, "idea_sigma": 0.1, "idea_epsilon": 1.0}
    *_, outcome, _ = forget_linear(config, data, name, **hyper)
    assert "the curvature is not the Hessian's, or raised" not in outcome.work["certificate"]["broken"]


def test_the_bound_covers_rows_that_nothing_reads(config, data):
    """Somebody has no examples left, and a row far from where the regularisation alone would have it."""
    user = 3
    data.forgotten[data.log.rows_of(np.array([user]))] = True
    rows = data.examples_of(np.array([15]))[:2]
    damping = PENALTY / (len(data.train_examples()) - len(rows))
    conf = config("unused", **EXACT, idea_sigma=0.0, idea_epsilon=1e12, idea_damping=damping)
    model = Linear(conf, data).double()
    newton(model, data, PENALTY)
    with torch.no_grad():
        model.a.weight[user] = 5.0
    outcome = ask(get_algorithm("idea")(conf, model, data), rows, 0)
    assert outcome.work["certificate"]["distance_bound"] >= 5.0


def test_certificates_say_what_does_not_hold(worlds):
    for name in ("ceu", "idea"):
        algorithm = worlds("BPR").start(name, max_norm=100.0)
        certificate = ask(algorithm, worlds("BPR").requests[0].rows, 0).work["certificate"]
        assert not certificate["holds"]
        assert any("not convex" in reason for reason in certificate["broken"])
        assert any("max_norm" in reason for reason in certificate["broken"])


@pytest.mark.parametrize("name", ["ceu", "idea"])
@pytest.mark.parametrize("off", [0.0, 0.1, 5.0])
def test_the_residual_is_no_less_than_the_gradient_where_the_step_ends(config, data, name, off):
    """Also where the model was never at a minimum; then no noise of the size asked for hides what is left."""
    quiet = {"ceu_sigma": 0.0, "idea_sigma": 0.0, "idea_epsilon": 1e12}
    _, ended, goal, outcome, dense = forget_linear(config, data, name, off=off, **quiet)
    left = (dense @ (ended - goal)).norm()
    assert left <= outcome.work["certificate"]["gradient_residual"] * 1.001 + 1e-9
    assert (left > 0.1) == (off > 0)


def test_certificates_of_too_few_hops_or_too_large_an_epsilon_do_not_hold(config, data):
    *_, outcome, _ = forget_linear(config, data, "ceu", **SPREAD, ceu_k_hops=0)
    assert any("sample" in reason for reason in outcome.work["certificate"]["broken"])
    *_, outcome, _ = forget_linear(config, fresh(data), "idea", idea_epsilon=2.0)
    assert any("epsilon" in reason for reason in outcome.work["certificate"]["broken"])


def test_a_gradient_that_is_not_finite_where_the_step_ends_is_divergence(config, data, monkeypatch):
    monkeypatch.setattr(System, "residual", lambda *_: math.nan)
    for name in ("ceu", "idea"):
        *_, outcome, _ = forget_linear(config, fresh(data), name)
        assert outcome.status == "diverged" and "not finite" in outcome.reason


@pytest.mark.parametrize("name", ["ceu", "idea"])
def test_where_a_step_ends_is_looked_at_once(config, data, monkeypatch, name):
    """The loss by which it is trusted and the gradient that certifies it are of one pass."""
    looked = []

    def watched(*args, shift):
        looked.append(shift)
        return loss_and_gradient(*args, shift=shift)

    def never(*_, **__):
        raise AssertionError("another pass over the sample")

    monkeypatch.setattr(system, "loss_and_gradient", watched)
    monkeypatch.setattr(system, "total_loss", never)
    *_, outcome, _ = forget_linear(config, data, name)
    assert outcome.status == "applied" and outcome.work["certificate"]["gradient_residual"] < 1e-3
    assert len(looked) == 1 and looked[0].norm() > 0


def test_the_gaussian_mechanism_both_ways():
    assert gaussian_delta(0.5, 2.0, gaussian_sigma(0.5, 0.01, 2.0)) == pytest.approx(0.01)
    assert gaussian_delta(0.5, 0.0, 1.0) == 0.0
