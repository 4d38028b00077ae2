"""Sequences under a mask, compared with plain Python: remove forgotten rows, then take each row's prefix."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole.data import cat_interactions
from recbole.data.split import HISTORY, TEST, TRAIN, VALID
from recbole.unlearning.case import Case, Workbench
from recbole.unlearning.request import Request
from recbole.utils import InputType, UserError
from recbole.utils.deadline import Deadline

LENGTH = 5
LOGS = st.lists(st.integers(1, 20), min_size=1, max_size=8)
SEEDS = st.integers(0, 2**32 - 1)
many = settings(max_examples=60, deadline=None)


@pytest.fixture(scope="module")
def random_data(sessions):
    """A function: ``random_data(lengths, seed)`` returns a data set under a random mask, and a random generator.

    Some users have no forgotten rows, and some have only forgotten rows.
    """
    template = sessions([[1, 2]])

    def make(lengths, seed):
        rng, sizes = np.random.default_rng(seed), [0, *lengths]
        log = replace(
            template.log,
            user=np.repeat(np.arange(len(sizes)), sizes),
            item=rng.integers(1, 40, sum(sizes)),
            columns={"timestamp": np.arange(sum(sizes))},
            offsets=np.concatenate([[0], np.cumsum(sizes)]),
        )
        log = replace(log, split=template.label(template.config, log))
        share = rng.choice([0.0, 0.2, 0.7, 1.0], size=len(sizes))
        return type(template)(template.config, log, rng.random(len(log)) < share[log.user]), rng

    return make


def examples(dataset, split=None):
    """Return ``{target row: prefix rows}``, computed with loops."""
    found = {}
    for start, end in zip(dataset.log.offsets[:-1], dataset.log.offsets[1:], strict=True):
        left = [row for row in range(start, end) if not dataset.forgotten[row]]
        for place, row in enumerate(left):
            label = dataset.log.split[row]
            if place and label != HISTORY and split in (None, label):
                found[row] = left[max(place - LENGTH, 0) : place]
    return found


def assert_batch(dataset, batch, wanted, width=None):
    """Check that a batch has the examples ``{target row: prefix rows}`` in order."""
    item = dataset.log.item
    width = width or max(map(len, wanted.values()), default=1)
    padded = [[*item[rows], *[0] * (width - len(rows))] for rows in wanted.values()]
    assert batch["item_id"].tolist() == item[list(wanted)].tolist()
    assert batch["user_id"].tolist() == dataset.log.user[list(wanted)].tolist()
    assert batch["item_length"].tolist() == [len(rows) for rows in wanted.values()]
    assert batch["item_id_list"].tolist() == padded
    assert batch["item_id_list"].shape == (len(wanted), width)


def test_every_row_except_the_first_has_the_split_of_its_example(sessions):
    sizes = {1: (0, 0, 0), 2: (1, 0, 0), 3: (1, 0, 1), 4: (1, 1, 1), 10: (7, 1, 1), 11: (8, 1, 1), 21: (16, 2, 2)}
    log = sessions([[7] * size for size in sizes]).log
    for user, counts in enumerate(sizes.values(), start=1):
        labels = log.split[log.rows_of([user])].tolist()
        assert labels == [HISTORY, *[TRAIN] * counts[0], *[VALID] * counts[1], *[TEST] * counts[2]]


def test_a_split_without_time_order_is_rejected(sessions):
    with pytest.raises(UserError, match="ordered by time"):
        sessions([[1, 2, 3]], eval_args={"order": "RO"})


@many
@given(LOGS, SEEDS)
def test_train_examples_and_their_batches(random_data, lengths, seed):
    dataset, rng = random_data(lengths, seed)
    wanted = examples(dataset, TRAIN)
    assert dataset.train_examples().tolist() == list(wanted)
    users = np.unique(rng.integers(1, len(lengths) + 1, 3))
    assert dataset.examples_of(users).tolist() == [row for row in wanted if dataset.log.user[row] in users]
    drawn = dataset.draw_examples(3, rng)
    assert set(drawn.tolist()) <= set(wanted) and len(set(drawn)) == len(drawn) <= 3
    order = rng.permutation(list(wanted)).astype(int).tolist()
    assert_batch(dataset, dataset.collate(np.array(order, dtype=int)), {row: wanted[row] for row in order})


@many
@given(LOGS, SEEDS)
def test_evaluation_rows(random_data, lengths, seed):
    dataset, rng = random_data(lengths, seed)
    for split, label in (("valid", VALID), ("test", TEST)):
        rows, wanted = dataset.eval_rows(split), examples(dataset, label)
        assert_batch(dataset, rows.inputs[:], wanted)
        assert rows.positives.values.tolist() == dataset.log.item[list(wanted)].tolist()
        assert rows.positives.sizes().tolist() == [1] * len(wanted)
        assert not rows.history.values.size and len(rows.history) == len(wanted)
        assert rows.entity.tolist() == dataset.log.user[list(wanted)].tolist()
        retained = int(((dataset.log.split == label) & ~dataset.forgotten).sum())
        assert rows.n_skipped == retained - len(wanted)
    users = rng.permutation(np.arange(1, len(lengths) + 1))
    last = {dataset.log.user[row]: (row, prefix) for row, prefix in examples(dataset, TEST).items()}
    shown, asked = dataset.exposure_rows(users), [user for user in users if user in last]
    assert shown.entity.tolist() == asked
    assert shown.n_skipped == len(users) - len(asked)
    assert_batch(dataset, shown.inputs[:], dict(last[user] for user in asked))
    assert_batch(dataset, shown.inputs[1:2], dict(last[user] for user in asked[1:2]))


@many
@given(LOGS, SEEDS)
def test_forgetting_returns_the_changed_examples(random_data, lengths, seed):
    dataset, rng = random_data(lengths, seed)
    for _ in range(3):
        rows = np.unique(rng.integers(len(dataset.log), size=rng.integers(1, 4)))
        fresh = set(rows[~dataset.forgotten[rows]].tolist())
        before, old = examples(dataset, TRAIN), dataset.masked(dataset.forgotten.copy())
        change = dataset.forget(rows)
        after = examples(dataset, TRAIN)
        touched = {row: prefix for row, prefix in before.items() if fresh & {row, *prefix}}
        left = {row: after[row] for row in touched if row in after}
        assert set(change.rows.tolist()) == fresh and dataset.forgotten[rows].all()
        assert change.entities.tolist() == sorted({int(dataset.log.user[row]) for row in fresh})
        assert_batch(old, change.before, touched)
        assert_batch(dataset, change.after, left)
        assert [list(touched)[place] for place in change.kept] == list(left)
        untouched = set(before) - set(touched)  # no other example changes, and no new one appears
        assert set(after) - set(left) == untouched and all(after[row] == before[row] for row in untouched)


def test_forgetting_lets_older_items_enter_the_window(sessions):
    dataset = sessions([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]])
    assert dataset.collate(np.array([8]))["item_id_list"].tolist() == [[4, 5, 6, 7, 8]]
    dataset.forget(np.array([4, 6]))
    assert dataset.collate(np.array([8]))["item_id_list"].tolist() == [[2, 3, 4, 6, 8]]


def test_evaluation_rows_do_not_change_with_a_later_mask(sessions):
    dataset = sessions([list(range(1, 13))])
    rows = dataset.eval_rows("test")
    before = rows.inputs[:]["item_id_list"].tolist()
    dataset.forget(np.arange(4, 9))
    assert rows.inputs[:]["item_id_list"].tolist() == before != dataset.eval_rows("test").inputs[:]["item_id_list"]


def test_models_that_do_not_trim_padding_get_the_full_width(sessions):
    trimmed = sessions([list(range(1, 9)), [3, 1], [5]])
    trimmed.config["MODEL_TRIMS"] = False
    dataset = trimmed.masked(np.arange(11) == 2)
    wanted = examples(dataset, TRAIN)
    batch = dataset.collate(np.array(list(wanted)))
    assert_batch(dataset, batch, wanted, width=LENGTH)
    assert batch["timestamp"].tolist() == list(wanted)  # the time of a row is its row number
    assert batch["timestamp_list"].tolist() == [rows + [0] * (LENGTH - len(rows)) for rows in wanted.values()]


def test_batches_with_different_widths_can_be_concatenated(sessions):
    dataset = sessions([[1, 2, 3, 4, 5, 6, 7], [8, 9]])
    short, long = dataset.collate(np.array([8])), dataset.collate(np.array([3, 4]))
    joined = cat_interactions([short, long])
    assert joined["item_id_list"].tolist() == [[8, 0, 0, 0], [1, 2, 3, 0], [1, 2, 3, 4]]
    assert joined["item_length"].tolist() == [1, 3, 4]


def test_a_retained_target_keeps_its_negatives(sessions):
    dataset = sessions([[1, 2, 3, 4, 5, 6, 7, 8], [3, 4, 5, 6, 7]], loss_type="BPR")
    bench = Workbench(dataset.config, SimpleNamespace(input_type=InputType.PAIRWISE), dataset)
    request = Request(0, "somebody", np.array([1]))
    before, after = Case((request,), bench.forget(request.rows), Deadline(), bench).paired(times=3)
    assert before["item_id"].tolist() == [2, 3, 4, 5, 6] * 3
    assert after["item_id"].tolist() == [3, 4, 5, 6] * 3
    assert after["item_id_list"][0].tolist() == [1, 0, 0, 0]
    negatives = before["neg_item_id"].view(3, 5)[:, 1:]
    assert after["neg_item_id"].view(3, 4).equal(negatives)
