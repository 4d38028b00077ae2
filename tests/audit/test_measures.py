"""Attack metrics against scikit-learn, and each user's share of a metric, from which intervals are computed."""

import numpy as np
import pytest

from recbole.audit.measures import auc, shares, turned


def drawn(groups, n=200, seed=0, digits=1):
    """Return random predicted probabilities [n, groups] that favour the true group, and the groups, int64 [n]."""
    draw = np.random.default_rng(seed)
    group = draw.integers(groups, size=n)
    logits = draw.normal(size=(n, groups)).round(digits)
    logits[np.arange(n), group] += 0.7
    scores = np.exp(logits)
    return scores / scores.sum(axis=1, keepdims=True), group


@pytest.mark.parametrize("groups", [2, 3, 5])
def test_the_means_of_the_shares_are_the_metrics(groups):
    metrics = pytest.importorskip("sklearn.metrics")
    scores, group = drawn(groups)
    told = scores.argmax(axis=1)
    area = (
        metrics.roc_auc_score(group, scores[:, 1])
        if groups == 2
        else metrics.roc_auc_score(group, scores, multi_class="ovr", average="macro")
    )
    wanted = [
        area,
        metrics.balanced_accuracy_score(group, told),
        metrics.f1_score(group, told, average="macro"),
    ]
    np.testing.assert_allclose(shares(scores, group).mean(axis=0), wanted, rtol=1e-12)


def test_shares_give_the_standard_error_of_the_metrics():
    """The standard error from one sample's shares equals the standard deviation of the metrics over many samples."""
    many = np.array([shares(*drawn(3, 400, seed)).mean(axis=0) for seed in range(100)])
    one = shares(*drawn(3, 400, 1000))
    np.testing.assert_allclose(one.std(axis=0) / np.sqrt(len(one)), many.std(axis=0), rtol=0.25)


def test_inverted_scores_have_one_minus_the_auc():
    for groups in (2, 4):
        scores, group = drawn(groups, digits=9)
        assert auc(turned(scores), group) == pytest.approx(1 - auc(scores, group))
        np.testing.assert_allclose(turned(scores).sum(axis=1), 1)


def test_a_single_group_has_no_auc():
    found = shares(np.array([[0.2, 0.8], [0.6, 0.4]]), np.array([1, 1])).mean(axis=0)
    assert np.isnan(found[0]) and found[1] == 0.5
