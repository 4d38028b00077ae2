"""RecBole's ``benchmark_filename``: the split is read from files."""

import logging

import numpy as np
import pytest

from recbole.config.identity import deciding
from recbole.data import create_dataset
from recbole.data.split import SPLITS, TEST, TRAIN, VALID
from recbole.utils import ModelType, UserError

PAIR = "user_id:token item_id:token"
TRAINED = [("b", "y"), ("a", "z"), ("b", "x"), ("a", "x"), ("c", "y")]
VALID_ROWS, TESTED = [("a", "y")], [("b", "z"), ("d", "w"), ("b", "y"), ("b", "w")]
ALL = ["train", "valid", "test"]


@pytest.fixture
def place(tmp_path, write_inter, config):
    """A function: ``place(names, **settings)`` returns a configuration; ``place.write(name, rows)`` writes a file."""

    def make(names=ALL, model="BPR", **settings):
        own = {"benchmark_filename": names, "load_col": {"inter": ["user_id", "item_id"]}}
        return config(tmp_path, model=model, **own | settings)

    def write(name, rows, columns=PAIR):
        return write_inter(tmp_path / "aside", rows, columns).rename(folder / f"small.{name}.inter")

    folder = tmp_path / "small"
    folder.mkdir()
    make.write, make.folder = write, folder
    for name, rows in zip(ALL, (TRAINED, VALID_ROWS, TESTED), strict=True):
        write(name, rows)
    return make


def read(config, task=ModelType.GENERAL):
    return create_dataset(config, task)


def told(dataset):
    """Return (user, item, split label) of every row."""
    log = dataset.log
    users, items = (log.vocabulary[side].tokens(getattr(log, side)) for side in ("user", "item"))
    return list(zip(users, items, log.split.tolist(), strict=True))


def labelled(rows, label):
    return [(*row[:2], label) for row in rows]


def by_user(rows):
    """Return the rows grouped by user, in order of first appearance; each group keeps the order of its rows."""
    order = list(dict.fromkeys(row[0] for row in rows))
    return sorted(rows, key=lambda row: order.index(row[0]))


def test_labels_and_ids_follow_the_order_of_the_files(place):
    dataset = read(place())
    rows = labelled(TRAINED, TRAIN) + labelled(VALID_ROWS, VALID) + labelled(TESTED, TEST)
    assert told(dataset) == by_user(rows)
    assert dataset.log.vocabulary["user"].token_array[1:].to_pylist() == ["b", "a", "c", "d"]
    assert dataset.log.vocabulary["item"].token_array[1:].to_pylist() == ["y", "z", "x", "w"]


@pytest.mark.parametrize("order", ["RO", "TO"])
def test_order_and_ratios_of_eval_args_are_ignored(place, order):
    first = read(place())
    again = read(place(eval_args={"order": order, "split": {"RS": [0.1, 0.1, 0.8]}}, seed=7))
    assert told(first) == told(again) and first.log.fingerprint == again.log.fingerprint


def test_rows_are_not_sorted_by_time(place):
    place.write("train", [("a", "x", 9), ("a", "y", 3.5)], f"{PAIR} timestamp:float")
    place.write("valid", [], f"{PAIR} timestamp:float")
    place.write("test", [("a", "z", 1)], f"{PAIR} timestamp:float")
    dataset = read(place(load_col={"inter": ["user_id", "item_id", "timestamp"]}))
    assert told(dataset) == [("a", "x", TRAIN), ("a", "y", TRAIN), ("a", "z", TEST)]
    assert dataset.log.columns["timestamp"].tolist() == [9, 3.5, 1]


def test_all_test_items_count_as_positives_even_if_trained_on(place):
    dataset = read(place())
    ids = dataset.log.vocabulary["item"].ids(["w", "y", "z", "x"])
    rows = dataset.eval_rows("test")
    assert dataset.log.vocabulary["user"].tokens(rows.entity).tolist() == ["b", "d"]
    first = slice(rows.positives.offsets[0], rows.positives.offsets[1])
    assert set(rows.positives.values[first]) == set(ids[:3])
    assert rows.history.values[rows.history.offsets[0] : rows.history.offsets[1]].tolist() == [ids[3]]


def test_a_mask_does_not_change_labels(place):
    dataset = read(place())
    mask = np.arange(len(dataset.log)) % 2 == 0
    masked = dataset.masked(mask.copy())
    assert masked.train_examples().tolist() == np.flatnonzero((dataset.log.split == TRAIN) & ~mask).tolist()
    change = masked.forget(np.arange(len(mask)))
    assert len(change.rows) == (~mask).sum() and len(masked.eval_rows("test").entity) == 0
    assert np.array_equal(masked.log.split, dataset.log.split)


def test_filters_are_ignored_as_in_recbole_with_a_message(place, caplog):
    caplog.set_level(logging.INFO, "recbole")
    plain = read(place())
    assert not caplog.records
    filtered = read(place(user_inter_num_interval="[3,inf)", rm_dup_inter="first"))
    assert told(filtered) == told(plain)
    assert [record.getMessage() for record in caplog.records] == [
        "benchmark_filename: all rows are used, so these filters have no effect: rm_dup_inter, user_inter_num_interval"
    ]


@pytest.mark.parametrize("how", ["two names", "no file", "an empty file"])
def test_a_missing_validation_file_gives_a_message(place, caplog, how):
    caplog.set_level(logging.INFO, "recbole")
    if how == "no file":
        (place.folder / "small.valid.inter").unlink()
    if how == "an empty file":
        place.write("valid", [])
    dataset = read(place(["train", "test"] if how == "two names" else ALL))
    assert told(dataset) == by_user(labelled(TRAINED, TRAIN) + labelled(TESTED, TEST))
    assert len(dataset.eval_rows("valid").entity) == 0
    said = [record.getMessage() for record in caplog.records]
    assert said[-1].startswith("no interactions for validation: training runs for all epochs")
    assert len(said) == (2 if how == "no file" else 1)


def test_another_training_file_changes_the_fingerprint(place):
    place.write("train_all", [*TRAINED, *VALID_ROWS])
    some, everything = read(place()), read(place(["train_all", "test"]))
    assert (some.log.split == TRAIN).sum() + 1 == (everything.log.split == TRAIN).sum() == 6
    assert some.log.fingerprint != everything.log.fingerprint


def test_files_with_missing_columns_and_other_encodings_are_combined(place):
    columns = f"{PAIR} shop:token rating:float"
    place.write("train", [("a", "x", "s", 1), ("b", "x", "", 2)], columns)
    place.write("valid", [], columns)
    place.write("test", [("a", "y", "t", 2.5)], columns)
    log = read(place(load_col=None)).log
    assert log.vocabulary["shop"].tokens(log.columns["shop"]).tolist() == ["s", "t", ""]
    assert log.columns["rating"].tolist() == [1, 2.5, 2]


def test_fake_users_are_in_the_training_split(place, tmp_path):
    clean = read(place())
    (tmp_path / "spam.inter").write_text("user_id:token\titem_id:token\nfake\tx\nfake\tw\n")
    both = clean.with_spam(tmp_path / "spam.inter")
    assert told(both) == [*told(clean), ("fake", "x", TRAIN), ("fake", "w", TRAIN)]


@pytest.mark.parametrize(
    ("name", "rows", "columns", "message"),
    [
        ("test", [], PAIR, r"small\.test\.inter: the file contains no interactions"),
        ("train", [], PAIR, r"small\.train\.inter: the file contains no interactions"),
        ("test", [("a", "")], PAIR, r"small\.test\.inter:2: column 'item_id' \(ITEM_ID_FIELD\) has no value"),
        (
            "valid",
            [("a", "x", 1)],
            f"{PAIR} rating:float",
            r"small\.valid\.inter has the columns \['user_id', 'item_id",
        ),
    ],
)
def test_bad_files_are_named(place, name, rows, columns, message):
    place.write(name, rows, columns)
    with pytest.raises(UserError, match=message):
        read(place(load_col=None))


def test_an_infinite_time_is_rejected_with_its_file_and_line(place):
    for name, time in (("train", 1), ("valid", 2), ("test", "inf")):
        place.write(name, [("a", f"{name}x", 1), ("a", f"{name}y", time)], f"{PAIR} timestamp:float")
    with pytest.raises(UserError, match=r"small\.test\.inter:3: column 'timestamp' \(TIME_FIELD\) is inf"):
        read(place(load_col=None))


@pytest.mark.parametrize("name", ["train", "test"])
def test_a_file_that_is_not_there_is_named(place, name):
    (place.folder / f"small.{name}.inter").unlink()
    with pytest.raises(UserError, match=rf"cannot read .*small\.{name}\.inter"):
        read(place())


@pytest.mark.parametrize(
    "names", ["train", ["train"], [], ["train", "test", "test"], ["train", 1], ["a", "b", "c", "d"]]
)
def test_invalid_names_are_rejected(place, names):
    with pytest.raises(UserError, match=r"benchmark_filename .* should be two or three different names"):
        place(names)


@pytest.mark.parametrize(("model", "task"), [("GRU4Rec", ModelType.SEQUENTIAL), ("DNNTSP", ModelType.NEXT_BASKET)])
def test_other_tasks_are_refused(place, model, task):
    with pytest.raises(UserError, match="benchmark_filename: only CF data can be split by files"):
        read(place(model=model), task)


def test_the_setting_changes_the_digest_only_if_it_is_set(place):
    said = deciding(place().as_dict(), "BPR")
    assert said["benchmark_filename"] == ALL
    assert "benchmark_filename" not in deciding(place(None).as_dict(), "BPR")


def test_labels_reach_every_split(place):
    dataset = read(place())
    for split, label in SPLITS.items():
        if split != "train":
            wanted = set(dataset.log.user[dataset.log.split == label].tolist())
            assert set(dataset.eval_rows(split).entity.tolist()) == wanted
