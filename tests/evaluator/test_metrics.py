"""The built-in metrics: a contract for each, known values, and look-up by name."""

import math

import numpy as np
import pytest
from metric_contract import (
    OfItemsContract,
    OfListsContract,
    OfPairsContract,
    OfPlacesContract,
    PerRowContract,
    without_contract,
)

from recbole.config.derived import SMALLER_IS_BETTER
from recbole.evaluator import find_metric, of_lists, per_row
from recbole.evaluator.metrics import METRICS, OfAllPairs, OfPlacesAt, PerRow
from recbole.utils import UserError


class TestRecall(PerRowContract):
    metric, grows, ideal = "Recall", True, None  # a list may be too short for all positive items

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
    metric, grows, ideal = "Precision", False, None  # a list may be longer than the number of positive items

    def by_definition(self, hits, n_right, k):
        return sum(hits[:k]) / k


class TestMAP(PerRowContract):
    metric, grows = "MAP", False

    def by_definition(self, hits, n_right, k):
        precisions = [sum(hits[:rank]) / rank for rank in range(1, k + 1) if hits[rank - 1]]
        return sum(precisions) / min(n_right, k)


class TestItemCoverage(OfListsContract):
    metric = "ItemCoverage"

    def by_definition(self, best, n_items, k):
        return len({item for row in best for item in row}) / n_items


class TestShannonEntropy(OfListsContract):
    metric = "ShannonEntropy"

    def by_definition(self, best, n_items, k):
        items = [item for row in best for item in row]
        shares = [items.count(item) / len(items) for item in set(items)]
        return sum(-share * math.log(share) for share in shares) / max(len(shares), 1)


class TestGiniIndex(OfListsContract):
    metric = "GiniIndex"

    def by_definition(self, best, n_items, k):
        """Half the mean absolute difference of two items' counts, divided by the mean count."""
        items = [item for row in best for item in row]
        counts = [items.count(item) for item in range(n_items)]
        differences = sum(abs(one - other) for one in counts for other in counts)
        return differences / (2 * n_items * max(sum(counts), 1))


class TestAveragePopularity(OfItemsContract):
    metric = "AveragePopularity"

    def by_definition(self, items, counts, tail, k):
        return sum(counts[item] for item in items if item) / k


class TestTailPercentage(OfItemsContract):
    metric, high = "TailPercentage", 1.0

    def by_definition(self, items, counts, tail, k):
        return sum(bool(tail[item]) for item in items) / k


class TestGAUC(OfPlacesContract):
    metric = "GAUC"

    def by_definition(self, possible, n, k):
        """The fraction of negatives ranked below, averaged over the orders of ties."""
        return sum((n + 1 - place) / n for place in possible) / len(possible)


class TestExpectedRank(OfPlacesContract):
    metric, high = "ExpectedRank", None

    def by_definition(self, possible, n, k):
        return sum(possible) / len(possible)


class AtContract(OfPlacesContract):
    kind = OfPlacesAt


class TestHitAgainst(AtContract):
    metric = "HitAgainst"

    def by_definition(self, possible, n, k):
        return float(max(possible) <= k)


class TestHitExpected(AtContract):
    metric = "HitExpected"

    def by_definition(self, possible, n, k):
        return sum(place <= k for place in possible) / len(possible)


class TestNDCGAgainst(AtContract):
    metric = "NDCGAgainst"

    def by_definition(self, possible, n, k):
        return 1 / math.log2(max(possible) + 1) if max(possible) <= k else 0.0


class TestNDCGExpected(AtContract):
    metric = "NDCGExpected"

    def by_definition(self, possible, n, k):
        return sum(1 / math.log2(place + 1) for place in possible if place <= k) / len(possible)


class TestMAE(OfPairsContract):
    metric = "MAE"

    def by_definition(self, scores, labels):
        return abs(scores[0] - labels[0])


class TestRMSE(OfPairsContract):
    metric = "RMSE"

    def by_definition(self, scores, labels):
        """Return the squared error, before the root is taken."""
        return (scores[0] - labels[0]) ** 2


class TestLogLoss(OfPairsContract):
    metric = "LogLoss"

    def by_definition(self, scores, labels):
        score = min(max(scores[0], 1e-15), 1 - 1e-15)
        return -math.log(score if labels[0] else 1 - score)


class TestAUC(OfPairsContract):
    metric, kind, high = "AUC", OfAllPairs, 1.0

    def by_definition(self, scores, labels):
        right = [score for score, label in zip(scores, labels, strict=True) if label]
        wrong = [score for score, label in zip(scores, labels, strict=True) if not label]
        won = sum((one > other) + (one == other) / 2 for one in right for other in wrong)
        return won / (len(right) * len(wrong))


def test_a_single_label_has_no_auc():
    assert math.isnan(METRICS["auc"](np.ones(3), np.ones(3, dtype=bool)))


def test_metrics_where_smaller_is_better_are_known():
    assert sorted(SMALLER_IS_BETTER) == sorted(name for name, metric in METRICS.items() if metric.smaller)


def test_every_metric_has_a_contract():
    assert without_contract(METRICS) == []
    assert without_contract(["toy", *METRICS]) == ["toy"], "a metric without a contract is found"


def test_a_row_with_known_values():
    hits, n_right = np.array([[False, True, False, True, False]]), np.array([3])
    of_hits = {name: metric for name, metric in METRICS.items() if isinstance(metric, PerRow)}
    found = {name: metric(hits, n_right)[0, [1, 4]].tolist() for name, metric in of_hits.items()}
    expected = {
        "recall": [1 / 3, 2 / 3],
        "mrr": [0.5, 0.5],
        "ndcg": [0.38685, 1.06161 / 2.13093],
        "hit": [1, 1],
        "precision": [0.5, 0.4],
        "map": [0.25, 1 / 3],
    }
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, abs=5e-6)
    assert round(found["ndcg"][1], 5) == 0.49819


def test_the_ideal_list_has_at_most_k_items():
    """Positive items beyond the list length do not reduce the value: a list of k hits is ideal."""
    hits, n_right = np.array([[True, True]]), np.array([5])
    assert METRICS["ndcg"](hits, n_right)[0, 1] == 1.0 and METRICS["recall"](hits, n_right)[0, 1] == 0.4


def test_an_unknown_metric_is_rejected_with_a_suggestion_and_all_names():
    told = (
        r"^metrics: there is no metric 'Recal', did you mean 'Recall'\?; known: Recall, MRR, NDCG, Hit, Precision, MAP"
    )
    with pytest.raises(UserError, match=told):
        find_metric("Recal")


def test_a_function_with_a_wrong_signature_is_rejected():
    sums = per_row("Sums")(lambda hits, n_right: hits.sum(axis=1))
    with pytest.raises(UserError, match=r"metric Sums should return values of shape \(2, 3\), but returns \(2,\)"):
        sums(np.ones((2, 3), dtype=bool), np.array([3, 3]))


@pytest.mark.parametrize("name", ["", "Re call", "Recall@10"])
def test_metric_names_are_valid_in_result_rows(name):
    with pytest.raises(ValueError, match="a metric's name should be a Python identifier"):
        of_lists(name)(lambda best, n_items: best)
