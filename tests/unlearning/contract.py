"""What every unlearning algorithm promises: its tests are a subclass of `AlgorithmContract` that sets ``algorithm``."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from quadratic import forget_linear, fresh

from recbole.data import create_dataset
from recbole.data.split import TRAIN
from recbole.model import get_model
from recbole.quick_start.command_line import unlearn_arguments
from recbole.trainer import ResumeFile, Trainer
from recbole.unlearning.algorithm import NotApplied
from recbole.unlearning.pipeline import Pipeline
from recbole.unlearning.registry import get_algorithm, hyper_parameters
from recbole.unlearning.request import Requests
from recbole.utils import ModelType, UserError, init_seed

USERS = (9, 12, 15, 18, 21, 23)
MODELS = ("BPR", "LightGCN", "GRU4Rec", "DNNTSP")
SESSIONS = [[(7 * user + 3 * at + at * at % 5) % 39 + 1 for at in range(4 + user % 9)] for user in range(24)]


class World:
    """A small trained model and requests against it; every :meth:`start` is on a fresh copy."""

    def __init__(self, config, dataset):
        self.config, self.dataset = config, dataset
        config["epochs"], config["learning_rate"], config["train_batch_size"] = 15, 0.01, 64
        init_seed(5)
        model = get_model(config["model"])(config, dataset)
        Trainer(config, model, dataset).fit()
        self.state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        rows = [np.flatnonzero((dataset.log.user == user) & (dataset.log.split == TRAIN))[1:3] for user in USERS]
        offsets = np.cumsum([0, *map(len, rows)])
        names = [str(user) for user in USERS]
        self.requests = Requests(names, np.concatenate(rows), offsets, np.ones(len(USERS), dtype=bool), 0, "sha")

    def data(self):
        return self.dataset.masked(np.zeros(len(self.dataset.log), dtype=bool))

    def start(self, name, data=None, device="cpu", **hyper):
        """Return an algorithm on a fresh copy of the model and, unless given, of the data."""
        values = {parameter.name: parameter.default for parameter in hyper_parameters()} | hyper
        for key, value in values.items():
            self.config[key] = value
        self.config["device"] = torch.device(device)
        data = self.data() if data is None else data
        model = get_model(self.config["model"])(self.config, data).to(device)
        model.load_state_dict(self.state)
        return get_algorithm(name)(self.config, model, data)


SMALL = {
    **{"embedding_size": 4, "hidden_size": 6, "inner_size": 8, "n_layers": 2, "n_heads": 2, "num_layers": 1},
    **{"mf_embedding_size": 4, "mlp_embedding_size": 4, "mlp_hidden_size": [4], "dropout_prob": 0.3},
    **{"teacher_epochs": 1, "soft_samples": 50, "n_intents": 3, "MAX_NBR_HISTORY_BASKETS": 7},
    **{"use_gpu": False, "show_progress": False, "tensorboard": False},
    **{"metrics": ["Recall"], "topk": [5], "valid_metric": "Recall@5"},
}


@pytest.fixture(scope="session")
def worlds(tmp_path_factory, config, sessions, small_dataset):
    """A factory: ``worlds(model)`` trains it once, on the data of its task."""
    made, folder = {}, tmp_path_factory.mktemp("worlds")
    walks = {user: session + session[::-1] for user, session in enumerate(SESSIONS)}
    baskets = {user: [walk[at : at + 2] for at in range(len(walk) - 1)] for user, walk in walks.items()}
    (folder / "small").mkdir()
    (folder / "small/small_merged.json").write_text(json.dumps(baskets))

    def get(model):
        if model not in made:
            cls = get_model(model)
            if cls.type is ModelType.SEQUENTIAL:
                data = sessions(SESSIONS, model=model, **SMALL)
            else:
                where = folder if cls.type is ModelType.NEXT_BASKET else Path(small_dataset.config["data_path"]).parent
                conf = config(where, model=model, **SMALL)
                conf.bind_model(cls)
                data = create_dataset(conf, cls.type)
            made[model] = World(data.config, data)
        return made[model]

    return get


def reordered(requests, order):
    """Return the same requests in another order."""
    rows = [requests[at].rows for at in order]
    offsets = np.cumsum([0, *map(len, rows)])
    names, whole = [requests.entities[at] for at in order], np.ones(len(order), dtype=bool)
    return Requests(names, np.concatenate(rows), offsets, whole, 0, "sha")


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name].nan_to_num(7.0), other[name].nan_to_num(7.0)) for name in one)


class AlgorithmContract:
    """Set ``algorithm``; ``hyper`` where the defaults do not suit a model of a few hundred parameters.

    An influence method sets ``quadratic`` too: hyper-parameters (some a function of the number of examples)
    by which it takes a Newton step for the regularisation ``quadratic.PENALTY``.
    """

    algorithm: str
    hyper: dict = {}  # noqa: RUF012
    quadratic: dict | None = None

    @pytest.fixture(params=MODELS)
    def world(self, request, worlds):
        return worlds(request.param)

    @pytest.fixture
    def bpr(self, worlds):
        return worlds("BPR")

    def start(self, world, data=None, device="cpu", **hyper):
        return world.start(self.algorithm, data, device, **self.hyper | hyper)

    # --- it does something, and the same each time ---------------------------------------------------------------

    def test_a_request_is_applied_and_repeats_to_the_bit(self, world):
        ends = []
        for seed in (1, 2):
            torch.manual_seed(seed)  # the global generator is nobody's business
            algorithm = self.start(world)
            outcome = algorithm.forget(world.requests[0].rows, 0)
            assert outcome.status == "applied", outcome.reason
            assert outcome.relative_change > 0 and outcome.work
            assert set(outcome.seconds) == {"prepare", "solve", "apply"} and min(outcome.seconds.values()) >= 0
            ends.append(weights(algorithm.model))
        assert same(*ends) and not same(ends[0], world.state)

    def test_only_declared_parameters_move(self, world):
        algorithm = self.start(world)
        algorithm.forget(world.requests[0].rows, 0)
        moves = set(algorithm.moves(algorithm.model))
        after = weights(algorithm.model)
        assert moves and all(torch.equal(after[n], world.state[n]) for n in after if n not in moves)
        assert all(p.grad is None for p in algorithm.model.parameters())

    @pytest.mark.parametrize("name", ["item_embedding.weight", "user_embedding.weight"])
    def test_a_frozen_parameter_stays_as_it_is(self, bpr, name):
        data = bpr.data()
        model = get_model("BPR")(bpr.config, data)
        model.load_state_dict(bpr.state)
        model.get_parameter(name).requires_grad_(False)
        cls = get_algorithm(self.algorithm)
        if not cls.moves(model):
            with pytest.raises(UserError, match=f"{self.algorithm} changes parameters"):
                cls(bpr.config, model, data)
            return
        assert cls(bpr.config, model, data).forget(bpr.requests[0].rows, 0).status == "applied"
        assert torch.equal(model.get_parameter(name), bpr.state[name])

    def test_on_a_quadratic_objective_one_step_is_retraining(self, config, small_dataset):
        if self.quadratic is None:
            pytest.skip("no influence method")
        data = fresh(small_dataset)
        base, ended, goal, outcome, _ = forget_linear(config, data, self.algorithm, self.quadratic)
        assert outcome.status == "applied" and (base - goal).norm() > 0.1
        assert (ended - goal).norm() < 1e-4 * (base - goal).norm()

    def test_max_norm_holds(self, world):
        algorithm = self.start(world, max_norm=1e-3)
        assert algorithm.forget(world.requests[0].rows, 0).status == "applied"
        after = weights(algorithm.model)
        change = sum((after[n] - world.state[n]).double().square().sum() for n in after if after[n].is_floating_point())
        assert float(change) ** 0.5 <= 1.01e-3

    def test_what_was_forgotten_before_is_not_looked_at(self, world):
        """Whatever stood in rows that are forgotten, the next request ends with the same bits."""
        ends = []
        for shift in (0, 5):
            data = world.data()
            data.forget(world.requests[0].rows)
            item = data.log.item.copy()
            item[data.forgotten] = (item[data.forgotten] + shift) % (data.n_items - 1) + 1
            data = type(data)(data.config, replace(data.log, item=item), data.forgotten)
            algorithm = self.start(world, data)
            assert algorithm.forget(world.requests[1].rows, 1).status == "applied"
            ends.append(weights(algorithm.model))
        assert same(*ends)

    def test_who_will_ask_later_is_nobody_s_business(self, bpr):
        """The state after the first requests has the same bits whatever comes after them."""
        ends = []
        for later in ([2, 3, 4, 5], [5, 4, 3, 2]):
            pipeline = Pipeline(self.start(bpr), reordered(bpr.requests, [0, 1, *later]), show_progress=False)
            states = []
            pipeline.run(lambda *_, states=states, model=pipeline.algorithm.model: states.append(weights(model)))
            assert pipeline.sizes[0] == 2
            ends.append(states[0])
        assert same(*ends)

    def test_no_scheduler_is_made_or_stepped(self, worlds, monkeypatch):
        world = worlds("SRGNN")
        algorithm = self.start(world)
        monkeypatch.setattr(torch.optim.lr_scheduler.LRScheduler, "step", lambda *_: pytest.fail("stepped"))
        assert algorithm.model.scheduler and algorithm.forget(world.requests[0].rows, 0).status == "applied"

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    def test_a_gpu_agrees(self, world):
        ends = []
        for device in ("cpu", "cuda"):
            algorithm = self.start(world, device=device)
            outcome = algorithm.forget(world.requests[0].rows, 0)
            ends.append((outcome, {name: tensor.cpu() for name, tensor in weights(algorithm.model).items()}))
        world.config["device"] = torch.device("cpu")
        (here, on_cpu), (there, on_gpu) = ends
        assert (here.status, here.n_examples) == (there.status, there.n_examples)
        assert there.relative_change == pytest.approx(here.relative_change, rel=0.05)
        for name, tensor in on_cpu.items():
            least = 1e-6 + 0.02 * float((tensor - world.state[name]).double().norm())
            torch.testing.assert_close(on_gpu[name], tensor, rtol=1e-3, atol=least)

    # --- and nothing when it must not ----------------------------------------------------------------------------

    def test_without_time_nothing_changes(self, world):
        algorithm = self.start(world)
        outcome = algorithm.forget(world.requests[0].rows, 0, budget=0.0)
        assert outcome.status == "timeout" and same(weights(algorithm.model), world.state)
        assert algorithm.dataset.forgotten[world.requests[0].rows].all()

    def test_the_model_is_as_it_was_whenever_the_time_runs_out(self, bpr):
        endings = set()
        for asked in range(12):
            algorithm = self.start(bpr)
            calls = iter([False] * asked)
            change = algorithm.dataset.forget(bpr.requests[0].rows)
            try:
                algorithm.observed = algorithm.observe(change, 0, lambda calls=calls: next(calls, True))
                algorithm.solve(change, 0, lambda calls=calls: next(calls, True))
                endings.add("step")
            except NotApplied as reason:
                endings.add(reason.status)
            assert same(weights(algorithm.model), bpr.state)
        assert "timeout" in endings

    def test_a_model_that_is_not_finite_is_diverged_and_left(self, bpr):
        algorithm = self.start(bpr)
        with torch.no_grad():
            algorithm.model.user_embedding.weight.fill_(torch.nan)
            algorithm.model.item_embedding.weight[3:].fill_(torch.nan)
        before = weights(algorithm.model)
        outcome = algorithm.forget(bpr.requests[0].rows, 0)
        assert outcome.status == "diverged" and same(weights(algorithm.model), before)
        assert outcome.reason.endswith("were not before the request: user_embedding.weight")

    def test_derivatives_that_are_not_finite_are_told_as_such(self, world):
        algorithm = self.start(world)
        loss = algorithm.model.calculate_loss
        algorithm.model.calculate_loss = lambda batch: loss(batch) * torch.nan
        outcome = algorithm.forget(world.requests[0].rows, 0)
        assert outcome.status == "diverged" and "not finite" in outcome.reason, outcome
        assert "parameters" not in outcome.reason and same(weights(algorithm.model), world.state)

    def test_what_is_forgotten_already_or_was_never_learned_is_skipped(self, bpr):
        algorithm = self.start(bpr)
        algorithm.dataset.forget(bpr.requests[0].rows)
        outcome = algorithm.forget(bpr.requests[0].rows, 0)
        assert (outcome.status, outcome.reason) == ("skipped", "no training example")
        held_out = np.flatnonzero(algorithm.dataset.log.split > 0)[:3]
        assert algorithm.forget(held_out, 1).status == "skipped" and algorithm.dataset.forgotten[held_out].all()
        assert same(weights(algorithm.model), bpr.state)

    def test_a_model_without_gradient_is_refused(self, worlds):
        world = worlds("BPR")
        model = get_model("Pop")(world.config, world.data())
        with pytest.raises(UserError, match=f"{self.algorithm}.*Pop has none.*exact"):
            get_algorithm(self.algorithm)(world.config, model, world.data())

    # --- many requests -------------------------------------------------------------------------------------------

    def test_a_killed_run_ends_with_the_same_bits(self, world, tmp_path, monkeypatch):
        monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")

        def run(path, dies_at=None):
            algorithm = self.start(world)

            def save(checkpoint, n_done, summary):
                if checkpoint == dies_at:
                    raise KeyboardInterrupt

            pipeline = Pipeline(algorithm, world.requests, 1, ResumeFile(path, "me"), show_progress=False)
            return pipeline.run(save), weights(algorithm.model)

        whole, expected = run(tmp_path / "whole")
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "killed", dies_at=1)
        torch.manual_seed(99)
        again, ended = run(tmp_path / "killed")
        assert same(ended, expected) and again["applied"] == whole["applied"] == len(USERS)

    @pytest.mark.parametrize("size", [1, 2, 3, 100])
    def test_people_can_be_forgotten_together(self, bpr, size):
        """Two of them, first and last, have no training row to forget: that is told whoever is in their batch."""
        algorithm = self.start(bpr)
        held_out = [
            np.flatnonzero((bpr.dataset.log.user == user) & (bpr.dataset.log.split > TRAIN)) for user in (14, 20)
        ]
        rows = [held_out[0], *(bpr.requests[at].rows for at in range(len(USERS))), held_out[1]]
        names = ["14", *bpr.requests.entities, "20"]
        requests = Requests(
            names, np.concatenate(rows), np.cumsum([0, *map(len, rows)]), np.ones(8, dtype=bool), 0, "sha"
        )
        summary = Pipeline(algorithm, requests, size, show_progress=False).run(lambda *_: None)
        assert all(map(len, held_out)) and algorithm.dataset.forgotten[requests.rows].all()
        assert (summary["applied"], summary["skipped"], summary["worked"]) == (len(USERS), 2, len(USERS))
        assert all(torch.isfinite(tensor).all() for tensor in weights(algorithm.model).values())

    # --- the command line ----------------------------------------------------------------------------------------

    def test_its_hyper_parameters_are_flags(self, capsys):
        with pytest.raises(SystemExit):
            unlearn_arguments(["-h"])
        shown = capsys.readouterr().out
        mine = [parameter for parameter in hyper_parameters() if self.algorithm in parameter.algorithms]
        assert len(mine) > 1 and all(f"--{parameter.name} " in shown for parameter in mine)
