"""Aggregations of shard models: formulas, gradients, and rejected models."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from shard_worlds import Place

from recbole.config.ensembles import AGGREGATES, PARTITIONS
from recbole.data import TrainBatches
from recbole.data.split import TRAIN
from recbole.ensemble import aggregate
from recbole.ensemble.aggregate import get_aggregator
from recbole.ensemble.aggregate.attention import ITEMS, USERS
from recbole.ensemble.model import Ensemble
from recbole.ensemble.partition.registry import partition_names
from recbole.utils import UserError


def test_every_allowed_setting_has_a_file():
    """The values that the setting allows are the names of the files."""
    folder = Path(aggregate.__path__[0])
    assert set(AGGREGATES) == {path.stem for path in folder.glob("*.py")} - {"__init__", "base"}
    assert [get_aggregator(name).name for name in AGGREGATES] == list(AGGREGATES)
    assert sorted(PARTITIONS) == sorted(partition_names())
    with pytest.raises(UserError, match=r"there is no 'meen'.*mean"):
        get_aggregator("meen")


def untrained(worlds, name, ensemble, shard_of="by_user", rows=(), **settings):
    """Return an ensemble in float64 whose shards have random parameters, and one batch for training the aggregation."""
    place = Place(worlds(name), ensemble, **settings)
    model = Ensemble(place.config, place.state(rows).data)
    torch.manual_seed(3)
    model.build(getattr(place, shard_of)())
    batches = TrainBatches(place.config, place.state(rows).data, model.aggregate.input_type or model.input_type)
    return model.double(), next(iter(batches.epoch(0)))


@pytest.mark.parametrize("lost", [False, True], ids=["all", "one empty"])
def test_attention_weights_sum_to_one(worlds, lost):
    place = Place(worlds("BPR"), "receraser")
    rows = np.flatnonzero((place.by_user() == 1) & (place.log.split == TRAIN)) if lost else ()
    model, _ = untrained(worlds, "BPR", "receraser", rows=rows)
    side = model.aggregate.of_users_
    weights = side(torch.randn(len(model.aggregate.members), 5, 4, dtype=torch.float64))
    assert weights.shape == (2 if lost else 3, 5, 1)
    torch.testing.assert_close(weights.sum(dim=0), torch.ones(5, 1, dtype=torch.float64))
    assert (weights > 0).all()


@pytest.mark.parametrize(("name", "table"), [(USERS, "user_embedding"), (ITEMS, "item_embedding")])
def test_without_attention_it_is_the_mean_of_the_transformed_vectors(worlds, name, table):
    attention = (model := untrained(worlds, "BPR", "receraser")[0]).aggregate
    with torch.no_grad():
        attention.of_users_.h.zero_(), attention.of_items_.h.zero_()
        attention.shift.normal_()
    moved = [
        getattr(shard, table).weight @ matrix.T + shift
        for shard, matrix, shift in zip(model.shards, attention.transfer, attention.shift, strict=True)
    ]
    torch.testing.assert_close(attention.rows(name), sum(moved) / 3)


def test_attention_equals_the_published_formula(worlds):
    """The formula is computed for one user, shard by shard."""
    model, _ = untrained(worlds, "BPR", "receraser")
    attention, side = model.aggregate, model.aggregate.of_users_
    with torch.no_grad():
        side.h.normal_(), side.bias.normal_()
    moved = [
        attention.transfer[k] @ shard.user_embedding.weight[7] + attention.shift[k, 0]
        for k, shard in enumerate(model.shards)
    ]
    logits = [side.h @ torch.relu(side.weight @ vector + side.bias) for vector in moved]
    total = sum(map(torch.exp, logits))
    expected = sum(torch.exp(logit) / total * vector for logit, vector in zip(logits, moved, strict=True))
    torch.testing.assert_close(attention.rows(USERS, torch.tensor([7]))[0], expected)


@pytest.mark.parametrize("name", ["BPR", "LightGCN", "WMF"])
def test_gradients_of_attention(worlds, name):
    model, batch = untrained(worlds, name, "receraser", aggregate_dropout=0.0, aggregate_reg=0.01)
    model.aggregate._whole[0].whole.double()
    check_gradients(model.aggregate, batch)


def test_gradients_of_the_static_weights(worlds):
    model, batch = untrained(worlds, "BPR", "grapheraser")
    with torch.no_grad():
        model.aggregate.logits.normal_()
    assert float(model.aggregate.weights().detach().sum()) == pytest.approx(1.0)
    check_gradients(model.aggregate, batch)


def test_static_weights_weigh_scores_and_are_trained_with_bpr(worlds):
    """There is one weight for each shard with examples.

    The loss is the mean over pairs of -log sigmoid(positive minus negative score).
    """
    model, batch = untrained(worlds, "BPR", "grapheraser")
    model.aggregate.follow([0, 2], None, torch.zeros(1, dtype=torch.int64))
    with torch.no_grad():
        model.aggregate.logits.copy_(torch.tensor([0.0, 5.0, np.log(3.0)]))
        parts = torch.stack([model.shards[at].full_sort_predict(batch).view(len(batch), -1) for at in (0, 2)])
        expected = 0.25 * parts[0] + 0.75 * parts[1]
        torch.testing.assert_close(model.aggregate.scores(batch), expected)
        above = expected.gather(1, batch["item_id"][:, None]) - expected.gather(1, batch["neg_item_id"][:, None])
        norm = (0.25**2 + 0.75**2) ** 0.5
        torch.testing.assert_close(model.aggregate.loss(batch), -above.sigmoid().log().mean() + norm)


def test_the_norm_keeps_one_shard_from_getting_all_static_weight(worlds):
    """The first shard ranks the training items of all users highest, so that BPR alone would use only this shard."""

    def above(pairs, right, height):
        return height * right[pairs["user_id"], pairs["item_id"]]

    weights = {}
    for reg in (0.0, 1.0):
        model, batch = untrained(worlds, "BPR", "grapheraser", aggregate_reg=reg)
        right = torch.zeros(model.shards[0].n_users, model.n_items, dtype=torch.float64)
        right[batch["user_id"], batch["item_id"]] = 1.0
        for shard, height in zip(model.shards, (2.0, 0.1, 0.1), strict=True):
            shard.predict = partial(above, right=right, height=height)
        optimizer = torch.optim.Adam(model.aggregate.parameters(), lr=0.1)
        for _ in range(200):
            optimizer.zero_grad()
            model.aggregate.loss(batch).backward()
            optimizer.step()
        weights[reg] = model.aggregate.weights().detach()
    assert weights[0.0][0] > 0.95
    assert 0.34 < weights[1.0][0] < 0.7


def check_gradients(aggregation, batch):
    """Compare each parameter's gradient along a random direction with a finite difference of losses."""
    gradients = torch.autograd.grad(aggregation.loss(batch), list(aggregation.parameters()))
    for parameter, gradient in zip(aggregation.parameters(), gradients, strict=True):
        direction, step = torch.randn_like(parameter), 1e-6
        losses = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.add_(direction, alpha=sign * step)
                losses.append(float(aggregation.loss(batch)))
                parameter.sub_(direction, alpha=sign * step)
        slope = (losses[0] - losses[1]) / (2 * step)
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("name", ["BPR", "WMF"])
def test_only_rows_that_a_batch_reads_are_computed(worlds, name):
    """The loss of a batch is the same as with the whole tables."""
    model, batch = untrained(worlds, name, "receraser", aggregate_dropout=0.0)
    whole = model.aggregate._whole[0].whole.double()
    part = model.aggregate.loss(batch)
    assert whole.reads()
    whole.reads = dict
    torch.testing.assert_close(part, model.aggregate.loss(batch))


@pytest.mark.parametrize("ensemble", ["grapheraser", "receraser"])
def test_only_the_aggregation_is_trained(worlds, ensemble):
    place = Place(worlds("BPR"), ensemble)
    shards = [place.learn(place.by_user()), Place(worlds("BPR"), ensemble, aggregate_epochs=0).learn(place.by_user())]
    for one, other in zip(*(model.state_dict().items() for model in shards), strict=True):
        name, tensor = one
        assert torch.equal(tensor, other[1]) != name.startswith("aggregate")


def test_the_mean_of_vectors(worlds):
    model, batch = untrained(worlds, "BPR", "sisa", aggregate="mean_embedding")
    users = sum(shard.user_embedding.weight for shard in model.shards) / 3
    items = sum(shard.item_embedding.weight for shard in model.shards) / 3
    torch.testing.assert_close(model.full_sort_predict(batch), users[batch["user_id"]] @ items.T)


def test_merging_takes_a_users_vector_from_the_users_shard(worlds):
    model, batch = untrained(worlds, "BPR", "ultrare")
    items = sum(shard.item_embedding.weight for shard in model.shards) / 3
    own = torch.stack([model.shards[int(user) % 3].user_embedding.weight[user] for user in batch["user_id"]])
    torch.testing.assert_close(model.full_sort_predict(batch), own @ items.T)


@pytest.mark.parametrize("name", ["BPR", "GRU4Rec", "DNNTSP"])
def test_the_softmax_of_the_scores_is_the_mean_of_the_shards_probabilities(worlds, name):
    model, batch = untrained(worlds, name, "sisa", aggregate="mean_probability")
    model.eval()
    with torch.no_grad():
        found = model.full_sort_predict(batch)
        parts = [shard.full_sort_predict(batch).view(len(batch), -1)[:, 1:].softmax(dim=1) for shard in model.shards]
        torch.testing.assert_close(found[:, 1:].exp(), sum(parts) / 3)
        torch.testing.assert_close(found[:, 1:].softmax(dim=1), sum(parts) / 3)
        assert torch.equal(found[:, 0], found[:, 1:].amin(dim=1))
        batch.interaction["item_id"] = torch.arange(len(batch)) % 5 + 1
        torch.testing.assert_close(model.predict(batch), found.gather(1, batch["item_id"][:, None])[:, 0])
    assert not model.aggregate.trained


def test_own_takes_all_scores_of_a_user_from_the_users_shard(worlds):
    model, batch = untrained(worlds, "BPR", "sisa", partition="ubp", aggregate="own")
    own = [model.shards[int(user) % 3] for user in batch["user_id"]]
    expected = torch.stack([shard.full_sort_predict(batch)[row] for row, shard in enumerate(own)])
    assert torch.equal(model.full_sort_predict(batch), expected)
    torch.testing.assert_close(model.predict(batch), expected.gather(1, batch["item_id"][:, None])[:, 0])
    assert not model.aggregate.trained


def test_merging_uses_the_shard_of_a_users_retained_rows(worlds):
    """The shard of a forgotten row has no effect."""
    place = Place(worlds("BPR"), "ultrare")
    shard_of, lost = place.by_user(), np.flatnonzero(place.log.user == 5)[[0, -1]]
    shard_of[lost] = (shard_of[lost] + 1) % 3
    model = Ensemble(place.config, place.state(lost).data)
    model.build(shard_of)
    assert model.aggregate.user_shard[1:].tolist() == [user % 3 for user in range(1, place.dataset.n_users)]


@pytest.mark.parametrize(
    ("name", "ensemble", "said"),
    [
        ("GRU4Rec", "grapheraser", "static.*GRU4Rec"),
        ("NeuMF", "receraser", "attention.*NeuMF has none"),
        ("DNNTSP", "ultrare", "merge.*DNNTSP has none"),
        ("SpectralCF", "receraser", "attention.*SpectralCF has other parameters"),
    ],
)
def test_a_model_that_lacks_vectors_is_named(worlds, name, ensemble, said):
    with pytest.raises(UserError, match=said):
        untrained(worlds, name, ensemble)


def test_own_is_rejected_for_models_without_user_vectors(worlds):
    with pytest.raises(UserError, match=r"own.*DNNTSP does not"):
        untrained(worlds, "DNNTSP", "sisa", aggregate="own")
