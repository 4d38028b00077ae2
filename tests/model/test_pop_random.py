"""The baselines Pop (counts) and Random (fixed random scores)."""

import numpy as np
import pytest
import torch

from recbole.data import Interaction
from recbole.model import get_model
from recbole.utils import ModelType

EVERYBODY = Interaction({"user_id": torch.arange(25).repeat_interleave(41), "item_id": torch.arange(41).repeat(25)})
USERS = Interaction({"user_id": torch.arange(25)})


@pytest.mark.parametrize("name", ["Pop", "Random"])
def test_both_scoring_methods_agree(name, small_dataset):
    model = get_model(name)(small_dataset.config, small_dataset).eval()
    full = model.full_sort_predict(USERS)
    assert full.shape == (25, 41) and torch.equal(model.predict(EVERYBODY), full.reshape(-1))
    assert (full >= 0).all() and (full <= 1).all() and model.type is ModelType.TRADITIONAL
    loss = model.calculate_loss(EVERYBODY)
    loss.backward()
    assert loss == 0 and all(not parameter.grad.any() for parameter in model.parameters())


def test_popularity_counts_retained_training_rows(small_dataset):
    masked = small_dataset.masked(np.arange(len(small_dataset.log)) % 2 == 0)
    model = get_model("Pop")(small_dataset.config, small_dataset)
    for dataset in (small_dataset, masked):
        model.rebuild(dataset)
        counts = np.bincount(dataset.log.item[dataset.train_rows], minlength=41)
        assert model.full_sort_predict(USERS).numpy() == pytest.approx(np.tile(counts / counts.max(), (25, 1)))
        assert model.item_cnt.ravel().tolist() == counts.tolist()
    nothing = small_dataset.masked(np.ones(len(small_dataset.log), dtype=bool))
    model.rebuild(nothing)
    assert not model.full_sort_predict(USERS).any(), "there is no division by zero"


def test_counts_are_in_the_checkpoint(small_dataset):
    trained = get_model("Pop")(small_dataset.config, small_dataset)
    fresh = get_model("Pop")(small_dataset.config, small_dataset.masked(np.ones(len(small_dataset.log), dtype=bool)))
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(fresh.full_sort_predict(USERS), trained.full_sort_predict(USERS))


def test_random_scores_are_uniform_and_differ_between_users_items_and_seeds(small_cf, small_dataset, config):
    def lottery(seed):
        model = get_model("Random")(config(small_cf, "Random", seed=seed), small_dataset)
        assert torch.equal(model.full_sort_predict(USERS), model.full_sort_predict(USERS)), "repeated calls agree"
        return model.full_sort_predict(USERS).numpy()

    scores, other = lottery(2), lottery(3)
    counts, _ = np.histogram(scores, bins=10, range=(0, 1))
    expected = scores.size / 10
    assert abs(((counts - expected) ** 2 / expected).sum() - 9) < 4 * np.sqrt(18)
    correlations = np.corrcoef(scores)[np.triu_indices(25, 1)], np.corrcoef(scores.T)[np.triu_indices(41, 1)]
    for values, n in zip(correlations, (41, 25), strict=True):
        assert abs(values.mean()) < 0.05 and values.std() == pytest.approx(1 / np.sqrt(n), rel=0.25)
    assert abs(np.corrcoef(scores.ravel(), other.ravel())[0, 1]) < 0.1
    assert len(np.unique(scores)) == scores.size
