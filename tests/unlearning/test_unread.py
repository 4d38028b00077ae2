"""Rows that no remaining example reads get the values of a retrained model, and the step leaves them out."""

import json

import numpy as np
import pytest
import torch
from asking import ask, open_case
from quadratic import EXACT, PENALTY, Linear, newton
from small_worlds import same, trained, weights

from recbole.data.split import TRAIN
from recbole.model import get_model
from recbole.unlearning.pipeline import Pipeline
from recbole.unlearning.registry import get_algorithm
from recbole.unlearning.request import Requests

ALGORITHMS = ("scif", "kookmin", "fanchuan", "gif", "ceu", "idea", "seif")
USER = "user_embedding.weight"


@pytest.fixture
def learned(worlds):
    """A factory: the world of a model, the model trained from the configured seed, and again without some rows."""

    def make(model, rows, epochs=3, **settings):
        world = worlds(model)
        before = {key: world.config[key] for key in settings}
        for key, value in settings.items():
            world.config[key] = value
        data = world.data()
        base = weights(trained(world.config, data, epochs))
        less = world.data()
        less.forget(rows(less))
        retrained = weights(trained(world.config, less, epochs))
        made.append((world.config, before))
        return world, base, retrained

    made = []
    yield make
    for config, before in made:
        for key, value in before.items():
            config[key] = value


def everything_of(*users):
    return lambda data: np.flatnonzero(np.isin(data.log.user, users))


def started(world, name, state, epochs=3, **hyper):
    algorithm = world.start(name, gif_scale_factor=1e6, **hyper)
    algorithm.model.load_state_dict(state)
    algorithm.model.epochs_trained = epochs
    return algorithm


# --- which rows, and their values -----------------------------------------------------------------------------------

LOST = {
    "BPR": {USER: 2},
    "NeuMF": {"user_mf_embedding.weight": 2, "user_mlp_embedding.weight": 2},
    **{name: {USER: 2} for name in ("LightGCN", "SpectralCF", "DCCF", "WMF")},
    **{name: {} for name in ("SGL", "SimRec", "GRU4Rec")},
}


@pytest.mark.parametrize("model", [*LOST, "DNNTSP", "Sets2Sets"])
def test_they_are_those_that_training_leaves_where_they_started(learned, model):
    """By brute force: the rows that a base moved, and retraining did not."""

    def rows_of(data):  # of next baskets an item is bought by many, and leaves with all of them
        users = np.isin(data.log.user, [20, 23])
        return np.flatnonzero(users | (data.log.item == 5) if data.task_type == "NBR" else users)

    world, base, retrained = learned(model, rows_of)
    algorithm = started(world, "gif", base)
    outcome = ask(algorithm, rows_of(algorithm.dataset))
    assert outcome.status == "applied" and outcome.reinitialised == LOST.get(model, outcome.reinitialised)
    start, after, told = algorithm.initial.tables if outcome.reinitialised else {}, weights(algorithm.model), {}
    for name in algorithm.model.reads():
        if name in start:
            moved, left = ((state[name] != start[name]).flatten(1) if state[name].dim() > 1 else
                           (state[name] != start[name]).unsqueeze(1) for state in (base, retrained))  # fmt: skip
            rows = moved.any(dim=1) & ~left.any(dim=1)
            told |= {name: int(rows.sum())} if rows.any() else {}
            assert torch.equal(after[name][rows], retrained[name][rows])
    assert told == outcome.reinitialised
    if model in ("DNNTSP", "Sets2Sets"):
        assert told


@pytest.mark.parametrize("name", ALGORITHMS)
def test_whoever_steps_leaves_a_retrained_row(learned, name):
    world, base, retrained = learned("BPR", everything_of(20))
    algorithm = started(world, name, base)
    outcome = ask(algorithm, everything_of(20)(algorithm.dataset))
    row = algorithm.model.user_embedding.weight[20]
    assert outcome.reinitialised == {USER: 1} and torch.equal(row, retrained[USER][20])
    assert not torch.equal(base[USER][20], retrained[USER][20])
    assert outcome.status == ("reinitialised" if name == "scif" else "applied")


@pytest.mark.parametrize("learner", ["adam", "adamw", "sgd", "adagrad", "rmsprop"])
def test_weight_decay_shrinks_them_as_training_does(learned, learner):
    settings = {"learner": learner, "weight_decay": 0.05, "eval_step": 0}  # so that the last epoch is the best
    world, base, retrained = learned("BPR", everything_of(20), epochs=2, **settings)
    algorithm = started(world, "scif", base, epochs=2)
    assert ask(algorithm, everything_of(20)(algorithm.dataset)).status == "reinitialised"
    start = algorithm.initial.tables[USER][20]
    torch.testing.assert_close(algorithm.model.user_embedding.weight[20].detach(), retrained[USER][20])
    assert (start - retrained[USER][20]).norm() > 1e-3 * start.norm()


def test_training_and_loading_tell_how_long_it_was(worlds):
    world = worlds("BPR")
    assert get_model("BPR")(world.config, world.data()).epochs_trained == 0
    assert 1 <= trained(world.config, world.data(), 3).epochs_trained <= 3


@pytest.mark.parametrize("model", ["BPR", "NeuMF"])
def test_an_item_is_unread_where_it_cannot_be_drawn_either(learned, model):
    """Whoever draws by popularity never draws an item that nobody has; who draws evenly may."""
    negatives = {"distribution": "popularity", "sample_num": 1, "alpha": 1.0, "dynamic": False, "candidate_num": 0}

    def only(data):
        rows = np.flatnonzero(data.log.split == TRAIN)
        rarest = np.argmin(np.bincount(data.log.item[rows], minlength=data.n_items) + data.n_items * ~np.isin(
            np.arange(data.n_items), data.log.item[rows]))  # fmt: skip
        return rows[data.log.item[rows] == rarest]

    name = "item_embedding.weight" if model == "BPR" else "item_mf_embedding.weight"
    world, base, retrained = learned(model, only, train_neg_sample_args=negatives)
    algorithm = started(world, "ceu", base)
    rows = only(algorithm.dataset)
    item = algorithm.dataset.log.item[rows[0]]
    outcomes = [ask(algorithm, row, index) for index, row in enumerate(np.split(rows, len(rows)))]
    assert [name in outcome.reinitialised for outcome in outcomes] == [False] * (len(rows) - 1) + [True]
    assert torch.equal(weights(algorithm.model)[name][item], retrained[name][item])
    world.config["train_neg_sample_args"] = negatives | {"distribution": "uniform"}
    algorithm = started(world, "ceu", base)
    assert not any(name in ask(algorithm, row, at).reinitialised for at, row in enumerate(np.split(rows, len(rows))))


def test_sessions_against_drawn_negatives_have_unread_items(worlds, sessions):
    negatives = {"distribution": "popularity", "sample_num": 1, "alpha": 1.0, "dynamic": False, "candidate_num": 0}
    settings = {"loss_type": "BPR", "train_neg_sample_args": negatives, "embedding_size": 4, "hidden_size": 6}
    data = sessions([[1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 9, 4, 5, 6, 7, 8], [8, 7, 6, 5, 4, 3, 2, 1]], **settings)
    config = data.config
    for key, value in {"ceu_sigma": 0.0, "ceu_lambda": 0.01, "ceu_k_hops": 4, "influence_negatives": 4}.items():
        config[key] = value
    config["epochs"] = 2
    algorithm = get_algorithm("ceu")(config, get_model("GRU4Rec")(config, data), data)
    outcome = ask(algorithm, np.flatnonzero(data.log.item == 9))
    assert outcome.reinitialised == {"item_embedding.weight": 1}
    row = algorithm.model.item_embedding.weight[9]
    assert torch.equal(row, trained(config, data).item_embedding.weight[9])


def test_a_planted_user_of_whom_nothing_is_left_is_no_candidate(worlds, tmp_path):
    from small_worlds import poisoned

    for model, lost in (("SGL", {USER: 1}), ("SimRec", {USER: 1}), ("BPR", {USER: 1})):
        world = worlds(model)
        data = poisoned(world.dataset, tmp_path)
        fake = data.first_fake
        net = get_model(model)(world.config, data)
        algorithm = get_algorithm("scif")(world.config, net, data)
        assert ask(algorithm, np.flatnonzero(data.log.user == fake)).reinitialised == lost
        assert ask(algorithm, np.flatnonzero(data.log.user == 20), 1).reinitialised == (lost if model == "BPR" else {})


# --- the step -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gif", "ceu", "idea"])
def test_the_rest_solves_the_system_without_the_row(learned, name):
    world, base, _ = learned("BPR", everything_of(20))
    algorithm = started(world, name, base, ceu_lambda=0.01, idea_damping=0.01, gif_iterations=3)
    case = open_case(algorithm, everything_of(20)(algorithm.dataset))
    system = algorithm.observe(case)
    place = system.subspace.names.index(USER), int(torch.searchsorted(system.subspace.rows[USER], 20))
    gone = system.subspace.unflatten(system.difference)[place[0]][place[1]].clone()
    algorithm.bench.rebuild()
    step = algorithm.solve(case, system)
    row = system.subspace.unflatten(system.difference)[place[0]][place[1]]
    assert gone.norm() > 0.1 and not row.any()
    space, moved = step.subspace, step.subspace.unflatten(step.delta)
    at = int(torch.searchsorted(space.rows[USER], 20)) if USER in space.rows else 20
    assert float(moved[space.names.index(USER)][at].norm()) < 1e-3 and step.delta.norm() > 1e-6
    assert not step.work.get("raised")


def test_a_request_of_an_item_more_than_is_left_still_steps(learned):
    world, base, _ = learned("BPR", everything_of(20))
    algorithm = started(world, "scif", base)
    rows = np.flatnonzero((algorithm.dataset.log.user == 20) & (algorithm.dataset.log.split == TRAIN))
    outcome = ask(algorithm, rows[:-1])
    assert (outcome.status, outcome.reinitialised) == ("applied", {})
    outcome = ask(algorithm, rows[-1:], 1)
    assert (outcome.status, outcome.reinitialised) == ("reinitialised", {USER: 1}) and not outcome.relative_change


def test_without_time_the_row_stays(learned):
    world, base, _ = learned("BPR", everything_of(20))
    algorithm = started(world, "scif", base)
    assert ask(algorithm, everything_of(20)(algorithm.dataset), seconds=0.0).status == "timeout"
    assert same(weights(algorithm.model), base)


def test_a_certificate_leaves_out_what_is_a_retrained_model_s(config, data):
    """At the minimum of a quadratic objective nothing is left to certify, in rows that are not read any more either."""
    rows = data.examples_of(np.array([20]))
    n = len(data.train_examples()) - len(rows)
    conf = config("unused", **EXACT, ceu_lambda=PENALTY / n, ceu_sigma=0.0)
    model = Linear(conf, data).double()
    newton(model, data, PENALTY)
    outcome = ask(get_algorithm("ceu")(conf, model, data), rows)
    assert outcome.status == "applied" and outcome.reinitialised == {"a.weight": 1}
    assert outcome.work["certificate"]["gradient_residual"] < 1e-5


# --- what is told ---------------------------------------------------------------------------------------------------


def put(world, base, users, size, folder=None, name="scif", whole=2):
    """Put one request for each user, the first ``whole`` for all of their rows and the others for three of them."""
    algorithm = started(world, name, base)
    data = algorithm.dataset
    rows = [np.flatnonzero(data.log.user == user)[: None if at < whole else 3] for at, user in enumerate(users)]
    names, offsets = [str(user) for user in users], np.cumsum([0, *map(len, rows)])
    requests = Requests(names, np.concatenate(rows), offsets, np.ones(len(users), dtype=bool), 0, "sha")
    log = folder / "requests.jsonl" if folder else None
    summary = Pipeline(algorithm, requests, size, None, log, show_progress=False).run(lambda *_: None)
    return algorithm, summary, [json.loads(line) for line in log.read_text().splitlines()] if log else []


@pytest.mark.parametrize("size", [1, 2, 3])
def test_each_of_a_batch_ends_in_its_own_way(learned, size, tmp_path):
    """Two forget everything, the others a part: together or not, that is two rows set, and a step for each other."""
    world, base, retrained = learned("BPR", everything_of(20, 21))
    users = [20, 21, 22, 1, 2, 3, 5, 6]
    algorithm, summary, told = put(world, base, users, size, tmp_path)
    assert (summary["applied"], summary["reinitialised"], summary["worked"]) == (6, 2, 6)
    table = algorithm.model.user_embedding.weight
    assert torch.equal(table[[20, 21]], retrained[USER][[20, 21]])
    assert (table[users[2:]] != base[USER][users[2:]]).any(dim=1).all()
    assert [line["reinitialised"].get(USER, 0) for line in told][:2] == {1: [1, 1], 2: [2, 0], 3: [2, 0]}[size]
    assert [line["status"] for line in told][:1] == ["applied" if size == 3 else "reinitialised"]
    if size == 3:
        assert told[0]["only_reinitialised"] == ["20", "21"]


def test_what_only_sets_rows_is_no_failure_and_no_work(learned):
    world, base, _ = learned("BPR", everything_of(20))
    _, summary, _ = put(world, base, [20, 21], 1)
    assert (summary["applied"], summary["reinitialised"], summary["worked"]) == (0, 2, 0)
    assert summary["seconds_mean"] is None and summary["median_relative_change"] is None
    assert summary["seconds_total"] > 0
    _, summary, _ = put(world, base, [20, 21], 1, name="gif")
    assert (summary["applied"], summary["reinitialised"], summary["worked"]) == (2, 0, 2)


def test_a_snapshot_goes_on_with_the_same_readers(learned):
    """Somebody who had forgotten a part before the kill forgets the rest after it."""
    world, base, _ = learned("BPR", everything_of(20))
    algorithm = started(world, "scif", base)
    rows = np.flatnonzero((algorithm.dataset.log.user == 20) & (algorithm.dataset.log.split == TRAIN))
    forgotten = np.isin(np.arange(len(algorithm.dataset.log)), rows[:-1])
    algorithm.restore(base, forgotten)
    assert ask(algorithm, rows[-1:]).reinitialised == {USER: 1}


def test_a_file_that_stores_other_entries_gets_their_values(learned):
    world, base, _ = learned("Sets2Sets", everything_of(20))
    model = get_model("Sets2Sets")(world.config, world.data())
    places = torch.arange(model.n_items**2)
    everywhere = model._drawn(places, torch.float32)
    model.load_state_dict(model.make_room(dict(base) | {"gate_weight": everywhere + 1, "gate_places": places}))
    assert len(model.gate_places) > len(base["gate_places"])
    algorithm = get_algorithm("gif")(world.config, model, world.data())
    outcome = ask(algorithm, everything_of(20)(algorithm.dataset))
    rows = algorithm.bench.unread["gate_weight"]
    assert outcome.reinitialised["gate_weight"] == len(rows) > 0
    assert torch.equal(model.gate_weight[rows], everywhere[rows])
