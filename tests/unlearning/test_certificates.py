"""Certificates of CEU and IDEA, compared with the retrained optimum."""

import io
import itertools
import math

import numpy as np
import pytest
import torch
from asking import ask
from quadratic import EXACT, PENALTY, Linear, fresh, newton, start_linear
from test_algorithms import SECOND_ORDER, SPREAD, forget_linear

from recbole.unlearning import system
from recbole.unlearning.certificate import gaussian_delta, gaussian_sigma
from recbole.unlearning.registry import get_algorithm
from recbole.unlearning.second_order.curvature import loss_and_gradient
from recbole.unlearning.second_order.subspace import Subspace
from recbole.unlearning.system import System
from recbole.utils import UserError


def noise_of(algorithm, checkpoint):
    """Return what a release adds to the model's parameters, flat, and its certificate."""
    released = algorithm.release(checkpoint)
    own = dict(algorithm.model.named_parameters())
    return torch.cat([(released["state_dict"][n] - own[n]).flatten() for n in own]).detach(), released["certificate"]


def start(config, data, name, **more):
    algorithm, rows, *_, dense = start_linear(config, data, name, SECOND_ORDER[name], **more)
    return algorithm, rows, dense


def test_ceu_tilts_what_it_releases(config, data):
    """The noise is the minimum's own shift: the Hessian takes it back to the tilt, of the deviation asked for."""
    algorithm, rows, dense = start(config, data, "ceu", ceu_sigma=0.3, ceu_epsilon=1.0)
    nothing, certificate = noise_of(algorithm, 0)
    assert not nothing.any() and certificate["delta"] == 0 and certificate["holds"]
    assert ask(algorithm, rows, 0).status == "applied"
    before = Subspace(algorithm.model).vector()
    noise, certificate = noise_of(algorithm, 0)
    assert torch.equal(Subspace(algorithm.model).vector(), before)
    tilt = dense @ noise
    assert tilt.std() == pytest.approx(0.3, rel=0.3) and abs(tilt.mean()) < 0.15
    assert (certificate["epsilon"], certificate["sigma"]) == (1.0, 0.3) and certificate["holds"]
    again, other = noise_of(algorithm, 0)[0], noise_of(algorithm, 1)[0]
    assert torch.equal(noise, again) and (noise - other).norm() > noise.norm() / 2
    silent, rows, _ = start(config, fresh(data), "ceu", ceu_sigma=0.0)
    ask(silent, rows, 0)
    noise, certificate = noise_of(silent, 0)
    assert not noise.any() and certificate["delta"] == 1 and not certificate["holds"]


def test_ideas_noise_follows_the_bounds_since_the_base(config, data):
    algorithm, rows, _ = start(config, data, "idea", idea_epsilon=0.1, idea_iterations=5)
    first, second = (ask(algorithm, part, at) for at, part in enumerate((rows[:2], rows[2:])))
    bounds = [outcome.work["certificate"]["distance_bound"] for outcome in (first, second)]
    noise, certificate = noise_of(algorithm, 2)
    assert certificate["holds"] and certificate["distance_bound"] == pytest.approx(sum(bounds))
    assert certificate["sigma"] == gaussian_sigma(0.1, 0.01, certificate["distance_bound"])
    assert certificate["sigma"] == pytest.approx(sum(bounds) * math.sqrt(2 * math.log(125)) / 0.1)
    assert noise.std() == pytest.approx(certificate["sigma"], rel=0.3)
    least, rows, _ = start(config, fresh(data), "idea", idea_epsilon=0.1, idea_sigma=50.0, idea_iterations=5)
    ask(least, rows, 0)
    assert noise_of(least, 0)[1]["sigma"] == 50.0 and noise_of(least, 0)[1]["delta"] < 0.01
    silent, rows, _ = start(config, fresh(data), "idea", idea_iterations=5)
    ask(silent, rows, 0)
    noise, certificate = noise_of(silent, 0)
    assert not noise.any() and not certificate["holds"] and certificate["epsilon"] is None
    assert certificate["sigma_of_epsilon_1"] == gaussian_sigma(1.0, 0.01, certificate["distance_bound"]) > 0


def test_the_bound_covers_the_distance(config, data):
    _, ended, goal, outcome, _ = forget_linear(config, fresh(data), "idea", idea_iterations=5)
    bound = outcome.work["certificate"]["distance_bound"]
    assert 1e-6 < (ended - goal).norm() <= bound * 1.001


@pytest.mark.parametrize("name", ["ceu", "idea"])
def test_what_releases_tell_of_a_request_adds_up(config, data, name):
    algorithm, rows, _ = start(config, data, name, ceu_iterations=5, idea_epsilon=0.25, ceu_epsilon=0.25)
    ask(algorithm, rows, 0)
    certificates = [noise_of(algorithm, checkpoint)[1] for checkpoint in range(3)]
    deltas = [certificate["delta"] for certificate in certificates]
    composed = certificates[2]["composed"]
    assert [composed[at]["releases"] for at in range(3)] == [3, 2, 1]
    assert [composed[at]["epsilon"] for at in range(3)] == [0.75, 0.5, 0.25]
    assert [composed[at]["delta"] for at in range(3)] == pytest.approx([sum(deltas[at:]) for at in range(3)])
    assert list(certificates[0]["composed"]) == [0]


@pytest.mark.parametrize("name", ["ceu", "idea"])
def test_a_snapshot_holds_what_a_release_goes_by(worlds, name):
    world = worlds("BPR")
    whole, resumed = (world.start(name, idea_epsilon=0.5) for _ in range(2))
    ask(whole, world.requests[0].rows, 0)
    whole.release(0)
    memory = torch.load(_saved(whole.memory()), weights_only=True)
    resumed.restore(whole.model.state_dict(), whole.dataset.forgotten.copy(), memory)
    (noise, certificate), (again, same) = noise_of(whole, 1), noise_of(resumed, 1)
    assert noise.any() and torch.equal(noise, again) and certificate == same


def _saved(plain):
    file = io.BytesIO()
    torch.save(plain, file)
    file.seek(0)
    return file


@pytest.mark.parametrize("name", ["ceu", "idea"])
def test_a_request_that_fails_breaks_every_later_certificate(worlds, name):
    world = worlds("BPR")
    algorithm = world.start(name)
    assert ask(algorithm, world.requests[0].rows, 0, 0.0).status == "timeout"
    for checkpoint in range(2):
        assert any("timed out" in reason for reason in algorithm.release(checkpoint)["certificate"]["broken"])


def test_a_secret_keys_the_noise(config, data, tmp_path):
    noises = []
    for secret in (None, b"0123456789abcdef", b"0123456789abcdeX"):
        path = tmp_path / "secret"
        path.write_bytes(secret or b"")
        said = str(path) if secret else None
        algorithm, rows, _ = start(config, fresh(data), "idea", idea_epsilon=0.5, release_secret=said)
        ask(algorithm, rows, 0)
        noise, certificate = noise_of(algorithm, 0)
        assert certificate["secret"] is (secret is not None)
        noises.append(noise)
    assert all((one - other).norm() > one.norm() / 2 for one, other in itertools.combinations(noises, 2))
    path.write_bytes(b"short")
    with pytest.raises(UserError, match="5 bytes; 16 or more"):
        start(config, fresh(data), "idea", release_secret=str(path))
    with pytest.raises(UserError, match=r"--release_secret: .*gone"):
        start(config, fresh(data), "idea", release_secret=str(tmp_path / "gone"))


@pytest.mark.parametrize("name", ["ceu", "idea"])
@pytest.mark.parametrize("damping", [0.0019, 0.0038])
def test_certificates_do_not_break_by_rounding(config, data, name, damping):
    """``damping * n / n`` is more than ``damping`` for one in forty."""
    hyper = {"ceu_lambda": damping, "idea_damping": damping}
    *_, outcome, _ = forget_linear(config, data, name, **hyper)
    assert "the Hessian was replaced, or its damping raised" not in outcome.work["certificate"]["broken"]


def test_the_bound_covers_rows_that_nothing_reads(config, data):
    """Somebody has no examples left, and a row far from where the regularisation alone would have it."""
    user = 3
    data.forgotten[data.log.rows_of(np.array([user]))] = True
    rows = data.examples_of(np.array([15]))[:2]
    damping = PENALTY / (len(data.train_examples()) - len(rows))
    conf = config("unused", **EXACT, idea_damping=damping)
    model = Linear(conf, data).double()
    newton(model, data, PENALTY)
    with torch.no_grad():
        model.a.weight[user] = 5.0
    outcome = ask(get_algorithm("idea")(conf, model, data), rows, 0)
    assert outcome.work["certificate"]["distance_bound"] >= 5.0


def test_certificates_say_what_does_not_hold(worlds):
    for name in ("ceu", "idea"):
        algorithm = worlds("BPR").start(name, max_norm=100.0)
        ask(algorithm, worlds("BPR").requests[0].rows, 0)
        certificate = algorithm.release(0)["certificate"]
        assert not certificate["holds"]
        assert any("not convex" in reason for reason in certificate["broken"])
        assert any("max_norm" in reason for reason in certificate["broken"])


@pytest.mark.parametrize("name", ["ceu", "idea"])
@pytest.mark.parametrize("off", [0.0, 0.1, 5.0])
def test_the_residual_is_no_less_than_the_gradient_where_the_step_ends(config, data, name, off):
    """Also where the model was never at a minimum; then no noise of the size asked for hides what is left."""
    _, ended, goal, outcome, dense = forget_linear(config, data, name, off=off)
    left = (dense @ (ended - goal)).norm()
    assert left <= outcome.work["certificate"]["gradient_residual"] * 1.001 + 1e-9
    assert (left > 0.1) == (off > 0)


def test_certificates_of_too_few_hops_or_too_large_an_epsilon_do_not_hold(config, data):
    *_, outcome, _ = forget_linear(config, data, "ceu", **SPREAD, ceu_k_hops=0)
    assert any("sample" in reason for reason in outcome.work["certificate"]["broken"])
    algorithm, rows, _ = start(config, fresh(data), "idea", idea_epsilon=2.0)
    ask(algorithm, rows, 0)
    assert any("epsilon" in reason for reason in algorithm.release(0)["certificate"]["broken"])


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
