"""Intervals in the comparison, and the note that there is nothing to forget."""

import json
import math

import pytest
from made_records import record, row

from recbole.report.columns import FORGOTTEN_PAIRS, HEADROOM, NDCG
from recbole.report.comparison import comparison
from recbole.report.intervals import as_told

ODDS, RANK = FORGOTTEN_PAIRS.values()


@pytest.fixture
def compared(tmp_path):
    """A function that returns the table for further rows and an interval of base minus retrained."""

    def made(headroom, rows=()):
        odds = {"base": -1.0, "unlearned": -2.0, "retrained": -3.0}
        more = [row(ODDS, value, kind, low=value - 0.5, high=value + 0.25) for kind, value in odds.items()]
        more += [row(RANK, 5.0 + value, kind) for kind, value in odds.items()]
        if headroom is not None:
            more.append(row(HEADROOM, sum(headroom) / 2, "base", low=headroom[0], high=headroom[1]))
        more.append(row(HEADROOM, 0.0, "unlearned", low=-1.0, high=1.0))
        (tmp_path / "a.json").write_text(json.dumps(record(rows=[*more, *rows])))
        return comparison([tmp_path / "a.json"]).table

    return made


def test_ends_are_columns_of_the_table_and_beside_the_value_for_people(compared):
    table = compared((1.0, 3.0))
    assert table["forgotten log-odds low"].tolist() == [-1.5, -2.5, -3.5]
    assert table["forgotten log-odds high"].tolist() == [-0.75, -1.75, -2.75]
    assert table["headroom low"].tolist() == [1.0] * 3 and math.isnan(table["NDCG@10 low"].iloc[0])
    told = as_told(table)
    assert told["forgotten log-odds"].tolist() == ["-1 [-1.5, -0.75]", "-2 [-2.5, -1.75]", "-3 [-3.5, -2.75]"]
    assert told["forgotten log2 rank"].tolist() == [4.0, 3.0, 2.0]
    assert told["NDCG@10"].tolist() == ["0.4", "0.39", "0.38"], "of an older file"
    assert not [name for name in told if name.endswith((" low", " high"))]


@pytest.mark.parametrize(("headroom", "nothing"), [((-0.1, 3.0), True), ((0.1, 3.0), False), ((-3.0, -0.1), False),
                                                   ((0.0, 0.0), True), (None, False)])  # fmt: skip
def test_where_base_and_retrained_do_not_differ_there_is_nothing_to_forget(compared, headroom, nothing):
    told = as_told(compared(headroom)).set_index("model")
    for heading in FORGOTTEN_PAIRS:
        assert (told.loc["unlearned", heading] == "nothing to forget here") is nothing
        assert "nothing" not in str(told.loc["base", heading]) + str(told.loc["retrained", heading])


def test_a_difference_is_no_value(compared):
    difference = row(NDCG | {"minus": "retrained"}, 0.2, "unlearned", low=0.1, high=0.3)
    told = as_told(compared((1.0, 3.0), [difference])).set_index("model")
    assert told.loc["unlearned", "NDCG@10"] == "0.39"
