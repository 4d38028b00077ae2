"""Forget-set files: ERASE's format with its peculiarities, users' own files, and pickles that contain code."""

import builtins
import hashlib
import json
import os
import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recbole.generators.order import order_requests
from recbole.scenario.files.forget_set_reader import read_forget_set
from recbole.utils import UserError


def error_of(path, task_type, **fields):
    with pytest.raises(UserError) as caught:
        read_forget_set(path, task_type, **fields)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{path.parent}/", "")


def doubled(times):
    """Return a list that contains a list twice, and so on: small in memory, but exponentially long in print."""
    value = []
    for _ in range(times):
        value = [value, value]
    return value


def test_crlf_rows_under_an_lf_header(tmp_path):
    path = tmp_path / "f.inter"
    path.write_bytes(b"user_id:token\titem_id:token\trating:float\nU2\t007\t4.0\r\nU1\t7\t4.0\r\nU2\t007\t2.0\r\n")
    read = read_forget_set(path, "CF")
    assert read.entities == ("U2", "U1")
    assert read.items == ("007", "7")
    assert (read.n_rows, read.path) == (3, path)
    assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.skipif("ERASE_REFERENCE_DATA" not in os.environ, reason="needs the reference data")
def test_a_set_that_the_original_published():
    folder = Path(os.environ["ERASE_REFERENCE_DATA"]) / "data/forget_set_examples"
    (path,) = folder.glob("*.inter")
    read = read_forget_set(path, "CF")
    lines = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    assert read.n_rows == len(lines) == 564
    assert set(zip(read.entities, read.items, strict=True)) == {(line[0], line[1]) for line in lines}
    assert (read.entities[0], read.items[0]) == ("AE7RVUKIEPHIOLNX3H6AP4ZXRLKA", "B078LBVN5R")


def test_sessions_and_unknown_fields(tmp_path):
    path = tmp_path / "f.inter"
    path.write_text("user_id:token\tsession_id:token\titem_id:token\nu\ts\ti\n")
    assert read_forget_set(path, "SBR", user_field="session_id").entities == ("s",)
    assert error_of(path, "SBR", user_field="sesion_id") == (
        "f.inter: there is no column 'sesion_id', did you mean 'session_id'?; "
        "the header has user_id, session_id, item_id"
    )


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("users", [["12", "é", "12", "3"], [12, 3, 2**40, 300], [f"user {at}" for at in range(3000)]])
def test_lists_of_users(tmp_path, protocol, users):
    (tmp_path / "f.pkl").write_bytes(pickle.dumps(users, protocol))
    (tmp_path / "f.json").write_text(json.dumps(users))
    for name in ("f.pkl", "f.json"):
        read = read_forget_set(tmp_path / name, "NBR")
        assert read.entities == tuple(dict.fromkeys(map(str, users)))
        assert set(read.items) == {None}
        assert read.n_rows == len(users)


class Hostile:
    """Unpickles into a file called 'owned' in the working folder."""

    def __reduce__(self):
        """Return the call that an ordinary unpickler would make."""
        return builtins.open, ("owned", "w")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_code_in_a_pickle_is_not_run(tmp_path, monkeypatch, protocol):
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps(["1", Hostile()], protocol)
    pickle.loads(content)[1].close()
    assert (tmp_path / "owned").exists(), "an ordinary unpickler must run the code"
    (tmp_path / "owned").unlink()
    path = tmp_path / "f.pkl"
    path.write_bytes(content)
    assert error_of(path, "NBR").startswith("f.pkl: refused: reading it would run code (")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "f.pkl: refused: reading it would run code ('os.system')"),
        (b"c\x1b[2J\x0bos\n" + b"x" * 9999 + b"\n.", "f.pkl: refused: reading it would run code ('\\x1b[2J\\x0bos.xxx"),
        (pickle.dumps(["a\nb", "x" * 10**6]), "f.pkl: element 1 has 1000000 characters, expected a user id"),
        (b"(S'12'\nl.", "f.pkl: refused: not only a list of strings and whole numbers (STRING)"),
        (b"(ios\nsystem\n.", "f.pkl: refused: reading it would run code ('os.system')"),
        (b"]p" + b"9" * 4000 + b"\n.", "f.pkl: refused: damaged or hostile (PUT 99999999999999999999)"),
        (b"\x80\x02]r\xff\xff\xff\x7f.", "f.pkl: refused: damaged or hostile (LONG_BINPUT 2147483647)"),
        (b"\x82\x01.", "f.pkl: refused: not only a list of strings and whole numbers (EXT1)"),
        (pickle.dumps([1.5]), "f.pkl: refused: not only a list of strings and whole numbers (BINFLOAT)"),
        (pickle.dumps("12"), "f.pkl: expected a list of users, found str"),
        (pickle.dumps([["1"]]), "f.pkl: element 0 is of type list, expected a user id (a string or a whole number)"),
        (b"Vx\nVy\na.", "f.pkl: not a readable pickle ('str' object has no attribute 'append'"),
        (b"]" * 20_000 + b"a" * 19_999 + b".", "f.pkl: element 0 is of type list"),  # too deep to be printed
        (pickle.dumps([doubled(60)]), "f.pkl: element 0 is of type list"),  # too large
        (pickle.dumps(["1", "\ud800"]), "f.pkl: element 1 is not valid Unicode text, expected a user id"),
        (b"\x80\x04\x8d" + b"\xff" * 8 + b".", "f.pkl: not a readable pickle ("),
        (pickle.dumps(["1", "2"])[:-4], "f.pkl: not a readable pickle ("),
        (b"", "f.pkl: not a readable pickle ("),
        (b"# text", "f.pkl: not a readable pickle ("),
        (b"\x80\x04\x8c\x01\xff\x94.", "f.pkl: not a readable pickle ("),
        (b"g5\n.", "f.pkl: not a readable pickle ("),
        (b"e.", "f.pkl: not a readable pickle ("),
    ],
)
def test_other_pickles_are_refused(tmp_path, content, message):
    path = tmp_path / "f.pkl"
    path.write_bytes(content)
    told = error_of(path, "NBR")
    assert told.startswith(message) and told.isprintable() and len(told) < 200


@given(content=st.binary(max_size=60))
def test_no_bytes_get_past_the_reader(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("pickle") / "f.pkl"
    path.write_bytes(content)
    with pytest.raises(UserError):
        read_forget_set(path, "NBR")


@pytest.mark.parametrize(
    ("name", "content", "task_type", "message"),
    [
        ("f.json", '["1"]', "CF", "f.json: the name of a forget set for CF must end in .inter"),
        ("f.txt", "1", "NBR", "f.txt: the name of a forget set for NBR must end in .inter, .json or .pkl"),
        ("f.json", '{"1": []}', "NBR", "f.json: expected a JSON list, found dict"),
        (
            "f.json",
            "[true]",
            "NBR",
            "f.json: element 0 is of type bool, expected a user id",
        ),
        ("f.json", '["1", 1.0]', "NBR", "f.json: element 1 is of type float, expected a user id"),
        ("f.json", '["\\udfff"]', "NBR", "f.json: element 0 is not valid Unicode text, expected a user id"),
        ("f.json", '["1", ""]', "NBR", "f.json: element 1 is empty, expected a user id (a string or a whole number)"),
        ("f.json", "[]", "NBR", "f.json: the forget set is empty; make one with a larger fraction"),
        ("f.inter", "user_id:token\titem_id:token\n", "CF", "f.inter: the forget set is empty; "),
        (
            "f.inter",
            "user_id:token\titem_id:token\nu\ti\n\n\ti\n\ti\n",
            "CF",
            "f.inter:4: column 'user_id' has no value (in 2 of 3 rows)",
        ),
        ("f.inter", "user_id\titem_id\n", "CF", "f.inter:1: column 'user_id' has no type"),
    ],
)
def test_mistakes(tmp_path, name, content, task_type, message):
    (tmp_path / name).write_text(content)
    assert error_of(tmp_path / name, task_type).startswith(message)


@pytest.mark.parametrize("name", ["no.inter", "no.json", "no.pkl"])
def test_missing_file(tmp_path, name):
    assert error_of(tmp_path / name, "NBR") == f"cannot read {name}: No such file or directory"


@pytest.mark.parametrize(
    ("tokens", "ordered"),
    [
        (["10", "9", "0"], ["0", "9", "10"]),
        (["10", "9", "09"], ["09", "10", "9"]),
        (["10", "9", "-1"], ["-1", "10", "9"]),
        (["10", "9", "1.0"], ["1.0", "10", "9"]),
        (["10", "9", "²"], ["10", "9", "²"]),
        (["١٠", "٩"], ["١٠", "٩"]),
        (["b", "B", "é", "a"], ["B", "a", "b", "é"]),
        (["10\n", "9"], ["10\n", "9"]),
        ([], []),
    ],
)
def test_order(tokens, ordered):
    assert order_requests(tokens) == ordered
    assert order_requests(reversed(tokens)) == ordered
