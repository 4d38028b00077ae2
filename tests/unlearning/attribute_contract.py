"""Contract of attribute-unlearning algorithms: one is tested by a subclass that sets ``algorithm``."""

import math

import numpy as np
import pytest
import torch
from contract import Ticking
from small_worlds import known, same

from recbole.data.attributes import UserAttribute
from recbole.quick_start.command_line import unlearn_arguments
from recbole.trainer import ResumeFile
from recbole.unlearning.attribute_request import attribute_requests
from recbole.unlearning.pipeline import Pipeline
from recbole.unlearning.registry import get_algorithm, hyper_parameters
from recbole.utils import UserError
from recbole.utils.deadline import Deadline


def people(world, n_protected=None, n_batches=4, n_groups=2):
    """Return requests for an attribute of a world's users; the attribute of every ninth user is unknown."""
    label = np.arange(world.dataset.n_users) * 7 // 2 % n_groups
    label[::9] = -1
    attribute = UserAttribute("side", tuple("abc"[:n_groups]), label)
    order = np.random.default_rng(1).permutation(np.arange(1, world.dataset.n_users))
    return attribute_requests([attribute], order, n_protected or len(order), n_batches)


class AttributeContract:
    """Set ``algorithm``, ``hyper`` (hyper-parameters that make the tests fast), and ``models``."""

    algorithm: str
    hyper: dict = {}  # noqa: RUF012
    models = ("BPR", "LightGCN", "DNNTSP")

    @pytest.fixture
    def single(self, worlds):
        return worlds("LightGCN")

    def start(self, world, **hyper):
        return world.start(self.algorithm, **self.hyper | hyper)

    def protect(self, algorithm, requests, deadline=None):
        """Answer the last of some requests, and do what was put off."""
        outcome = algorithm.forget([requests[len(requests) - 1]], deadline or Deadline())
        algorithm.complete()
        return outcome

    def test_it_serves_attributes_alone(self):
        assert get_algorithm(self.algorithm).kinds == ("attribute",)

    def test_a_request_is_applied_and_repeats_to_the_bit(self, worlds):
        for name in self.models:
            world, ends = worlds(name), []
            for seed in (1, 2):
                torch.manual_seed(seed)
                algorithm = self.start(world)
                before = known(algorithm.model)
                outcome = self.protect(algorithm, people(world))
                assert outcome.status == "applied", outcome.reason
                ends.append(known(algorithm.model))
                moves = algorithm.moves(algorithm.model)
                assert any(not torch.equal(ends[-1][key], before[key]) for key in moves)
                assert all(torch.equal(ends[-1][key], before[key]) for key in before if key not in moves)
            assert same(*ends) and all(p.grad is None for p in algorithm.model.parameters())

    def test_a_killed_run_ends_with_the_same_bits(self, single, tmp_path, monkeypatch):
        monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")

        def run(path, dies_at=None):
            algorithm = self.start(single)

            def save(checkpoint, n_done, summary):
                if checkpoint == dies_at:
                    raise KeyboardInterrupt

            pipeline = Pipeline(algorithm, people(single), 1, ResumeFile(path, "me"), show_progress=False)
            return pipeline.run(save), known(algorithm.model)

        whole, expected = run(tmp_path / "whole")
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "killed", dies_at=1)
        torch.manual_seed(99)
        again, ended = run(tmp_path / "killed")
        assert same(ended, expected) and again["applied"] == whole["applied"] == 4

    def test_people_of_one_group_have_nothing_to_hide_from_each_other(self, single):
        algorithm, requests = self.start(single), people(single)
        label = requests[0].attribute.label.copy()
        label[label > 0] = 0
        one = attribute_requests([UserAttribute("side", ("a",), label)], np.arange(1, len(label)), len(label) - 1, 1)
        before = known(algorithm.model)
        outcome = self.protect(algorithm, one)
        assert outcome.status == "skipped" and "fewer than two groups" in outcome.reason
        assert outcome.idle == {"side 1/1": outcome.reason} and same(known(algorithm.model), before)

    @pytest.mark.parametrize("name", ["GRU4Rec", "EASE"])
    def test_a_model_that_knows_nobody_is_refused(self, worlds, name):
        with pytest.raises(UserError, match=r"no user view|from histories"):
            self.start(worlds(name))

    def test_a_view_that_is_not_there_is_named(self, worlds):
        with pytest.raises(UserError, match="propagated: BPR has no such user view; it has table; use all"):
            self.start(worlds("BPR"), protect_view="propagated")
        with pytest.raises(UserError, match="should be table, propagated, all, not 'tabel', did you mean 'table'"):
            self.start(worlds("BPR"), protect_view="tabel")

    def test_its_hyper_parameters_are_flags(self, capsys):
        with pytest.raises(SystemExit):
            unlearn_arguments(["-h"])
        shown = capsys.readouterr().out
        mine = {parameter.name for parameter in hyper_parameters() if self.algorithm in parameter.algorithms}
        assert mine and all(f"--{name} " in shown for name in mine)


class ProtectionContract(AttributeContract):
    """Further tests for an algorithm that changes the user vectors of a trained model."""

    hyper = {"protect_steps": 12, "protect_rate": 0.01}  # noqa: RUF012

    def test_in_a_table_the_protected_people_s_rows_alone_move(self, worlds):
        world = worlds("BPR")
        algorithm, requests = self.start(world), people(world, n_protected=12)
        before = known(algorithm.model)["user_embedding.weight"]
        assert self.protect(algorithm, requests).status == "applied"
        moved = (known(algorithm.model)["user_embedding.weight"] != before).any(dim=1)
        protected = requests[3].protected
        assert len(protected) < 12  # of some nothing is known
        assert moved.nonzero().flatten().tolist() == protected.tolist()

    def test_time_that_runs_out_leaves_the_model_as_it_was(self, single):
        algorithm = self.start(single)
        before = known(algorithm.model)
        outcome = self.protect(algorithm, people(single), Ticking(5))
        assert (outcome.status, outcome.reason) == ("timeout", "time was up after 5 of 12 steps")
        assert same(known(algorithm.model), before)

    @pytest.mark.parametrize("rate", [1e36, 3e38])
    def test_numbers_that_run_away_leave_the_model_as_it_was(self, single, rate):
        algorithm = self.start(single, protect_rate=rate)
        before = known(algorithm.model)
        outcome = self.protect(algorithm, people(single))
        assert outcome.status == "diverged" and same(known(algorithm.model), before)

    def test_lack_of_memory_leaves_the_model_as_it_was(self, single, monkeypatch):
        def fails(*of):
            raise MemoryError("Unable to allocate 9 TiB")

        algorithm = self.start(single)
        before = known(algorithm.model)
        monkeypatch.setattr(algorithm, "objective", fails)
        outcome = self.protect(algorithm, people(single))
        assert (outcome.status, outcome.reason) == ("diverged", "out of memory: Unable to allocate 9 TiB")
        assert same(known(algorithm.model), before)

    @pytest.mark.parametrize("value", [math.inf, math.nan])
    def test_an_objective_that_is_not_finite_leaves_the_model_as_it_was(self, single, monkeypatch, value):
        algorithm = self.start(single)
        before, objective = known(algorithm.model), algorithm.objective
        monkeypatch.setattr(algorithm, "objective", lambda *of: (value, objective(*of)[1]))
        outcome = self.protect(algorithm, people(single))
        assert outcome.status == "diverged" and same(known(algorithm.model), before)
        assert all(p.grad is None for p in algorithm.model.parameters())

    @pytest.mark.parametrize("regulariser", ["l2", "none"])
    def test_the_objective_falls(self, single, regulariser):
        algorithm = self.start(single, protect_regulariser=regulariser, protect_weight=1e-4)
        work = self.protect(algorithm, people(single, n_groups=3)).work
        assert work["objective_last"] < work["objective_first"]

    def test_a_regulariser_that_is_not_there_is_refused(self, single):
        with pytest.raises(UserError, match="should be one of rank_margin, l2, none, not 'l1'"):
            self.start(single, protect_regulariser="l1")
