"""A case, one request as algorithms see it: strata of sampled examples, and examples that a graph's change affects."""

import numpy as np
import pytest
import torch
from asking import open_case

from recbole.data import create_dataset
from recbole.model import get_model
from recbole.unlearning.registry import get_algorithm
from recbole.unlearning.second_order.curvature import gradient, second_order
from recbole.unlearning.second_order.subspace import Subspace
from recbole.utils import ModelType

# --- strata -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["BPR", "NeuMF", "GRU4Rec", "DNNTSP"])
def test_weighted_counts_of_the_strata_add_up_to_all_examples(worlds, model):
    world = worlds(model)
    for index in range(20):
        algorithm = world.start("ceu")
        case = open_case(algorithm, world.requests[index % len(world.requests)].rows, index)
        for n in (1, 2, 5, 10**6):
            batches, weights, whole = case.curvature_sample(n, 3)
            total = sum(len(batch) * weight for batch, weight in zip(batches, weights, strict=True))
            assert total == pytest.approx(algorithm.bench.n_train) and whole == (n == 10**6), (n, index)


def test_strata_without_members_are_left_out(worlds):
    world = worlds("BPR")
    algorithm = world.start("ceu")
    everything = algorithm.dataset.train_examples()
    user = algorithm.dataset.log.user[everything]
    case = open_case(algorithm, everything[user == 20])  # of whom nothing is left
    batches, weights, _ = case.curvature_sample(5)
    assert len(batches) == 2 and sum(len(b) * w for b, w in zip(batches, weights, strict=True)) == len(
        algorithm.dataset.train_examples()
    )
    open_case(algorithm, everything[user < 20])
    case = open_case(algorithm, everything[user > 21][:1], 1)
    algorithm.bench.dataset.forgotten[everything[user == 21]] = True  # nobody but the requesters is left
    algorithm.bench.n_train = len(algorithm.dataset.train_examples())
    own = [len(batch) * weight for batch, weight in zip(*case.curvature_sample(5)[:2], strict=True)]
    assert sum(own) == algorithm.bench.n_train


def test_a_stratum_that_a_draw_misses_is_drawn_again(worlds):
    """Nearly everything is linked: of one drawn example, the few others are hardly ever one."""
    world = worlds("BPR")
    algorithm = world.start("ceu")
    data = algorithm.dataset
    for index in range(40):
        case = open_case(algorithm, data.examples_of(np.array([23 - index % 3]))[:1], index)
        own, linked = data.examples_of(case.change.entities), data.examples_near(case.change.rows, 1)
        others = np.setdiff1d(data.train_examples(), np.union1d(own, linked))
        known = np.setdiff1d(data.train_examples(), others[:2])
        found, size = case._others(1, known, "retained")
        assert size == len(others[:2]) and np.isin(found, others[:2]).all() and (len(found) > 0) == (size > 0)


# --- a graph's change ---------------------------------------------------------------------------------------------

CHAIN = [(u, i) for u in range(1, 13) for i in (u, u + 1)]  # user u has items u and u + 1


@pytest.fixture
def chain(tmp_path, config, write_inter):
    """A long thin graph, of which two propagations reach a part."""
    write_inter(tmp_path, [(f"u{u:02}", f"i{i:02}", u * 20 + i) for u, i in CHAIN])
    settings = {"eval_args": {"split": {"RS": [1, 0, 0]}, "order": "TO"}, "n_layers": 2, "reg_weight": 0.0}
    return config(tmp_path, "LightGCN", **settings, **{f"ceu_{k}": v for k, v in {"hessian_samples": 10**6}.items()})


@pytest.mark.parametrize("name", ["LightGCN", "SpectralCF"])
def test_without_sampling_the_change_of_the_gradient_is_that_of_all_losses(chain, name, monkeypatch):
    data = create_dataset(chain, ModelType.GENERAL)
    model = get_model(name)(chain, data).double()
    model.rebuild(data)
    algorithm = get_algorithm("ceu")(chain, model, data)
    fixed = np.random.default_rng(1).integers(1, data.n_items, data.n_users)
    negatives = algorithm.bench.negatives
    negatives.sampler.sample = lambda ids, uniforms: fixed[ids]  # everybody has one negative, whatever is forgotten
    monkeypatch.setattr(type(negatives), "by_person", False)

    def slope():
        batch = algorithm.bench.with_negatives(data.collate(data.train_examples()), 1, 0, "all")
        with second_order(model):
            return gradient(Subspace(model), [batch])

    before = slope()
    case = open_case(algorithm, data.examples_of(np.array([6]))[:1])
    system = algorithm.observe(case)
    algorithm.bench.rebuild()
    system.settle()
    change = before - slope()
    batches, whole = case.affected(4, 10**6)
    assert whole and system.complete and len(batches) == 2
    assert len(batches[1][0]) and len(batches[0][0]) + len(batches[1][0]) < len(data.train_examples())
    torch.testing.assert_close(system.difference, change, rtol=1e-9, atol=1e-12)
    assert float(change.norm()) > 1e-3


def test_some_of_those_whom_negatives_reach_stand_for_all(chain):
    data = create_dataset(chain, ModelType.GENERAL)
    algorithm = get_algorithm("ceu")(chain, get_model("LightGCN")(chain, data), data)
    case = open_case(algorithm, data.examples_of(np.array([6]))[:1])
    near, _ = case.affected(4, 10**6)[0][0]
    far = algorithm.bench.n_train - len(near)
    reached = np.isin(np.arange(1, data.n_items), data.items_near(case.change.rows, 2))
    counts, few = [], 2
    for index in range(400):
        object.__setattr__(case, "requests", (type(case.requests[0])(index, "", case.change.rows),))
        batches, whole = case.affected(4, few)
        counts.append(len(batches[1][0]) * batches[1][1])
        assert not whole
    others = np.setdiff1d(data.train_examples(), data.examples_near(case.change.rows, 2))
    held = {u: set(data.log.item[data.examples_of(np.array([u]))]) for u in range(1, data.n_users)}
    expected = sum(
        np.mean([reached[i - 1] for i in range(1, data.n_items) if i not in held[u]]) for u in data.users_of(others)
    )
    assert len(others) == far and np.mean(counts) == pytest.approx(expected, abs=4 * np.std(counts) / 20)


def test_a_look_that_stops_short_is_not_whole(worlds):
    world = worlds("LightGCN")
    case = open_case(world.start("ceu"), world.requests[0].rows)
    assert case.affected(4, 10**6)[1] and not case.affected(1, 10**6)[1] and case.affected(4, 0) == ([], False)
    other = worlds("BPR")
    assert open_case(other.start("ceu"), other.requests[0].rows).affected(0, 0) == ([], True)
