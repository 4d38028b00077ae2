"""Requests one after another: four stops, what is counted and recorded, and going on after a kill."""

import json
import os
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from recbole.data.split import TRAIN
from recbole.model.general_recommender.bpr import BPR
from recbole.model.general_recommender.lightgcn import LightGCN
from recbole.trainer import ResumeFile
from recbole.unlearning import algorithm, pipeline
from recbole.unlearning.algorithm import NotApplied, Outcome
from recbole.unlearning.algorithms.scif import Scif
from recbole.unlearning.pipeline import Pipeline, RequestLog
from recbole.unlearning.request import find_requests
from recbole.utils import UserError, init_seed

NO_TRAIN, UNKNOWN, NO_ITEM = "u5", "stranger", "u6"
"""Users whose request has rows outside of training alone, and that are not in the data, or hold none of the items."""


class Killed(BaseException):
    """Ends a run like a kill."""


def pairs_of(dataset, n):
    """Return the pairs of ``n`` requests, three of them special; the others forget two training rows and a test row."""
    log, pairs = dataset.log, [(UNKNOWN, "i1"), (NO_ITEM, "no such item")]
    for user in [*[f"u{at}" for at in range(7, 4 + n)], NO_TRAIN]:
        rows = log.rows_of([dataset.token2id("user_id", user)])
        in_train = rows[log.split[rows] == TRAIN]
        chosen = rows[log.split[rows] > TRAIN] if user == NO_TRAIN else [*in_train[:2], rows[-1]]
        pairs += [(user, item) for item in dataset.id2token("item_id", log.item[np.asarray(chosen)])]
    return pairs


class Run:
    """One unlearning run on a model from the seed; ``saved`` holds what was saved at each checkpoint."""

    def __init__(self, config, dataset, n=11, folder=None, identity="run", budget=None, model=BPR, **more):
        self.data = dataset.masked(np.zeros(len(dataset.log), dtype=bool))
        conf = config("unused", model.__name__, **more)
        init_seed(conf["seed"])
        self.model = model(conf, self.data)
        pairs = pairs_of(dataset, n)
        entities, items = zip(*pairs, strict=True)
        self.requests = find_requests(self.data, entities, items, sorted(set(entities)), "sha")
        resume = None if folder is None else ResumeFile(folder / "x.resume", identity)
        self.log_path = None if folder is None else folder / "log" / "x.requests.jsonl"
        size = conf["unlearning_batchsize"]
        self.algorithm = Scif(conf, self.model, self.data)
        self.pipeline = Pipeline(self.algorithm, self.requests, size, resume, self.log_path, budget, False)
        self.saved = {}

    def run(self, die_after=None):
        """Run; with ``die_after`` the process dies when so many pieces are done."""
        forget, left = self.algorithm.forget, [die_after]

        def dies(*arguments):
            if left[0] == 0:
                raise Killed
            left[0] = None if left[0] is None else left[0] - 1
            return forget(*arguments)

        self.algorithm.forget = dies
        self.summary = self.pipeline.run(self.save)
        return self

    def save(self, checkpoint, n_done, summary):
        weights = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.saved[checkpoint] = n_done, weights, counts(summary), self.data.forgotten.copy()

    def records(self):
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]


def counts(summary):
    return {key: value for key, value in summary.items() if "seconds" not in key}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def timeless(records):
    return [{k: v for k, v in record.items() if k not in ("seconds", "total_seconds")} for record in records]


@pytest.mark.parametrize(
    ("n", "sizes"), [(3, [1, 2, 3, 3]), (4, [2, 3, 4, 4]), (5, [2, 3, 4, 5]), (11, [3, 6, 9, 11]), (16, [5, 9, 13, 16])]
)
def test_four_checkpoints_after_so_many_requests(config, small_dataset, n, sizes):
    run = Run(config, small_dataset, n).run()
    assert len(run.requests) == n
    assert {r: saved[0] for r, saved in run.saved.items()} == dict(enumerate(sizes))
    for n_done, _, summary, forgotten in run.saved.values():
        assert (summary["done"], summary["total"]) == (n_done, n)
        assert np.array_equal(forgotten, run.requests.mask(n_done, len(forgotten)))


@pytest.mark.parametrize("size", [2, 3, 100])
def test_batches_end_at_the_same_people(config, small_dataset, size, tmp_path):
    single = Run(config, small_dataset).run()
    run = Run(config, small_dataset, folder=tmp_path, unlearning_batchsize=size)
    before = run.model.user_embedding.weight.detach().clone()
    run.run()
    for checkpoint, (n_done, weights, summary, forgotten) in run.saved.items():
        assert n_done == single.saved[checkpoint][0] == summary["done"]
        assert np.array_equal(forgotten, single.saved[checkpoint][3])
        alone = single.saved[checkpoint][1]
        moved, moved_alone = ((w["user_embedding.weight"] != before).any(dim=1) for w in (weights, alone))
        assert torch.equal(moved, moved_alone) and moved.any()
    records = run.records()
    assert sum(record.get("n_requests", 1) for record in records) == 11
    assert all(len(record.get("entities", "x")) <= size for record in records)
    assert counts(run.summary)["done"] == 11
    first = records[0]
    assert first["entities"] == run.requests.entities[: first["n_requests"]] and first["index"] == 0


def test_outcomes_are_counted_and_recorded(config, small_dataset, tmp_path):
    run = Run(config, small_dataset, folder=tmp_path).run()
    records = run.records()
    assert [record["index"] for record in records] == list(range(11))
    assert [record["entity"] for record in records] == run.requests.entities == sorted(run.requests.entities)
    by_entity = {record["entity"]: record for record in records}
    assert (by_entity[UNKNOWN]["status"], by_entity[UNKNOWN]["reason"]) == ("skipped", "no such entity in the data")
    assert (by_entity[NO_ITEM]["status"], by_entity[NO_ITEM]["reason"]) == ("skipped", "no such item in the data")
    assert (by_entity[NO_TRAIN]["status"], by_entity[NO_TRAIN]["reason"]) == ("skipped", "no training example")
    assert by_entity[NO_TRAIN]["rows"] > 0 and by_entity[UNKNOWN]["rows"] == 0
    applied = [record for record in records if record["status"] == "applied"]
    assert len(applied) == 8
    for record in applied:
        assert record["relative_change"] > 0 and record["n_examples"] == [2, 0] and record["rows"] == 3
        assert set(record["seconds"]) == {"prepare", "solve", "apply"} and record["work"]["n_hvp"] > 0
        assert record["total_seconds"] >= sum(record["seconds"].values()) * 0.99
    assert counts(run.summary) == {
        "total": 11, "done": 11, "worked": 8, "applied": 8, "skipped": 3, "timeout": 0, "diverged": 0,
    }  # fmt: skip
    assert run.summary["seconds_total"] == pytest.approx(sum(record["total_seconds"] for record in records))
    worked = sum(record["total_seconds"] for record in applied)
    assert run.summary["seconds_mean"] == pytest.approx(worked / 8), "of those alone that had something to do"
    assert run.summary["seconds_p95"] == pytest.approx(max(record["total_seconds"] for record in applied))


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_who_had_nothing_to_do_is_skipped_whatever_the_batch(config, small_dataset, tmp_path, size):
    run = Run(config, small_dataset, folder=tmp_path, unlearning_batchsize=size).run()
    assert {k: v for k, v in counts(run.summary).items() if v} == {
        "total": 11, "done": 11, "worked": 8, "applied": 8, "skipped": 3,
    }  # fmt: skip
    if size > 1:
        single = {r["entity"]: r["reason"] for r in run.records() if "skipped" not in r and r["reason"]}
        idle = {name: why for record in run.records() for name, why in record.get("skipped", {}).items()} | single
        assert idle == {
            UNKNOWN: "no such entity in the data", NO_ITEM: "no such item in the data", NO_TRAIN: "no training example",
        }  # fmt: skip


def test_without_anything_to_do_there_are_no_means(config, small_dataset):
    run = Run(config, small_dataset)
    run.data.forget(run.requests.rows)
    run.run()
    assert counts(run.summary)["skipped"] == 11 and counts(run.summary)["worked"] == 0
    assert [run.summary[key] for key in ("seconds_mean", "seconds_p95", "cpu_seconds_mean")] == [None] * 3
    assert run.summary["seconds_total"] > 0


@pytest.mark.parametrize("size", [2, 3, 100])
def test_the_seconds_of_a_batch_are_shared_by_those_who_had_something_to_do(config, small_dataset, tmp_path, size):
    run = Run(config, small_dataset, folder=tmp_path, unlearning_batchsize=size).run()
    shares = []
    for record in run.records():
        if record["status"] == "applied":
            count = record.get("n_requests", 1) - len(record.get("skipped", ()))
            shares += [record["total_seconds"] / count] * count
    assert len(shares) == 8 and run.summary["seconds_mean"] == pytest.approx(np.mean(shares))
    assert run.summary["seconds_p95"] == pytest.approx(max(shares))
    assert run.summary["seconds_total"] == pytest.approx(sum(record["total_seconds"] for record in run.records()))


def test_a_step_that_changes_nothing_is_no_work(config, small_dataset, monkeypatch):
    monkeypatch.setattr(Scif, "_apply", lambda self, step: Outcome("skipped", "the step changes no parameter"))
    summary = Run(config, small_dataset).run().summary
    assert (summary["skipped"], summary["worked"], summary["seconds_mean"]) == (11, 0, None)


def test_a_batch_that_failed_is_told_with_the_names_of_those_it_failed(config, small_dataset, caplog):
    caplog.set_level("WARNING", logger="recbole")
    run = Run(config, small_dataset, budget=0.0, unlearning_batchsize=100).run()
    told = [re.search(r"\((.*?)\)", record.getMessage())[1].split(", ") for record in caplog.records]
    busy = sorted(set(run.requests.entities) - {UNKNOWN, NO_ITEM, NO_TRAIN})
    assert len(told) == 4 and [name for names in told for name in names] == busy
    assert (run.summary["timeout"], run.summary["skipped"]) == (8, 3)


def test_a_number_that_is_not_finite_is_null_in_the_log(tmp_path):
    log = RequestLog(tmp_path / "x.jsonl")
    log.add({"work": {"residual": float("nan"), "n_hvp": np.int64(3), "bends": torch.tensor([1.0, float("inf")])}})
    log.close()
    assert json.loads((tmp_path / "x.jsonl").read_text()) == {
        "work": {"residual": None, "n_hvp": 3, "bends": [1, None]}
    }


def test_rows_outside_of_training_are_masked_all_the_same(config, small_dataset):
    run = Run(config, small_dataset).run()
    user = small_dataset.token2id("user_id", NO_TRAIN)
    rows = small_dataset.log.rows_of([user])
    assert run.data.forgotten[rows[small_dataset.log.split[rows] > TRAIN]].all()
    assert not run.data.forgotten[rows[small_dataset.log.split[rows] == TRAIN]].any()
    assert user not in run.data.eval_rows("test").entity


def test_the_budget_is_shared_evenly(config, small_dataset):
    shares = []
    run = Run(config, small_dataset, budget=22.0)
    run.algorithm.forget = lambda rows, index, budget: shares.append(budget) or Outcome("skipped", "nothing")
    run.pipeline.run(run.save)
    assert shares == [2.0] * 11


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still, but for what a step of Scif takes: ``clock.step`` seconds, whatever it may use."""
    now = SimpleNamespace(seconds=0.0, step=5.0, steps=0)
    fake = SimpleNamespace(perf_counter=lambda: now.seconds, process_time=lambda: now.seconds)
    monkeypatch.setattr(algorithm, "time", fake)
    monkeypatch.setattr(pipeline, "time", fake)
    monkeypatch.setattr("recbole.utils.device.time", fake)

    def observe(self, change, index, out_of_time):
        now.seconds, now.steps = now.seconds + now.step, now.steps + 1
        raise NotApplied("timeout", "slow")

    monkeypatch.setattr(Scif, "observe", observe)
    return now


def test_slow_requests_go_beyond_the_total_by_one_of_them_at_most(config, small_dataset, clock):
    run = Run(config, small_dataset, budget=11.0)
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    run.run()
    assert clock.steps == 3 and run.summary["seconds_total"] == 15.0, "of 11, and one began when 1 was left"
    assert (run.summary["timeout"], run.summary["skipped"]) == (8, 3)
    assert run.data.forgotten[run.requests.rows].all() and same(run.saved[3][1], before)


def test_a_share_is_not_enlarged_by_what_others_left(config, small_dataset, clock):
    run, given = Run(config, small_dataset, budget=22.0), []
    forget, run.algorithm.forget = run.algorithm.forget, lambda *args: given.append(args[2]) or forget(*args)
    clock.step = 0.5
    run.run()
    assert given == [2.0] * 11 and run.summary["seconds_total"] == 4.0


def test_a_killed_run_goes_on_with_what_is_left_of_the_budget(config, small_dataset, tmp_path, monkeypatch, clock):
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")
    with pytest.raises(Killed):
        Run(config, small_dataset, folder=tmp_path, budget=11.0).run(3)
    assert clock.steps == 2
    run = Run(config, small_dataset, folder=tmp_path, budget=11.0).run()
    assert clock.steps == 3 and run.summary["seconds_total"] == 15.0 and run.summary["timeout"] == 8


def test_without_time_every_request_with_work_is_a_timeout(config, small_dataset):
    run = Run(config, small_dataset, budget=0.0)
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    run.run()
    assert counts(run.summary)["timeout"] == 8 and counts(run.summary)["skipped"] == 3
    assert set(run.saved) == {0, 1, 2, 3} and same(run.saved[3][1], before)


# --- killed and resumed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "batch_size"), [(BPR, 1), (BPR, 2), (LightGCN, 1)])
@pytest.mark.parametrize("die_after", [0, 1, 3, 4, 5])
def test_a_killed_run_ends_as_one_that_was_not(
    config, small_dataset, tmp_path, monkeypatch, die_after, model, batch_size
):
    """LightGCN's steps look at people who asked before, and at a graph that lost their edges."""
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")
    settings = {"unlearning_batchsize": batch_size, "model": model}
    whole = Run(config, small_dataset, folder=tmp_path / "whole", **settings).run()
    folder = tmp_path / "killed"
    first = Run(config, small_dataset, folder=folder, **settings)
    with pytest.raises(Killed):
        first.run(die_after)
    with open(first.log_path, "ab") as log:
        log.write(b'{"written after the last snapshot": 1}\n' * 1000 + b'{"and torn')
    torch.manual_seed(99)
    second = Run(config, small_dataset, folder=folder, **settings).run()
    saved = first.saved | second.saved
    assert saved.keys() == whole.saved.keys()
    assert not die_after or len(second.saved) <= 4
    for checkpoint, (n_done, weights, summary, forgotten) in whole.saved.items():
        assert saved[checkpoint][0] == n_done and saved[checkpoint][2] == summary
        assert same(saved[checkpoint][1], weights) and np.array_equal(saved[checkpoint][3], forgotten)
    assert timeless(second.records()) == timeless(whole.records())
    assert counts(second.summary) == counts(whole.summary)
    assert len(second.pipeline.seconds) == len(whole.pipeline.seconds)


def test_killed_twice_and_with_requests_to_do_again(config, small_dataset, tmp_path, monkeypatch):
    whole = Run(config, small_dataset, folder=tmp_path / "whole").run()
    folder, saved = tmp_path / "killed", {}
    for die_after, seconds in ((4, "0"), (3, "3600"), (None, "0")):  # the second life leaves no snapshot
        monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", seconds)
        run = Run(config, small_dataset, folder=folder)
        if die_after is None:
            run.run()
        else:
            with pytest.raises(Killed):
                run.run(die_after)
        saved |= run.saved
    assert all(same(saved[checkpoint][1], whole.saved[checkpoint][1]) for checkpoint in range(4))
    assert timeless(run.records()) == timeless(whole.records())


def test_another_runs_snapshot_is_not_gone_on_from(config, small_dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")
    with pytest.raises(Killed):
        Run(config, small_dataset, folder=tmp_path).run(5)
    run = Run(config, small_dataset, folder=tmp_path, identity="another").run()
    assert len(run.records()) == 11 and set(run.saved) == {0, 1, 2, 3}


@pytest.mark.parametrize("left", [None, 0, -1])
def test_a_log_that_lost_what_the_snapshot_counts_is_refused(config, small_dataset, tmp_path, monkeypatch, left):
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")
    with pytest.raises(Killed):
        Run(config, small_dataset, folder=tmp_path).run(5)
    run = Run(config, small_dataset, folder=tmp_path)
    kept = b"" if left is None else run.log_path.read_bytes()[:left]
    run.log_path.unlink() if left is None else run.log_path.write_bytes(kept)
    wanted = rf"x\.requests\.jsonl lacks requests .*{len(kept)} of \d+ bytes.*; delete .*x\.resume to start over"
    with pytest.raises(UserError, match=wanted):
        run.run()
    assert not run.log_path.exists() if left is None else run.log_path.read_bytes() == kept
    (tmp_path / "x.resume").unlink()
    again = Run(config, small_dataset, folder=tmp_path).run()
    assert len(again.records()) == 11


def test_the_log_is_on_the_disk_before_the_snapshot_that_counts_on_it(config, small_dataset, tmp_path, monkeypatch):
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")
    run, synced = Run(config, small_dataset, folder=tmp_path), []
    fsync, save = os.fsync, run.pipeline.resume.save
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_ino) or fsync(number))

    def saves(state):
        inode = run.log_path.stat().st_ino
        assert synced[-1] == inode and run.log_path.stat().st_size == state["log_size"]
        save(state)

    run.pipeline.resume.save = saves
    run.run()
    assert len(synced) >= 2 * 11
