"""Which rows of a log may be asked for, and what is said of a file that cannot be read."""

import pytest

from recbole.generators.raw_log import RawBaskets, RawInteractions
from recbole.utils import UserError

HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"


def test_only_people_with_enough_of_both_may_ask(write_inter, tmp_path):
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
    with pytest.raises(UserError, match="no ratings to hold against a rating threshold"):
        RawInteractions(tmp_path / "s.inter").sensitive(["1"], 3.5)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"7": [1, 2]}', "user '7', basket 1: expected a list of items, found 1"),
        ('{"7": [[1.5]]}', "user '7', basket 1: item 1.5 is not a whole number from 0 on"),
        ('{"7": [[1], ["x"]]}', "user '7', basket 2: item 'x' is not a whole number"),
        ('{"7": [[null]]}', "item None is not a whole number"),
        ('{"7": [[-4]]}', "item -4 is not a whole number"),
        ('{"7": [[true]]}', "item True is not a whole number"),
        ('{"7": [[1]], "7": [[2]]}', "user '7' stands there twice"),
        ("[]", "expected a JSON object of users' baskets, found list"),
        ("{", "not a JSON file"),
    ],
)
def test_malformed_baskets(tmp_path, content, message):
    (tmp_path / "d.json").write_text(content)
    with pytest.raises(UserError, match=message):
        RawBaskets(tmp_path / "d.json")
