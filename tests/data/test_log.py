"""The interaction log that is read from atomic files: ids, filters, order, errors, and its fingerprint."""

import logging
import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch

from recbole.data.log import group_offsets, load_log, load_more, ranges
from recbole.utils import UserError

ROWS = [("b", "y", 3), ("a", "x", 5), ("b", "x", 1), ("c", "z", 2), ("a", "y", 4), ("b", "z", 2)]


@pytest.fixture
def load(tmp_path, write_inter, config):
    """A function: ``load(rows, columns, **settings)`` writes rows to a file and loads them."""

    def make(rows=ROWS, columns="user_id:token item_id:token timestamp:float", **settings):
        write_inter(tmp_path, rows, columns)
        return load_log(config(tmp_path, **settings))

    make.folder = tmp_path / "small"
    return make


def told(call, **settings):
    with pytest.raises(UserError) as caught:
        call(**settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def tokens(log, side):
    return log.vocabulary[side].token_array.to_pylist()


def triples(log):
    """Return the rows of a log in its order, as (user token, item token, time)."""
    names = [log.vocabulary[side].tokens(getattr(log, side)) for side in ("user", "item")]
    return list(zip(*names, log.columns["timestamp"].tolist(), strict=True))


def test_ids_follow_first_appearance_and_rows_are_sorted_by_user_and_time(load):
    log = load()
    assert tokens(log, "user") == ["[PAD]", "b", "a", "c"]
    assert tokens(log, "item") == ["[PAD]", "y", "x", "z"]
    assert triples(log) == [("b", "x", 1), ("b", "z", 2), ("b", "y", 3), ("a", "y", 4), ("a", "x", 5), ("c", "z", 2)]
    assert log.offsets.tolist() == [0, 0, 3, 5, 6] and log.user.dtype == log.item.dtype == np.int64
    assert log.rows_of([3, 1]).tolist() == [5, 0, 1, 2]
    rows, offsets = log.by_item
    assert [rows[a:b].tolist() for a, b in pairwise(offsets)] == [[], [2, 3], [0, 4], [1, 5]]


def test_equal_times_keep_the_order_of_the_file(load):
    rows = [("a", f"i{n}", 7) for n in (4, 2, 9, 0)]
    assert [item for _, item, _ in triples(load(rows))] == ["i4", "i2", "i9", "i0"]


def test_ids_are_numbered_after_the_filters(load):
    log = load(val_interval={"timestamp": "[1,4]"}, item_inter_num_interval="[2,inf)")
    assert tokens(log, "user") == ["[PAD]", "b", "c", "a"] and tokens(log, "item") == ["[PAD]", "y", "z"]
    assert triples(log) == [("b", "z", 2), ("b", "y", 3), ("c", "z", 2), ("a", "y", 4)]


def test_one_row_of_repeated_pairs_can_be_kept(load):
    rows = [("a", "x", 3), ("a", "x", 1), ("a", "x", 2), ("b", "x", 9)]
    assert len(load(rows)) == 4
    assert triples(load(rows, rm_dup_inter="first")) == [("a", "x", 1), ("b", "x", 9)]
    assert triples(load(rows, rm_dup_inter="last")) == [("a", "x", 3), ("b", "x", 9)]


@pytest.mark.parametrize(("user", "item", "column"), [("", "x", "user_id"), ("a", "", "item_id"), ("", "", "user_id")])
def test_rows_without_a_user_or_item_are_rejected_with_their_line(load, user, item, column):
    message = told(load, rows=[("a", "x", 3), (user, item, 2), ("b", "y", 1), (user, item, 2)])
    assert f"small.inter:3: column '{column}' ({column.upper()}_FIELD) has no value, in 2 of 4 rows" in message


def test_rows_without_a_session_are_rejected_and_blank_lines_are_counted(config, tmp_path):
    (tmp_path / "small").mkdir()
    lines = ["session_id:token\titem_id:token\ttimestamp:float", "", "s\tx\t1", "", "\ty\t2", "s\ty\t3", ""]
    (tmp_path / "small" / "small.inter").write_bytes("\r\n".join(lines).encode())
    fields = {"USER_ID_FIELD": "session_id", "load_col": {"inter": ["session_id", "item_id", "timestamp"]}}
    with pytest.raises(UserError, match=r"small\.inter:5: column 'session_id' .* has no value, in 1 of 3"):
        load_log(config(tmp_path, "GRU4Rec", **fields))


def test_other_token_columns_get_ids_including_one_for_the_empty_token(load):
    rows = [("a", "x", 1, "s1"), ("a", "y", 2, ""), ("b", "x", 3, "s0"), ("b", "y", 4, "s1")]
    columns = "user_id:token item_id:token timestamp:float place:token"
    log = load(rows, columns, load_col={"inter": ["user_id", "item_id", "timestamp", "place"]})
    assert log.columns["place"].tolist() == [1, 2, 3, 1]
    assert tokens(log, "place") == ["[PAD]", "s1", "", "s0"]


def test_random_order_uses_torchs_permutation_of_the_filtered_rows(load, config):
    rows = [(f"u{n % 3}", f"i{n}", n) for n in range(40)]
    log = load(rows, eval_args={"order": "RO"}, seed=11)
    shuffled = torch.randperm(40, generator=torch.Generator().manual_seed(11)).tolist()
    expected = [f"i{n}" for user in range(3) for n in shuffled if n % 3 == user]
    assert [item for _, item, _ in triples(log)] == expected


def test_times_in_single_precision_are_sorted_as_float32_with_a_message(load, caplog):
    times = [881250949, 881250940, 881250948]  # all equal as float32
    rows = [("a", f"i{n}", time) for n, time in enumerate(times)]
    assert [item for _, item, _ in triples(load(rows))] == ["i1", "i2", "i0"]
    with caplog.at_level(logging.INFO, "recbole"):
        log = load(rows, time_precision="single")
    assert [item for _, item, _ in triples(log)] == ["i0", "i1", "i2"]
    assert log.columns["timestamp"].tolist() == times, "the log keeps the exact times"
    assert "float32" in caplog.text


@pytest.mark.parametrize("how", [{"normalize_all": True}, {"normalize_field": ["timestamp"]}])
def test_single_precision_after_scaling_to_0_1_distinguishes_more_times(load, how):
    rows = [("a", f"i{n}", time) for n, time in enumerate([881250949, 881250940, 881250948, 881250948.5])]
    log = load(rows, time_precision="single", **how)
    assert [item for _, item, _ in triples(log)] == ["i1", "i2", "i3", "i0"]
    far = load([("b", "j", 0), *rows, ("b", "k", 2e9)], time_precision="single", **how)
    scaled = [np.float32(time / 2e9) for *_, time in rows]
    expected = [f"i{n}" for n in sorted(range(4), key=lambda n: scaled[n])]
    assert [item for user, item, _ in triples(far) if user == "a"] == expected
    with warnings.catch_warnings(action="error"):
        same = load([("a", "x", 5), ("a", "y", 5)], time_precision="single", **how)
    assert [item for _, item, _ in triples(same)] == ["x", "y"], "equal times cannot be scaled"


def test_feature_files_add_tokens_and_filter_interactions(load):
    load.folder.mkdir()
    (load.folder / "small.item").write_text("item_id:token\tprice:float\nx\t1\nw\t2\n\t3\ny\t4\n")
    both = {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id", "price"]}
    log = load(load_col=both)
    assert {item for _, item, _ in triples(log)} == {"x", "y"}, "z is not in the item file"
    assert tokens(log, "item") == ["[PAD]", "y", "x", "w"]
    assert log.features["item"]["price"].to_pylist() == [1, 2, 4], "the row without an item is left out"
    kept = load(load_col=both, filter_inter_by_user_or_item=False)
    assert tokens(kept, "item") == ["[PAD]", "y", "x", "z", "w"] and len(kept) == len(ROWS)


# --- errors -------------------------------------------------------------------------------------------------
def test_a_missing_file(config, tmp_path):
    assert told(load_log, config=config(tmp_path)).startswith(f"cannot read {tmp_path}/small/small.inter: No such file")


def test_a_missing_column_is_named_with_the_nearest(load):
    message = told(load, columns="user_id:token itemid:token timestamp:float")
    assert "small.inter: there is no column 'item_id', did you mean 'itemid'?" in message


def test_an_id_column_that_is_not_loaded(load):
    message = told(load, load_col={"inter": ["user_id", "timestamp"]})
    assert "small.inter: column 'item_id' (ITEM_ID_FIELD) is not loaded" in message


def test_a_malformed_line_is_named(load):
    assert "small.inter:3: expected 3 tab-separated values, found 2" in told(load, rows=[("a", "x", 1), ("a", "y")])
    message = told(load, rows=[("a", "x", 1), ("a", "y", "late")])
    assert "small.inter:3: column 'timestamp': 'late' is not a number" in message


@pytest.mark.parametrize(
    ("time", "what"),
    [("", "is missing"), ("nan", "is missing"), ("inf", "is inf,"), ("-inf", "is -inf,"), ("1e309", "inf")],
)
def test_an_interaction_without_a_finite_time_is_rejected_with_its_line(load, time, what):
    rows = [("a", "x", 1), ("a", "y", time), ("b", "x", 2)]
    message = told(load, rows=rows)
    assert "small.inter:3: column 'timestamp' (TIME_FIELD) " in message and what in message
    assert len(load(rows, val_interval={"timestamp": "[0,9]"})) == 2, "a row that is filtered out needs no time"
    assert "small.inter: column 'timestamp'" in told(load, rows=[("", "x", 1), *rows], bad_lines="leave_out")


def test_an_infinite_time_in_a_file_of_fake_users_is_rejected(tmp_path, config):
    path = tmp_path / "spam.inter"
    path.write_text("user_id:token\titem_id:token\ttimestamp:float\nf\tx\t1\n\nf\ty\tinf\n")
    assert f"{path}:4: column 'timestamp'" in told(load_more, config=config(tmp_path), path=path)


@pytest.mark.parametrize(
    ("settings", "cause"),
    [
        ({"rows": []}, "small.inter: the file contains no interactions"),
        ({"user_inter_num_interval": "[50,inf)"}, "required by user_inter_num_interval [50,inf)"),
        ({"val_interval": {"timestamp": "[1e400,inf)"}}, "val_interval: no remaining interaction has a timestamp in "),
        ({"val_interval": {"age": "[70,inf)"}}, "no remaining interaction has a user of small.user, of which"),
    ],
)
def test_what_leaves_no_interaction_is_named(load, settings, cause):
    load.folder.mkdir()
    (load.folder / "small.user").write_text("user_id:token\tage:float\na\t30\nb\t40\n")
    columns = {"inter": ["user_id", "item_id", "timestamp"]} | ({"user": None} if "age" in str(settings) else {})
    assert cause in told(load, load_col=columns, **settings)


def test_columns_with_an_invalid_type_are_rejected(load):
    message = told(load, rows=[(1, 2, 3)], columns="user_id:float item_id:token timestamp:float")
    assert "'user_id'" in message and "token" in message
    message = told(load, columns="user_id:token item_id:token timestamp:token")
    assert "'timestamp'" in message and "float" in message


def test_value_intervals_need_loaded_numeric_columns(load):
    assert "'rating' is not among the loaded columns" in told(load, val_interval={"rating": "[3,5]"})
    message = told(load, val_interval={"item_id": "[3,5]"})
    assert message.startswith("val_interval: column 'item_id'") and "token" in message


def test_a_feature_file_needs_its_ids(load):
    load.folder.mkdir()
    (load.folder / "small.item").write_text("item_id:token\tprice:float\nx\t1\n")
    message = told(load, load_col={"inter": ["user_id", "item_id", "timestamp"], "item": ["price"]})
    assert "small.item: column 'item_id' (ITEM_ID_FIELD) is not loaded" in message


# --- the fingerprint -------------------------------------------------------------------------------------------------
@pytest.fixture
def fingerprint(tmp_path, write_inter, config):
    from recbole.data.cf import GeneralDataset

    def make(rows=ROWS, **settings):
        write_inter(tmp_path, rows)
        return GeneralDataset.from_config(config(tmp_path, **settings)).log.fingerprint

    return make


def test_the_fingerprint_depends_on_the_data_only(fingerprint):
    first = fingerprint()
    assert len(first) == 64 and first == fingerprint()
    assert first == fingerprint(seed=9, train_batch_size=7, learning_rate=0.5, embedding_size=9, metrics=["Hit", "MRR"])
    assert first == fingerprint(user_inter_num_interval="[1,inf)"), "a filter that removes no rows does not change it"


@pytest.mark.parametrize(
    "change",
    [
        {"rows": [("B", *ROWS[0][1:]), *ROWS[1:]]},
        {"rows": [*ROWS[:-1], ("b", "Z", 2)]},
        {"rows": [*ROWS[:-1], ("b", "z", 2.5)]},
        {"rows": ROWS[:-1]},
        {"rows": [*ROWS, ROWS[-1]]},
        {"rows": ROWS[::-1]},
        {"user_inter_num_interval": "[2,inf)"},
        {"eval_args": {"order": "TO", "split": {"LS": "test_only"}}},
        {"eval_args": {"order": "RO"}},
    ],
)
def test_the_fingerprint_depends_on_data_filters_order_and_split(fingerprint, change):
    assert fingerprint() != fingerprint(**change)


# --- small arrays ----------------------------------------------------------------------------------------------------
def test_ranges_and_offsets():
    starts, ends = np.array([5, 3, 9]), np.array([7, 3, 12])
    assert ranges(starts, ends).tolist() == [5, 6, 9, 10, 11]
    assert ranges(starts[:0], ends[:0]).tolist() == []
    assert group_offsets(np.array([1, 1, 3]), 5).tolist() == [0, 0, 2, 2, 3, 3]
