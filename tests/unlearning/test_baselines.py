"""Unlearning baselines: their closed forms, and the parameters that they do not change."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from asking import ask, open_case
from small_worlds import known, poisoned, same, trained, weights

from recbole.data.ids import held
from recbole.evaluator.scores import score_batches, top_items
from recbole.model import get_model
from recbole.trainer import load_checkpoint, save_unlearned
from recbole.trainer.checkpoint import load_weights
from recbole.trainer.learn import new_model
from recbole.trainer.state import Run, State
from recbole.unlearning.pipeline import Pipeline
from recbole.unlearning.registry import get_algorithm
from recbole.utils import UserError, init_seed

HUGE = 1e9


@pytest.fixture
def bpr(worlds):
    return worlds("BPR")


def requester(world, request=0):
    return int(world.dataset.log.user[world.requests[request].rows[0]])


# --- ascent and fine-tuning ---------------------------------------------------------------------------------------


def ascended(world, rate):
    """Return BPR's tables after one step up the summed loss of the first request's pairs, written out."""
    algorithm = world.start("neggrad")
    case = open_case(algorithm, world.requests[0].rows)
    batch = case.with_negatives(case.change.before, 1, "ascent", 0, 0)
    user, item = (world.state[f"{side}_embedding.weight"].double().requires_grad_() for side in ("user", "item"))
    who, model = user[batch[algorithm.model.USER_ID]], algorithm.model
    margin = (who * (item[batch[model.ITEM_ID]] - item[batch[model.NEG_ITEM_ID]])).sum(dim=1)
    loss = -torch.log(1e-10 + torch.sigmoid(margin)).sum()
    steps = [rate * part for part in torch.autograd.grad(loss, (user, item))]
    return [(table.detach(), step) for table, step in zip((user, item), steps, strict=True)]


def tables(model):
    return [model.get_parameter(f"{side}_embedding.weight").detach().double() for side in ("user", "item")]


def test_a_step_of_neggrad_is_up_the_summed_loss(bpr):
    algorithm = bpr.start("neggrad", neggrad_rate=0.5, neggrad_steps=1, neggrad_clip=HUGE)
    assert ask(algorithm, bpr.requests[0].rows).status == "applied"
    for found, (table, step) in zip(tables(algorithm.model), ascended(bpr, 0.5), strict=True):
        assert step.norm() > 0.01
        torch.testing.assert_close(found, table + step, rtol=0, atol=1e-6)


def test_a_step_of_neggrad_is_no_longer_than_the_clip_allows(bpr):
    clip, n_forgotten = 1e-3, len(bpr.requests[0].rows)
    algorithm = bpr.start("neggrad", neggrad_rate=2.0, neggrad_steps=1, neggrad_clip=clip)
    assert ask(algorithm, bpr.requests[0].rows).status == "applied"
    steps = [found - table for found, (table, _) in zip(tables(algorithm.model), ascended(bpr, 1.0), strict=True)]
    whole = torch.cat([step.flatten() for step in steps])
    expected = torch.cat([step.flatten() for _, step in ascended(bpr, 1.0)])
    assert float(whole.norm()) == pytest.approx(2.0 * clip * n_forgotten, rel=1e-3)
    assert float(whole @ expected / (whole.norm() * expected.norm())) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("name", ["BPR", "LightGCN", "GRU4Rec", "DNNTSP"])
def test_neggrad_raises_the_loss_of_what_is_forgotten(worlds, name):
    world = worlds(name)
    algorithm = world.start("neggrad")
    case = open_case(algorithm, world.requests[0].rows)
    algorithm.bench.rebuild()
    batch, _ = case.paired(64)

    def loss():
        algorithm.model.eval()
        with torch.no_grad():
            return float(algorithm.model.loss_sum(batch))

    before, step = loss(), algorithm.solve(case, None)
    step.subspace.add(step.delta)
    assert loss() > before and step.work["n_steps"] == 4


def with_other_items(world, rows):
    """Return the world's data, some rows of which hold another item."""
    data = world.data()
    item = data.log.item.copy()
    item[rows] = item[rows] % (data.n_items - 1) + 1
    return type(data)(data.config, replace(data.log, item=item))


def test_finetune_does_not_look_at_what_is_forgotten(bpr):
    rows, ends = bpr.requests[0].rows, []
    for data in (bpr.data(), with_other_items(bpr, rows)):
        algorithm = bpr.start("finetune", data)
        outcome = ask(algorithm, rows)
        assert outcome.status == "applied" and outcome.work["n_retained"] > 0
        ends.append(weights(algorithm.model))
    assert same(*ends)


def test_finetune_lowers_the_loss_of_what_is_retained(bpr):
    algorithm = bpr.start("finetune", finetune_rate=0.3)
    case = open_case(algorithm, bpr.requests[0].rows)
    batch, _ = case.retained(10**6, 64)
    losses = []
    for _ in range(2):
        with torch.no_grad():
            losses.append(float(algorithm.model.loss_sum(batch)))
        step = algorithm.solve(case, None)
        step.subspace.add(step.delta)
    assert losses[1] < losses[0]


def test_neggrad_with_a_repair_that_does_nothing_is_neggrad(bpr):
    ends, works = [], []
    for name, still in (("neggrad", {}), ("neggrad_repair", {"finetune_rate": 1e-30}), ("neggrad_repair", {})):
        algorithm = bpr.start(name, **still)
        works.append(ask(algorithm, bpr.requests[0].rows).work)
        ends.append(weights(algorithm.model))
    assert same(ends[0], ends[1]) and not same(ends[0], ends[2])
    assert works[1]["n_ascended"] == works[0]["n_ascended"] and works[1]["n_steps"] > works[0]["n_steps"]
    assert works[1]["n_retained"] > 0


# --- filter -------------------------------------------------------------------------------------------------------


def filtered(world, size=1):
    """Return the algorithm after all requests, some at a time."""
    algorithm = world.start("filter")
    Pipeline(algorithm, world.requests, size, show_progress=False).run(lambda *_: None)
    return algorithm


def asked_pairs(world):
    log, rows = world.dataset.log, np.sort(world.requests.rows)
    return sorted(set(zip(log.user[rows].tolist(), log.item[rows].tolist(), strict=True)))


def questions(world, algorithm):
    """Return a question of everybody who has asked, and of the others, of the data under the mask."""
    return algorithm.dataset.exposure_rows(np.arange(1, len(world.dataset.log.vocabulary["user"])))


@pytest.mark.parametrize("name", ["BPR", "LightGCN", "DNNTSP"])
def test_hidden_pairs_alone_score_otherwise_and_are_in_no_list(worlds, name):
    world = worlds(name)
    algorithm, other = filtered(world), world.start("filter")
    other.bench.forget(world.requests.rows)
    other.bench.rebuild()
    rows = questions(world, algorithm)
    (_, hidden), (_, shown) = (next(iter(score_batches(one.model, rows, False))) for one in (algorithm, other))
    keys = rows.entity[:, None] * world.dataset.n_items + np.arange(world.dataset.n_items)
    pairs = np.array([user * world.dataset.n_items + item for user, item in asked_pairs(world)])
    where = torch.from_numpy(held(keys, pairs))
    assert int(where.sum()) == len(pairs) and shown[where].isfinite().all()
    assert (hidden[where] == -torch.inf).all() and torch.equal(hidden[~where], shown[~where])
    best = top_items(algorithm.model, rows, world.dataset.n_items - 1, masked=False)
    listed = rows.entity[:, None] * world.dataset.n_items + best
    assert not held(listed, pairs).any() and (best > 0).sum() == (keys.shape[1] - 1) * len(keys) - len(pairs)


def test_the_model_beneath_is_the_same(bpr):
    algorithm = filtered(bpr)
    rows = questions(bpr, algorithm).inputs[:5]
    plain = bpr.start("finetune").model
    assert same(weights(algorithm.model), bpr.state)
    assert torch.equal(algorithm.model.full_sort_predict(rows), plain.full_sort_predict(rows))


def test_what_is_hidden_does_not_depend_on_who_is_forgotten_together(bpr):
    for size in (1, 2, 100):
        assert list(map(tuple, filtered(bpr, size).model.hidden_pairs.tolist())) == asked_pairs(bpr)


def test_what_was_held_out_is_hidden_too(bpr):
    log = bpr.dataset.log
    held_out = np.flatnonzero((log.user == 14) & (log.split > 0))
    algorithm = bpr.start("filter")
    outcome = ask(algorithm, held_out)
    assert (outcome.status, outcome.reason) == ("skipped", "no training example")
    assert sorted(log.item[held_out]) == algorithm.model.hidden_pairs[:, 1].tolist()
    assert set(algorithm.model.hidden_pairs[:, 0].tolist()) == {14}


def test_a_checkpoint_keeps_what_is_hidden(bpr, tmp_path):
    algorithm, path = filtered(bpr), tmp_path / "model.pth"
    save_unlearned(path, algorithm.release(0), bpr.config, 0, {})
    model = get_model("BPR")(bpr.config, algorithm.dataset)
    load_weights(model, load_checkpoint(path), path)
    assert same(known(algorithm.model), known(model))
    model.rebuild(algorithm.dataset)
    assert torch.equal(model.hidden_pairs, algorithm.model.hidden_pairs)


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        (torch.tensor([[1, 2, 3]]), "not an int64 tensor of"),
        (torch.tensor([[1.0, 2.0]]), "not an int64 tensor of"),
        ([[1, 2]], "not an int64 tensor of"),
        (torch.tensor([[1, 10**6]]), "not among the"),
        (torch.tensor([[0, 2]]), "not among the"),
    ],
)
def test_pairs_of_something_else_are_refused(bpr, pairs, reason):
    with pytest.raises(UserError, match=reason):
        bpr.start("finetune").model.load_other_parameter({"hidden_pairs": pairs})


def test_sessions_and_fitted_models_are_not_filtered(worlds):
    with pytest.raises(UserError, match="GRU4Rec recommends to sessions"):
        worlds("GRU4Rec").start("filter")
    with pytest.raises(UserError, match="EASE is fitted anew"):
        worlds("EASE").start("filter")


# --- reset --------------------------------------------------------------------------------------------------------

OF_PEOPLE = {
    "BPR": ["user_embedding.weight"],
    "LightGCN": ["user_embedding.weight"],
    "NeuMF": ["user_mf_embedding.weight", "user_mlp_embedding.weight"],
}


@pytest.mark.parametrize("name", list(OF_PEOPLE))
def test_the_requester_s_rows_are_those_of_a_new_model_and_no_other_moves(worlds, name):
    world = worlds(name)
    algorithm = world.start("reset")
    outcome = ask(algorithm, world.requests[0].rows)
    assert outcome.status == "applied" and outcome.work == {"n_rows": len(OF_PEOPLE[name])}
    init_seed(world.config["seed"])
    new, who = weights(get_model(name)(world.config, world.data())), requester(world)
    for table, values in weights(algorithm.model).items():
        if table in OF_PEOPLE[name]:
            assert torch.equal(values[who], new[table][who]) and not torch.equal(values[who], world.state[table][who])
            values[who] = world.state[table][who]
        if world.state[table].is_floating_point():
            assert torch.equal(values, world.state[table]), table


def test_spammers_get_the_rows_of_a_model_that_never_saw_them(worlds, tmp_path):
    """What is planted takes its initial values by its own rows, so that the model of the masked data has the same."""
    world = worlds("BPR")
    data = poisoned(world.dataset, tmp_path)
    models, run = [], Run(world.config, get_model("BPR"))
    for mask in (data.log.user >= data.first_fake, np.zeros(len(data.log), dtype=bool)):
        state = State("base", data, mask)
        models.append(trained(world.config, state.data, 1, build=lambda *_, state=state: new_model(run, state)))
    clean, poisoned_model = models
    algorithm = get_algorithm("reset")(world.config, poisoned_model, data)
    fakes = np.unique(data.log.user[data.log.user >= data.first_fake])
    for at, fake in enumerate(fakes):
        assert ask(algorithm, np.flatnonzero(data.log.user == fake), at).status == "applied"
    ended, expected = weights(algorithm.model)["user_embedding.weight"], weights(clean)["user_embedding.weight"]
    assert len(fakes) == 3 and torch.equal(ended[fakes], expected[fakes])
    assert not torch.equal(ended[:-3], expected[:-3])


def test_making_the_initial_values_draws_nothing_from_others(bpr):
    bpr.start("reset")
    torch.manual_seed(77)
    bpr.start("finetune")
    before = torch.rand(1)
    torch.manual_seed(77)
    bpr.start("reset")
    assert torch.equal(torch.rand(1), before)


def test_the_change_is_that_of_the_requester_s_row(bpr):
    algorithm, who = bpr.start("reset"), requester(bpr)
    outcome = ask(algorithm, bpr.requests[0].rows)
    old, new = bpr.state["user_embedding.weight"][who], algorithm.model.user_embedding.weight[who].detach()
    assert outcome.relative_change == pytest.approx(float((new - old).norm() / old.norm()), rel=1e-5)


def test_what_is_reset_already_is_skipped(bpr):
    algorithm, log = bpr.start("reset"), bpr.dataset.log
    assert ask(algorithm, bpr.requests[0].rows).status == "applied"
    more = np.setdiff1d(np.flatnonzero((log.user == requester(bpr)) & (log.split == 0)), bpr.requests[0].rows)
    outcome = ask(algorithm, more, 1)
    assert (outcome.status, outcome.reason) == ("skipped", "the user's rows already have their initial values")


def test_without_time_nobody_is_reset(bpr):
    algorithm = bpr.start("reset")
    outcome = ask(algorithm, bpr.requests[0].rows, seconds=0.0)
    assert outcome.status == "timeout" and same(weights(algorithm.model), bpr.state)
    assert algorithm.dataset.forgotten[bpr.requests[0].rows].all()


@pytest.mark.parametrize("name", ["GRU4Rec", "DNNTSP", "Pop"])
def test_a_model_that_holds_nothing_of_a_person_is_not_reset(worlds, name):
    with pytest.raises(UserError, match=f"{name} has no trained table with a row for each user"):
        worlds(name).start("reset")
