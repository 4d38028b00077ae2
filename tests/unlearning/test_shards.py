"""Deletion from an ensemble gives the same parameters as an ensemble trained from scratch without the rows."""

import json
import os
import signal

import numpy as np
import pytest
import torch
from asking import ask
from small_worlds import USERS, same, weights

from recbole.data.split import TEST, TRAIN, VALID
from recbole.ensemble import partitioning, training
from recbole.ensemble.learning import learn_ensemble
from recbole.ensemble.partitioning import make_partition
from recbole.ensemble.training import Workspace
from recbole.model import get_model
from recbole.trainer import ResumeFile, TrainingLoop
from recbole.unlearning.algorithms.shards import Bill, Shards
from recbole.utils import UserError

PRESETS = ("sisa", "grapheraser", "receraser", "ultrare")
CASES = [(name, preset) for name in ("BPR", "LightGCN") for preset in PRESETS]
CASES += [("WMF", "receraser"), ("WMF", "grapheraser"), ("SGL", "receraser"), ("GRU4Rec", "sisa"), ("DNNTSP", "sisa")]


@pytest.mark.parametrize(("name", "preset"), CASES)
def test_the_ensemble_is_its_twin(ensembles, name, preset):
    place = ensembles(name, preset)
    saved, summary, algorithm = place.unlearn()
    assert summary["applied"] == len(USERS) and algorithm.stale == []
    assert not same(saved[3], weights(place.base))
    for checkpoint, size in enumerate((2, 4, 5, 6)):
        assert same(saved[checkpoint], place.twin(size))


@pytest.mark.parametrize(("name", "preset"), [("BPR", "receraser"), ("GRU4Rec", "sisa")])
def test_when_and_in_which_order_it_is_done_does_not_matter(ensembles, name, preset):
    place, expected = ensembles(name, preset), ensembles(name, preset).twin(len(USERS))
    assert same(place.unlearn(materialise="eager")[0][3], expected)
    assert same(place.unlearn(place.requests.chosen([4, 0, 5, 2, 1, 3]))[0][3], expected)
    assert same(place.unlearn(size=4)[0][3], expected)


def test_what_is_not_hit_stays_as_it_is(ensembles):
    place = ensembles("BPR")
    algorithm = place.start(materialise="eager")
    rows = np.flatnonzero((place.shard_of == 1) & (place.log.split == TRAIN))[3:5]
    outcome = ask(algorithm, rows, 0)
    assert outcome.work == {"shards": [1]} and outcome.relative_change > 0
    moved = [not same(weights(a), weights(b)) for a, b in zip(place.base.shards, algorithm.model.shards, strict=True)]
    assert moved == [False, True, False]


def test_which_rows_hit(ensembles):
    """Those of training and of validation, which decided when training stopped; those of the test hit nothing."""
    place = ensembles("BPR")
    for split, status in ((TRAIN, "applied"), (VALID, "applied"), (TEST, "skipped")):
        algorithm, row = place.start(materialise="eager"), np.flatnonzero(place.log.split == split)[:1]
        outcome = ask(algorithm, row, 0)
        algorithm.complete()
        assert outcome.status == status and algorithm.dataset.forgotten[row].all()
        assert same(weights(algorithm.model), weights(place.learn(place.shard_of, row)))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_request_may_empty_a_shard(ensembles, preset):
    """What is left is the ensemble of the others; a second request for the same changes nothing."""
    place = ensembles("BPR", preset)
    algorithm, rows = place.start(materialise="eager"), np.flatnonzero(place.shard_of == 0)
    assert ask(algorithm, rows, 0).status == "applied"
    assert algorithm.model.aggregate.members == [1, 2]
    assert same(weights(algorithm.model), weights(place.learn(place.shard_of, rows)))
    assert torch.isfinite(algorithm.model.full_sort_predict(place.dataset.collate(rows[:9]))).all()
    assert ask(algorithm, rows, 1).status == "skipped"


def test_a_user_in_every_shard_hits_them_all(ensembles):
    place = ensembles("BPR")
    rows = np.flatnonzero(place.log.user == 20)
    assert {*place.shard_of[rows]} == {0, 1, 2}
    algorithm = place.start(materialise="eager")
    assert ask(algorithm, rows).work == {"shards": [0, 1, 2]}
    assert same(weights(algorithm.model), weights(place.learn(place.shard_of, rows)))


@pytest.mark.parametrize(("name", "preset"), [("BPR", "receraser"), ("DNNTSP", "sisa")])
@pytest.mark.parametrize("part", [0, 2, 3])
def test_killed_inside_a_shard_it_ends_with_the_same_bits(ensembles, tmp_path, monkeypatch, name, preset, part):
    """The training dies in an epoch of its n-th part; given again it takes up the parts that were finished."""
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")
    place, whole = ensembles(name, preset), ensembles(name, preset).unlearn()[0]
    stem, steps = tmp_path / "x", []

    def run():
        return place.unlearn(resume=ResumeFile(tmp_path / "x.resume", "me"), stem=stem)

    step = TrainingLoop._step

    def dying(self, batch):
        steps.append(self)
        if len({id(trainer) for trainer in steps}) == part + 1 and steps.count(self) == 2:
            raise KeyboardInterrupt
        return step(self, batch)

    monkeypatch.setattr(TrainingLoop, "_step", dying)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert bool(list(tmp_path.glob("x.shard_*.part"))) == (part > 0)
    monkeypatch.setattr(TrainingLoop, "_step", step)
    torch.manual_seed(99)
    saved, summary, algorithm = run()
    assert all(same(saved[at], whole[at]) for at in saved) and 3 in saved
    assert summary["applied"] == len(USERS)
    algorithm.finish()
    assert {path.name for path in tmp_path.iterdir()} == {"x.resume"}


def test_killed_between_checkpoints_it_ends_with_the_same_bits(ensembles, tmp_path, monkeypatch):
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")
    place = ensembles("BPR")
    whole, expected, first = place.unlearn()
    with pytest.raises(KeyboardInterrupt):
        place.unlearn(resume=ResumeFile(tmp_path / "x.resume", "me"), dies_at=2)
    saved, summary, algorithm = place.unlearn(resume=ResumeFile(tmp_path / "x.resume", "me"))
    assert same(saved[3], whole[3]) and summary["applied"] == expected["applied"]
    told = [one.costs() for one in (first, algorithm)]
    assert told[0]["shards_hit"] == told[1]["shards_hit"] and told[0]["shards_trained"] == told[1]["shards_trained"]


def test_processes_train_as_one_does(ensembles, tmp_path):
    algorithm = ensembles("BPR", "receraser").start(shard_workers=2)
    algorithm.work_beside(tmp_path / "x")
    ask(algorithm, ensembles("BPR", "receraser").requests.rows)
    algorithm.complete()
    assert len(list(tmp_path.glob("x.shard_*.part"))) == 3
    assert same(weights(algorithm.model), ensembles("BPR", "receraser").twin(len(USERS)))
    algorithm.finish()
    assert not list(tmp_path.iterdir())


def test_a_process_s_mistake_is_told(ensembles, tmp_path):
    with pytest.raises(UserError, match="training diverged"):
        ensembles("BPR").unlearn(stem=tmp_path / "x", shard_workers=2, learning_rate=1e38)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")])
def test_without_memory_for_a_shard_the_requests_since_the_last_checkpoint_diverged(
    ensembles, tmp_path, monkeypatch, error
):
    """Those of the third checkpoint; the model stays as it was, and at the fourth all is made good."""
    place, train, asked = ensembles("BPR"), training.Shards.train, []

    def scarce(shards, shard, workspace):
        asked.append(shards.state.forgotten.sum())
        if len(set(asked)) == 3:
            raise error
        return train(shards, shard, workspace)

    monkeypatch.setattr(training.Shards, "train", scarce)
    log = tmp_path / "log.jsonl"
    saved, summary, algorithm = place.unlearn(log_path=log)
    assert (summary["applied"], summary["diverged"], summary["done"]) == (5, 1, 6)
    assert same(saved[2], saved[1]) and same(saved[3], place.twin(len(USERS))) and algorithm.stale == []
    told = [json.loads(line) for line in log.read_text().splitlines()]
    (failed,) = [line for line in told if "put_off" in line]
    assert failed["reason"].startswith("out of memory")
    assert failed | {"reason": ""} == {"index": 4, "n_requests": 1, "status": "diverged", "reason": "", "put_off": 1}


def test_a_process_that_the_system_ends_is_a_want_of_memory(ensembles, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_work", killed)
    _, summary, algorithm = ensembles("BPR").unlearn(stem=tmp_path / "x", shard_workers=2)
    assert (summary["applied"], summary["diverged"]) == (0, len(USERS)) and algorithm.stale


def killed(*_of):
    os.kill(os.getpid(), signal.SIGKILL)


def test_one_model_is_refused(ensembles):
    place = ensembles("BPR")
    model = get_model("BPR")(place.config, place.data())
    with pytest.raises(UserError, match="BPR is a single model trained on all data: give --ensemble"):
        Shards(place.config, model, place.data())


def test_how_it_is_done_is_one_of_two(ensembles):
    with pytest.raises(UserError, match="eager or lazy, not 'never'"):
        ensembles("BPR").start(materialise="never")


def test_what_was_put_off_counts(ensembles):
    """Requests since the last checkpoint share the seconds of its trainings; the rest is what they took themselves."""
    _, summary, algorithm = ensembles("BPR").unlearn()
    spent = algorithm.costs()["shard_seconds"]
    assert summary["seconds_total"] >= spent and summary["seconds_mean"] * summary["worked"] >= spent


def test_the_bill():
    """Of three requests on two shards: one that hits both, none, and one; a shard takes 2 s (3 s), aggregation 1 s."""
    trainings = [
        {"shard_seconds": {"0": 2.0, "1": 3.0}, "shard_cpu_seconds": {"0": 1.0, "1": 1.0}, "aggregate_seconds": 1.0,
         "aggregate_cpu_seconds": 0.5},
    ]  # fmt: skip
    told = Bill([[0, 1], [], [1]], trainings, 2).described()
    assert told["shards_hit"] == [2, 0, 1] and told["dirty_shards"] == [2, 2, 2]
    assert told["expected_dirty_shards"] == [1.0, 1.5, 1.75]
    assert told["projected_eager_seconds"] == (2 + 3 + 1) + (3 + 1)
    assert told["projected_eager_cpu_seconds"] == (1 + 1 + 0.5) + (1 + 0.5)
    assert (told["shards_trained"], told["shard_seconds"], told["aggregate_seconds"]) == (2, 5.0, 1.0)
    assert (told["shard_cpu_seconds"], told["aggregate_cpu_seconds"]) == (2.0, 0.5)


def from_scratch(place, rows):
    """Return the ensemble of a partition of its own, with nothing known of some log rows from the start."""
    state = place.state(rows)
    return weights(learn_ensemble(place.run, state, make_partition(place.run, state, Workspace()).shard_of).model)


@pytest.fixture(scope="module", params=[("LightGCN", "receraser"), ("BPR", "ultrare")], ids=lambda one: one[1])
def repartitioned(request, ensembles):
    """An ensemble, and what its unlearning left with a new partition at each checkpoint."""
    place = ensembles(*request.param)
    return place, *place.unlearn(repartition=True)


def test_partitioned_anew_it_is_what_is_trained_from_scratch(repartitioned, ensembles):
    """In any order of the requests; the scores are those of the file."""
    place, saved, _, algorithm = repartitioned
    for at, size in ((0, 2), (3, 6)):
        assert same(saved[at], from_scratch(place, np.flatnonzero(place.requests.mask(size, len(place.log)))))
    assert not same(saved[3], place.twin(6)), "the partition has changed"
    other = place.unlearn(place.requests.chosen([4, 0, 5, 2, 1, 3]), size=4, repartition=True)[0]
    assert same(other[3], saved[3])
    read = type(place.base)(place.config, algorithm.dataset)
    read.make_room(saved[3])
    read.load_state_dict(saved[3])
    asked = place.dataset.collate(place.dataset.train_examples()[:5])
    with torch.no_grad():
        assert torch.equal(read.eval().full_sort_predict(asked), algorithm.model.full_sort_predict(asked))


def test_what_a_new_partition_costs_counts(repartitioned):
    place, _, summary, algorithm = repartitioned
    told = algorithm.costs()
    assert told["repartition"] is True and told["shards_trained"] == 4 * place.config["num_shards"]
    assert len(told["partition_agreement"]) == 4 and all(-1 <= one < 1 for one in told["partition_agreement"])
    spent = told["partition_seconds"] + told["shard_seconds"] + told["aggregate_seconds"]
    assert told["partition_seconds"] > 0 and summary["seconds_total"] >= spent
    assert told["projected_eager_seconds"] == pytest.approx(spent / 4 * summary["applied"])


@pytest.mark.parametrize("repartitioned", [("BPR", "ultrare")], indirect=True, ids=["ultrare"])
def test_killed_among_the_shards_of_a_new_partition_it_ends_with_the_same_bits(repartitioned, tmp_path, monkeypatch):
    """At the second checkpoint: neither is pretrained again, nor what the first checkpoint needed."""
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")
    (place, whole, _, told), fit, pretrain = repartitioned, TrainingLoop.fit, partitioning.learn
    fitted, pretrained = [], []
    monkeypatch.setattr(partitioning, "learn", lambda *a, **k: pretrained.append(a) or pretrain(*a, **k))

    def dying(self):
        fitted.append(self)
        if len(fitted) == 1 + 3 + 2:  # pretraining and three shards; pretraining and a shard
            raise KeyboardInterrupt
        return fit(self)

    monkeypatch.setattr(TrainingLoop, "fit", dying)

    def run():
        return place.unlearn(resume=ResumeFile(tmp_path / "x.resume", "me"), stem=tmp_path / "x", repartition=True)

    with pytest.raises(KeyboardInterrupt):
        run()
    saved, _, algorithm = run()
    assert all(same(saved[at], whole[at]) for at in saved) and 3 in saved and len(pretrained) == 4
    assert algorithm.costs()["partition_agreement"] == told.costs()["partition_agreement"]


@pytest.mark.parametrize(
    ("preset", "settings", "said"),
    [
        ("sisa", {}, "--repartition does not apply to --partition random"),
        ("sisa", {"partition": "hash"}, "--repartition does not apply to --partition hash"),
        ("ultrare", {"materialise": "eager"}, "excludes --materialise eager"),
    ],
)
def test_a_new_partition_that_means_nothing_is_refused(ensembles, preset, settings, said):
    with pytest.raises(UserError, match=said):
        ensembles("BPR", preset).start(repartition=True, **settings)


def test_a_new_partition_needs_an_object_for_each_shard(ensembles):
    place = ensembles("BPR", "ultrare")
    algorithm = place.start(repartition=True)
    ask(algorithm, np.flatnonzero(place.log.user > 2))
    with pytest.raises(UserError, match="--num_shards: 3 is more than the 2 users in the training data"):
        algorithm.complete()
