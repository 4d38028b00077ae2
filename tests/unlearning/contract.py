"""What every unlearning algorithm promises.

The tests of one are a subclass of `AlgorithmContract`, of `StepContract` where it is a `StepAlgorithm`, that sets
``algorithm``. They run wherever the algorithm comes from: this package or another installed one.
"""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from asking import ask, open_case
from quadratic import forget_linear, fresh
from small_worlds import MODELS, USERS, known, same, weights

from recbole.data.split import TRAIN
from recbole.model import get_model
from recbole.quick_start.command_line import unlearn_arguments
from recbole.trainer import ResumeFile
from recbole.unlearning.algorithm import NotApplied
from recbole.unlearning.pipeline import Pipeline
from recbole.unlearning.registry import get_algorithm, hyper_parameters
from recbole.unlearning.request import Requests
from recbole.utils import UserError
from recbole.utils.deadline import Deadline


class Ticking(Deadline):
    """A deadline that passes after it was checked some number of times."""

    def __init__(self, times):
        super().__init__()
        object.__setattr__(self, "left", iter([False] * times))

    def passed(self):
        return next(self.left, True)


class AlgorithmContract:
    """Set ``algorithm``, and ``hyper`` if the defaults do not suit a model with a few hundred parameters.

    Override the fixtures ``world`` and ``single`` for an algorithm that needs another kind of model.
    """

    algorithm: str
    hyper: dict = {}  # noqa: RUF012

    @pytest.fixture(params=MODELS)
    def world(self, request, worlds):
        return worlds(request.param)

    @pytest.fixture
    def single(self, worlds):
        """A world for tests that need not run for every model."""
        return worlds("BPR")

    def start(self, world, data=None, device=None, **hyper):
        return world.start(self.algorithm, data, device, **self.hyper | hyper)

    def test_a_request_is_applied_and_repeats_to_the_bit(self, world):
        ends = []
        for seed in (1, 2):
            torch.manual_seed(seed)  # the global generator is nobody's business
            algorithm = self.start(world)
            before = known(algorithm.model)
            outcome = ask(algorithm, world.requests[0].rows, 0)
            assert outcome.status == "applied", outcome.reason
            self.check_change(outcome.relative_change, before, known(algorithm.model))
            assert set(outcome.seconds) == {"prepare", "solve", "apply"} and min(outcome.seconds.values()) >= 0
            ends.append(known(algorithm.model))
        assert same(*ends)

    def knowledge(self, model):
        """Return what a request that is skipped leaves as it is."""
        return known(model)

    def check_change(self, relative, before, after):
        """A request that is applied changes what the model knows."""
        assert relative > 0 and not same(before, after)

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
            assert ask(algorithm, world.requests[1].rows, 1).status == "applied"
            ends.append(known(algorithm.model))
        assert same(*ends)

    def test_who_will_ask_later_is_nobody_s_business(self, single):
        """The state after the first requests has the same bits whatever comes after them."""
        ends = []
        for later in ([2, 3, 4, 5], [5, 4, 3, 2]):
            pipeline = Pipeline(self.start(single), single.requests.chosen([0, 1, *later]), show_progress=False)
            states = []
            pipeline.run(lambda *_, states=states, model=pipeline.algorithm.model: states.append(known(model)))
            assert pipeline.sizes[0] == 2
            ends.append(states[0])
        assert same(*ends)

    def test_what_is_forgotten_already_or_was_never_learned_is_skipped(self, single):
        algorithm = self.start(single)
        before = self.knowledge(algorithm.model)
        algorithm.dataset.forget(single.requests[0].rows)
        outcome = ask(algorithm, single.requests[0].rows, 0)
        assert (outcome.status, outcome.reason) == ("skipped", "no training example")
        held_out = np.flatnonzero(algorithm.dataset.log.split > 0)[:3]
        assert ask(algorithm, held_out, 1).status == "skipped" and algorithm.dataset.forgotten[held_out].all()
        assert same(self.knowledge(algorithm.model), before)

    def test_a_killed_run_ends_with_the_same_bits(self, world, tmp_path, monkeypatch):
        monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")

        def run(path, dies_at=None):
            algorithm = self.start(world)

            def save(checkpoint, n_done, summary):
                if checkpoint == dies_at:
                    raise KeyboardInterrupt

            pipeline = Pipeline(algorithm, world.requests, 1, ResumeFile(path, "me"), show_progress=False)
            return pipeline.run(save), known(algorithm.model)

        whole, expected = run(tmp_path / "whole")
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "killed", dies_at=1)
        torch.manual_seed(99)
        again, ended = run(tmp_path / "killed")
        assert same(ended, expected) and again["applied"] == whole["applied"] == len(USERS)

    @pytest.mark.parametrize("size", [1, 2, 3, 100])
    def test_people_can_be_forgotten_together(self, single, size):
        """Two of them, first and last, have no training row to forget: that is told whoever is in their batch."""
        algorithm = self.start(single)
        held_out = [
            np.flatnonzero((single.dataset.log.user == user) & (single.dataset.log.split > TRAIN)) for user in (14, 20)
        ]
        rows = [held_out[0], *(single.requests[at].rows for at in range(len(USERS))), held_out[1]]
        names = ["14", *single.requests.entities, "20"]
        requests = Requests(
            names, np.concatenate(rows), np.cumsum([0, *map(len, rows)]), np.ones(8, dtype=bool), 0, "sha"
        )
        summary = Pipeline(algorithm, requests, size, show_progress=False).run(lambda *_: None)
        assert all(map(len, held_out)) and algorithm.dataset.forgotten[requests.rows].all()
        assert (summary["applied"], summary["skipped"], summary["worked"]) == (len(USERS), 2, len(USERS))
        assert all(torch.isfinite(tensor).all() for tensor in known(algorithm.model).values())

    def test_what_it_releases_is_a_model_and_leaves_its_own_as_it_is(self, world):
        algorithm, other = self.start(world), self.start(world)
        assert ask(algorithm, world.requests[0].rows, 0).status == "applied"
        before = known(algorithm.model)
        released = algorithm.release(0)
        assert set(released) == {"state_dict", "other_parameter", "certificate"}
        other.model.load_state_dict(released["state_dict"])
        other.model.load_other_parameter(released["other_parameter"])
        assert same(known(algorithm.model), before) and known(other.model).keys() == before.keys()

    def test_its_hyper_parameters_are_flags(self, capsys):
        with pytest.raises(SystemExit):
            unlearn_arguments(["-h"])
        shown = capsys.readouterr().out
        mine = {parameter.name for parameter in hyper_parameters() if self.algorithm in parameter.algorithms}
        assert mine == {field.name for field in fields(get_algorithm(self.algorithm).Hyper)}
        assert all(f"--{name} " in shown for name in mine)


class HidingContract(AlgorithmContract):
    """For an algorithm that only hides pairs and changes no parameters; in this package there is one."""

    @pytest.fixture(params=[name for name in MODELS if name != "GRU4Rec"])
    def world(self, request, worlds):
        return worlds(request.param)

    def knowledge(self, model):
        """Return what the model knows; pairs that were held out are hidden though the request is skipped."""
        return {name: tensor for name, tensor in known(model).items() if name != "hidden"}

    def check_change(self, relative, before, after):
        """What the model knows has the same bits; what is added is the pairs that it hides."""
        hidden = after.pop("hidden")
        assert relative == 0 and len(hidden) > len(before.pop("hidden")) and same(before, after)


class StepContract(AlgorithmContract):
    """What holds beyond that for an algorithm that works out a step, aside, on a trained model.

    An influence method sets ``quadratic`` too: hyper-parameters (some a function of the number of examples)
    by which it takes a Newton step for the regularisation ``quadratic.PENALTY``.
    """

    quadratic: dict | None = None

    @pytest.fixture
    def bpr(self, worlds):
        return worlds("BPR")

    def test_only_declared_parameters_move(self, world):
        algorithm = self.start(world)
        assert ask(algorithm, world.requests[0].rows, 0).work
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
        assert ask(cls(bpr.config, model, data), bpr.requests[0].rows, 0).status == "applied"
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
        assert ask(algorithm, world.requests[0].rows, 0).status == "applied"
        after = weights(algorithm.model)
        change = sum((after[n] - world.state[n]).double().square().sum() for n in after if after[n].is_floating_point())
        assert float(change) ** 0.5 <= 1.01e-3

    def test_no_scheduler_is_made_or_stepped(self, worlds, monkeypatch):
        world = worlds("SRGNN")
        algorithm = self.start(world)
        monkeypatch.setattr(torch.optim.lr_scheduler.LRScheduler, "step", lambda *_: pytest.fail("stepped"))
        assert algorithm.model.scheduler and ask(algorithm, world.requests[0].rows, 0).status == "applied"

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    def test_a_gpu_agrees(self, world):
        ends = []
        for device in ("cpu", "cuda"):
            algorithm = self.start(world, device=device)
            outcome = ask(algorithm, world.requests[0].rows, 0)
            ends.append((outcome, {name: tensor.cpu() for name, tensor in weights(algorithm.model).items()}))
        world.config["device"] = torch.device("cpu")
        (here, on_cpu), (there, on_gpu) = ends
        assert (here.status, here.n_examples) == (there.status, there.n_examples)
        assert there.relative_change == pytest.approx(here.relative_change, rel=0.05)
        for name, tensor in on_cpu.items():
            least = 1e-6 + 0.02 * float((tensor - world.state[name]).double().norm())
            torch.testing.assert_close(on_gpu[name], tensor, rtol=1e-3, atol=least)

    def test_without_time_nothing_changes(self, world):
        algorithm = self.start(world)
        outcome = ask(algorithm, world.requests[0].rows, 0, seconds=0.0)
        assert outcome.status == "timeout" and same(weights(algorithm.model), world.state)
        assert algorithm.dataset.forgotten[world.requests[0].rows].all()

    def test_the_model_is_as_it_was_whenever_the_time_runs_out(self, bpr):
        endings = set()
        for asked in range(12):
            algorithm = self.start(bpr)
            case = open_case(algorithm, bpr.requests[0].rows, 0, Ticking(asked))
            try:
                algorithm.solve(case, algorithm.observe(case))
                endings.add("step")
            except NotApplied as reason:
                endings.add(reason.status)
            assert same(weights(algorithm.model), bpr.state)
        assert "timeout" in endings

    @pytest.mark.parametrize(
        "error",
        [
            OverflowError("cannot convert float infinity to integer"),
            MemoryError(),
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            torch.linalg.LinAlgError("the input is not positive-definite"),
        ],
        ids=["overflow", "memory", "device", "torch", "factor"],
    )
    def test_numbers_and_memory_that_are_exceeded_are_an_outcome(self, bpr, monkeypatch, error):
        from recbole.unlearning.second_order.subspace import Subspace

        whole = Subspace.add

        def fail(*_):
            raise error

        def late(subspace, vector):
            whole(subspace, vector)
            raise error

        for owner, name, instead in ((get_algorithm(self.algorithm), "solve", fail), (Subspace, "add", late)):
            algorithm = self.start(bpr)
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, instead)
                outcome = ask(algorithm, bpr.requests[0].rows, 0)
            assert outcome.status == "diverged" and outcome.reason, outcome
            assert same(weights(algorithm.model), bpr.state)

    def test_a_mistake_of_the_program_is_no_outcome(self, bpr, monkeypatch):
        algorithm = self.start(bpr)
        monkeypatch.setattr(algorithm, "solve", lambda *_: {}["absent"])
        with pytest.raises(KeyError):
            ask(algorithm, bpr.requests[0].rows, 0)

    def test_a_model_that_is_not_finite_is_diverged_and_left(self, bpr):
        algorithm = self.start(bpr)
        with torch.no_grad():
            algorithm.model.user_embedding.weight.fill_(torch.nan)
            algorithm.model.item_embedding.weight[3:].fill_(torch.nan)
        before = weights(algorithm.model)
        outcome = ask(algorithm, bpr.requests[0].rows, 0)
        assert outcome.status == "diverged" and same(weights(algorithm.model), before)
        assert outcome.reason.endswith("was NaN or infinite already before the request: user_embedding.weight")

    def test_derivatives_that_are_not_finite_are_told_as_such(self, world):
        algorithm = self.start(world)
        loss, summed = algorithm.model.calculate_loss, algorithm.model.loss_sum
        algorithm.model.calculate_loss = lambda batch: loss(batch) * torch.nan
        algorithm.model.loss_sum = lambda *batch: summed(*batch) * torch.nan  # which a model may take by itself
        outcome = ask(algorithm, world.requests[0].rows, 0)
        assert outcome.status == "diverged" and "not finite" in outcome.reason, outcome
        assert "before the request" not in outcome.reason and same(weights(algorithm.model), world.state)

    def test_a_model_without_gradient_is_refused(self, worlds):
        world = worlds("BPR")
        model = get_model("Pop")(world.config, world.data())
        with pytest.raises(UserError, match=f"{self.algorithm}.*Pop has none.*exact"):
            get_algorithm(self.algorithm)(world.config, model, world.data())
