"""The partition of an ensemble: it covers all rows, is computed once, and uses vectors of a pretrained model."""

from dataclasses import replace

import numpy as np
import pytest
from shard_worlds import Place
from sklearn.metrics import adjusted_rand_score
from small_worlds import same, weights

from recbole.data.split import TRAIN
from recbole.ensemble import partitioning
from recbole.ensemble.partitioning import agreement, check_ensemble, make_partition
from recbole.ensemble.scan import rewritten
from recbole.ensemble.training import Workspace
from recbole.model import get_model
from recbole.trainer import TrainingLoop
from recbole.utils import UserError

EVERY = ("random", "hash", "ubp", "ibp", "inbp", "bekm", "blpa", "ot")
BY = {"random": "row", "inbp": "row", "ibp": "item"}


def made(place, workspace=None):
    return make_partition(place.run, place.state(), workspace or Workspace())


@pytest.mark.parametrize("name", EVERY)
def test_every_row_has_a_shard(worlds, name):
    place = Place(worlds("BPR"), "sisa", partition=name)
    found = made(place)
    assert found.shard_of.dtype == np.int16 and len(found.shard_of) == len(place.log)
    assert found.shard_of.min() >= 0 and found.shard_of.max() < 3
    assert found.about["partition"] == name and sum(found.about["shard_rows"]) == len(place.log)
    owner = {"user": place.log.user, "item": place.log.item}.get(BY.get(name, "user"))
    if owner is not None:
        assert all(len({*found.shard_of[owner == one]}) == 1 for one in {*owner})
    assert ("pretrained_sha256" in found.about) == (name in ("ubp", "ibp", "inbp", "bekm", "ot"))
    assert found.about["exact_level"] == ("E2" if name == "hash" else "E1")


@pytest.mark.parametrize("name", ["random", "inbp"])
def test_validation_and_test_rows_follow_most_of_the_users_training_rows(worlds, name):
    place = Place(worlds("BPR"), "sisa", partition=name)
    shard_of, log = made(place).shard_of, place.log
    for user in range(1, place.dataset.n_users):
        own = (log.user == user) & (log.split == TRAIN)
        counts = np.bincount(shard_of[own], minlength=3)
        assert {*shard_of[(log.user == user) & (log.split != TRAIN)]} <= {int(counts.argmax())}


def test_vectors_depend_on_log_and_seed(worlds):
    one, again = (made(Place(worlds("BPR"), "receraser")).about["pretrained_sha256"] for _ in range(2))
    longer = made(Place(worlds("BPR"), "receraser", pretrain_epochs=3)).about["pretrained_sha256"]
    other = made(Place(worlds("BPR"), "receraser", seed=7)).about["pretrained_sha256"]
    assert one == again and len({one, longer, other}) == 3


@pytest.mark.parametrize("name", ["ubp", "ibp", "blpa"])
def test_a_partition_does_not_depend_on_forgotten_rows(worlds, name):
    """If the forgotten rows have other content, the shards of the other rows are the same."""
    place, rows = Place(worlds("BPR"), "sisa", partition=name), np.arange(0, 40)
    state = place.state(rows)
    other = replace(state, dataset=rewritten(place.dataset, state.forgotten))
    found = [make_partition(place.run, one, Workspace()) for one in (state, other)]
    assert (found[0].shard_of == found[1].shard_of).all() and found[0].about == found[1].about
    assert (found[0].shard_of[rows] == rows % 3).all() and sum(found[0].about["shard_rows"]) == len(place.log) - 40


def test_agreement_equals_the_adjusted_rand_index():
    """It is 1 if only the numbers of the shards differ; otherwise it is compared with scikit-learn."""
    draw = np.random.default_rng(3)
    one, other = (draw.integers(0, 4, 60).astype(np.int16) for _ in range(2))
    other[:30] = one[:30]
    assert agreement(one, (one + 1) % 4, 4) == 1 and agreement(np.zeros_like(one), np.zeros_like(one), 4) == 1
    assert agreement(one, other, 4) == pytest.approx(adjusted_rand_score(one, other))


def test_the_partition_is_stored_while_shards_are_trained(worlds, tmp_path, monkeypatch):
    place, workspace = Place(worlds("BPR"), "receraser"), Workspace(tmp_path / "x")
    first = made(place, workspace)
    monkeypatch.setattr(partitioning, "learn", lambda *_, **__: pytest.fail("trained again"))
    again = made(place, workspace)
    assert (again.shard_of == first.shard_of).all() and again.about == first.about
    monkeypatch.undo()
    assert made(Place(worlds("BPR"), "receraser", seed=7), workspace).about != first.about


def test_a_killed_training_of_the_base_resumes(worlds, tmp_path, monkeypatch):
    """It is killed in the second shard; the first shard is not trained again."""
    monkeypatch.setenv("ERASE_SNAPSHOT_SECONDS", "0")
    place, workspace, fit = Place(worlds("BPR"), "receraser"), Workspace(tmp_path / "x"), TrainingLoop.fit
    whole, fitted = place.learn(place.by_row()), []

    def dying(self):
        fitted.append(self)
        if len(fitted) == 2:
            self.config["epochs"] = 2
            fit(self)
            raise KeyboardInterrupt
        return fit(self)

    monkeypatch.setattr(TrainingLoop, "fit", dying)
    with pytest.raises(KeyboardInterrupt):
        place.learn(place.by_row(), workspace=workspace)
    assert {path.name for path in tmp_path.iterdir()} == {"x.shard_0.part", "x.shard_1.resume"}
    again = place.learn(place.by_row(), workspace=workspace)
    assert same(weights(whole), weights(again)) and len(fitted) == 2 + 3  # two shards and the aggregation


@pytest.mark.parametrize(
    ("name", "ensemble", "settings", "said"),
    [
        ("Pop", "sisa", {}, "which Pop does not use; --unlearning_algorithm exact"),
        ("GRU4Rec", "sisa", {"partition": "random"}, "--partition random spreads a user's rows.*--partition hash"),
        ("DNNTSP", "sisa", {"partition": "ubp"}, "--partition ubp needs user and item embeddings"),
        ("BPR", "ultrare", {"partition": "inbp"}, "--partition inbp spreads a user's rows"),
        ("BPR", "receraser", {"num_shards": 2000}, "--num_shards 2000: there are only"),
        ("BPR", "grapheraser", {"num_shards": 25}, "--num_shards 25: there are only 24 users"),
    ],
)
def test_invalid_settings_give_one_line_errors(worlds, name, ensemble, settings, said):
    place = Place(worlds("BPR" if name == "Pop" else name), ensemble, **settings)
    with pytest.raises(UserError, match=said):
        check_ensemble(place.config, get_model(name), place.dataset)
