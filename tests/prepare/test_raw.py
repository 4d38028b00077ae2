"""From raw files to codes: what the preparations of large data sets share, against plain Python."""

import gzip
import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole.data.atomic import read_atomic
from recbole.generators.basket_files import build_baskets, keep_frequent, write_baskets
from recbole.generators.order import order_requests, token_rank
from recbole.generators.raw_log import InteractionLog
from recbole.prepare.files import find
from recbole.prepare.raw_table import RawLog
from recbole.prepare.rules import SensitiveRules
from recbole.prepare.steps import shared_items
from recbole.prepare.tables import read_csv
from recbole.utils import UserError

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
    return RawLog.collect(batches, ("user_id", "item_id"), ("timestamp",))


def as_rows(log):
    tokens = [np.array(log.tokens[name].to_pylist(), object)[codes] for name, codes in log.codes.items()]
    columns = [*tokens, *log.numbers.values()]
    return [(int(user[1:]), int(item), int(time)) for user, item, time in zip(*columns, strict=True)]


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_distinct_and_order(rows):
    log = as_log(rows)
    assert as_rows(log) == rows
    assert as_rows(log.distinct()) == list(dict.fromkeys(rows))
    assert as_rows(log.ordered()) == sorted(rows, key=lambda row: (row[0], row[2]))


@given(ROWS)
@settings(max_examples=60, deadline=None)
def test_core_is_the_largest_set_with_enough_of_each(rows):
    left = rows
    while True:
        users, items = Counter(row[0] for row in left), Counter(row[1] for row in left)
        kept = [row for row in left if users[row[0]] >= 3 and items[row[1]] >= 3]
        if kept == left:
            break
        left = kept
    assert as_rows(as_log(rows).core(3)) == left


@given(st.lists(st.one_of(st.integers(0, 200).map(str), st.text("ab0é𝒳", min_size=1, max_size=3)), unique=True))
@settings(max_examples=60, deadline=None)
def test_rank_is_the_order_of_requests(tokens):
    rank = token_rank(pa.array(tokens, pa.string()))
    assert [tokens[at] for at in np.argsort(rank)] == order_requests(tokens)


@given(ROWS, st.integers(0, 2))
@settings(max_examples=60, deadline=None)
def test_sessions_end_with_a_long_pause(rows, gap):
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


def test_written_log_reads_back(tmp_path):
    log = RawLog({"user_id": np.int32([1, 0])}, {"user_id": pa.array(["é", "007"])}, {"rating": np.array([0.5, 4.0])})
    log.write(tmp_path / "x.inter")
    assert (tmp_path / "x.inter").read_text() == "user_id:token\trating:float\n007\t0.5\né\t4\n"
    assert read_atomic(tmp_path / "x.inter").table["user_id"].to_pylist() == ["007", "é"]


PURCHASES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(0, 3)), min_size=1, max_size=40)


@given(PURCHASES)
@settings(max_examples=60, deadline=None)
def test_baskets_against_plain_python(tmp_path_factory, rows):
    """Rows are (basket, item, time); a basket's user is its number mod 2, and it is as old as its earliest row."""
    basket, item, time = (np.array(column) for column in zip(*rows, strict=True))
    baskets = build_baskets(basket % 2, basket, item, time)
    path = tmp_path_factory.mktemp("baskets") / "x.json"
    write_baskets(path, baskets)
    expected = {}
    for number in sorted(set(basket.tolist()), key=lambda own: (min(t for b, _, t in rows if b == own), own)):
        content = list(dict.fromkeys(i for b, i, _ in rows if b == number))
        expected.setdefault(str(number % 2), []).append(content)
    assert json.loads(path.read_text()) == expected
    history = Counter(own for listed in expected.values() for content in listed[:-1] for own in content)
    frequent = {
        user: [kept for content in listed if (kept := [own for own in content if history[own] >= 2])]
        for user, listed in expected.items()
    }
    write_baskets(path, keep_frequent(baskets, 2))
    assert json.loads(path.read_text()) == {user: listed for user, listed in frequent.items() if listed}


def rules(tmp_path, text):
    (tmp_path / "sensitive.yaml").write_text(text, encoding="utf-8")
    return SensitiveRules(tmp_path / "sensitive.yaml")


def found(rules):
    return {category: sorted(items.to_pylist()) for category, items in rules.items().items()}


def test_words_are_whole_in_every_alphabet(tmp_path):
    own = rules(tmp_path, "c: {signals: {text: {exact: [war, self-harm, IPA], relaxed: [death wish]}}}")
    texts = ["War.", "warm", "éwar", "waré", "war_", "(self-harm)", "no\nipa\nhere", "a DEATH WISHES", "war2", None, ""]
    own.look(pa.array([str(at) for at in range(len(texts))]), text=pa.array(texts))
    assert found(own) == {"c": ["0", "5", "6", "7"]}


def test_signals_count_once_and_across_files(tmp_path):
    own = rules(
        tmp_path,
        "two: {min_signals: 2, signals: {title: {relaxed: [kill]}, tag: {relaxed: [gory]}, aisle: {ids: [3]}}}\n"
        "one: {signals: {tag: {exact: [gory]}}}",
    )
    own.look(pa.array([1, 2, 3]), title=pa.array(["kill, kill", "killer", "x"]), aisle=pa.array([3, 4, 3]))
    own.look(pa.array(["2", "2", "3"]), tag=pa.array([["x", "Gory"], [], None]))
    own.look(pa.array(["1", "1"]), title=pa.array(["kill", "kill"]))
    assert found(own) == {"two": ["1", "2"], "one": ["2"]}


def test_lists_of_numbers(tmp_path):
    own = rules(tmp_path, "c: {signals: {tag: {ids: [7, 8]}}}")
    own.look(pa.array(["a", "b", "c"]), tag=pa.array([[1, 7], [], [2]]))
    assert found(own) == {"c": ["a"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("c: {}", "category 'c' has no signals"),
        ("c: {signal: {t: {exact: [x]}}}", "category 'c' has no signals"),
        ("c: {min_signal: 1, signals: {t: {exact: [x]}}}", "unknown key 'min_signal', did you mean 'min_signals'?"),
        ("c: {signals: {t: {exakt: [x]}}}", "c: t: unknown key 'exakt', did you mean 'exact'?"),
        ("c: {signals: {t: {exact: [no]}}}", "'exact' must be a list of texts (put numbers, yes and no in quotes)"),
        ("c: {signals: {t: {ids: [x]}}}", "'ids' must be a list of whole numbers"),
        ("[1]", "expected categories"),
        ("{", "not YAML"),
    ],
)
def test_rules_with_a_mistake(tmp_path, text, message):
    with pytest.raises(UserError, match="sensitive") as told:
        rules(tmp_path, text)
    assert message in str(told.value)
    assert "\n" not in str(told.value)


def test_a_category_without_an_item_of_the_data_is_refused():
    items = pa.array(["1", "2"])
    assert shared_items({"c": pa.array(["2", "3"])}, items, "rules") == {"c": ["2"]}
    with pytest.raises(UserError, match="category 'c': none of its 1 items is among the 2 of the data"):
        shared_items({"c": pa.array(["02"])}, items, "rules")


def test_lines_are_counted_through_quotes_and_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("recbole.prepare.tables._BLOCK", 64)
    path = tmp_path / "x.csv.gz"
    lines = ["a,b", '1,"two\nlines"', *(f"{at},x" for at in range(100)), "z,x"]
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    with pytest.raises(UserError, match=r"x.csv.gz:104: column 'a': 'z' is not a whole number"):
        list(read_csv(path, {"a": pa.int64(), "b": pa.string()}, optional=["b"]))
    assert find(tmp_path, "y.csv", "x.csv") == path


def test_only_people_with_enough_of_both_may_ask(write_inter, tmp_path):
    rows = [("a", "s"), ("a", "x"), ("b", "s"), ("b", "s"), ("b", "x"), ("c", "s"), ("c", "s")]
    path = write_inter(tmp_path, rows, "user_id:token item_id:token")
    log = InteractionLog(path, min_sensitive=2, min_remaining=1)
    assert log.sensitive(["s"]).tolist() == [False, False, True, True, False, False, False]
