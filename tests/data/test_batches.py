"""Training batches: every example once per epoch, and identical for the same seed, epoch and batch number."""

import numpy as np
import pytest
import torch

from recbole.data import Negatives, TrainBatches, create_dataset
from recbole.data.sampler import in_turn
from recbole.utils import InputType, ModelType, UserError, stream

PAIRWISE, POINTWISE = InputType.PAIRWISE, InputType.POINTWISE
NEGATIVES = {"distribution": "uniform", "sample_num": 2}


@pytest.fixture
def batches(small_cf, config):
    """A function: ``batches(input_type, forgotten=..., **settings)`` returns training batches."""

    def make(input_type=PAIRWISE, forgotten=(), **settings):
        settings = {"train_batch_size": 64, "seed": 5} | settings
        dataset = create_dataset(config(small_cf, **settings), ModelType.GENERAL)
        dataset.forget(np.array(forgotten, dtype=np.int64))
        return TrainBatches(dataset.config, dataset, input_type)

    return make


def same(one, other):
    """Return whether two lists of interactions have identical values in the same columns."""
    return len(one) == len(other) and all(
        a.columns == b.columns and all(torch.equal(a[name], b[name]) for name in a.columns)
        for a, b in zip(one, other, strict=True)
    )


def positives(parts, n_rows=None):
    """Return the sorted (user, item) pairs in the first ``n_rows`` rows of each batch."""
    users, items = (torch.cat([part[name][:n_rows] for part in parts]).tolist() for name in ("user_id", "item_id"))
    return sorted(zip(users, items, strict=True))


def retained(dataset):
    rows = dataset.train_rows
    return sorted(zip(dataset.log.user[rows].tolist(), dataset.log.item[rows].tolist(), strict=True))


def test_every_retained_example_occurs_once_per_epoch(batches):
    made = batches(forgotten=range(0, 300, 3))
    first, second = list(made.epoch(0)), list(made.epoch(1))
    assert len(first) == len(made) == len(batches()), "forgetting does not change the number of batches"
    assert positives(first) == positives(second) == retained(made.dataset)
    assert not torch.equal(first[0]["item_id"], second[0]["item_id"]), "epochs differ in order"


def test_the_same_seed_and_epoch_give_identical_batches(batches):
    made = batches()
    epoch = list(made.epoch(3))
    list(made.epoch(4))
    assert same(epoch, list(made.epoch(3))), "independent of other random draws"
    assert same(epoch, list(batches().epoch(3))), "in another process"
    assert not same(epoch, list(batches(seed=6).epoch(3)))


def test_an_epoch_can_be_resumed_in_the_middle(batches):
    made = batches()
    whole = list(made.epoch(2))
    for first in (0, 1, len(whole) - 1, len(whole)):
        assert same(whole[first:], list(made.epoch(2, first=first)))


def test_pairwise_batches_have_a_column_of_negatives(batches):
    made = batches(PAIRWISE, train_neg_sample_args=NEGATIVES)
    parts = list(made.epoch(0))
    n = 64 // 2
    assert [len(part) for part in parts[:-1]] == [64] * (len(parts) - 1), "train_batch_size counts rows"
    for part in parts:
        half = len(part) // 2
        assert torch.equal(part["user_id"][:half], part["user_id"][half:])
        assert torch.equal(part["item_id"][:half], part["item_id"][half:])
        assert part["neg_item_id"].dtype == torch.int64 and "label" not in part
    both = positives(parts[:-1], n) + positives(parts[-1:], len(parts[-1]) // 2)
    assert sorted(both) == retained(made.dataset)
    has = made.dataset.inter_matrix("csr").toarray()
    assert not any(has[part["user_id"].numpy(), part["neg_item_id"].numpy()].any() for part in parts)
    first, second = (part["neg_item_id"] for part in parts[:2])
    for one, other in ((first[:n], first[n:]), (first, second)):
        assert (one == other).double().mean() < 0.3, "each negative is drawn independently"


def test_pointwise_batches_have_negatives_as_rows_with_label_0(batches):
    made = batches(POINTWISE, train_neg_sample_args=NEGATIVES)
    parts = list(made.epoch(0))
    assert [len(part) for part in parts[:-1]] == [63] * (len(parts) - 1), (
        "whole groups of a positive and its negatives, at most train_batch_size rows"
    )
    has, found = made.dataset.inter_matrix("csr").toarray(), []
    for part in parts:
        n = len(part) // 3
        assert part["label"].tolist() == [1.0] * n + [0.0] * (2 * n) and part["label"].dtype == torch.float32
        assert torch.equal(part["user_id"], part["user_id"][:n].repeat(3)) and "neg_item_id" not in part
        assert has[part["user_id"].numpy(), part["item_id"].numpy()].tolist() == part["label"].tolist()
        found += positives([part], n)
    assert sorted(found) == retained(made.dataset)


def test_without_negatives_a_batch_has_only_positives(batches):
    made = batches(POINTWISE, train_neg_sample_args=None)
    parts = list(made.epoch(0))
    assert [len(part) for part in parts[:-1]] == [64] * (len(parts) - 1) and "label" not in parts[0]
    assert positives(parts) == retained(made.dataset)


def test_a_batch_has_at_least_one_example(batches):
    made = batches(PAIRWISE, train_batch_size=1, train_neg_sample_args=NEGATIVES)
    assert len(next(made.epoch(0))) == 2 and len(made) == made.dataset.inter_num


@pytest.mark.parametrize("input_type", [PAIRWISE, POINTWISE])
def test_the_method_like_keeps_the_negatives_of_the_remaining_positives(small_dataset, input_type):
    negatives = Negatives(small_dataset.config, small_dataset, input_type)
    examples = small_dataset.train_examples()[::9]
    batch = small_dataset.collate(examples)
    before = negatives.add(batch, in_turn(stream(1, "t")), times=3)
    places = np.array([7, 2, 5])
    after = negatives.like(batch[places], before, torch.from_numpy(places), 3)
    if input_type is PAIRWISE:
        drawn = before["neg_item_id"].view(3, -1)
        assert len(after) == 9 and torch.equal(after["neg_item_id"].view(3, -1), drawn[:, places])
    else:
        drawn = before["item_id"].view(4, -1)
        assert len(after) == 12 and torch.equal(after["item_id"].view(4, -1), drawn[:, places])
        assert after["label"].tolist() == [1.0] * 3 + [0.0] * 9
    assert after["user_id"].tolist() == batch["user_id"][places].tolist() * (len(after) // 3)
    everything = negatives.like(batch, before, np.arange(len(batch)), 3)
    assert same([everything], [before])


def test_data_that_cannot_be_trained_on_is_rejected(batches):
    with pytest.raises(UserError, match="a pairwise model needs negatives"):
        batches(PAIRWISE, train_neg_sample_args=None)
    assert "neg_item_id" not in next(batches(PAIRWISE, train_neg_sample_args=None, loss_type="NLL").epoch(0))
    with pytest.raises(UserError, match="small: no training example is left"):
        batches(forgotten=range(348))
