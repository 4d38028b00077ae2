"""Tables as people and programs read them."""

import numpy as np
import pandas as pd
import pytest

from recbole.report.tables import as_markdown, as_text, mean_and_deviation, write_csv, write_markdown

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
