"""An ensemble as a model: independent shards, aggregation, and checkpoints."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from shard_worlds import Place
from small_worlds import same, weights

from recbole.data.split import TRAIN
from recbole.ensemble.model import Ensemble
from recbole.ensemble.partitioning import check_ensemble, make_partition
from recbole.ensemble.training import Workspace
from recbole.model import get_model
from recbole.trainer.learn import learn, load, save_weights
from recbole.trainer.state import Run
from recbole.utils import UserError

TASKS = ("BPR", "LightGCN", "GRU4Rec", "DNNTSP")
ROWS = (40, 41, 97, 150)


def scores(model, data):
    asked = data.eval_rows("test")
    with torch.no_grad():
        return model.eval().full_sort_predict(asked.inputs[np.arange(len(asked.inputs))]).view(len(asked.inputs), -1)


@pytest.mark.parametrize("name", TASKS)
def test_a_single_shard_equals_the_plain_model_bit_by_bit(worlds, name):
    place = Place(worlds(name), num_shards=1)
    ensemble = place.learn(np.zeros(len(place.log), dtype=np.int16), ROWS)
    plain = learn(Run(place.config.with_values(ensemble=None), get_model(name)), place.state(ROWS)).model
    assert same(weights(plain), weights(ensemble.shards[0]))
    data = place.state(ROWS).data
    assert torch.equal(scores(plain, data), scores(ensemble, data))


@pytest.mark.parametrize("name", ["BPR", "LightGCN"])
def test_a_shard_does_not_depend_on_rows_of_other_shards(worlds, name):
    """Neither the content of rows in other shards nor their mask changes it."""
    place = Place(worlds(name))
    shard_of, other = place.by_row(), Place(worlds(name))
    before = place.learn(shard_of)
    elsewhere = np.flatnonzero(shard_of != 1)
    item = place.log.item.copy()
    item[elsewhere] = item[elsewhere] % (place.dataset.n_items - 1) + 1
    other.dataset = type(place.dataset)(place.dataset.config, replace(place.log, item=item))
    for after in (other.learn(shard_of), place.learn(shard_of, elsewhere[::3])):
        assert same(weights(before.shards[1]), weights(after.shards[1]))
        assert not same(weights(before.shards[0]), weights(after.shards[0]))


def test_shards_have_different_initial_values_and_random_draws(worlds):
    place = Place(worlds("BPR"), epochs=0)
    model = place.learn(place.by_row())
    first, second, _ = (shard.user_embedding.weight for shard in model.shards)
    assert not torch.equal(first, second) and float(first.std()) == pytest.approx(float(second.std()), rel=0.3)


@pytest.mark.parametrize("name", TASKS)
def test_the_mean_aggregation_averages_scores(worlds, name):
    place = Place(worlds(name))
    model = place.learn(place.by_user())
    expected = sum(scores(shard, place.dataset) for shard in model.shards) / 3
    torch.testing.assert_close(scores(model, place.dataset), expected)


def test_a_shard_without_examples_is_ignored(worlds):
    """Its model keeps its initial values, whether it never had a row or lost all of them."""
    place = Place(worlds("BPR"))
    shard_of = place.by_user()
    lost = np.flatnonzero((shard_of == 2) & (place.log.split == TRAIN))
    model = place.learn(shard_of, lost)
    start = Place(worlds("BPR"), epochs=0).learn(shard_of)
    assert model.aggregate.members == [0, 1] and same(weights(model.shards[2]), weights(start.shards[2]))
    data = place.state(lost).data
    torch.testing.assert_close(scores(model, data), sum(scores(shard, data) for shard in model.shards[:2]) / 2)
    never = place.learn(np.where(shard_of == 2, 0, shard_of).astype(np.int16))
    assert never.aggregate.members == [0, 1]


def test_there_can_be_more_shards_than_users(worlds):
    """When rows are divided, shards can be as many as rows; shards without training rows are ignored."""
    place = Place(worlds("BPR"), num_shards=worlds("BPR").dataset.n_users + 5, epochs=1)
    check_ensemble(place.config, get_model("BPR"), place.dataset)
    shard_of = make_partition(place.run, place.state(), Workspace()).shard_of
    model = place.learn(shard_of)
    assert len(model.shards) > place.dataset.n_users and torch.isfinite(scores(model, place.dataset)).all()
    lost = np.flatnonzero(shard_of == 4)
    assert 4 not in place.learn(shard_of, lost).aggregate.members and 4 in model.aggregate.members


def test_a_user_can_be_in_every_shard(worlds):
    place = Place(worlds("BPR"))
    shard_of = place.by_row()
    assert {*shard_of[place.log.user == 20]} == {0, 1, 2}
    assert torch.isfinite(scores(place.learn(shard_of), place.dataset)).all()


@pytest.mark.parametrize("ensemble", ["sisa", "grapheraser", "receraser", "ultrare"])
def test_a_checkpoint_contains_the_whole_ensemble(worlds, tmp_path, ensemble):
    place = Place(worlds("BPR"), ensemble)
    model, state = place.learn(place.by_user(), ROWS), place.state(ROWS, tmp_path / "x.pth")
    save_weights(state, -1, place.run, model.state_dict())
    again = load(place.run, state)
    assert isinstance(again, Ensemble) and same(weights(model), weights(again))
    assert torch.equal(scores(model, state.data), scores(again, state.data))
    assert again.without.sum() == len(ROWS)
    with pytest.raises(UserError, match="num_shards 2"):
        load(Run(place.config.with_values(num_shards=2), Ensemble), state)


def test_the_checkpoint_of_a_single_model_is_rejected(worlds, tmp_path):
    place, plain = Place(worlds("BPR")), worlds("BPR")
    state = place.state(path=tmp_path / "x.pth")
    save_weights(state, 1, Run(plain.config, get_model("BPR")), plain.state)
    with pytest.raises(UserError, match="it is a single model, not an ensemble"):
        load(place.run, state)


@pytest.mark.parametrize("ensemble", ["sisa", "grapheraser", "receraser", "ultrare"])
def test_scores_of_pairs_equal_those_of_full_lists(worlds, ensemble):
    place = Place(worlds("BPR"), ensemble)
    model = place.learn(place.by_user()).eval()
    pairs = place.dataset.collate(np.arange(0, 60, 7))
    every = model.full_sort_predict(pairs)
    torch.testing.assert_close(model.predict(pairs), every.gather(1, pairs["item_id"].unsqueeze(1)).squeeze(1))


def test_graphs_follow_the_mask_in_every_shard(worlds):
    place = Place(worlds("LightGCN"), "receraser")
    model = place.learn(place.by_row())
    rows = np.flatnonzero(place.log.split == TRAIN)[:40]
    fresh = place.learn(place.by_row(), rows)
    model.load_state_dict(fresh.state_dict())
    model.rebuild(place.state(rows).data)
    assert torch.equal(scores(model, place.dataset), scores(fresh, place.dataset))
