"""Which result row a table column shows, among rows of every view, population and masking."""

import itertools
import math

import pytest

from recbole.evaluator import COLUMNS, Table
from recbole.report.columns import (
    FORGOTTEN,
    FORGOTTEN_PAIRS,
    HEADROOM,
    JS_OTHERS,
    WHOLE_TEST,
    forgetting,
    legend,
    matching,
    only_value,
    spam,
    values_of,
)
from recbole.report.records import OF_RUN

FORGETTING, SPAM = forgetting(10), spam(10, 20)

METRICS = ("recall", "ndcg", "avg_sensitive_per_user", "avg_forgotten_per_user", "target_hit_rate", "target_exposure")


@pytest.fixture(scope="module")
def table():
    """Rows of all combinations of columns, each with a different value."""
    table = Table(model="unlearned", checkpoint=3, split="test")
    combinations = itertools.product(("all", "current", "clean"), ("all", "requesting", "others"), ("all", "retained"))
    for view, population, masking in combinations:
        for metric, k in itertools.product(METRICS, (10, 20)):
            table.add(metric, len(table.rows), k, view=view, population=population, masking=masking)
    for population in ("all", "requesting", "others"):
        table.add("js_divergence", len(table.rows), view="current", population=population, masking="all")
    return table.rows


def test_each_column_shows_the_first_matching_row(table):
    for columns in (FORGETTING, SPAM):
        for heading, value in values_of(iter(table), columns).items():
            if heading in ("target rank", "target log p", *FORGOTTEN_PAIRS):
                assert math.isnan(value)
                continue
            row = next(row for row in table if row["value"] == value)
            assert all(row.get(column) == wanted for column, wanted in columns[heading].items())
            assert value == min(row["value"] for row in matching(table, columns[heading]))
    found = values_of(table, FORGETTING)
    assert len({value for value in found.values() if not math.isnan(value)}) == len(FORGETTING) - len(FORGOTTEN_PAIRS)


def test_forgotten_pairs_are_those_that_were_trained_on():
    table = Table(model="unlearned", view="current", population="requesting", masking="all")
    for split, minus in itertools.product(("held_out", "train"), ("retrained", None)):
        for metric in ("forgotten_log_odds", "forgotten_log2_rank"):
            table.add(metric, len(table.rows), split=split, minus=minus)
    values = values_of(table.rows, FORGETTING)
    assert [values[heading] for heading in FORGOTTEN_PAIRS] == [6, 7] and only_value(table.rows, HEADROOM) == 4


def test_the_rows_are_those_that_the_legend_tells_of(table):
    shown = {row["value"]: row for row in table}
    about = ("metric", "k", "view", "population", "masking")
    found = {heading: shown[value] for heading, value in values_of(table, FORGETTING).items() if value in shown}
    assert [found["Recall@10"][name] for name in about[:4]] == ["recall", 10, "current", "all"]
    assert [found["NDCG@10"][name] for name in about[:4]] == ["ndcg", 10, "current", "all"]
    for what in ("sensitive", "forgotten"):
        assert [found[f"{what}@10 requesting"][name] for name in about] == [
            *(f"avg_{what}_per_user", 10, "current", "requesting", "retained")
        ]
    assert found["JS requesting"]["population"] == "requesting" and found["JS others"]["population"] == "others"
    spam = {heading: shown[value] for heading, value in values_of(table, SPAM).items() if not math.isnan(value)}
    assert {spam[heading]["view"] for heading in ("Recall@10", "NDCG@10")} == {"clean"}
    assert (spam["target HR@10"]["k"], spam["target HR@20"]["k"]) == (10, 20)


def test_columns_select_existing_values_of_result_rows():
    wanted = [WHOLE_TEST, *FORGETTING.values(), *SPAM.values()]
    assert {column for each in wanted for column in each} <= {*COLUMNS, *OF_RUN}


def test_the_only_row_is_the_only_one(table):
    assert only_value(table, JS_OTHERS) == table[-1]["value"]
    with pytest.raises(ValueError, match=r"one row of the result table with .*avg_forgotten.*, found 2"):
        only_value(table * 2, FORGOTTEN)
    with pytest.raises(ValueError, match="found 0"):
        only_value(table, {"metric": "mrr"})


def test_what_a_result_file_cannot_hold_is_not_a_number(table):
    row = table[-1] | {"value": None}
    assert math.isnan(only_value([row], JS_OTHERS)) and math.isnan(values_of([row], FORGETTING)["JS others"])
    assert all(math.isnan(value) for value in values_of([], FORGETTING).values())


def test_columns_are_at_the_list_length_asked_for_and_need_no_difference(table):
    assert {wanted["k"] for wanted in forgetting(5).values() if "k" in wanted} == {5}
    assert [heading for heading in spam(5, 5) if "HR" in heading] == ["target HR@5"]
    assert [heading for heading in spam(5, 50) if "HR" in heading] == ["target HR@5", "target HR@50"]
    difference = table[-1] | {"minus": "base"}
    assert matching([difference], JS_OTHERS) == [] and len(matching([table[-1]], JS_OTHERS)) == 1


def test_a_legend_tells_of_every_column_once():
    told = legend(SPAM)
    assert all(", ".join(told).count(heading) == 1 for heading in SPAM)
    assert told[0].endswith("view clean, population all, masking retained.") and len(told) == 2
