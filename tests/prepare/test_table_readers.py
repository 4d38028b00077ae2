"""Readers of raw tables: the line number of an error."""

import gzip

import pyarrow as pa
import pytest

from recbole.prepare.raw_files import find
from recbole.prepare.table_readers import read_csv
from recbole.utils import UserError


def test_line_numbers_are_right_with_quoted_line_breaks_and_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("recbole.prepare.table_readers._BLOCK", 64)
    path = tmp_path / "x.csv.gz"
    lines = ["a,b", '1,"two\nlines"', *(f"{at},x" for at in range(100)), "z,x"]
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    with pytest.raises(UserError, match=r"x.csv.gz:104: column 'a': 'z' is not a whole number"):
        list(read_csv(path, {"a": pa.int64(), "b": pa.string()}, optional=["b"]))
    assert find(tmp_path, "y.csv", "x.csv") == path
