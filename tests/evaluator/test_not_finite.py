"""Models with NaN or infinite scores: their metrics are null with a named model, and a training counts as diverged."""

import logging

import numpy as np
import pytest
import torch
from probe_contract import SETTINGS, bpr, checkpoint_views

from recbole.evaluator import evaluate, get_probe
from recbole.evaluator.utility import validation
from recbole.quick_start.closing import all_finite
from recbole.utils import UserError


@pytest.fixture
def broken(small_dataset):
    """A model with NaN scores for user 3, who has a request, and a view."""
    forgotten = np.zeros(len(small_dataset.log), dtype=bool)
    forgotten[small_dataset.log.rows_of([3, 20])[::2]] = True
    model = bpr(small_dataset, 1)
    with torch.no_grad():
        model.user_embedding.weight[3] = torch.nan
    return model, checkpoint_views(small_dataset, forgotten)


def asked(model, view, reference=None, /, **about):
    probes = [get_probe(name)() for name in ("utility", "exposure", "distance", "forgotten")]
    return evaluate(model, view, SETTINGS, probes, reference, **about)


def test_means_with_a_nan_row_are_nan_and_others_are_unchanged(broken, small_dataset, caplog):
    model, view = broken
    reference = bpr(small_dataset, 2), "r.pth"
    rows = asked(model, view, reference, model="unlearned", checkpoint=1)
    sound = asked(bpr(small_dataset, 1), view, reference, model="unlearned", checkpoint=1)
    assert len(rows) == len(sound)
    for row, other in zip(rows, sound, strict=True):
        if row["population"] == "others":
            assert row == other
        elif row["view"] != "current" or row["metric"] not in ("recall", "mrr", "ndcg", "hit", "precision"):
            assert np.isnan(row["value"]) and row["low"] is None
    with caplog.at_level(logging.WARNING, "recbole"):
        assert all_finite(sound) and not caplog.messages
        assert not all_finite(rows)
        assert caplog.messages == ["scores are not finite, so metrics are null: unlearned (checkpoint 1)"]
    assert all_finite(asked(bpr(small_dataset, 2), view, (model, "r.pth"), model="base")), "only the reference differs"


def test_nan_scores_in_validation_end_the_training_as_diverged(broken, small_dataset):
    model, _ = broken
    with pytest.raises(UserError, match="training diverged: a score in validation is not a number"):
        validation(model, small_dataset.eval_rows("valid"), small_dataset.config)
