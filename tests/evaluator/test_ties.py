"""Ties: a shorter list is a prefix of a longer one, and the order of equal scores depends only on tokens."""

import logging

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from probe_contract import SETTINGS, bpr, checkpoint_views

from recbole.data import EvalRows, Interaction, Ragged
from recbole.data.vocabulary import Vocabulary
from recbole.evaluator import Asked, evaluate, get_probe, mean_utility, ties
from recbole.evaluator.scores import best_of, ranked
from recbole.utils.keyed import bits

SEEDS = st.integers(0, 2**32 - 1)


def rows_of(users, items):
    """Return evaluation rows, one for each user; items and users are given by token."""
    n = len(users)
    nothing = Ragged(np.empty(0, dtype=np.int64), np.zeros(n + 1, dtype=np.int64))
    vocabulary = {"user": Vocabulary(pa.array(users)), "item": Vocabulary(pa.array(items))}
    entity = np.arange(1, n + 1)
    return EvalRows(Interaction({"user": entity}), entity, nothing, nothing, 0, vocabulary=vocabulary)


def world(seed, n_rows=6, n_items=40, kinds=3):
    """Return scores [rows, items] with few distinct values, including minus infinity, and the rows."""
    rng = np.random.default_rng(seed)
    scores = torch.from_numpy(rng.integers(0, kinds, (n_rows, n_items + 1)).astype(np.float32))
    scores[torch.from_numpy(rng.random(scores.shape) < 0.2)] = -torch.inf
    scores[:, 0] = -torch.inf
    return scores, rows_of([f"u{rng.integers(10**9)}" for _ in range(n_rows)], [f"i{i}" for i in range(n_items)])


def by_definition(scores, rows, k):
    """Return the lists from a plain sort by score, and for equal scores by the hash of user and item token."""
    lists = []
    for user, row in zip(rows.entity.tolist(), scores.tolist(), strict=True):
        person = bits(ties._STATE, torch.tensor(int(rows.vocabulary["user"].hashes[user])))
        order = [int(bits(person, torch.tensor(int(one)))) for one in rows.vocabulary["item"].hashes]
        there = [item for item in range(len(row)) if row[item] > -np.inf]
        found = sorted(there, key=lambda item: (row[item], order[item]), reverse=True)[:k]
        lists.append(found + [0] * (k - len(found)))
    return lists


@given(SEEDS, st.integers(1, 50), st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_lists_equal_a_plain_sort_and_are_prefixes_of_longer_lists(seed, k, kinds):
    scores, rows = world(seed, kinds=kinds)
    before = scores.clone()
    best = best_of(scores, k, rows)
    assert best.tolist() == by_definition(scores, rows, k) and torch.equal(scores, before)
    assert np.array_equal(best_of(scores, 50, rows)[:, :k], best)


@given(SEEDS, st.integers(1, 12))
@settings(deadline=None, max_examples=40)
def test_batch_size_and_item_ids_do_not_matter(seed, k):
    scores, rows = world(seed)
    best = best_of(scores, k, rows)
    for size in (1, 4):
        parts = [best_of(scores[at : at + size], k, rows, at) for at in range(0, len(scores), size)]
        assert np.array_equal(np.concatenate(parts), best)
    order = np.random.default_rng(seed).permutation(40) + 1
    names = rows.vocabulary["item"].tokens(order).tolist()
    moved = rows_of(rows.vocabulary["user"].tokens(rows.entity).tolist(), names)
    other = best_of(scores[:, [0, *order]], k, moved)
    there = np.concatenate([[0], order])
    assert np.array_equal(there[other], best), "the same items by token"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ties, "_PAIRS_AT_ONCE", {"cpu": 50})
        assert np.array_equal(best_of(scores, k, rows), best)


def test_ties_do_not_favour_an_item_for_all_users():
    rows = rows_of([f"u{at}" for at in range(2000)], [f"i{at}" for at in range(20)])
    scores = torch.zeros(2000, 21)
    scores[:, 0] = -torch.inf
    best = best_of(scores, 5, rows)
    counts = np.bincount(best[:, 0], minlength=21)[1:]
    assert counts.min() > 60 and counts.max() < 145, "each of twenty items is first for a twentieth of the users"
    assert np.array_equal(best, best_of(scores.clone(), 5, rows))


def test_rows_without_ties_are_not_sorted_again(monkeypatch):
    scores, rows = torch.randn(5, 30), rows_of(list("abcde"), [f"i{at}" for at in range(29)])
    scores[3, 1], scores[3, 2] = 9.0, 9.0
    asked = []
    monkeypatch.setattr(EvalRows, "hashes", lambda _, chosen: (asked.append(chosen.tolist()), (chosen, None))[1])
    best, shared = ranked(scores, 4, rows, 0)
    assert asked == [[3]] and shared == 0 and set(best[3, :2].tolist()) == {1, 2}
    assert np.array_equal(best[:3], torch.topk(scores[:3], 4).indices.numpy())
    assert ranked(scores, 1, rows, 0)[1] == 1, "two items are tied at the last rank"


def test_the_hash_of_a_token_does_not_depend_on_the_vocabulary():
    one, other = Vocabulary(pa.array(["b", "a"])), Vocabulary(pa.array(["a", "c", "b"]))
    assert one.hashes[[1, 2]].tolist() == other.hashes[[3, 1]].tolist()
    assert other.hashes.dtype == np.int64 and len(set(other.hashes.tolist())) == 4


class Flat:
    """A model that gives all items the same score."""

    n_items = 41

    def eval(self):
        return self

    def parameters(self):
        return iter([torch.zeros(1)])

    def full_sort_predict(self, interaction):
        return torch.zeros(len(interaction), 41)


def test_many_ties_give_one_message_per_model(small_dataset, caplog):
    view = checkpoint_views(small_dataset, np.zeros(len(small_dataset.log), dtype=bool))
    assert view.shown.vocabulary is small_dataset.log.vocabulary is view.utility["all"].vocabulary
    with caplog.at_level(logging.INFO, "recbole"):
        asked = Asked(Flat())
        for _ in range(2):
            evaluate(asked, view, SETTINGS, [get_probe("utility")()], model="base")
        evaluate(bpr(small_dataset, 1), view, SETTINGS, [get_probe("utility")()], model="base")
    (told,) = caplog.messages
    assert told.startswith("base model: in 100 % of the rows items tie in score at rank 10, the end of the list;")


class Counts(Flat):
    """A model whose scores are small counts, so that nearly all scores are tied."""

    def full_sort_predict(self, interaction):
        return ((interaction["user_id"][:, None] + torch.arange(41)) % 9 < 2).float()


def test_a_metric_does_not_depend_on_other_list_lengths(small_dataset):
    rows, config = small_dataset.eval_rows("test"), {"metrics": ["Recall", "NDCG"], "eval_batch_size": 7}
    found = [mean_utility(Counts(), rows, config | {"topk": topk}) for topk in ([10], [10, 20], [10, 35], [10, 1000])]
    assert found[0]["recall@10"] > 0
    assert len({(one["recall@10"], one["ndcg@10"]) for one in found}) == 1
