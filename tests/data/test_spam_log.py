"""A spam attack after the clean log: clean rows do not change, and with all spam masked the data is the clean data."""

import json

import numpy as np
import pytest

from recbole.data import TrainBatches, create_dataset
from recbole.data.split import HISTORY, TEST, TRAIN, VALID
from recbole.model import get_model
from recbole.utils import UserError

CORE = {"user_inter_num_interval": "[3,inf)", "item_inter_num_interval": "[2,inf)"}
MODELS = {"CF": "BPR", "SBR": "GRU4Rec", "NBR": "DNNTSP"}


def sequences(seed, names, items, shortest, longest):
    """Return ``{name: items in order}``; the items of each name are distinct."""
    draw = np.random.default_rng(seed)
    return {name: draw.choice(items, draw.integers(shortest, longest), replace=False).tolist() for name in names}


def inter_rows(histories, seed):
    """Return shuffled rows (user, item, time) with some equal times."""
    draw = np.random.default_rng(seed)
    rows = [(user, f"i{item}", 100 + draw.integers(20)) for user, items in histories.items() for item in items]
    return [rows[at] for at in draw.permutation(len(rows))]


def basket_lists(histories):
    """Return each history as baskets of one to three items."""
    return {user: [items[at : at + 1 + at % 3] for at in range(0, len(items), 2)] for user, items in histories.items()}


@pytest.fixture(params=list(MODELS))
def task(request):
    return request.param


@pytest.fixture
def both(task, tmp_path, config, write_inter):
    """Return the (clean, poisoned) data sets.

    The attack has users with different numbers of rows, one of them with a single row, which no filter removes.
    """
    clean = sequences(1, [f"u{at}" for at in range(20)] + ["alone"], 30, 3 if task != "NBR" else 9, 18)
    clean["alone"] = [99]  # a user and an item that the filters remove
    fake = sequences(2, ["zz", "b", "f10", "f9"], 30, 7, 15) | {"short": [3]}
    return load(task, tmp_path, config, write_inter, clean, fake)


def load(task, folder, config, write_inter, clean, fake):
    if task == "NBR":
        (folder / "small").mkdir(exist_ok=True)
        (folder / "small/small_merged.json").write_text(json.dumps(basket_lists(clean)))
        path = folder / "fake.json"
        path.write_text(json.dumps(basket_lists(fake)))
    else:
        write_inter(folder, inter_rows(clean, 3))
        path = write_inter(folder, inter_rows(fake, 4), dataset="fake")
    settings = config(folder, MODELS[task], **({} if task == "NBR" else CORE))
    model = get_model(MODELS[task])
    settings.bind_model(model)
    dataset = create_dataset(settings, model.type)
    return dataset, dataset.with_spam(path)


def all_spam(both):
    """Return the poisoned data with all fake rows masked."""
    clean, poisoned = both
    return poisoned.masked(np.arange(len(poisoned.log)) >= len(clean.log))


def same(one, other):
    assert set(one) == set(other)
    return all(np.array_equal(np.asarray(one[name]), np.asarray(other[name])) for name in one)


def same_questions(one, other):
    """Return whether two sets of evaluation rows are equal."""
    assert np.array_equal(one.entity, other.entity)
    for part in ("positives", "history"):
        assert np.array_equal(getattr(one, part).values, getattr(other, part).values)
        assert np.array_equal(getattr(one, part).offsets, getattr(other, part).offsets)
    return same(one.inputs[0 : len(one.entity)].interaction, other.inputs[0 : len(other.entity)].interaction)


def test_clean_rows_keep_their_position_and_values(both):
    clean, poisoned = (dataset.log for dataset in both)
    n, users = len(clean), len(clean.vocabulary["user"])
    assert len(poisoned) > n and len(poisoned.vocabulary["user"]) == users + 5
    for name in ("user", "item", "split"):
        assert np.array_equal(getattr(poisoned, name)[:n], getattr(clean, name))
        assert getattr(poisoned, name).dtype == getattr(clean, name).dtype
    assert same({name: values[:n] for name, values in poisoned.columns.items()}, clean.columns)
    assert np.array_equal(poisoned.offsets[: users + 1], clean.offsets)
    assert np.array_equal(poisoned.offsets[1:], np.cumsum(np.bincount(poisoned.user, minlength=users + 5)))
    assert poisoned.vocabulary["item"] is clean.vocabulary["item"]
    tokens = poisoned.vocabulary["user"].token_array
    assert tokens[:users].equals(clean.vocabulary["user"].token_array)
    assert set(tokens[users:].to_pylist()) == {"zz", "b", "f10", "f9", "short"}
    assert "alone" not in tokens.to_pylist() and -1 in clean.vocabulary["item"].ids(["i99", "99"])
    assert poisoned.fingerprint != clean.fingerprint


def test_with_all_spam_masked_the_data_equals_the_clean_data(both):
    clean, masked = both[0], all_spam(both)
    examples = clean.train_examples()
    assert len(examples) and np.array_equal(masked.train_examples(), examples)
    assert same(masked.collate(examples).interaction, clean.collate(examples).interaction)
    assert np.array_equal(masked.train_rows, clean.train_rows)
    for split in ("valid", "test"):
        assert same_questions(clean.eval_rows(split), masked.eval_rows(split))
    users = np.unique(clean.log.user)
    assert same_questions(clean.exposure_rows(users), masked.exposure_rows(users))
    ours, theirs = (dataset.inter_matrix("csr").toarray() for dataset in (clean, masked))
    assert np.array_equal(theirs[: len(ours)], ours) and not theirs[len(ours) :].any()


def test_with_all_spam_masked_the_training_batches_are_the_same(both):
    clean, masked = both[0], all_spam(both)
    config = clean.config
    kind = get_model(config["model"]).input_type or config["MODEL_INPUT_TYPE"]
    for epoch in range(2):
        pairs = zip(*(TrainBatches(config, d, kind).epoch(epoch) for d in (clean, masked)), strict=True)
        assert all(same(one.interaction, other.interaction) for one, other in pairs)


def test_spam_rows_follow_the_clean_ones_and_are_split_by_the_same_rule(both, task):
    clean, poisoned = both
    log = poisoned.log
    for user in range(clean.n_users, poisoned.n_users):
        rows = log.rows_of([user])
        labels = log.split[rows]
        if task == "NBR":
            baskets, first = np.unique(log.basket[rows], return_index=True)
            expected = [*[HISTORY] * (len(baskets) - 3), TRAIN, VALID, TEST][-len(baskets) :]
            assert labels[first].tolist() == expected
            continue
        assert np.all(np.diff(log.columns["timestamp"][rows]) >= 0)
        examples = labels[1:] if task == "SBR" else labels
        assert task == "CF" or labels[0] == HISTORY
        assert np.all(np.diff(examples) >= 0) and (len(examples) < 3 or examples[-1] == TEST)
    if task == "NBR":
        assert np.array_equal(np.unique(log.basket), np.arange(log.basket[-1] + 1))
        assert np.array_equal(log.basket_offsets, np.flatnonzero(np.diff(log.basket, prepend=-1, append=-1)))


def test_unmasked_spam_is_trained_on_and_evaluated(both):
    clean, poisoned = both
    more = np.setdiff1d(poisoned.train_examples(), clean.train_examples())
    fake = np.arange(clean.n_users, poisoned.n_users)
    assert np.array_equal(more, poisoned.examples_of(fake)) and len(more)
    assert np.isin(fake[:3], poisoned.eval_rows("test").entity).any()


@pytest.mark.parametrize(
    ("fake", "told"),
    [
        ({"u3": [1, 2, 4, 5, 6, 7, 8]}, "'u3' is not a fake user or session"),
        ({"f": [1, 2, 4, 5, 6, 7, 99]}, "99' is not in the clean data after filtering"),
        ({"f": [1, 2, 4, 5, 6, 7, 1234]}, "1234' is not in the clean data"),
        ({}, "contains no"),
    ],
)
def test_an_attack_that_does_not_fit_the_data_is_rejected(task, tmp_path, config, write_inter, fake, told):
    clean = sequences(1, [f"u{at}" for at in range(20)], 30, 9, 18) | {"alone": [99]}
    with pytest.raises(UserError, match=told) as error:
        load(task, tmp_path, config, write_inter, clean, fake)
    assert "fake." in str(error.value)


def test_rows_and_columns_that_are_missing_are_named(tmp_path, config, write_inter):
    write_inter(tmp_path, inter_rows(sequences(1, ["a", "b", "c"], 9, 3, 9), 1))
    dataset = create_dataset(config(tmp_path), get_model("BPR").type)
    path = write_inter(tmp_path, [("f", "i1")], "user_id:token item_id:token", "fake")
    with pytest.raises(UserError, match=r"fake\.inter: there is no column 'timestamp'"):
        dataset.with_spam(path)
    write_inter(tmp_path, [("f", "", 3)], dataset="fake")
    with pytest.raises(UserError, match=r"fake\.inter:2: column 'item_id' .* has no value"):
        dataset.with_spam(path)
    everything = create_dataset(config(tmp_path, load_col=None, eval_args={"order": "RO"}), get_model("BPR").type)
    write_inter(tmp_path, [("f", "i1")], "user_id:token item_id:token", "fake")
    with pytest.raises(UserError, match=r"fake\.inter: there is no column 'timestamp', but the clean"):
        everything.with_spam(path)


def test_further_token_columns_keep_their_ids_and_get_new_ones(tmp_path, config, write_inter):
    columns = "user_id:token item_id:token shop:token timestamp:float"
    write_inter(tmp_path, [("a", "x", "s1", 1), ("a", "y", "s2", 2), ("b", "x", "s1", 3)], columns)
    dataset = create_dataset(config(tmp_path, load_col=None), get_model("BPR").type)
    path = write_inter(tmp_path, [("f", "y", "s9", 1), ("f", "x", "s2", 2.5)], columns, "fake")
    poisoned = dataset.with_spam(path).log
    shops = poisoned.vocabulary["shop"]
    assert shops.token_array.to_pylist() == ["[PAD]", "s1", "s2", "s9"]
    assert shops.tokens(poisoned.columns["shop"]).tolist() == ["s1", "s2", "s1", "s9", "s2"]
    assert poisoned.columns["timestamp"].tolist() == [1, 2, 3, 1, 2.5]


def test_fake_rows_have_no_values_in_sequence_columns(tmp_path, config, write_inter):
    columns = "user_id:token item_id:token tags:token_seq timestamp:float"
    write_inter(tmp_path, [("a", "x", "new big", 1), ("a", "y", "big", 2), ("b", "x", "", 3)], columns)
    dataset = create_dataset(config(tmp_path, load_col=None), get_model("BPR").type)
    path = write_inter(tmp_path, [("f", "y", "old", 1), ("f", "x", "", 2.5)], columns, "fake")
    poisoned = dataset.with_spam(path)
    assert poisoned.log.lists["tags"].padded().tolist() == [[1, 2], [2, 0], [0, 0], [0, 0], [0, 0]]
    assert poisoned.inter_feat["tags"].tolist()[0] == [1, 2]
    assert poisoned.log.vocabulary["tags"].token_array.to_pylist() == ["[PAD]", "new", "big"]
