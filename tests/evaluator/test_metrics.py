"""Ranking metrics against golden rows and against their definitions, told as loops."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole.evaluator.metrics import METRICS, row_metrics
from recbole.utils import UserError

NAMES = ["Recall", "NDCG", "Hit", "MRR", "Precision"]


def one(hits, n_right, names=NAMES, ks=(2, 5)):
    """Return the metrics of a single row, as numbers."""
    values = row_metrics(np.array([hits], dtype=bool), np.array([n_right]), names, ks)
    return {key: value.item() for key, value in values.items()}


def test_the_golden_row():
    values = one([0, 1, 0, 1, 0], 3)
    expected = {
        ("recall", 5): 2 / 3,
        ("ndcg", 5): 1.06161 / 2.13093,
        ("hit", 5): 1,
        ("mrr", 5): 0.5,
        ("precision", 5): 0.4,
        ("recall", 2): 1 / 3,
        ("ndcg", 2): 0.38685,
        ("hit", 2): 1,
        ("mrr", 2): 0.5,
        ("precision", 2): 0.5,
    }
    assert values == pytest.approx(expected, abs=5e-6) and round(values["ndcg", 5], 5) == 0.49819


def test_the_ideal_list_ends_at_k():
    """Items to find beyond the list's length are not held against it: a full list of hits is ideal."""
    assert one([1, 1], 5, ["NDCG", "Recall"], [2]) == {("ndcg", 2): 1.0, ("recall", 2): 0.4}


def by_definition(hits, n_right, k):
    hits = hits[:k]
    discount = [1 / math.log2(rank + 1) for rank in range(1, k + 1)]
    first = next((rank for rank, hit in enumerate(hits, start=1) if hit), None)
    return {
        "recall": sum(hits) / n_right,
        "precision": sum(hits) / k,
        "hit": float(any(hits)),
        "mrr": 0.0 if first is None else 1 / first,
        "ndcg": sum(h * d for h, d in zip(hits, discount, strict=True)) / sum(discount[: min(k, n_right)]),
    }


@st.composite
def rankings(draw):
    """Return hits [rows, width] and how many items would be right; never more hits than right items."""
    width = draw(st.integers(1, 12))
    hits = draw(st.lists(st.lists(st.booleans(), min_size=width, max_size=width), min_size=1, max_size=6))
    return hits, [draw(st.integers(max(sum(row), 1), 20)) for row in hits]


@given(rankings())
def test_every_metric_is_its_definition_at_every_k(drawn):
    hits, n_right = drawn
    ks = range(1, len(hits[0]) + 1)
    values = row_metrics(np.array(hits), np.array(n_right), NAMES, ks)
    assert set(values) == {(name.lower(), k) for name in NAMES for k in ks}
    for row, (right, n) in enumerate(zip(hits, n_right, strict=True)):
        for k in ks:
            expected = by_definition(right, n, k)
            assert {name: values[name, k][row] for name in expected} == pytest.approx(expected, abs=1e-12)


@given(rankings())
def test_all_values_lie_between_0_and_1_and_an_ideal_list_has_1(drawn):
    hits, n_right = np.array(drawn[0]), np.array(drawn[1])
    for values in row_metrics(hits, n_right, NAMES, [hits.shape[1]]).values():
        assert values.dtype == np.float64 and (values >= 0).all() and (values <= 1 + 1e-12).all()
    ideal = np.arange(hits.shape[1]) < n_right[:, None]
    for name in ("ndcg", "hit", "mrr"):
        assert row_metrics(ideal, n_right, [name], [hits.shape[1]])[name, hits.shape[1]] == pytest.approx(1.0)


def test_no_row_gives_no_value():
    assert row_metrics(np.empty((0, 5), dtype=bool), np.empty(0, dtype=int), ["NDCG"], [5])["ndcg", 5].shape == (0,)


def test_an_unknown_metric_is_refused_with_the_nearest():
    with pytest.raises(UserError, match="no metric 'recal', did you mean 'recall'"):
        one([1], 1, ["Recal"], [1])
    assert list(METRICS) == ["recall", "mrr", "ndcg", "hit", "precision"]
