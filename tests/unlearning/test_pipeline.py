"""The pipeline of requests: checkpoints, counted and logged outcomes, and sharing of the time budget."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from runs import NO_ITEM, NO_TRAIN, UNKNOWN, Killed, Run, counts, same

from recbole.data.split import TRAIN
from recbole.unlearning import pipeline
from recbole.unlearning.algorithms.scif import Scif
from recbole.unlearning.outcome import NotApplied, Outcome
from recbole.unlearning.request_log import RequestLog
from recbole.utils import deadline, device

SKIPPED = {
    UNKNOWN: "no such user (session) in the data",
    NO_ITEM: "no such item in the data",
    NO_TRAIN: "no training example",
}


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


def test_other_stops_than_the_four_and_no_piece_goes_past_one(config, small_dataset):
    run, saved = Run(config, small_dataset), []
    stops = pipeline.Pipeline(run.algorithm, run.requests, 4, show_progress=False, sizes=[1, 6, 8])
    stops.run(lambda *of: saved.append((*of[:2], of[2]["done"])))
    assert saved == [(0, 1, 1), (1, 6, 6), (2, 8, 8)]
    assert stops.chunks == [(0, 1), (1, 5), (5, 6), (6, 8), (8, 11)] and stops.summary()["done"] == 11


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
    assert all(by_entity[name]["status"] == "skipped" for name in SKIPPED)
    assert {name: by_entity[name]["reason"] for name in SKIPPED} == SKIPPED
    assert by_entity[NO_TRAIN]["rows"] > 0 and by_entity[UNKNOWN]["rows"] == 0
    applied = [record for record in records if record["status"] == "applied"]
    assert len(applied) == 8
    for record in applied:
        assert record["relative_change"] > 0 and record["n_examples"] == [2, 0] and record["rows"] == 3
        assert set(record["seconds"]) == {"prepare", "solve", "apply"} and record["work"]["n_hvp"] > 0
        assert record["total_seconds"] >= sum(record["seconds"].values()) * 0.99
    assert counts(run.summary) == {
        "total": 11, "done": 11, "worked": 8,
        "applied": 8, "reinitialised": 0, "skipped": 3, "timeout": 0, "diverged": 0,
    }  # fmt: skip
    changes = [record["relative_change"] for record in applied]
    assert run.summary["median_relative_change"] == pytest.approx(np.median(changes))
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
        assert idle == SKIPPED


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
    run.algorithm.forget = lambda requests, until: shares.append(until.seconds) or Outcome("skipped", "nothing")
    run.pipeline.run(run.save)
    assert shares == [2.0] * 11


@pytest.fixture
def hands(monkeypatch):
    """A clock that only advances in a step of SCIF, by ``hands.step`` seconds."""
    now = SimpleNamespace(seconds=0.0, step=5.0, steps=0)
    fake = SimpleNamespace(perf_counter=lambda: now.seconds, process_time=lambda: now.seconds)
    for module in (device, deadline, pipeline):
        monkeypatch.setattr(module, "time", fake)

    def observe(self, case):
        now.seconds, now.steps = now.seconds + now.step, now.steps + 1
        raise NotApplied("timeout", "slow")

    monkeypatch.setattr(Scif, "observe", observe)
    return now


def test_slow_requests_go_beyond_the_total_by_one_of_them_at_most(config, small_dataset, hands):
    run = Run(config, small_dataset, budget=11.0)
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    run.run()
    assert hands.steps == 3 and run.summary["seconds_total"] == 15.0, "of 11, and one began when 1 was left"
    assert (run.summary["timeout"], run.summary["skipped"]) == (8, 3)
    assert run.data.forgotten[run.requests.rows].all() and same(run.saved[3][1], before)


def test_a_share_is_not_enlarged_by_what_others_left(config, small_dataset, hands):
    run, given = Run(config, small_dataset, budget=22.0), []
    forget, run.algorithm.forget = run.algorithm.forget, lambda *args: given.append(args[1].seconds) or forget(*args)
    hands.step = 0.5
    run.run()
    assert given == [2.0] * 11 and run.summary["seconds_total"] == 4.0


def test_a_killed_run_goes_on_with_what_is_left_of_the_budget(config, small_dataset, tmp_path, monkeypatch, hands):
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")
    with pytest.raises(Killed):
        Run(config, small_dataset, folder=tmp_path, budget=11.0).run(3)
    assert hands.steps == 2
    run = Run(config, small_dataset, folder=tmp_path, budget=11.0).run()
    assert hands.steps == 3 and run.summary["seconds_total"] == 15.0 and run.summary["timeout"] == 8


def test_without_time_every_request_with_work_is_a_timeout(config, small_dataset):
    run = Run(config, small_dataset, budget=0.0)
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    run.run()
    assert counts(run.summary)["timeout"] == 8 and counts(run.summary)["skipped"] == 3
    assert set(run.saved) == {0, 1, 2, 3} and same(run.saved[3][1], before)
