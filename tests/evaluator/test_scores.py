"""Scores and top-k lists: masking, batches, ties, and small catalogues."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from recbole.data import EvalRows, Interaction, Ragged
from recbole.evaluator import scores as module
from recbole.evaluator.scores import best_of, member, score_batches, top_items


class Table(nn.Module):
    """A model with given scores [users, items], including the padding item."""

    def __init__(self, table):
        super().__init__()
        self.table = nn.Parameter(torch.as_tensor(table, dtype=torch.float32))
        self.n_items = self.table.shape[1]
        self.asked = []

    def full_sort_predict(self, interaction):
        """Return the score rows of the users."""
        self.asked.append(len(interaction))
        return self.table[interaction["user"]]


class Flat(Table):
    """A model that returns its scores as a flat tensor, as many of RecBole's models do."""

    def full_sort_predict(self, interaction):
        """Return the score rows of the users as one flat tensor."""
        return super().full_sort_predict(interaction).view(-1)


class Alike(Table):
    """A model that returns the first row for all users, as an expanded tensor without a copy."""

    def full_sort_predict(self, interaction):
        """Return the first row, expanded to all users."""
        return self.table[0].expand(len(interaction), -1)


def ragged(sets):
    return Ragged(np.array([i for s in sets for i in s], dtype=np.int64), np.cumsum([0, *map(len, sets)]))


def rows_of(history, users=None):
    """Return evaluation rows of users 0, 1, ... with the given histories."""
    users = np.arange(len(history)) if users is None else users
    return EvalRows(Interaction({"user": users}), users, ragged([()] * len(users)), ragged(history), 0)


def whole(model, rows, **options):
    return torch.cat([scores for _, scores in score_batches(model, rows, **options)])


TABLE = torch.arange(15.0).view(3, 5)
HISTORY = [[1, 4], [], [2]]


def test_padding_and_history_have_a_score_of_minus_infinity():
    expected = TABLE.clone()
    expected[:, 0] = -torch.inf
    assert torch.equal(whole(Table(TABLE), rows_of(HISTORY), masked=False), expected)
    for row, items in enumerate(HISTORY):
        expected[row, items] = -torch.inf
    for kind in (Table, Flat):
        model = kind(TABLE).train()
        assert torch.equal(whole(model, rows_of(HISTORY)), expected)
        assert not model.training and torch.equal(model.table, TABLE), "scoring does not change the model"


@pytest.mark.parametrize("batch_rows", [1, 2, 4096])
def test_expanded_scores_are_masked_row_by_row(batch_rows):
    model = Alike(TABLE)
    expected = TABLE[:1].repeat(3, 1)
    expected[:, 0] = -torch.inf
    expected[[0, 0, 2], [1, 4, 2]] = -torch.inf
    assert torch.equal(whole(model, rows_of(HISTORY), batch_rows=batch_rows), expected)
    assert torch.equal(model.table, TABLE), "the model's own tensor is not masked"


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 60))
@settings(deadline=None, max_examples=40)
def test_the_batch_size_does_not_matter(seed, batch_rows, at_once):
    rng = np.random.default_rng(seed)
    n_rows, n_items = int(rng.integers(1, 12)), int(rng.integers(2, 9))
    history = [rng.choice(np.arange(1, n_items), rng.integers(0, n_items), replace=False) for _ in range(n_rows)]
    model, rows = Table(rng.normal(size=(n_rows, n_items))), rows_of(history)
    expected, lists = whole(model, rows), top_items(model, rows, 3)
    model.asked.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SCORES_AT_ONCE", {"cpu": at_once})
        starts = [start for start, _ in score_batches(model, rows, batch_rows=batch_rows)]
        assert torch.equal(whole(model, rows, batch_rows=batch_rows), expected)
        assert np.array_equal(top_items(model, rows, 3, batch_rows=batch_rows), lists)
    step = max(min(batch_rows, at_once // n_items), 1)
    assert starts == list(range(0, n_rows, step)) and max(model.asked) <= step


def test_lists_are_sorted_by_score():
    model = Table([[9, 3, 7, 5, 1], [0, 1, 2, 3, 4]])
    assert top_items(model, rows_of([[], []]), 3).tolist() == [[2, 3, 1], [4, 3, 2]]
    assert top_items(model, rows_of([[2], [4, 3]]), 3).tolist() == [[3, 1, 4], [2, 1, 0]]
    assert top_items(model, rows_of([[2], [4, 3]]), 3, masked=False).tolist() == [[2, 3, 1], [4, 3, 2]]
    assert top_items(model, rows_of([], users=np.empty(0, dtype=np.int64)), 3).shape == (0, 3)


def test_ties_do_not_repeat_candidates():
    best = top_items(Table(np.zeros((2, 8))), rows_of([[], [1, 2, 3]]), 4)
    assert all(len(set(row)) == 4 for row in best.tolist()) and (best > 0).all()
    assert not np.isin(best[1], [1, 2, 3]).any()


@pytest.mark.parametrize("k", [4, 5, 10])
def test_a_small_catalogue_gives_short_lists(k):
    """When there are no further candidates the list is padded; it never contains the user's history."""
    best = top_items(Table([[9, 3, 7, 5, 1]] * 3), rows_of([[], [2, 3], [1, 2, 3, 4]]), k)
    expected = [[2, 3, 1, 4], [1, 4], []]
    assert best.tolist() == [row + [0] * (k - len(row)) for row in expected]


def test_a_row_with_a_nan_score_has_no_list():
    nan, inf = float("nan"), float("inf")
    table = Table([[0, 1, 2, inf, -inf], [0, nan, 1, inf, -inf], [nan] * 5, [nan, 1, 2, 3, 4]])
    nothing = rows_of([[]] * 4)
    assert top_items(table, nothing, 4).tolist() == [[3, 2, 1, 0], [-1] * 4, [-1] * 4, [4, 3, 2, 1]]
    assert top_items(table, rows_of([[], [1], [], []]), 3).tolist()[1] == [3, 2, 0], (
        "a NaN outside of the candidates is allowed"
    )


VALUES = st.sampled_from([float("nan"), float("-inf"), float("inf"), -1.0, 0.0, 0.5, 1.0])


@given(st.data(), st.integers(1, 5), st.integers(1, 130), st.integers(1, 12), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=60)
def test_lists_equal_those_of_a_plain_sort(data, n_rows, n_items, k, expanded, tied):
    """Values and their order are compared; test_ties.py is about the order of ties."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    scores = torch.from_numpy(rng.normal(size=(1 if expanded else n_rows, n_items)).astype(np.float32))
    if tied:
        for row, item in rng.integers((0, 0), scores.shape, (2 * n_items, 2)):
            scores[row, item] = data.draw(VALUES) if item % 7 == 0 else rng.integers(0, 3)
    scores = scores.expand(n_rows, -1)
    before = scores.clone()
    best = best_of(scores, k)
    assert torch.equal(scores.nan_to_num(7), before.nan_to_num(7)), "the scores are not changed"
    plain = scores.numpy().astype(np.float64)
    plain = np.where(np.isnan(plain), -np.inf, plain)
    known = ~scores.isnan().any(dim=1).numpy()
    assert (best[~known] == -1).all()
    for row, listed in zip(plain[known], best[known], strict=True):
        length = min(k, int((row > -np.inf).sum()))
        assert len(set(listed[:length].tolist())) == length and not listed[length:].any()
        assert row[listed[:length]].tolist() == sorted(row.tolist(), reverse=True)[:length]
        alone = torch.from_numpy(row.astype(np.float32))[None]
        assert best_of(alone, k)[0].tolist() == listed.tolist(), "a list depends only on the scores of its row"


LIST_AND_SET = st.tuples(st.lists(st.integers(0, 9), min_size=3, max_size=3), st.sets(st.integers(1, 9)))


@given(st.lists(LIST_AND_SET, min_size=1, max_size=6))
def test_membership_in_ragged_sets(rows):
    items, sets = [row for row, _ in rows], [sorted(found) for _, found in rows]
    expected = [[item in found and item > 0 for item in row] for row, found in zip(items, sets, strict=True)]
    assert member(np.array(items), ragged(sets), 10).tolist() == expected
