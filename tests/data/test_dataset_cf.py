"""The CF data set: every result is a function of the log and the mask, and forgetting sets bits of the mask."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole.data import create_dataset
from recbole.data.dataset import create_dataset as task_dataset
from recbole.data.split import SPLITS, TRAIN
from recbole.model import get_model
from recbole.utils import ModelType, UserError, stream

MASKS = st.integers(0, 2**32 - 1).flatmap(lambda seed: st.tuples(st.just(seed), st.floats(0, 1)))


def some(dataset, key):
    """Return a random mask, bool [log rows], with a random density."""
    seed, share = key
    return np.random.default_rng(seed).random(len(dataset.log)) < share


def told(interaction):
    """Return an interaction as a dictionary of lists."""
    return {name: column.tolist() for name, column in interaction.interaction.items()}


def ragged(rows):
    return [set(rows.values[a:b].tolist()) for a, b in zip(rows.offsets[:-1], rows.offsets[1:], strict=True)]


def items_by_user(dataset, labels):
    """Return user id to the set of this user's retained items in the splits ``labels``."""
    log, found = dataset.log, {}
    for row in range(len(log)):
        if log.split[row] in labels and not dataset.forgotten[row]:
            found.setdefault(int(log.user[row]), set()).add(int(log.item[row]))
    return found


# --- masks -----------------------------------------------------------------------------------------------------------
@given(MASKS, MASKS)
@settings(max_examples=40, deadline=None)
def test_forgetting_sets_the_mask_and_returns_the_changed_examples(small_dataset, first, second):
    dataset = small_dataset.masked(some(small_dataset, first))
    already, rows = dataset.forgotten.copy(), np.flatnonzero(some(small_dataset, second))
    change = dataset.forget(rows)
    assert np.array_equal(np.flatnonzero(dataset.forgotten & ~already), change.rows)
    assert np.array_equal(dataset.forgotten, already | np.isin(np.arange(len(already)), rows))
    assert np.array_equal(change.rows, rows[~already[rows]])
    assert np.array_equal(change.entities, np.unique(dataset.log.user[change.rows]))
    touched = change.rows[dataset.log.split[change.rows] == TRAIN]
    assert change.before["user_id"].tolist() == dataset.log.user[touched].tolist()
    assert change.before["item_id"].tolist() == dataset.log.item[touched].tolist()
    assert len(change.after) == 0 and change.kept.tolist() == [], "the example of a forgotten pair is removed"
    assert change.after.columns == change.before.columns


def test_a_row_that_is_forgotten_twice_counts_once(small_dataset):
    dataset = small_dataset.masked(np.zeros(len(small_dataset.log), dtype=bool))
    row = int(dataset.train_rows[5])
    change = dataset.forget([row, row])
    assert change.rows.tolist() == [row] and len(change.before) == 1
    assert len(dataset.forget([row]).before) == 0, "it counts only the first time"


def test_forgetting_rows_outside_of_training_changes_no_example(small_dataset):
    dataset = small_dataset.masked(np.zeros(len(small_dataset.log), dtype=bool))
    rows = np.flatnonzero(dataset.log.split != TRAIN)[:3]
    change = dataset.forget(rows)
    assert len(change.before) == 0 and dataset.forgotten[rows].all()
    assert dataset.inter_num == small_dataset.inter_num


@given(MASKS)
@settings(max_examples=25, deadline=None)
def test_splits_and_ids_do_not_change(small_dataset, key):
    split, fingerprint = small_dataset.log.split.copy(), small_dataset.log.fingerprint
    masked = small_dataset.masked(some(small_dataset, key))
    masked.forget(np.arange(0, len(split), 7))
    assert masked.log is small_dataset.log and np.array_equal(masked.log.split, split)
    assert (masked.n_users, masked.n_items) == (small_dataset.n_users, small_dataset.n_items) == (25, 41)
    assert not small_dataset.forgotten.any(), "another view of the data has its own mask"
    expected = [row for row in range(len(split)) if split[row] == TRAIN and not masked.forgotten[row]]
    assert masked.train_examples().tolist() == expected
    assert small_dataset.log.fingerprint == fingerprint


# --- evaluation ------------------------------------------------------------------------------------------------------
@given(MASKS, st.sampled_from(["valid", "test"]))
@settings(max_examples=40, deadline=None)
def test_eval_rows_by_definition(small_dataset, key, split):
    dataset = small_dataset.masked(some(small_dataset, key))
    label = SPLITS[split]
    right, seen = items_by_user(dataset, {label}), items_by_user(dataset, set(range(label)))
    rows = dataset.eval_rows(split)
    assert rows.entity.tolist() == sorted(right)
    assert rows.inputs["user_id"].tolist() == rows.entity.tolist()
    assert ragged(rows.positives) == [right[user] for user in sorted(right)]
    assert ragged(rows.history) == [seen.get(user, set()) for user in sorted(right)]
    assert rows.positives.sizes().sum() == sum(map(len, right.values())), "each item once"
    everybody = items_by_user(small_dataset, {label})
    assert rows.n_skipped == len(everybody) - len(right)


@given(MASKS)
@settings(max_examples=25, deadline=None)
def test_exposure_rows_have_all_retained_items_as_history(small_dataset, key):
    dataset = small_dataset.masked(some(small_dataset, key))
    users = np.array([7, 2, 24, 1])
    rows = dataset.exposure_rows(users)
    kept = items_by_user(dataset, set(SPLITS.values()))
    assert rows.entity.tolist() == rows.inputs["user_id"].tolist() == users.tolist()
    assert ragged(rows.history) == [kept.get(user, set()) for user in users.tolist()]
    assert rows.positives.sizes().tolist() == [0] * 4 and rows.n_skipped == 0


def test_a_test_item_is_not_history_even_if_it_was_trained_on(tmp_path, write_inter, config):
    write_inter(tmp_path, [("a", item, time) for time, item in enumerate("xyzwx")])
    rows = create_dataset(config(tmp_path), ModelType.GENERAL).eval_rows("test")
    assert ragged(rows.positives) == [{1}] and ragged(rows.history) == [{2, 3, 4}]


# --- values for models -------------------------------------------------------------------------------------------
@given(MASKS)
@settings(max_examples=25, deadline=None)
def test_recboles_attributes_describe_the_retained_training_rows(small_dataset, key):
    dataset = small_dataset.masked(some(small_dataset, key))
    log, rows = dataset.log, dataset.train_rows
    dense = np.zeros((dataset.n_users, dataset.n_items))
    for row in rows:
        dense[log.user[row], log.item[row]] += 1
    assert np.array_equal(dataset.inter_matrix().toarray(), dense)
    assert dataset.inter_matrix("csr").format == "csr" and np.array_equal(dataset.inter_matrix("csr").toarray(), dense)
    times = dataset.inter_matrix(value_field="timestamp")
    assert times.data.tolist() == log.columns["timestamp"][rows].tolist()
    items, ones, lengths = dataset.history_item_matrix()
    assert lengths.tolist() == dense.sum(axis=1).tolist()
    for user in range(dataset.n_users):
        n = int(lengths[user])
        assert items[user, :n].tolist() == log.item[rows[log.user[rows] == user]].tolist()
        assert not items[user, n:].any() and ones[user].tolist() == [1] * n + [0] * (items.shape[1] - n)
    assert dataset.inter_num == len(dataset.inter_feat) == len(rows)
    assert dataset.inter_feat["item_id"].tolist() == log.item[rows].tolist()


def test_ids_and_tokens(small_dataset):
    assert small_dataset.num("user_id") == small_dataset.user_num == small_dataset.n_users == 25
    assert small_dataset.num("item_id") == small_dataset.item_num == small_dataset.n_items == 41
    ids = small_dataset.token2id("item_id", ["i3", "i0"])
    assert small_dataset.id2token("item_id", ids).tolist() == ["i3", "i0"]
    assert small_dataset.token2id("item_id", "i3") == ids[0] and small_dataset.id2token("user_id", 0) == "[PAD]"
    assert small_dataset.id2token("item_id", ids.reshape(2, 1)).shape == (2, 1)
    with pytest.raises(ValueError, match=r"token \[nobody\] does not exist in user_id"):
        small_dataset.token2id("user_id", ["u1", "nobody"])
    with pytest.raises(ValueError, match="'timestamp' is not a token field"):
        small_dataset.num("timestamp")
    with pytest.raises(ValueError, match="'csc' is not 'coo' or 'csr'"):
        small_dataset.inter_matrix("csc")


# --- sampling ---------------------------------------------------------------------------------------------------------
def test_sampled_examples_are_distinct_retained_training_examples(small_dataset):
    dataset = small_dataset.masked(np.arange(len(small_dataset.log)) % 3 == 0)
    for n in (0, 1, 10, 10_000):
        drawn = dataset.draw_examples(n, stream(1, "t", n))
        assert len(drawn) <= n and len(np.unique(drawn)) == len(drawn) and np.all(np.diff(drawn) > 0)
        assert np.isin(drawn, dataset.train_examples()).all()
    assert len(drawn) == len(dataset.train_examples()), "a sample that is too large has all examples"
    assert np.array_equal(dataset.draw_examples(9, stream(1, "x")), dataset.draw_examples(9, stream(1, "x")))


def test_examples_are_sampled_uniformly(small_dataset):
    dataset = small_dataset.masked(np.arange(len(small_dataset.log)) % 2 == 0)
    examples, times, n = dataset.train_examples(), 4000, 20
    counts = np.zeros(len(dataset.log))
    for draw in range(times):
        counts[dataset.draw_examples(n, stream(3, "even", draw))] += 1
    expected = counts.sum() / len(examples)
    share = expected / times
    chi_square = ((counts[examples] - expected) ** 2).sum() / (expected * (1 - share))
    freedom = len(examples) - 1
    assert abs(chi_square - freedom) < 4 * np.sqrt(2 * freedom)
    assert expected * len(examples) / times > 0.95 * n, "nearly every sample has the requested size"


def test_examples_of_some_users(small_dataset):
    dataset = small_dataset.masked(np.arange(len(small_dataset.log)) % 4 == 0)
    found = dataset.examples_of([3, 17])
    assert found.tolist() == [r for r in dataset.train_examples() if dataset.log.user[r] in (3, 17)]


# --- errors -------------------------------------------------------------------------------------------------
def test_a_task_of_another_model_is_rejected(small_cf, config):
    with pytest.raises(UserError, match="task_type: BPR is a CF model, not SBR; leave --task_type out"):
        create_dataset(config(small_cf, task_type="SBR"), ModelType.GENERAL)


def test_the_split_is_per_user_in_order_of_time(small_dataset):
    log = small_dataset.log
    for user in range(1, small_dataset.n_users):
        rows = log.rows_of([user])
        assert np.all(np.diff(log.columns["timestamp"][rows]) >= 0) and np.all(np.diff(log.split[rows]) >= 0)
        assert (log.split[rows] == TRAIN).any()


def test_the_task_is_that_of_the_bound_model(small_cf, config):
    settings = config(small_cf)
    with pytest.raises(UserError, match=r"the task of BPR is not known: call config\.bind_model, or pass model_type"):
        task_dataset(settings)
    settings.bind_model(get_model("BPR"))
    assert task_dataset(settings).task_type == "CF"
