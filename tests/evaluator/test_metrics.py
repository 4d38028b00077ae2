"""The metrics: the contract of each, a golden row, and how they are found."""

import math

import numpy as np
import pytest
from metric_contract import PerRowContract, without_contract

from recbole.evaluator import find_metric, of_lists, per_row
from recbole.evaluator.metrics import METRICS
from recbole.utils import UserError


class TestRecall(PerRowContract):
    metric, grows, ideal = "Recall", True, None  # a list may be too short for all

    def by_definition(self, hits, n_right, k):
        return sum(hits[:k]) / n_right


class TestMRR(PerRowContract):
    metric, grows = "MRR", True

    def by_definition(self, hits, n_right, k):
        return next((1 / rank for rank, right in enumerate(hits[:k], start=1) if right), 0.0)


class TestNDCG(PerRowContract):
    metric, grows = "NDCG", False

    def by_definition(self, hits, n_right, k):
        discount = [1 / math.log2(rank + 1) for rank in range(1, k + 1)]
        gain = sum(right * d for right, d in zip(hits[:k], discount, strict=True))
        return gain / sum(discount[: min(k, n_right)])


class TestHit(PerRowContract):
    metric, grows = "Hit", True

    def by_definition(self, hits, n_right, k):
        return float(any(hits[:k]))


class TestPrecision(PerRowContract):
    metric, grows, ideal = "Precision", False, None  # there may be fewer right items than places

    def by_definition(self, hits, n_right, k):
        return sum(hits[:k]) / k


def test_every_metric_has_a_contract():
    assert without_contract(METRICS) == []
    assert without_contract(["toy", *METRICS]) == ["toy"], "a metric without one is found"


def test_the_golden_row():
    hits, n_right = np.array([[False, True, False, True, False]]), np.array([3])
    found = {name: metric(hits, n_right)[0, [1, 4]].tolist() for name, metric in METRICS.items()}
    expected = {
        "recall": [1 / 3, 2 / 3],
        "mrr": [0.5, 0.5],
        "ndcg": [0.38685, 1.06161 / 2.13093],
        "hit": [1, 1],
        "precision": [0.5, 0.4],
    }
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, abs=5e-6)
    assert round(found["ndcg"][1], 5) == 0.49819


def test_the_ideal_list_ends_at_k():
    """Items to find beyond the list's length are not held against it: a full list of hits is ideal."""
    hits, n_right = np.array([[True, True]]), np.array([5])
    assert METRICS["ndcg"](hits, n_right)[0, 1] == 1.0 and METRICS["recall"](hits, n_right)[0, 1] == 0.4


def test_an_unknown_metric_is_refused_with_the_nearest_and_all_there_are():
    told = r"^metrics: there is no metric 'Recal', did you mean 'Recall'\?; known: Recall, MRR, NDCG, Hit, Precision$"
    with pytest.raises(UserError, match=told):
        find_metric("Recal")


def test_a_metric_of_another_shape_is_refused():
    sums = per_row("Sums")(lambda hits, n_right: hits.sum(axis=1))
    with pytest.raises(UserError, match=r"metric Sums should return values of shape \(2, 3\), and returns \(2,\)"):
        sums(np.ones((2, 3), dtype=bool), np.array([3, 3]))


@pytest.mark.parametrize("name", ["", "Re call", "Recall@10"])
def test_a_metric_has_a_name_that_result_rows_can_have(name):
    with pytest.raises(ValueError, match="a metric's name is a word"):
        of_lists(name)(lambda best, n_items: best)
