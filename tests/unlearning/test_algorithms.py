"""Tests of particular algorithms, and comparisons with the retrained optimum of quadratic models."""

import itertools
import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import quadratic
import torch
from asking import ask, open_case
from quadratic import PENALTY, fresh
from small_worlds import MODELS, same, weights
from test_contracts import contracts

from recbole.model.abstract_recommender import AbstractRecommender
from recbole.unlearning import system
from recbole.unlearning.algorithms.gif import Gif, GifHyper
from recbole.unlearning.registry import get_algorithm
from recbole.unlearning.second_order.curvature import (
    HessianProduct,
    gradient,
    second_order,
)
from recbole.unlearning.second_order.gauss_newton import GaussNewtonProduct
from recbole.unlearning.second_order.subspace import Subspace
from recbole.unlearning.system import System
from recbole.utils import UserError, torch_seed

ALGORITHMS = ("scif", "kookmin", "fanchuan", "gif", "ceu", "idea", "seif")
WHOLE = AbstractRecommender.pieces
FEW = {"scif_iterations": 3, "gif_iterations": 3, "ceu_cg_iterations": 3, "idea_iterations": 3}
"""Of the iterations that a step takes, for tests that are not about where it ends."""


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize(
    "model", ["NeuMF", "SGL", "SpectralCF", "WMF", "SimRec", "DCCF", "NARM", "SASRec", "SRGNN", "Sets2Sets", "DNNTSP"]
)
def test_every_model_can_be_unlearned(worlds, name, model):
    world = worlds(model)
    algorithm = world.start(name, **FEW)
    outcome = ask(algorithm, world.requests[0].rows, 0)
    after = weights(algorithm.model)
    changed = any(not torch.equal(after[n], world.state[n]) for n in after)
    assert outcome.status == "applied" and changed, outcome.reason
    assert all(torch.isfinite(after[n]).all() for n in after)


@pytest.mark.parametrize("model", ["BPR", "GRU4Rec", "NARM", "SASRec", "SRGNN", "Sets2Sets", "DNNTSP"])
def test_pieces_of_a_batch_have_its_loss(worlds, model):
    algorithm = worlds(model).start("scif")
    data, model = algorithm.dataset, algorithm.model.eval()
    batch = algorithm.bench.with_negatives(data.collate(data.train_examples()), 1, 0, "test")
    batch = batch[torch.arange(len(batch)).repeat(1 + 600 // len(batch))]
    pieces = model.pieces(batch)
    assert sum(map(len, pieces)) == len(batch) and (len(pieces) > 1) == (type(model).pieces is not WHOLE)
    whole, parts = model.loss_sum(batch), sum(map(model.loss_sum, pieces))
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=0)


@pytest.mark.parametrize("model", MODELS)
def test_no_two_algorithms_do_the_same_and_none_does_nothing(worlds, model):
    world = worlds(model)
    ends = [world.state]
    for name in ALGORITHMS:
        algorithm = world.start(name, **FEW)
        for index in range(2):
            ask(algorithm, world.requests[index].rows, index)
        ends.append(algorithm.release(0)["state_dict"])
    for (one, first), (other, second) in itertools.combinations(zip(("base", *ALGORITHMS), ends, strict=True), 2):
        assert not same(first, second), (one, other)


@pytest.mark.parametrize("model", ["BPR", "GRU4Rec", "DNNTSP"])
@pytest.mark.parametrize("name", ["scif", "gif", "ceu", "idea"])
def test_a_request_that_leaves_its_examples_as_they_are_has_no_step(worlds, name, model):
    world = worlds(model)
    algorithm = world.start(name, ceu_sigma=0.0, idea_sigma=0.0)
    case = open_case(algorithm, world.requests[0].rows)
    before = case.change.before
    change = replace(case.change, rows=case.change.rows[:0], after=before, kept=np.arange(len(before)))
    case = replace(case, change=change)
    assert not algorithm.solve(case, algorithm.observe(case)).delta.any()


def test_what_is_left_of_a_changed_example_is_not_among_the_affected(worlds):
    world = worlds("Sets2Sets")
    algorithm = world.start("ceu")
    case = open_case(algorithm, world.requests[0].rows)
    change, ([(near, weight)], whole) = case.change, case.affected(math.inf, 10**6)
    assert len(change.left) == len(change.after) > 0 and whole and weight == 1
    assert len(near) == len(algorithm.dataset.train_examples()) - len(change.left)
    assert not np.isin(near[algorithm.dataset.uid_field].numpy(), change.entities).any()


def test_a_term_without_a_gradient_decides_nothing(worlds):
    """The pairwise term of Sets2Sets is a constant to whoever trains, whatever it weighs."""
    world, found = worlds("Sets2Sets"), []
    assert world.config["set_loss_gradient"] is False
    for weight in (0.0, 10.0, 1e4):
        world.config["set_loss_weight"] = weight
        algorithm = world.start("scif", **FEW)
        case = open_case(algorithm, world.requests[0].rows)
        system = algorithm.observe(case)
        algorithm.bench.rebuild()
        system.settle()
        with second_order(algorithm.model):
            system.look(system.product())
        x = 30 * system.difference  # so far that no quadratic is like it
        found.append((algorithm.solve(case, algorithm.observe(case)).delta, system.gain(x, system.difference, 0.01)))
    world.config["set_loss_weight"] = 10.0
    assert all(torch.equal(delta, found[0][0]) and gain == found[0][1] for delta, gain in found[1:])
    assert abs(found[0][1] - 1) > 0.01


# --- the retrained optimum ----------------------------------------------------------------------------------------

SPREAD = {"spread": True, "gif_scale_factor": 80.0, "gif_damping": 0.5 / 80}
SECOND_ORDER = {name: cls.quadratic for name, cls in contracts().items() if getattr(cls, "quadratic", None)}


def forget_linear(config, data, name, off=0.0, **more):
    return quadratic.forget_linear(config, data, name, SECOND_ORDER[name], off, **more)


@pytest.mark.parametrize("name", SECOND_ORDER)
def test_an_edge_that_leaves_changes_other_peoples_losses_too(config, data, name):
    base, ended, goal, outcome, _ = forget_linear(config, data, name, **SPREAD)
    assert outcome.status == "applied" and (base - goal).norm() > 0.1
    assert (ended - goal).norm() < 1e-4 * (base - goal).norm()
    short = SPREAD | ({f"{name}_k_hops": 0} if name != "scif" else {"scif_hessian_samples": 1})
    _, without, _, _, _ = forget_linear(config, fresh(data), name, **short)
    assert (without - goal).norm() > 10 * (ended - goal).norm()


def test_the_series_stops_short_and_says_how_short(config, data):
    _, _, _, outcome, _ = forget_linear(config, data, "gif", gif_iterations=2)
    assert outcome.status == "applied" and outcome.work["solver"] == "iterations" and 0.1 < outcome.work["residual"] < 1
    tight = {"gif_scale_factor": 2.0, "gif_damping": PENALTY / 2}
    _, _, _, outcome, _ = forget_linear(config, fresh(data), "gif", **tight)
    assert outcome.status == "diverged" and "--gif_scale_factor above" in outcome.reason


@pytest.mark.parametrize("bend", [2.1e4, 2004.0, -94.0, -999.0, -3000.0])
def test_what_gif_advises_where_its_series_grows_would_do(bend):
    hyper = GifHyper(gif_scale_factor=1000.0)
    assert not 0 <= bend / hyper.gif_scale_factor + hyper.gif_damping <= 2
    advice = Gif._advice(SimpleNamespace(hyper=hyper), bend, hyper.gif_scale_factor)
    name, value = re.search(r"--(\w+) above (\S+)$", advice).groups()
    hyper = replace(hyper, **{name: float(value)})
    assert 0 <= bend / hyper.gif_scale_factor + hyper.gif_damping <= 2


def test_gif_finds_its_scale(config, data):
    """The largest eigenvalue of the summed Hessian, which the penalty is no part of."""
    quiet = {"gif_scale_factor": None, "gif_damping": 0.01, "gif_iterations": 3000}
    *_, outcome, dense = forget_linear(config, data, "gif", **quiet)
    largest = float(torch.linalg.eigvalsh(dense)[-1]) - PENALTY
    assert outcome.status == "applied" and outcome.work["scale"] == pytest.approx(largest, rel=0.02)


def test_a_step_gains_what_its_system_promises_where_losses_are_quadratic(config, data, monkeypatch):
    seen = []
    gain = System.gain

    def watched(system, x, right, damping):
        seen.append(gain(system, x, right, damping))
        return seen[-1]

    monkeypatch.setattr(System, "gain", watched)
    for name in ("scif", "ceu", "idea"):
        forget_linear(config, fresh(data), name)
    assert seen == pytest.approx([1.0] * 3, abs=1e-6)


@pytest.mark.parametrize("name", ["scif", "ceu", "idea"])
def test_a_step_that_goes_too_far_is_damped(worlds, name):
    """With hardly any damping the losses would rise; the step that is taken lowers the new objective as promised."""
    tiny = {"damping": 1e-9, "ceu_lambda": 1e-9, "ceu_sigma": 0.0, "idea_damping": 1e-9, "idea_sigma": 0.0}
    ends = []
    for trusts in (True, False):
        algorithm = worlds("GRU4Rec").start(name, idea_epsilon=1e12, **tiny)
        with pytest.MonkeyPatch.context() as patch:
            if not trusts:
                patch.setattr(System, "gain", lambda *_: 1.0)
            outcome = ask(algorithm, worlds("GRU4Rec").requests[0].rows, 0)
        ends.append((outcome.work["damping"], outcome.relative_change))
    assert ends[0][0] > ends[1][0] and ends[0][1] < ends[1][1]


def test_a_step_to_where_the_losses_are_not_finite_is_not_trusted(config, data, monkeypatch):
    """Loss values that overflow beyond half the first step; and such that overflow to begin with."""
    lengths = []

    def total(subspace, batches, weights, shift):
        lengths.append(float(shift.norm()))
        return math.nan if lengths[-1] > lengths[0] / 2 else 1.0

    with monkeypatch.context() as patch:
        patch.setattr(system, "total_loss", total)
        patch.setattr(System, "here", property(lambda system: (1.0, torch.zeros_like(system.difference))))
        *_, outcome, _ = forget_linear(config, fresh(data), "scif")
    assert outcome.status == "applied" and outcome.work["raised"] and len(lengths) > 1
    monkeypatch.setattr(System, "here", property(lambda system: (math.inf, torch.zeros_like(system.difference))))
    *_, outcome, _ = forget_linear(config, data, "scif")
    assert (outcome.status, outcome.reason) == ("diverged", "the losses are not finite")


# --- curvature ------------------------------------------------------------------------------------------------------


def test_recurrent_models_have_curvature(worlds):
    algorithm = worlds("GRU4Rec").start("gif")
    data, model = algorithm.dataset, algorithm.model
    names = [name for name, _ in model.named_parameters() if name.startswith("gru")]
    subspace = Subspace(model, names)
    with second_order(model):
        product = HessianProduct(subspace, [data.collate(data.train_examples()[:20])])
        image = product(torch.ones_like(subspace.vector()))
    assert image.norm() > 1e-4


@pytest.mark.parametrize("moving", [None, 2])
def test_entries_of_a_matrix_are_all_that_a_batch_reads(worlds, moving):
    """Derivatives in the entries that a batch reads are those in all that are stored, which are zero elsewhere."""
    algorithm = worlds("Sets2Sets").start("ceu")
    data, model = algorithm.dataset, algorithm.model.double()
    batch = data.collate(data.train_examples()[:9])
    whole = Subspace(model)
    part = Subspace(model, None, [batch], None if moving is None else [batch[slice(moving)]])
    entries = part.rows["gate_weight"]
    assert 1 < len(entries) < len(model.gate_weight)
    assert (len(entries) < len(part._read["gate_weight"])) == bool(moving)
    v = torch.randn(len(part.vector()), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wide = part.widen(v, torch.zeros_like(whole.vector()))
    with second_order(model):
        for found, expected in (
            (gradient(part, [batch]), gradient(whole, [batch])),
            (gradient(part, [batch], shift=v), gradient(whole, [batch], shift=wide)),
            (HessianProduct(part, [batch])(v), HessianProduct(whole, [batch])(wide)),
            (GaussNewtonProduct(part, [batch])(v), GaussNewtonProduct(whole, [batch])(wide)),
        ):
            torch.testing.assert_close(found, part.narrow(expected))
            assert moving or torch.equal(expected != 0, part.widen(found, torch.zeros_like(wide)) != 0)
    before, places = model.gate_weight.detach().clone(), model.gate_places.clone()
    part.add(v)
    moved = (model.gate_weight != before).nonzero().flatten()
    assert torch.equal(moved, entries)
    assert torch.equal(model.gate_places, places), "the model itself reads the whole gate again"


# --- what is each one's own ---------------------------------------------------------------------------------------


@pytest.fixture
def bpr(worlds):
    return worlds("BPR")


def test_a_value_out_of_bounds_names_its_flag(bpr):
    with pytest.raises(UserError, match=r"--gif_scale_factor: 0\.0 is not above 0"):
        bpr.start("gif", gif_scale_factor=0.0)
    with pytest.raises(UserError, match=r"--kookmin_init_rate: 1\.5 is more than 1"):
        bpr.start("kookmin", kookmin_init_rate=1.5)
    bpr.start("gif")


def test_noise_is_keyed_by_algorithm_and_request():
    assert len({torch_seed(2, "noise", name, index) for name in ALGORITHMS for index in range(3)}) == 21


class Once(torch.autograd.Function):
    """The identity, with one derivative."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return gradient


class Awkward(quadratic.Linear):
    """Losses without second derivatives, scores without any."""

    def calculate_loss(self, interaction):
        return (Once.apply(self.a(interaction[self.USER_ID])) - 1).square().mean()

    def full_sort_predict(self, interaction):
        return super().full_sort_predict(interaction).detach()


@pytest.mark.parametrize(
    "name, reason",
    [
        *[("scif", "second derivatives"), ("gif", "second"), ("ceu", "second")],
        *[("fanchuan", "no gradient"), ("kookmin", "has none"), ("seif", "has none")],
    ],
)
def test_what_means_nothing_is_refused_before_anything_runs(config, data, name, reason):
    conf = config("unused", train_neg_sample_args=None)
    with pytest.raises(UserError, match=f"{name}.*{reason}|Awkward.*{reason}"):
        get_algorithm(name)(conf, Awkward(conf, data), data)


@pytest.mark.parametrize("name", ["kookmin", "seif"])
def test_one_derivative_is_enough_to_erase_and_repair(config, data, monkeypatch, name):
    conf = config("unused", train_neg_sample_args=None)
    monkeypatch.setattr(Awkward, "erasable", lambda _: ("a.weight",))
    outcome = ask(get_algorithm(name)(conf, Awkward(conf, data), data), data.train_examples()[:2], 0)
    assert outcome.status == "applied", outcome.reason
