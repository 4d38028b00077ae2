"""Kookmin, SEIF and Fanchuan: which parameters they erase, and which they leave unchanged."""

import numpy as np
import pytest
import torch
from asking import ask, open_case
from small_worlds import weights

from recbole.data.sampler import in_turn
from recbole.data.split import TRAIN
from recbole.unlearning.descent import Descent

TASKS = ("BPR", "LightGCN", "GRU4Rec", "DNNTSP", "Sets2Sets")
TABLES = {
    "GRU4Rec": {"item_embedding.weight"},
    "DNNTSP": {"item_embedding.weight"},
    "Sets2Sets": {"encoder_embedding.weight", "decoder_embedding.weight", "gate_weight", "output.weight"},
}
COLLABORATIVE = ("BPR", "NeuMF", "LightGCN", "SGL", "SpectralCF", "WMF", "SimRec", "DCCF")
OURS = (*COLLABORATIVE, "GRU4Rec", "NARM", "SASRec", "SRGNN", "Sets2Sets", "DNNTSP")


@pytest.fixture
def bpr(worlds):
    return worlds("BPR")


def moved(algorithm, world, name):
    change = (weights(algorithm.model)[name] - world.state[name]).abs()
    return change.reshape(len(change), -1).sum(dim=1)


def rows_of(algorithm, name):
    """Return of which row of a table or matrix each row is; of a matrix of single entries, each stored entry."""
    model, numbers = algorithm.model, torch.arange(len(algorithm.model.get_parameter(name)))
    return model.rows_of_entries(name, numbers) if name in model.entry_tables else numbers


def requester(world, request=0):
    return int(world.dataset.log.user[world.requests[request].rows[0]])


def ready(world, name, **hyper):
    """Return an algorithm in the middle of the first request, and the descent of that."""
    algorithm = world.start(name, **hyper)
    algorithm.model.eval()
    return algorithm, Descent(open_case(algorithm, world.requests[0].rows))


def spoken_of(world, table):
    """Return the rows of a table that the first request's forgotten examples are about.

    A pair is about its user and item. In sequences what is forgotten is in the last training example, whose input and
    target are all of the training data, but for baskets that are too old for the window.
    """
    log, rows = world.dataset.log, world.requests[0].rows
    if table.startswith("user"):
        return {requester(world)}
    if world.dataset.task_type == "CF":
        return set(log.item[rows].tolist())
    theirs = np.flatnonzero((log.user == requester(world)) & (log.split <= TRAIN))
    if world.dataset.task_type == "NBR":
        theirs = theirs[log.basket[theirs] >= log.basket[theirs[-1]] - world.dataset.max_baskets]
    if table in ("encoder_embedding.weight", "decoder_embedding.weight", "gate_weight"):
        theirs = theirs[log.split[theirs] < TRAIN]  # inputs only
    return set(log.item[theirs].tolist())


# --- where Kookmin and SEIF erase ---------------------------------------------------------------------------------


@pytest.mark.parametrize("model", OURS)
def test_every_model_declares_its_tables_of_users_and_items(worlds, model):
    model = worlds(model).start("seif").model
    parameters, lookups = dict(model.named_parameters()), model.lookups()
    sizes = {model.n_items, getattr(model, "n_users", model.n_items)}
    assert set(lookups) <= set(parameters)
    assert {name for name in model.erasable() if len(parameters[name]) in sizes} <= set(lookups)


@pytest.mark.parametrize("model", TASKS)
def test_seifs_noise_is_on_the_rows_of_the_forgotten_examples_alone(worlds, model):
    world = worlds(model)
    algorithm, descent = ready(world, "seif")
    algorithm._shake(descent, algorithm.reached(descent.case.change.before), 0.6, 0)
    tables = TABLES.get(model, {"user_embedding.weight", "item_embedding.weight"})
    assert tables <= set(algorithm.model.erasable())
    for name in algorithm.model.erasable():
        noisy, row = moved(algorithm, world, name) != 0, rows_of(algorithm, name)
        reached = torch.isin(row, torch.tensor(sorted(spoken_of(world, name)))) if name in tables else row >= 0
        assert torch.equal(noisy, reached), name
        assert name not in tables or 0 < noisy.sum() < len(noisy) / 2


@pytest.mark.parametrize("model", TASKS)
def test_kookmin_draws_only_rows_of_the_forgotten_examples_anew(worlds, model):
    world = worlds(model)
    algorithm, descent = ready(world, "kookmin", kookmin_init_rate=1.0)
    rates = algorithm._draw_anew(descent)
    for name in TABLES.get(model, {"user_embedding.weight", "item_embedding.weight"}):
        fresh = (rates[name] == 1).reshape(len(rates[name]), -1).any(dim=1)
        assert fresh.any() and set(rows_of(algorithm, name)[fresh].tolist()) <= spoken_of(world, name)
        assert torch.equal(moved(algorithm, world, name) != 0, fresh)


def test_tables_that_nothing_is_declared_of_are_erased_as_a_whole(worlds, monkeypatch):
    algorithm, descent = ready(worlds("GRU4Rec"), "seif")
    before = descent.case.change.before
    monkeypatch.setattr(algorithm.model, "lookups", dict)
    n_items = algorithm.dataset.n_items
    assert algorithm.reached(before)["item_embedding.weight"].tolist() == list(range(1, n_items))


def test_kookmin_draws_a_share_of_what_the_forgotten_examples_reach(bpr):
    algorithm = bpr.start("kookmin", kookmin_init_rate=0.5, kookmin_repair_samples=0)
    outcome = ask(algorithm, bpr.requests[0].rows, 0)
    users, items = moved(algorithm, bpr, "user_embedding.weight"), moved(algorithm, bpr, "item_embedding.weight")
    assert users.nonzero().flatten().tolist() == [requester(bpr)]
    assert 0 < len(items.nonzero()) <= outcome.n_examples[0]
    before, after = bpr.state["user_embedding.weight"], weights(algorithm.model)["user_embedding.weight"]
    assert (before != after).sum() == 2 and outcome.work["n_steps"] == 0
    assert (after[before != after].abs() <= 0.5).all()


def test_kookmin_spares_gains_and_biases(worlds):
    world = worlds("GRU4Rec")
    algorithm = world.start("kookmin", kookmin_init_rate=1.0, kookmin_repair_samples=0)
    ask(algorithm, world.requests[0].rows, 0)
    after = weights(algorithm.model)
    changed = {name for name in after if not torch.equal(after[name], world.state[name])}
    assert changed == {n for n in after if after[n].dim() > 1}
    assert torch.equal(after["item_embedding.weight"][0], world.state["item_embedding.weight"][0])  # padding


def test_rates_scale_the_steps(bpr):
    algorithm, descent = ready(bpr, "kookmin")
    rates = {"user_embedding.weight": torch.full_like(bpr.state["user_embedding.weight"], 0.1)}
    rates["user_embedding.weight"][3] = 1.0
    descent.take(algorithm.sgd(0.5), algorithm.model.user_embedding.weight.sum, rates)
    change = weights(algorithm.model)["user_embedding.weight"] - bpr.state["user_embedding.weight"]
    assert torch.allclose(change[3], torch.tensor(-0.5)) and torch.allclose(change[4], torch.tensor(-0.05), atol=1e-6)


def test_seif_weighs_examples_and_not_batches(bpr):
    algorithm, descent = ready(bpr, "seif", seif_forget_class_weight=0.0)
    data, examples = algorithm.dataset, algorithm.dataset.train_examples()
    items = np.unique(data.log.item[examples])[:5]
    light = data.aims_at(examples, items)
    assert 0 < light.sum() < len(light)
    expected = descent.mean_loss(examples[~light], "repair", 0)
    assert torch.allclose(algorithm._weighted(descent, examples, items, 0), expected)


# --- Fanchuan ------------------------------------------------------------------------------------------------------

ERASE_ONLY = {"fanchuan_rounds": 0, "fanchuan_erase_rate": 0.3}


def theirs(world, request):
    """Return the items of a request that are forgotten, and those that its user keeps of the training data."""
    log, rows = world.dataset.log, world.requests[request].rows
    kept = (log.user == log.user[rows[0]]) & (log.split <= TRAIN)
    kept[rows] = False
    return np.unique(log.item[rows]), np.setdiff1d(log.item[kept], log.item[rows])


def log_p(algorithm, batch):
    with torch.no_grad():
        return algorithm.model.eval().logits(batch)[:, 1:].log_softmax(dim=1)


def questions(world, request):
    """Return the request's training examples as they were."""
    return world.data().forget(world.requests[request].rows).before


def forgotten_kl(algorithm, world):
    """Return ``KL(uniform | p)`` over the requester's forgotten items and all that the person does not have."""
    _, kept = theirs(world, 0)
    others = np.setdiff1d(np.arange(1, world.dataset.n_items), kept) - 1
    p = log_p(algorithm, questions(world, 0))[0, others].log_softmax(dim=0)
    uniform = torch.full_like(p, 1 / len(others))
    return float(torch.nn.functional.kl_div(p, uniform, reduction="sum"))


@pytest.mark.parametrize("model", ["BPR", "GRU4Rec"])
def test_fanchuan_brings_predictions_nearer_to_uniform(worlds, model):
    world = worlds(model)
    untouched, algorithm = world.start("fanchuan"), world.start("fanchuan", **ERASE_ONLY)
    assert ask(algorithm, world.requests[0].rows, 0).status == "applied"
    assert 0 < forgotten_kl(algorithm, world) < forgotten_kl(untouched, world)


def learn(algorithm, steps=150):
    """Train an algorithm's model until it knows its training examples well, nothing forgotten."""
    descent = Descent(open_case(algorithm, []))
    model, examples = algorithm.model.train(), algorithm.dataset.train_examples()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for step in range(steps):
        optimizer.zero_grad()
        descent.mean_loss(examples, "learn", step).backward()
        optimizer.step()
    model.eval()
    return weights(model)


@pytest.mark.parametrize("model", ["BPR", "LightGCN", "GRU4Rec", "SASRec"])
def test_what_people_keep_loses_less_than_what_they_forget(worlds, model):
    """Over all requests, each made of the same model: the mean change of log-probability by the erasing step."""
    world, lost = worlds(model), {"forgotten": [], "kept": []}
    learned = learn(world.start("fanchuan"))
    for request in range(len(world.requests)):
        algorithm, batch = world.start("fanchuan", **ERASE_ONLY), questions(world, request)
        algorithm.model.load_state_dict(learned)
        before = log_p(algorithm, batch)
        assert ask(algorithm, world.requests[request].rows, request).status == "applied"
        drop = before - log_p(algorithm, batch)
        for kind, items in zip(lost, theirs(world, request), strict=True):
            lost[kind].append(float(drop[:, items - 1].mean()))
    assert np.mean(lost["forgotten"]) > 0.01
    assert np.mean(lost["kept"]) < 0.5 * np.mean(lost["forgotten"]), lost


@pytest.mark.parametrize("model", ["BPR", "GRU4Rec", "DNNTSP"])
def test_the_drawn_classes_are_nobodys_of_the_example(worlds, model):
    world = worlds(model)
    algorithm = world.start("fanchuan")
    requests = [world.requests[at] for at in range(3)]
    change = algorithm.dataset.forget(np.concatenate([one.rows for one in requests]))
    users = change.before["user_id"].numpy()
    drawn = np.arange(1, algorithm.dataset.n_items)[::2]
    classes, known = algorithm._classes(users, change.rows, drawn)
    own = {requester(world, at): theirs(world, at) for at in range(3)}
    assert set(users) == set(own) and classes[: len(drawn)].tolist() == drawn.tolist()
    for user, row in zip(users, known, strict=True):
        forgotten, kept = own[user]
        chosen = classes[row].tolist()
        assert set(chosen) == set(forgotten) | (set(drawn) - set(forgotten) - set(kept))
        assert len(chosen) == len(set(chosen))


def test_without_anything_to_be_like_an_example_has_no_part(bpr):
    algorithm, descent = ready(bpr, "fanchuan")
    change = descent.case.change
    _, kept = theirs(bpr, 0)
    loss = algorithm._from_uniform(change.before, change, kept[:3])
    loss.backward()
    assert loss.item() == 0.0 and not algorithm.model.user_embedding.weight.grad.any()
    assert algorithm._from_uniform(change.before, change, np.arange(1, algorithm.dataset.n_items)).item() > 0


def test_a_small_catalogue_is_drawn_once(bpr):
    for wanted, drawn in ((10, 10), (10**6, bpr.dataset.n_items - 1)):
        outcome = ask(bpr.start("fanchuan", fanchuan_classes=wanted), bpr.requests[0].rows, 0)
        assert (outcome.status, outcome.work["n_classes"]) == ("applied", drawn)


def test_fanchuans_partners_are_left_alone(bpr):
    algorithm = bpr.start("fanchuan", fanchuan_erase_rate=0.0, fanchuan_repair_rate=0.0, fanchuan_contrast_rate=1.0)
    ask(algorithm, bpr.requests[0].rows, 0)
    assert moved(algorithm, bpr, "user_embedding.weight").nonzero().flatten().tolist() == [requester(bpr)]


# --- negatives -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("again", [False, True])
def test_popular_negatives_do_not_remember_what_was_forgotten(bpr, monkeypatch, again):
    """Neither after requests, nor when a snapshot of these is taken up."""
    monkeypatch.setitem(
        bpr.config, "train_neg_sample_args", bpr.config["train_neg_sample_args"] | {"distribution": "popularity"}
    )
    algorithm, data = bpr.start("fanchuan"), bpr.data()
    item = int(np.argmax(np.bincount(data.log.item[data.train_rows])))
    rows = np.flatnonzero(data.log.item == item)
    if again:
        data.forget(rows)
        algorithm.restore(bpr.state, data.forgotten)
    else:
        assert ask(algorithm, rows, 0).status == "applied"
    users = np.arange(1, data.n_users).repeat(50)
    benches = algorithm.bench, bpr.start("fanchuan").bench
    after, before = (bench.negatives.sampler.sample(users, in_turn(np.random.default_rng(0))) for bench in benches)
    assert item not in after and item in before
