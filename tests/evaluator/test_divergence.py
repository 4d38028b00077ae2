"""Distances between models: closed forms, bounds, and comparison with SciPy."""

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.special
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from probe_contract import SETTINGS, bpr, checkpoint_views
from torch import nn

from recbole.data import EvalRows, Interaction, Ragged
from recbole.evaluator import evaluate, get_probe
from recbole.evaluator.probes.distance import distances, rank_biased_overlap
from recbole.evaluator.probes.forgotten import pair_scores


class Table(nn.Module):
    """A model with given scores [users, items]."""

    def __init__(self, table):
        super().__init__()
        self.table = nn.Parameter(torch.as_tensor(np.asarray(table), dtype=torch.float32))
        self.n_items = self.table.shape[1]

    def full_sort_predict(self, interaction):
        """Return the score rows of the users."""
        return self.table[interaction["user"]]


def measured(p, q, batch_rows=4096):
    """Return the distances between two tables of scores; item 1 is in every history, which must have no effect."""
    n = len(p)
    history = Ragged(np.ones(n, dtype=np.int64), np.arange(n + 1))
    rows = EvalRows(Interaction({"user": np.arange(n)}), np.arange(n), history, history, 0)
    found = distances(Table(p), Table(q), rows, batch_rows=batch_rows)
    return {name: values for (name, _), values in found.items()}


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 1, 10, 1000]), st.integers(2, 30))
@settings(deadline=None, max_examples=40)
def test_jensen_shannon_equals_scipys_and_is_symmetric_and_bounded(seed, scale, n_items):
    rng = np.random.default_rng(seed)
    p, q = (rng.normal(size=(4, n_items)).astype(np.float32) * np.float32(scale) for _ in range(2))
    found = measured(p, q)["js_divergence"]
    softmax = [scipy.special.softmax(scores[:, 1:].astype(np.float64), axis=1) for scores in (p, q)]
    if scale <= 10:  # SciPy divides by zero if probabilities are denormal
        assert found == pytest.approx(scipy.spatial.distance.jensenshannon(*softmax, axis=1) ** 2, abs=1e-10)
    assert found == pytest.approx(measured(q, p)["js_divergence"], abs=1e-14)
    assert (found >= 0).all() and (found <= np.log(2) + 1e-12).all() and found.dtype == np.float64


def test_equal_models_have_distance_zero():
    scores = np.random.default_rng(1).normal(size=(5, 40))
    for shift in (0.0, 2.0):  # softmax and order do not change if a constant is added to all scores
        found = measured(scores, scores + shift)
        assert found["js_divergence"] == pytest.approx(0, abs=1e-9) and found["jaccard"].tolist() == [1] * 5


def test_models_with_disjoint_support_have_divergence_ln_2():
    p, q = np.zeros((1, 40)), np.zeros((1, 40))
    p[:, 1:15], q[:, 20:35] = 1e4, 1e4
    found = measured(p, q)
    assert found["js_divergence"] == pytest.approx(np.log(2), abs=1e-12) and found["jaccard"].tolist() == [0]


def test_jaccard_compares_top_10_lists():
    p = np.tile(-np.arange(41.0), (2, 1))
    q = p.copy()
    q[1, 8:11] -= 100  # 8, 9 and 10 leave the list; 11, 12 and 13 enter
    assert measured(p, q)["jaccard"].tolist() == [1, 7 / 13]
    few = np.tile(-np.arange(5.0), (1, 1))
    assert measured(few, few[:, ::-1].copy())["jaccard"].tolist() == [1], (
        "with four items both lists contain all of them"
    )


def test_the_batch_size_does_not_matter():
    rng = np.random.default_rng(2)
    p, q = rng.normal(size=(2, 7, 30))
    expected = measured(p, q)
    for name, values in measured(p, q, batch_rows=3).items():
        assert np.array_equal(values, expected[name])


def test_scores_that_are_nan_give_nan_distances():
    p = np.zeros((3, 20))
    q = p.copy()
    q[1, 3], q[2, 3] = np.nan, np.inf
    found = measured(p, q)["js_divergence"]
    assert found[0] == 0 and np.isnan(found[1:]).all()


def overlap_by_definition(ours, theirs, p):
    """Return rank-biased overlap by its double loop, divided by that of two equal lists of the longer length."""
    longest = max(len(ours), len(theirs))
    terms = [p ** (d - 1) * len(set(ours[:d]) & set(theirs[:d])) / d for d in range(1, longest + 1)]
    return (1 - p) * sum(terms) / (1 - p**longest)


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sampled_from([0.5, 0.9]))
@settings(deadline=None, max_examples=60)
def test_rank_biased_overlap_equals_its_definition(seed, depth, p):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, depth + 1, (7, 2)) if seed % 2 else np.full((7, 2), depth)
    lists = [[rng.permutation(np.arange(1, 16))[:length] for length in pair] for pair in lengths]
    first, second = (np.array([np.pad(pair[at], (0, depth - len(pair[at]))) for pair in lists]) for at in range(2))
    found = rank_biased_overlap(first, second, p)
    assert found == pytest.approx([overlap_by_definition(*map(list, pair), p) for pair in lists])
    assert found == pytest.approx(rank_biased_overlap(second, first, p))
    assert rank_biased_overlap(first, first, p) == pytest.approx([1.0] * 7)
    assert rank_biased_overlap(first, np.where(second > 0, second + 20, 0), p).tolist() == [0.0] * 7


def test_two_empty_lists_are_equal():
    assert rank_biased_overlap(np.array([[0, 0], [0, 0]]), np.array([[0, 0], [1, 0]])).tolist() == [1.0, 0.0]


def test_rank_change_is_the_mean_rank_shift_of_forgotten_items(small_dataset):
    forgotten = np.zeros(len(small_dataset.log), dtype=bool)
    forgotten[small_dataset.log.rows_of([3, 20])[::2]] = True
    view, (one, other) = checkpoint_views(small_dataset, forgotten), (bpr(small_dataset, seed) for seed in (1, 2))
    rows = evaluate(one, view, SETTINGS, [get_probe("distance")()], (other, "r.pth"))
    (row,) = [row for row in rows if row["metric"] == "rank_change"]
    ours, theirs = (pair_scores(model, view)["forgotten_log2_rank", None] for model in (one, other))
    assert row["value"] == pytest.approx(np.mean(np.abs(ours - theirs))) and row["value"] > 0
    assert row["n_rows"] == len(view.forgotten.values) and row["n_people"] == 2
