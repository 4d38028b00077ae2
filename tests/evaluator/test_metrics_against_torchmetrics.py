"""Ranking metrics compared with torchmetrics, list by list, on random scores.

They agree except for mean average precision, which torchmetrics normalises differently (see docs/metrics.md).
"""

import numpy as np
import pytest
import torch
from torchmetrics.functional.retrieval import (
    retrieval_hit_rate,
    retrieval_normalized_dcg,
    retrieval_precision,
    retrieval_recall,
    retrieval_reciprocal_rank,
)

from recbole.data.ragged import Ragged
from recbole.evaluator.metrics import METRICS, PerRow
from recbole.evaluator.scores import best_of, member

ORACLES = {
    "recall": retrieval_recall,
    "mrr": retrieval_reciprocal_rank,
    "ndcg": retrieval_normalized_dcg,
    "hit": retrieval_hit_rate,
    "precision": retrieval_precision,
}
KS = (1, 2, 5, 10, 20, 59)
N_ITEMS = 60


@pytest.fixture(scope="module")
def questions():
    """Scores [rows, items] without ties, and positive items, from one to nearly all; item 0 is padding."""
    draw = np.random.default_rng(8)
    right = np.zeros((120, N_ITEMS), dtype=bool)
    for row, n in enumerate(np.concatenate([np.ones(40, int), draw.integers(2, 30, 60), draw.integers(30, 60, 20)])):
        right[row, draw.choice(np.arange(1, N_ITEMS), n, replace=False)] = True
    scores = draw.permuted(np.tile(np.linspace(0, 1, N_ITEMS), (120, 1)), axis=1) + 0.3 * right
    return torch.from_numpy(scores + draw.uniform(0, 1e-3, scores.shape)), right


@pytest.fixture(scope="module")
def ours(questions):
    scores, right = questions
    scores = scores.clone()
    scores[:, 0] = -torch.inf
    positives = Ragged(right.nonzero()[1], np.concatenate([[0], np.cumsum(right.sum(axis=1))]))
    hits = member(best_of(scores, max(KS)), positives, N_ITEMS)
    return {name: METRICS[name](hits, positives.sizes()) for name in ORACLES}


def test_every_metric_is_compared():
    assert ORACLES.keys() == {name for name, metric in METRICS.items() if isinstance(metric, PerRow)} - {"map"}


@pytest.mark.parametrize("k", KS)
@pytest.mark.parametrize("name", ORACLES)
def test_metrics_equal_those_of_torchmetrics(questions, ours, name, k):
    scores, right = questions
    target = torch.from_numpy(right[:, 1:])
    expected = [ORACLES[name](s, t, top_k=k).item() for s, t in zip(scores[:, 1:], target, strict=True)]
    np.testing.assert_allclose(ours[name][:, k - 1], expected, rtol=0, atol=1e-6)
    assert np.ptp(expected) > 0 or (name == "hit" and k > 20) or (name == "recall" and k == N_ITEMS - 1)
