"""Atomic files: values are exact, errors have the right line number, and written files read back unchanged."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recbole.data import atomic
from recbole.data.atomic import read_atomic, write_atomic
from recbole.utils import FeatureType, UserError

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"


def error_of(path, **kwargs):
    """Return the message of the error without the folder, and check that it is one line."""
    with pytest.raises(UserError) as caught:
        read_atomic(path, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{path.parent}/", "")


def test_types_and_order(file):
    path = file("b:float\ta:token\tc:token_seq\td:float_seq\n1\t007\tx y\t1 2.5\n2\t\t\t\n")
    read = read_atomic(path)
    assert read.types == dict(zip("bacd", map(FeatureType, ("float", "token", "token_seq", "float_seq")), strict=True))
    assert read.path == path
    assert read.table.to_pydict() == {"b": [1, 2], "a": ["007", None], "c": [["x", "y"], []], "d": [[1.0, 2.5], []]}
    assert read.table["a"].num_chunks == 1
    assert read_atomic(path, columns=["a", "b"]).table.column_names == ["a", "b"]


def test_tokens_are_never_numbers_dates_or_nulls(file):
    tokens = ["007", "1.0", "nan", "NULL", "true", "2020-01-01", '"', '"a"', "'", "\\n", " 1 ", "é", "0x1f"]
    assert read_atomic(file("a:token\n" + "\n".join(tokens) + "\n")).table["a"].to_pylist() == tokens


def test_numbers_stay_exact(file):
    exact = 2**53 + 1
    read = read_atomic(file(f"t:float\tr:float\n881250949\t3.5\n{exact}\t4.0\n")).table
    assert read["t"].type == pa.int64()
    assert read["t"].to_pylist() == [881250949, exact]
    assert read["r"].type == pa.float64()
    precise = read_atomic(file("t:float\n1625445185.304567\n1.5e3\n")).table["t"]
    assert precise.to_pylist() == [1625445185.304567, 1500.0]


def test_missing_numbers_are_nan(file):
    read = read_atomic(file("u:token\tt:float\tnone:float\na\t1\t\nb\t\t\n")).table
    assert read["t"].to_pylist()[0] == 1.0
    assert math.isnan(read["t"][1].as_py())
    assert np.isnan(read["none"].to_numpy()).all()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("tail", ["", "END", "ENDEND"])
def test_line_ends_byte_order_mark_and_trailing_blank_lines(file, end, mark, tail):
    content = mark + end.join(("u:token\tr:float", "a\t1", "b\t2")) + tail.replace("END", end)
    assert read_atomic(file(content)).table.to_pydict() == {"u": ["a", "b"], "r": [1, 2]}


def test_mixed_line_ends(file):
    content = b"u:token\tr:float\na\t1\r\nb\t2\n"
    assert read_atomic(file(content)).table.to_pydict() == {"u": ["a", "b"], "r": [1, 2]}


@pytest.mark.parametrize("tail", ["", "\n", "\n\n", "\r\n"])
def test_header_only(file, tail):
    read = read_atomic(file("u:token\tr:float\tc:token_seq\td:float_seq" + tail)).table
    assert read.num_rows == 0
    assert read.schema.types == [pa.string(), pa.int64(), pa.list_(pa.string()), pa.list_(pa.float64())]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (INTER + "1\t2\t3\t4\n1\t2\t3\n", "d.inter:3: expected 4 tab-separated values, found 3"),
        (INTER + "1\t2\t3\t4\t5\n", "d.inter:2: expected 4 tab-separated values, found 5"),
        (INTER + "1\t2\t3\t4\n\n1\t2\n", "d.inter:4: expected 4 tab-separated values, found 2"),
        (INTER + "1\t2\t3\t4\n\n1\t2\tabc\t4\n", "d.inter:4: column 'rating': 'abc' is not a number"),
        (INTER + "1\t2\t2020-01-01\t4\r\n", "d.inter:2: column 'rating': '2020-01-01' is not a number"),
        (INTER + "1\t2\ttrue\t4\n", "d.inter:2: column 'rating': 'true' is not a number"),
        (
            INTER + "1\t2\t1\t1,5\n",
            "d.inter:2: column 'timestamp': '1,5' is not a number; decimals are written with a point",
        ),
        ("a:float_seq\n1 2\n3 x 4\n", "d.inter:3: column 'a': 'x' is not a number"),
        ("", "d.inter: empty file, expected a header such as 'user_id:token\\titem_id:token'"),
        ("user_id\titem_id:token\n", "d.inter:1: column 'user_id' has no type, expected 'user_id:token' or ':float'"),
        ("a:tokens\n", "d.inter:1: column 'a' has the unknown type 'tokens', did you mean 'token'?"),
        ("a:7\n", "d.inter:1: column 'a' has the unknown type '7', known are token, float, token_seq, float_seq"),
        ("a:token\ta:float\n", "d.inter:1: column 'a' appears twice"),
        (b"a:token\nx\n\xff\n", "d.inter:3: not UTF-8 text"),
        (b"\xff\xfea\x00", "d.inter:1: not UTF-8 text"),
    ],
)
def test_errors_name_the_line(file, content, message):
    assert error_of(file(content)) == message


def test_a_bad_line_far_into_a_large_file_is_named(file):
    rows = ["1\t2\t3\t4"] * 200_000
    rows[150_000] = "1\t2\t3"
    assert error_of(file(INTER + "\n".join(rows))) == "d.inter:150002: expected 4 tab-separated values, found 3"
    rows[150_000] = "1\t2\tx\t4"
    assert error_of(file(INTER + "\n".join(rows))) == "d.inter:150002: column 'rating': 'x' is not a number"


def test_missing_file_and_column(file, tmp_path):
    assert error_of(tmp_path / "no.inter") == "cannot read no.inter: No such file or directory"
    message = error_of(file(INTER), columns=["user_id", "ratings"])
    expected = (
        "there is no column 'ratings', did you mean 'rating'?; the header has user_id, item_id, rating, timestamp"
    )
    assert message == f"d.inter: {expected}"


def test_other_separators(file):
    read = read_atomic(file("a:token,b:token_seq\nx y,1;2;;3\n"), separator=",", seq_separator=";")
    assert read.table.to_pydict() == {"a": ["x y"], "b": [["1", "2", "3"]]}
    assert error_of(file("a:token,b:token\n1\n"), separator=",") == (
        "d.inter:2: expected 2 comma-separated values, found 1"
    )
    assert error_of(file("a:token\n"), separator="\t\t") == "the field separator must be one character, not '\\t\\t'"


def test_numbers_are_written_as_in_the_source(tmp_path):
    path = tmp_path / "x.inter"
    columns = {"u": np.array([1, 2]), "t": np.array([1625445185304.0, np.nan]), "r": [3.5, 4.0], "i": [2**62 + 1, 7]}
    write_atomic(path, columns, {"u": "token", "t": "float", "r": FeatureType.FLOAT, "i": "float"})
    assert path.read_bytes() == (
        b"u:token\tt:float\tr:float\ti:float\n1\t1625445185304\t3.5\t4611686018427387905\n2\t\t4\t7\n"
    )


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("a\tb", "token"),
        ("a\nb", "token"),
        ("a\r", "token"),
        (["a b"], "token_seq"),
        ([""], "token_seq"),
        ("", "token"),
    ],
)
def test_values_that_would_not_read_back_are_rejected(tmp_path, value, kind):
    with pytest.raises(UserError, match="cannot write"):
        write_atomic(tmp_path / "x.inter", {"a": [value]}, {"a": kind})
    assert not (tmp_path / "x.inter").exists()


TEXT = st.text(st.characters(exclude_characters="\t\r\n ", exclude_categories=["Cs"]), min_size=1, max_size=5)
ROW = st.tuples(
    TEXT,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_infinity=False),
    st.lists(TEXT, max_size=3),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3),
)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(ROW, min_size=1, max_size=6))
def test_round_trip(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("round") / "x.inter"
    columns = dict(zip("abcde", map(list, zip(*rows, strict=True)), strict=True))
    types = dict(zip("abcde", ("token", "float", "float", "token_seq", "float_seq"), strict=True))
    write_atomic(path, columns, types)
    read = read_atomic(path).table.to_pydict()
    assert [read[name] for name in "abde"] == [columns[name] for name in "abde"]
    np.testing.assert_array_equal(np.array(read["c"], float), columns["c"])


WORDS = st.sampled_from(["", "a", "b", "7", "007", "é", "two words"])
NUMBERS = st.sampled_from(["1", "-2", "", " 3 ", "2.5"])


@given(st.lists(st.tuples(WORDS, NUMBERS, NUMBERS.filter(lambda n: "." not in n), WORDS), max_size=40),
       st.integers(40, 400))  # fmt: skip
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_dictionary_encoded_tokens_do_not_depend_on_the_block_size(file, rows, at_once):
    lines = ["u:token\tr:float\tn:float\ts:token_seq", *map("\t".join, rows)]
    path = file("\n".join(lines) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic, "_BYTES_AT_ONCE", at_once)
        found = read_atomic(path, encoded=True).table
    expected = read_atomic(path).table
    assert found.column_names == expected.column_names
    for name in ("u", "s"):
        assert found[name].to_pylist() == expected[name].to_pylist()
    for name in ("r", "n"):
        assert found[name].type == expected[name].type
        assert np.array_equal(found[name].to_numpy(), expected[name].to_numpy(), equal_nan=True)


def test_a_large_file_is_dictionary_encoded_while_it_is_read(file, monkeypatch):
    monkeypatch.setattr(atomic, "_BYTES_AT_ONCE", 64)
    table = read_atomic(file("u:token\tt:float\n" + "abc\t1\nde\t2\n" * 40), encoded=True).table
    assert table["u"].num_chunks > 1 and table["u"].unify_dictionaries().chunk(0).dictionary.to_pylist() == [
        "abc",
        "de",
    ]
