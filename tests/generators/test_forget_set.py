"""Sampling of forget sets, compared with a loop, and its invariants."""

import json
import os
import random
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recbole.generators.forget_set import choose, generate
from recbole.generators.raw_log import RawBaskets, RawInteractions
from recbole.scenario.files.forget_set_reader import read_forget_set
from recbole.utils import UserError

HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
ROWS = st.lists(st.tuples(st.integers(0, 8), st.booleans()), max_size=60)
FRACTIONS = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0]))


def slow(users, sensitive, seed, fraction, rule):
    """Choose row by row, following the docstring of `choose`."""
    own = {}
    for row, (user, wanted) in enumerate(zip(users, sensitive, strict=True)):
        if wanted:
            own.setdefault(user, []).append(row)
    order = list(own)
    random.seed(seed)
    random.shuffle(order)
    target = min(int(len(users) * fraction), sum(map(len, own.values())))
    chosen = []
    for user in order:
        if rule == "A":
            if len(chosen) >= target:
                break
            with_user = len(chosen) + len(own[user])
            if with_user > target:
                if with_user - target < target - len(chosen):
                    chosen += own[user]
                break
        chosen += own[user]
        if rule == "B" and len(chosen) >= target:
            break
    return chosen


@given(ROWS, st.integers(0, 20), FRACTIONS, st.sampled_from("AB"))
@example([(0, True)] * 5, 2, 0.2, "A")  # the first user has more than twice the target
@example([(0, True)] * 2 + [(1, False)] * 2, 2, 0.25, "A")  # exactly twice the target is not strictly closer
def test_the_choice_equals_a_loop(rows, seed, fraction, rule):
    users = np.array([user for user, _ in rows], np.int64)
    sensitive = np.array([wanted for _, wanted in rows], bool)
    chosen = choose(users, sensitive, seed, fraction, rule)
    assert chosen.tolist() == slow(users.tolist(), sensitive.tolist(), seed, fraction, rule)


@given(ROWS, st.integers(0, 20), FRACTIONS, FRACTIONS, st.sampled_from("AB"))
def test_forget_sets_of_smaller_fractions_are_prefixes(rows, seed, one, other, rule):
    users = np.array([user for user, _ in rows], np.int64)
    sensitive = np.array([wanted for _, wanted in rows], bool)
    small, large = (choose(users, sensitive, seed, fraction, rule).tolist() for fraction in sorted((one, other)))
    assert large[: len(small)] == small


def test_edge_cases():
    users, sensitive = np.array([5, 5, 5, 7, 7, 9]), np.array([True, True, True, True, True, False])
    assert choose(users, sensitive, 2, 0, "A").size == 0
    assert set(users[choose(users, sensitive, 2, 0, "B")]) in ({5}, {7})
    assert sorted(choose(users, sensitive, 2, 1.0, "A")) == [0, 1, 2, 3, 4]
    assert choose(users, np.zeros(6, bool), 2, 1.0, "B").size == 0
    assert choose(users, sensitive, 2, 0.1, "A", n_total=10_000).size == 5


@pytest.fixture
def log(tmp_path):
    """A function that writes a log from rows with users u0 to u19 and items 0 to 9."""

    def make(content):
        path = tmp_path / "d.inter"
        path.write_bytes(content)
        return RawInteractions(path)

    return make


def rows_of(n=400):
    """Return rows of which every fifth has the sensitive item 007, with unusual numbers and texts in the columns."""
    rng = np.random.default_rng(0)
    items = ["007", "7", "é", '"x"', "nan"]
    return [f"u{rng.integers(20)}\t{items[row % 5]}\t{row % 6}.50\t{row:06d}" for row in range(n)]


@pytest.mark.parametrize(("end", "mark"), [("\n", ""), ("\r\n", ""), ("\n", "\ufeff"), ("\n\n", "")])
def test_rows_are_copied_unchanged(log, tmp_path, end, mark):
    rows = rows_of()
    raw = log((mark + HEADER + end.join(rows)).encode())
    report = generate(raw, raw.sensitive(["007", "not there"]), tmp_path / "out.inter", 2, 0.1, "A")
    header, *written = (tmp_path / "out.inter").read_text().split("\n")[:-1]
    assert header + "\n" == HEADER
    users = [row.split("\t")[0] for row in rows]
    expected = slow(users, ["\t007\t" in row for row in rows], 2, 0.1, "A")
    assert written == [rows[row] for row in expected]
    assert report == {
        "users": len({users[row] for row in expected}),
        "rows": len(written),
        "items": 1,
        "target": 40,
        "available": 80,
        "rule": "A",
        "fraction": 0.1,
        "achieved": len(written) / 400,
    }
    assert b"\r" not in (tmp_path / "out.inter").read_bytes()
    assert read_forget_set(tmp_path / "out.inter", "CF").entities[0] == written[0].split("\t")[0]


@pytest.mark.parametrize(
    ("content", "items", "fraction", "message"),
    [
        (HEADER + "a\t1\t3\t0\n", ["2"], 0.1, "no forget set can be drawn"),
        (HEADER + "a\t1\t3\t0\n", ["1"], 1.5, "must be between 0 and 1, not 1.5"),
        (HEADER + "a\t\t3\t0\n", ["1"], 0.1, r":2: column 'item_id' has no value \(in 1 of 1 rows\)"),
        (HEADER + "a\t1\t3\t0\ra\t1\t3\t0\n", ["1"], 1.0, "line ends other than LF and CRLF"),
    ],
)
def test_errors_are_one_line(log, tmp_path, content, items, fraction, message):
    with pytest.raises(UserError, match=message):
        raw = log(content.encode())
        generate(raw, raw.sensitive(items), tmp_path / "out.inter", 2, fraction, "A")
    assert not (tmp_path / "out.inter").exists()


BASKETS = st.dictionaries(
    st.integers(0, 30).map(str), st.lists(st.lists(st.integers(0, 6), max_size=4), max_size=8), min_size=1, max_size=12
)


@given(BASKETS, st.sets(st.integers(0, 6), min_size=1, max_size=3), st.integers(0, 9), FRACTIONS)
@example({"1": [[0, 0, 1], [1], [2], [3], [0]], "2": [[0], [1], [2], [3]]}, {0}, 2, 0.1)
def test_the_choice_of_baskets_equals_a_loop(tmp_path_factory, baskets, items, seed, fraction):
    folder = tmp_path_factory.mktemp("baskets")
    (folder / "d_merged.json").write_text(json.dumps(baskets))
    kept = {user: own for user, own in ((u, [b for b in bs if b]) for u, bs in baskets.items()) if len(own) >= 4}
    count = {}
    for user, own in kept.items():
        distinct = sum(len(items & set(basket)) for basket in own)
        if distinct and sum(1 for basket in own if set(basket) - items) >= 4:
            count[user] = distinct
    log = RawBaskets(folder / "d_merged.json")
    assert log.n_total == sum(len(basket) for own in kept.values() for basket in own)
    tokens = list(map(str, items))
    if not count:
        with pytest.raises(UserError, match="no forget set can be drawn"):
            generate(log, log.sensitive(tokens), folder / "out.json", seed, fraction, "B")
        return
    order = list(count)
    random.Random(seed).shuffle(order)
    target, total, expected = min(int(log.n_total * fraction), sum(count.values())), 0, []
    for user in order:
        expected.append(user)
        total += count[user]
        if total >= target:
            break
    report = generate(log, log.sensitive(tokens), folder / "out.json", seed, fraction, "B")
    assert json.loads((folder / "out.json").read_text()) == expected
    assert (report["users"], report["rows"], report["available"]) == (len(expected), total, sum(count.values()))
    assert read_forget_set(folder / "out.json", "NBR").entities == tuple(expected)


@given(BASKETS, st.sets(st.integers(0, 6), min_size=1, max_size=3), st.integers(0, 9), st.integers(2, 3))
@example({"1": [[0, 1], [0, 1], [2], [3]], "2": [[0, 4], [5, 0, 0], [2], [3]]}, {0}, 2, 2)
def test_the_choice_of_repeated_items_equals_a_loop(tmp_path_factory, baskets, items, seed, in_baskets):
    folder = tmp_path_factory.mktemp("baskets")
    (folder / "d_merged.json").write_text(json.dumps(baskets))
    expected, available = {}, 0
    for user, own in baskets.items():
        times = {item: sum(item in basket for basket in own) for item in items}
        asked = {item for item, n in times.items() if n >= in_baskets}
        if asked and sum(1 for basket in own if set(basket) - asked) >= 4:
            expected[user] = asked
            available += sum(times[item] for item in asked)
    log = RawBaskets(folder / "d_merged.json", in_baskets=in_baskets)
    rows = log.sensitive(list(map(str, items)))
    assert rows.sum() == available
    if not available:
        return
    sets = []
    for fraction in (0.05, 0.2, 1.0):
        report = generate(log, rows, folder / "out.inter", seed, fraction, "B")
        chosen = read_forget_set(folder / "out.inter", "NBR")
        pairs = list(zip(chosen.entities, map(int, chosen.items), strict=True))
        people = list(dict.fromkeys(chosen.entities))
        assert set(pairs) == {(user, item) for user in people for item in expected[user]}
        assert (report["users"], len(pairs)) == (len(people), chosen.n_rows)
        sets.append(pairs)
    assert set(sets[0]) <= set(sets[1]) <= set(sets[2]) and len(people) == len(expected)


def test_the_choice_does_not_depend_on_the_hash_seed(tmp_path):
    (tmp_path / "d.inter").write_text(HEADER + "\n".join(rows_of()))
    script = (
        "import sys\n"
        "from recbole.generators.forget_set import generate\n"
        "from recbole.generators.raw_log import RawInteractions\n"
        "log = RawInteractions(sys.argv[1])\n"
        "generate(log, log.sensitive({'007', '7', 'nan'}), sys.argv[2], 3, 0.2, 'B')"
    )
    outs = [tmp_path / "0.inter", tmp_path / "1.inter"]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, tmp_path / "d.inter", out], env={**os.environ, "PYTHONHASHSEED": out.stem}
        )
        for out in outs
    ]
    assert [process.wait() for process in running] == [0, 0]
    assert outs[0].read_bytes() == outs[1].read_bytes()
    assert outs[0].read_bytes().count(b"\n") > 80
