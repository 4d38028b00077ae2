"""Files in the format of spreadsheet programs, and malformed files."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recbole.data import Interaction
from recbole.data.atomic import read_atomic, write_atomic
from recbole.data.vocabulary import number_tokens
from recbole.prepare import amazon
from recbole.prepare.raw_table import RawTable
from recbole.utils import UserError

HEADER = "user_id:token,item_id:token,rating:float"


@pytest.mark.parametrize("separator", [",", ";"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_quoted_values_are_read_without_their_quotes(file, separator, ends):
    rows = ['"user_id:token","item_id:token","rating:float"', '"u1","a; b","3.5"', 'u2,"say ""hi""",4', ""]
    if separator == ";":
        rows = [row.replace(",", ";").replace("a; b", "a, b") for row in rows]
    table = read_atomic(file("\ufeff" + ends.join(rows)), separator=separator).table
    assert table["user_id"].to_pylist() == ["u1", "u2"]
    assert table["item_id"].to_pylist() == ["a; b" if separator == "," else "a, b", 'say "hi"']
    assert table["rating"].to_pylist() == [3.5, 4.0]


def test_an_unclosed_quote_does_not_swallow_rows(file):
    with pytest.raises(UserError, match="not closed"):
        read_atomic(file(HEADER + '\nu1,i1,1\nu2,"i2,2\nu3,i3,3\nu4,i4",4\n'), separator=",")


def test_what_would_not_read_back_is_not_written(tmp_path):
    with pytest.raises(UserError, match="contains a separator"):
        write_atomic(tmp_path / "x", {"a": ['"q"']}, {"a": "token"}, separator=",")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (HEADER.replace(",", ";") + "\nu;i;3\n", "columns are separated by semicolons: set field_separator"),
        (HEADER + "\nu,i,3\n", "columns are separated by commas: set field_separator"),
        ("user_id:token\trating:float\nu\t3,5\n", "'3,5' is not a number; decimals are written with a point"),
        ("user_id:token\n".encode("utf-16"), "not UTF-8"),
    ],
)
def test_other_encodings_and_separators_give_an_error(file, content, told):
    with pytest.raises(UserError, match=told):
        read_atomic(file(content))


@settings(max_examples=150, deadline=None)
@given(
    header=st.sampled_from([HEADER, HEADER.replace(",", "\t"), HEADER.replace(",", ";"), '"a:token"', "a:token_seq"]),
    body=st.binary(max_size=40) | st.text('u1,;\t".\n\r-naé', max_size=40).map(str.encode),
    separator=st.sampled_from("\t,;"),
)
def test_any_file_is_read_or_gives_a_one_line_error(tmp_path_factory, header, body, separator):
    path = tmp_path_factory.mktemp("odd") / "x.inter"
    path.write_bytes(header.encode() + b"\n" + body)
    try:
        read_atomic(path, separator=separator)
    except UserError as error:
        assert "x.inter" in str(error) and "\n" not in str(error)


def test_a_token_named_like_the_padding_is_rejected():
    with pytest.raises(UserError, match=r"\[PAD\]"):
        number_tokens(np.array([0, 1]), pa.array(["a", "[PAD]"]))


def test_negative_indices_of_batches_count_from_the_end():
    batch = Interaction({"x": torch.arange(5)})
    for index in (-1, np.int64(-1), 4, np.int32(4)):
        assert batch[index]["x"].tolist() == [4]
    for index in (5, 7, -6, np.int64(7)):
        with pytest.raises(IndexError, match="out of range"):
            batch[index]


def _reviews(rating, time, n=300, odd=1):
    ratings, times = np.full(n, 5.0), np.full(n, 1588687728923)
    ratings[:odd], times[:odd] = rating, time
    codes = {name: np.arange(n, dtype=np.int32) for name in ("user_id", "item_id")}
    tokens = {name: pa.array([f"{at}" for at in range(n)]) for name in codes}
    return RawTable(codes, tokens, {"rating": ratings, "timestamp": times})


@pytest.mark.parametrize(
    ("rating", "time"), [(0.0, 1588687728923), (6.0, 1588687728923), (5.0, -62135596800000), (5.0, 1588687728)]
)
def test_invalid_reviews_are_left_out_with_a_message(rating, time, tmp_path, capsys):
    assert len(amazon._possible(_reviews(rating, time), tmp_path)) == 299
    assert "1 of 300 reviews" in capsys.readouterr().out
    with pytest.raises(UserError, match="11 of 50 reviews"):
        amazon._possible(_reviews(rating, time, 50, 11), tmp_path)
