"""Tables as text, Markdown and CSV."""

import numpy as np
import pandas as pd
import pytest

from recbole.report.tables import (
    as_markdown,
    as_short_text,
    as_text,
    check_own_table,
    mean_and_deviation,
    write_csv,
    write_markdown,
)
from recbole.utils import UserError

TABLE = pd.DataFrame({"model": ["BPR", "GRU4Rec"], "": ["base", ""], "value": [0.123456789, np.nan]})


def test_text_has_four_digits_and_nothing_for_what_is_missing():
    assert [line.split() for line in as_text(TABLE).splitlines()] == [
        ["model", "value"],
        ["BPR", "base", "0.1235"],
        ["GRU4Rec"],
    ]


def test_markdown_keeps_columns_without_a_heading(tmp_path):
    lines = ["| model |  | value |", "|---|---|---|", "| BPR | base | 0.123456789 |", "| GRU4Rec |  | nan |"]
    assert as_markdown(TABLE).splitlines() == lines
    write_markdown(TABLE, tmp_path / "new" / "table.md")
    assert (tmp_path / "new" / "table.md").read_bytes() == ("\n".join(lines) + "\n").encode()


def test_csv_has_every_digit_and_no_row_numbers(tmp_path):
    write_csv(TABLE.assign(value=[1 / 3, np.nan]), str(tmp_path / "table.csv"))
    assert (tmp_path / "table.csv").read_text() == "model,,value\nBPR,base,0.3333333333333333\nGRU4Rec,,\n"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([], ""),
        ([np.nan], ""),
        ([0.5], "0.5000"),
        ([0.5, np.nan], "0.5000"),
        ([1.0, 2.0, 3.0], "2.0000 ± 1.0000"),
        ([1.0, np.nan, 2.0], "1.5000 ± 0.7071"),
    ],
)
def test_a_mean_comes_with_the_deviation_of_a_sample(values, shown):
    assert mean_and_deviation(values, ".4f") == mean_and_deviation(pd.Series(values, dtype=float), ".4f") == shown


def test_digits_are_those_asked_for():
    assert mean_and_deviation([10.0, 12.0], ".2f") == "11.00 ± 1.41"


def test_what_is_the_same_in_all_rows_is_told_once_and_empty_columns_are_left_out():
    table = pd.DataFrame(
        {"seed": [2, 2], "of": ["a", None], "no": [None, None], "x": [0.123456, np.nan], "none": ["", ""]}
    )
    told = as_short_text(table, ["seed", "of", "no"]).splitlines()
    assert told[0] == "seed 2" and [line.split() for line in told[1:]] == [["of", "x"], ["a", "0.1235"], []]
    assert "seed" in as_short_text(table.assign(seed=[2, 3]), ["seed"]).splitlines()[0]


@pytest.mark.parametrize("content", ["", "{}", "my,own,table\n1,2,3\n", "x checkpoint,model,Recall@10"])
def test_a_file_that_is_no_table_of_ours_is_not_written_over(tmp_path, content):
    path = tmp_path / "table.csv"
    check_own_table(path, ["checkpoint,model,"])
    path.write_text(content)
    with pytest.raises(
        UserError, match=r"cannot write .*table.csv: it exists and is not a table that this program wrote"
    ):
        check_own_table(path, ["checkpoint,model,"])
    path.write_text("checkpoint,model,Recall@10\n")
    check_own_table(str(path), ["other", "checkpoint,model,"])


def test_what_is_no_file_is_not_written_over(tmp_path):
    with pytest.raises(UserError, match="it is a folder"):
        check_own_table(tmp_path, ["x"])
    with pytest.raises(UserError, match="it is not a regular file"):
        check_own_table("/dev/null", ["x"])
