"""Interactions as columns of integer codes, compared with plain Python."""

from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole.data.atomic import read_atomic
from recbole.prepare.raw_table import RawTable

ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), max_size=40)


def as_log(rows, block=7):
    batches = [
        {
            "user_id": pa.array([f"u{row[0]}" for row in part], pa.string()),
            "item_id": pa.array([row[1] for row in part], pa.int64()),
            "timestamp": pa.array([row[2] for row in part], pa.int64()),
        }
        for part in (rows[at : at + block] for at in range(0, len(rows), block))
    ]
    return RawTable.collect(batches, ("user_id", "item_id"), ("timestamp",))


def as_rows(log):
    tokens = [np.array(log.tokens[name].to_pylist(), object)[codes] for name, codes in log.codes.items()]
    columns = [*tokens, *log.numbers.values()]
    return [(int(user[1:]), int(item), int(time)) for user, item, time in zip(*columns, strict=True)]


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_repeated_rows_are_removed_and_rows_are_sorted(rows):
    log = as_log(rows)
    assert as_rows(log) == rows
    assert as_rows(log.distinct()) == list(dict.fromkeys(rows))
    assert as_rows(log.ordered()) == sorted(rows, key=lambda row: (row[0], row[2]))


def test_repeated_rows_are_equal_in_every_column():
    codes = {"user_id": np.array([0, 1, 0, 1, 1], np.int32), "item_id": np.array([1, 0, 1, 0, 0], np.int32)}
    numbers = {"rating": np.array([0.0, 2.5, -0.0, 2.5, 3.5]), "timestamp": np.array([7, 7, 7, 7, 7])}
    kept = RawTable(codes, {}, numbers).distinct()
    assert kept.codes["user_id"].tolist() == [0, 1, 1]
    assert kept.numbers["rating"].tolist() == [0.0, 2.5, 3.5]


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_the_core_is_the_largest_set_with_enough_rows_of_each_user_and_item(rows):
    left = rows
    while True:
        users, items = Counter(row[0] for row in left), Counter(row[1] for row in left)
        kept = [row for row in left if users[row[0]] >= 3 and items[row[1]] >= 3]
        if kept == left:
            break
        left = kept
    assert as_rows(as_log(rows).core(3)) == left


@given(ROWS, st.integers(0, 2))
@settings(max_examples=60, deadline=None)
def test_a_long_pause_ends_a_session(rows, gap):
    log = as_log(rows).ordered().with_sessions(gap)
    assert list(log.codes) == ["user_id", "session_id", "item_id"]
    expected, before, number = [], None, 0
    for user, _, time in as_rows(log.without("session_id")):
        if before is None or user != before[0]:
            number = 0
        elif time - before[1] > gap:
            number += 1
        before = user, time
        expected.append(f"u{user}_session_{number}")
    assert log.tokens["session_id"].take(pa.array(log.codes["session_id"])).to_pylist() == expected


def test_a_written_log_reads_back(tmp_path):
    log = RawTable({"user_id": np.int32([1, 0])}, {"user_id": pa.array(["é", "007"])}, {"rating": np.array([0.5, 4.0])})
    log.write(tmp_path / "x.inter")
    assert (tmp_path / "x.inter").read_text() == "user_id:token\trating:float\n007\t0.5\né\t4\n"
    assert read_atomic(tmp_path / "x.inter").table["user_id"].to_pylist() == ["007", "é"]
