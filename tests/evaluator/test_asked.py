"""The cache of a model's scores and lists: nothing is computed twice, and cached values equal new ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole.data import EvalRows, Interaction, Ragged
from recbole.evaluator import Asked, EvalSettings, Reference, Views, asked, evaluate, get_probe
from recbole.evaluator.scores import score_batches, top_items

N_ITEMS = 30
SETTINGS = EvalSettings.from_config({"metrics": ["Recall", "NDCG"], "topk": [3, 5], "eval_batch_size": 4})


class Counting:
    """A model with random scores [users, items] that counts the users it scores."""

    def __init__(self, n_users=40, seed=1):
        self.scores = torch.randn(n_users, N_ITEMS, generator=torch.Generator().manual_seed(seed))
        self.n_items = N_ITEMS
        self.users = []

    def eval(self):
        pass

    def parameters(self):
        return iter([torch.zeros(1)])

    def full_sort_predict(self, interaction):
        self.users += interaction["user"].tolist()
        return self.scores[interaction["user"]]


def rows_of(histories):
    """Return evaluation rows, one for each user, from a dictionary of user to history."""
    users = np.array(list(histories), dtype=np.int64)
    lengths = [0, *map(len, histories.values())]
    history = Ragged(np.array([i for h in histories.values() for i in h], dtype=np.int64), np.cumsum(lengths))
    positives = Ragged(np.full(len(users), 7), np.arange(len(users) + 1))
    return EvalRows(Interaction({"user": users}), users, positives, history, 0)


def drawn(seed, users, longest):
    rng = np.random.default_rng(seed)
    return {int(u): rng.choice(np.arange(1, N_ITEMS), rng.integers(0, longest + 1), replace=False) for u in users}


def views(masked):
    """Return the views of a checkpoint at which users 2 and 5 have lost some history, with eight rows for exposure."""
    before = drawn(1, range(20), 6 if masked else 0)
    after = {user: history[1:] if user in (2, 5) else history for user, history in before.items() if user != 5}
    whole, requesting = rows_of(before), np.array([2, 5])
    now = rows_of(after).resembling(whole, requesting)
    shown = rows_of({user: before[user] for user in (2, 5, 1, 3, 6, 7, 8, 9)})
    shown = shown if masked else shown.resembling(whole, requesting)
    nothing = Ragged(np.empty(0, dtype=np.int64), np.zeros(9, dtype=np.int64))
    return Views(
        0,
        {"all": whole, "current": now},
        shown,
        requesting,
        nothing,
        np.zeros(0, dtype=bool),
        np.arange(N_ITEMS) % 5 == 1,
    )


def put(model, view, reference=None):
    probes = [get_probe(name)() for name in ("utility", "exposure", "distance")]
    return [repr(row) for row in evaluate(model, view, SETTINGS, probes, reference)]


def test_lists_are_computed_once_for_all_lengths_up_to_ten():
    model, rows = Counting(), rows_of(drawn(3, range(9), 4))
    known = Asked(model)
    best = known.lists(rows, 5)
    assert best.shape == (9, 5) and np.array_equal(known.lists(rows, 10)[:, :5], best) and len(model.users) == 9
    assert known.lists(rows, 12).shape == (9, 12) and len(model.users) == 18
    assert np.array_equal(known.lists(rows, 5, masked=False), top_items(Counting(), rows, 5, masked=False))
    assert Asked.of(known) is known and Asked.of(model) is not known


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.booleans())
@settings(deadline=None, max_examples=30)
def test_rows_that_share_work_have_the_same_results_as_alone(seed, batch_rows, masked):
    rng = np.random.default_rng(seed)
    users, changed = rng.choice(40, rng.integers(1, 20), replace=False), rng.choice(40, 12, replace=False)
    before = drawn(seed, np.sort(users), 5 if masked else 0)
    after = {u: h[1:] if u in changed else h for u, h in before.items() if u not in changed or rng.random() < 0.5}
    after |= drawn(seed + 1, rng.choice(np.setdiff1d(np.arange(40), users), 3, replace=False), 5 if masked else 0)
    whole, model = rows_of(before), Counting()
    now = rows_of(after).resembling(whole, changed)
    known = Asked(model)
    known.lists(whole, 4, batch_rows=batch_rows)
    model.users.clear()
    best = known.lists(now, 4, batch_rows=batch_rows)
    assert sorted(model.users) == sorted(u for u in after if u in changed or u not in before)
    assert np.array_equal(best, top_items(Counting(), rows_of(after), 4))
    scores = torch.cat([part for _, part in known.scores(now, batch_rows=batch_rows)] or [torch.empty(0, N_ITEMS)])
    alone = [part for _, part in score_batches(Counting(), rows_of(after), masked=False)]
    assert torch.equal(scores, torch.cat(alone or [torch.empty(0, N_ITEMS)]))


def test_probes_of_the_same_rows_share_one_scoring():
    model, other, view = Counting(seed=1), Counting(seed=2), views(masked=True)
    known, reference = Asked(model), Reference(Asked(other), "r.pth", True)
    rows = put(known, view, reference)
    assert sorted(model.users) == sorted([*range(20), 2, *view.shown.entity.tolist()])
    assert sorted(other.users) == sorted(model.users), "the reference is scored only for differences and distances"
    assert put(reference.model, view) and sorted(other.users) == sorted(model.users)
    assert put(known, view, reference) == rows and len(model.users) == 29, "everything comes from the cache"
    nothing = Ragged(np.empty(0, dtype=np.int64), np.zeros(3, dtype=np.int64))
    later = replace(view, checkpoint=1, shown=rows_of(drawn(9, [11, 12], 4)), forgotten=nothing)
    put(known, later, reference)
    assert model.users[29:] == [11, 12], "another checkpoint only scores its new rows"


def test_without_history_exposure_and_utility_share_rows():
    model, view = Counting(), views(masked=False)
    rows = put(Asked(model), view, (Counting(seed=2), "r.pth"))
    assert len(model.users) == 20 + 1 + 2 * 3, (
        "all rows; requesting users again: in current, for short and long lists, for scores"
    )
    plain = replace(view, utility={name: replace(r, like=None, place=None) for name, r in view.utility.items()})
    plain = replace(plain, shown=replace(view.shown, like=None, place=None))
    assert put(Counting(), plain, (Counting(seed=2), "r.pth")) == rows


@pytest.mark.parametrize("masked", [True, False])
def test_the_cache_of_scores_is_bounded(masked, monkeypatch):
    view, plenty = views(masked), Counting()
    rows = put(Asked(plenty), view, (Counting(seed=2), "r.pth"))
    monkeypatch.setattr(asked, "SCORES_KEPT", 7 * N_ITEMS)
    model = Asked(Counting())
    assert put(model, view, (Counting(seed=2), "r.pth")) == rows
    assert model._scored is None and len(model.model.users) > len(plenty.users)


def test_iterating_over_batches_also_caches_the_lists():
    model, rows, seen = Counting(), rows_of(drawn(3, range(9), 4)), []
    model.scores[4, 3] = torch.nan
    known = Asked(model)
    for _ in range(2):
        best = known.lists(rows, 5, batch_rows=4, each=lambda start, scores: seen.append((start, scores)))
    assert [start for start, _ in seen] == [0, 4, 8] * 2 and not torch.cat([s for _, s in seen]).isnan().any()
    assert np.array_equal(known.lists(rows, 5), best) and len(model.users) == 18


def test_cached_lists_are_freed_with_their_rows():
    known, rows = Asked(Counting()), rows_of(drawn(3, range(9), 4))
    known.lists(rows, 5)
    assert len(known._lists) == 1
    del rows
    assert len(known._lists) == 0
