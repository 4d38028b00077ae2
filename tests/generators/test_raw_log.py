"""Raw logs: which rows may be in a forget set, and errors for malformed files."""

import json

import pytest

from recbole.generators.raw_log import RawBaskets, RawInteractions
from recbole.utils import UserError

HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"


def test_only_users_with_enough_sensitive_and_other_rows_are_eligible(write_inter, tmp_path):
    rows = [("a", "s"), ("a", "x"), ("b", "s"), ("b", "s"), ("b", "x"), ("c", "s"), ("c", "s")]
    path = write_inter(tmp_path, rows, "user_id:token item_id:token")
    log = RawInteractions(path, min_sensitive=2, min_remaining=1)
    assert log.sensitive(["s"]).tolist() == [False, False, True, True, False, False, False]


def test_rating_threshold(tmp_path):
    (tmp_path / "d.inter").write_text(HEADER + "a\t1\t3\t0\na\t1\t4\t0\nb\t1\t\t0\n")
    raw = RawInteractions(tmp_path / "d.inter")
    assert raw.sensitive(["1"]).tolist() == [True, True, True]
    assert raw.sensitive(["1"], 3.5).tolist() == [False, True, False]
    (tmp_path / "s.inter").write_text("user_id:token\titem_id:token\na\t1\n")
    with pytest.raises(UserError, match="no ratings, which a rating threshold"):
        RawInteractions(tmp_path / "s.inter").sensitive(["1"], 3.5)


@pytest.fixture
def shop(tmp_path):
    """Three users and the listed items 1 and 2: "b" has 1 in two baskets, "a" has both in two, "c" has each once."""
    baskets = {
        "b": [[1, 9], [1, 2, 9], [9], [9], [9]],
        "a": [[2, 1, 9], [1, 1, 9], [2, 9], [9]],
        "c": [[1, 9], [2, 9], [9], [9], [9]],
    }
    (tmp_path / "d.json").write_text(json.dumps(baskets))
    return tmp_path / "d.json"


@pytest.mark.parametrize(
    ("in_baskets", "rows"),
    [
        (1, [("b", 1), ("b", 1), ("b", 2), ("a", 2), ("a", 1), ("a", 1), ("a", 2), ("c", 1), ("c", 2)]),
        (2, [("b", 1), ("b", 1), ("a", 2), ("a", 1), ("a", 1), ("a", 2)]),  # [1, 1] is a single basket
        (3, []),
    ],
)
def test_only_items_in_enough_baskets_are_requested(shop, in_baskets, rows):
    log = RawBaskets(shop, in_baskets=in_baskets)
    users, items = [log.tokens[user] for user in log.users], map(int, log.items.to_pylist())
    asked = log.sensitive(["1", "2", "nowhere"])
    assert [row for row, chosen in zip(zip(users, items, strict=True), asked, strict=True) if chosen] == rows


def test_a_request_for_repeated_items_keeps_baskets_of_other_items(tmp_path):
    (tmp_path / "d.json").write_text('{"a": [[1, 9], [1, 9], [2], [9]], "b": [[1], [1], [2], [9]]}')
    assert not RawBaskets(tmp_path / "d.json").sensitive(["1", "2"]).any()  # without 1 and 2, "a" has three baskets
    log = RawBaskets(tmp_path / "d.json", in_baskets=2)
    assert [log.tokens[user] for user in log.users[log.sensitive(["1", "2"])]] == ["a", "a"]


def test_pairs_are_written_if_a_list_of_users_would_request_more(shop, tmp_path):
    log = RawBaskets(shop, in_baskets=2, user_field="who", item_field="what", separator=",")
    assert log.extension == "inter"
    log.write(tmp_path / "out.inter", log.sensitive(["1", "2"]).nonzero()[0][::-1])
    assert (tmp_path / "out.inter").read_text() == "who:token,what:token\na,2\na,1\nb,1\n"
    log = RawBaskets(shop)
    assert log.extension == "json"
    log.write(tmp_path / "out.json", log.sensitive(["1", "2"]).nonzero()[0][::-1])
    assert json.loads((tmp_path / "out.json").read_text()) == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"7": [1, 2]}', "user '7', basket 1: expected a list of items, found 1"),
        ('{"7": [[1.5]]}', "user '7', basket 1: item 1.5 is not a whole number from 0 to 2"),
        ('{"7": [[1], ["x"]]}', "user '7', basket 2: item 'x' is not a whole number"),
        ('{"7": [[null]]}', "item None is not a whole number"),
        ('{"7": [[-4]]}', "item -4 is not a whole number"),
        ('{"7": [[true]]}', "item True is not a whole number"),
        ('{"7": [[1]], "7": [[2]]}', "user '7' appears twice"),
        ("[]", "expected a JSON object with the baskets of each user, found list"),
        ("{", "not a JSON file"),
    ],
)
def test_malformed_baskets(tmp_path, content, message):
    (tmp_path / "d.json").write_text(content)
    with pytest.raises(UserError, match=message):
        RawBaskets(tmp_path / "d.json")
