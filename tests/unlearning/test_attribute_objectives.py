"""Objectives of attribute unlearning, compared with direct implementations."""

import numpy as np
import pytest
import torch
from attribute_contract import people

from recbole.data.attributes import UserAttribute
from recbole.model import get_model
from recbole.trainer.learn import learn
from recbole.trainer.state import Run, State
from recbole.unlearning import mmd as mmd_module
from recbole.unlearning.algorithms.adv import _Reversed
from recbole.unlearning.algorithms.pau import rates
from recbole.unlearning.algorithms.u2u import user_to_user
from recbole.unlearning.attribute_request import attribute_requests
from recbole.unlearning.mmd import bandwidth, mmd, mmd_estimate
from recbole.unlearning.rank_margin import LENGTH, MARGIN, RankMargin
from recbole.utils.deadline import Deadline

GROUPS = [torch.tensor(ids) for ids in ([1, 4, 6, 7, 9], [2, 3, 10], [5, 8])]


def points(n, d=3, shift=0.0, seed=0):
    return torch.randn(n, d, generator=torch.Generator("cpu").manual_seed(seed), dtype=torch.float64) + shift


def plain_mmd(first, second, width):
    def mean(a, b):
        squared = (a.unsqueeze(1) - b.unsqueeze(0)).square().sum(dim=2)
        return sum(torch.exp(-squared / (2**r * width)).mean() for r in range(5))

    return mean(first, first) + mean(second, second) - 2 * mean(first, second)


@pytest.mark.parametrize("repulsion", [0.0, 0.3])
@pytest.mark.parametrize("n_groups", [2, 3])
def test_u2u_is_the_double_loop(repulsion, n_groups):
    vectors, groups = points(12).requires_grad_(True), GROUPS[:n_groups]
    label = {int(user): at for at, group in enumerate(groups) for user in group}
    plain = torch.zeros(1, dtype=torch.float64)
    for i, own in label.items():
        for j, other in label.items():
            if i < j:
                sign = 1.0 if own != other else -repulsion
                plain = plain + sign * (vectors[i] - vectors[j]).square().sum()
    (expected,) = torch.autograd.grad(plain, vectors)
    value, gradient = user_to_user(vectors.detach(), groups, repulsion)
    assert value == pytest.approx(float(plain.detach()))
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("tile", [4, 512])
def test_mmd_is_the_mean_of_five_kernels_and_its_gradient(monkeypatch, tile):
    monkeypatch.setattr(mmd_module, "TILE", tile)
    first, second = points(9).requires_grad_(True), points(6, shift=0.5, seed=1).requires_grad_(True)
    everybody = torch.cat([first, second]).detach()
    width = bandwidth(everybody)
    squared = (everybody.unsqueeze(1) - everybody.unsqueeze(0)).square().sum(dim=2)
    assert width == pytest.approx(float(squared.sum()) / (4 * 15 * 14))
    plain = plain_mmd(first, second, width)
    expected = torch.autograd.grad(plain, [first, second])
    value, gradient = mmd(everybody, 9)
    assert value == pytest.approx(float(plain.detach()))
    torch.testing.assert_close(gradient, torch.cat(expected))


def test_two_equal_groups_have_no_discrepancy():
    some = points(40).float()
    value, gradient = mmd(torch.cat([some, some]), 40)
    assert value == pytest.approx(0, abs=1e-6) and gradient.abs().max() < 1e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_points_that_coincide_have_finite_gradients(dtype):
    same = torch.ones(5, 3, dtype=dtype)
    for first, second in ((same, same[:3]), (torch.cat([same, points(4).to(dtype)]), same)):
        value, gradient = mmd(torch.cat([first, second]), len(first))
        assert np.isfinite(value) and bool(gradient.isfinite().all())
    assert bool(mmd_estimate(same, 2, (torch.tensor([0, 1]), torch.tensor([4])))[1].isfinite().all())


def test_what_is_estimated_from_all_points_is_exact_and_from_some_has_no_bias(monkeypatch):
    monkeypatch.setattr(mmd_module, "TILE", 4)
    some = torch.cat([points(6), points(4, shift=0.5, seed=1)])
    exact, whole = mmd(some, 6), mmd_estimate(some, 6, (torch.arange(6), torch.arange(6, 10)))
    assert whole[0] == pytest.approx(exact[0])
    torch.testing.assert_close(whole[1], exact[1])
    pairs = [(torch.tensor([i, j]), torch.tensor([6 + k])) for i in range(6) for j in range(i) for k in range(4)]
    found = [mmd_estimate(some, 6, pair) for pair in pairs]
    assert np.mean([value for value, _ in found]) == pytest.approx(exact[0])
    torch.testing.assert_close(torch.stack([gradient for _, gradient in found]).mean(dim=0), exact[1])


@pytest.mark.parametrize("name", ["BPR", "LightGCN", "NeuMF", "DNNTSP"])
def test_the_order_of_lists_is_the_plain_sum_of_hinges(worlds, name):
    world = worlds(name)
    data = world.data()
    model = get_model(name)(world.config, data)
    model.load_state_dict(world.state)
    held = RankMargin(model.eval(), data)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator("cpu").manual_seed(4)), alpha=0.3)
    names = dict.fromkeys(p for view in model.user_views(data).values() for p in view.parameters)
    parameters = {key: model.get_parameter(key) for key in names}
    value, gradients = held.value_and_gradients(parameters)
    scores = model.full_sort_predict(held.rows.inputs[np.arange(len(held.entity))]).view(len(held.entity), -1)
    scores = torch.logit(scores) if name == "NeuMF" else scores
    plain = torch.zeros(())
    for row, items in enumerate(held.lists.tolist()):
        for n in range(LENGTH - 1):
            if items[n + 1]:
                plain = plain + (scores[row, items[n + 1]] - scores[row, items[n]] + MARGIN).clamp_min(0)
    expected = torch.autograd.grad(plain, list(parameters.values()))
    assert value > 0 and value == pytest.approx(float(plain.detach()), rel=1e-3)
    torch.testing.assert_close(list(gradients.values()), list(expected), rtol=1e-2, atol=1e-3)


def test_coding_apart_is_as_costly_as_together_only_if_groups_are_alike():
    one, other = points(30), points(30, seed=1)
    places = [torch.arange(30), torch.arange(30, 60)]
    whole, apart = rates(torch.cat([one, one]), places, 0.5)
    assert float(whole) == pytest.approx(float(apart))
    for different in (other, 2 * one, -one):  # -one: an equal second moment, and another mean
        whole, apart = rates(torch.cat([one + 0.5, different]), places, 0.5)
        assert float(apart) < float(whole) - 1e-3


def test_a_protection_s_gradients_are_finite_differences(worlds, monkeypatch):
    monkeypatch.setattr(mmd_module, "bandwidth", lambda some: 0.7)  # which is not differentiated
    world = worlds("LightGCN")
    for name in ("u2u", "d2d", "pau"):
        algorithm = world.start(name, protect_view="propagated")
        groups = [torch.from_numpy(ids) for ids in people(world)[3].groups]
        generator = torch.Generator("cpu").manual_seed(3)
        vectors = torch.randn(world.dataset.n_users, 4, generator=generator, dtype=torch.float64)
        algorithm.base = {"propagated": vectors.clone()}
        vectors += 0.3 * torch.randn(vectors.shape, generator=generator, dtype=torch.float64)
        _, gradient = algorithm.objective("propagated", vectors, groups, (0, 0))
        direction = torch.randn(vectors.shape, generator=generator, dtype=torch.float64)
        ends = [algorithm.objective("propagated", vectors + h * direction, groups, (0, 0))[0] for h in (-1e-5, 1e-5)]
        slope = (ends[1] - ends[0]) / 2e-5
        assert slope == pytest.approx(float((gradient * direction).sum()), rel=2e-3), name


def test_many_people_are_compared_with_some_that_the_request_draws(worlds, monkeypatch):
    from recbole.unlearning.algorithms import d2d

    monkeypatch.setattr(d2d, "ALL_PAIRS", 10)
    world, ends = worlds("BPR"), []
    for _ in range(2):
        algorithm = world.start("d2d", d2d_block=6, protect_steps=5)
        assert algorithm.forget([people(world)[3]], Deadline()).status == "applied"
        ends.append(algorithm.model.user_embedding.weight.detach().clone())
    assert torch.equal(*ends) and algorithm.work["objective_first"] != algorithm.work["objective_last"]


def test_an_adversary_s_gradient_comes_back_reversed():
    values = points(3).requires_grad_(True)
    (gradient,) = torch.autograd.grad((_Reversed.apply(values, 0.5) ** 2).sum(), values)
    torch.testing.assert_close(gradient, -values.detach())


def test_training_with_a_penalty_that_never_comes_is_training(worlds):
    world = worlds("BPR")
    algorithm = world.start("mmd_training", mmd_every=10**6)
    algorithm.forget([people(world)[3]], Deadline())
    assert algorithm.complete() and not algorithm.complete()
    state = State("base", world.data(), np.zeros(len(world.dataset.log), dtype=bool))
    plain = learn(Run(world.config, get_model("BPR")), state).model.state_dict()
    assert plain.keys() == algorithm.model.state_dict().keys()
    assert all(torch.equal(tensor, plain[name]) for name, tensor in algorithm.model.state_dict().items())


def test_people_arrive_in_the_same_order_whatever_the_attribute():
    label = np.array([-1, 0, 1, 0, -1, 1, 0, 1, 0])
    attributes = [UserAttribute(name, ("f", "m"), labels) for name, labels in (("a", label), ("b", np.abs(label)))]
    requests = attribute_requests(attributes, np.array([8, 4, 1, 2, 6, 3, 5, 7]), 6, 2)
    assert [one.entity for one in requests.between(0, 4)] == ["a 1/2", "a 2/2", "b 1/2", "b 2/2"]
    assert [one.protected.tolist() for one in requests.between(0, 4)] == [
        [1, 2, 8], [1, 2, 3, 6, 8], [1, 4, 8], [1, 2, 3, 4, 6, 8],
    ]  # fmt: skip
    assert [group.tolist() for group in requests[1].groups] == [[1, 3, 6, 8], [2]]
    assert not requests.mask(4, 30).any() and requests.protected(2).tolist() == [1, 2, 3, 6, 8]
    other = attribute_requests(attributes, np.array([8, 4, 1, 2, 6, 3, 5, 7]), 6, 3)
    assert other.sha256 != requests.sha256 == requests.chosen(range(4)).sha256


def test_many_requests_share_the_memory_of_one_array():
    attribute, n = UserAttribute("a", ("f", "m"), np.arange(2001) % 2), 2000
    requests = attribute_requests([attribute], np.arange(n, 0, -1), n, n)
    assert len({id(one.arrived.base) for one in requests.pieces}) == 1
    assert [len(one.arrived) for one in requests.pieces] == list(range(1, n + 1))
    assert requests[2].protected.tolist() == [1998, 1999, 2000] and requests.protected(3).tolist() == [1998, 1999, 2000]
    assert requests.chosen([4, 1]).protected(2).tolist() == [1996, 1997, 1998, 1999, 2000]
