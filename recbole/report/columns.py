"""Which row of the result table is in which column, and how it is found."""

from collections.abc import Iterable, Mapping
from typing import Any

from recbole.evaluator.kinds import Row

Wanted = Mapping[str, Any]
"""Columns of the result table (see :data:`~recbole.evaluator.table.COLUMNS`) with the values that a row must have."""

_OF_REQUESTING = {"population": "requesting", "masking": "retained"}
RECALL: Wanted = {"metric": "recall", "k": 10, "view": "current", "population": "all"}
NDCG: Wanted = {"metric": "ndcg", "k": 10, "view": "current", "population": "all"}
SENSITIVE: Wanted = {"metric": "avg_sensitive_per_user", "k": 10, **_OF_REQUESTING}
FORGOTTEN: Wanted = {"metric": "avg_forgotten_per_user", "k": 10, **_OF_REQUESTING}
JS_REQUESTING: Wanted = {"metric": "js_divergence", "population": "requesting"}
JS_OTHERS: Wanted = {"metric": "js_divergence", "population": "others"}

WHOLE_TEST: Wanted = {"split": "test", "view": "all", "population": "all", "masking": "retained"}
"""What rows about all of the test split have in common, whatever was forgotten."""

FORGETTING: Mapping[str, Wanted] = {
    "Recall@10": RECALL,
    "NDCG@10": NDCG,
    "sensitive@10": SENSITIVE,
    "forgotten@10": FORGOTTEN,
    "JS requesting": JS_REQUESTING,
    "JS others": JS_OTHERS,
}
"""The columns of a comparison of models that have forgotten a forget set, by heading."""

_OF_GENUINE_USERS = {"view": "clean", "population": "all"}
SPAM: Mapping[str, Wanted] = {
    "Recall@10": {"metric": "recall", "k": 10, **_OF_GENUINE_USERS},
    "NDCG@10": {"metric": "ndcg", "k": 10, **_OF_GENUINE_USERS},
    "target HR@10": {"metric": "target_hit_rate", "k": 10},
    "target HR@20": {"metric": "target_hit_rate", "k": 20},
    "target exposure@10": {"metric": "target_exposure", "k": 10},
    "target rank": {"metric": "target_rank"},
    "target log p": {"metric": "target_log_probability"},
    "JS others": JS_OTHERS,
}
"""The columns of a comparison of models that have forgotten spam, by heading."""


def matching(rows: Iterable[Row], wanted: Wanted) -> list[Row]:
    """Return the rows that have all of the wanted values."""
    return [row for row in rows if all(row[column] == value for column, value in wanted.items())]


def only_value(rows: Iterable[Row], wanted: Wanted) -> float:
    """Return the value of the one row that has all of the wanted values; NaN where a result file holds ``null``.

    Raises:
        ValueError: when there is none, or more than one.
    """
    found = matching(rows, wanted)
    if len(found) != 1:
        raise ValueError(f"{len(found)} rows of the result table have {dict(wanted)}, not one")
    return _number(found[0]["value"])


def values_of(rows: Iterable[Row], columns: Mapping[str, Wanted]) -> dict[str, float]:
    """Return the value of each column by heading: of the first row that is wanted there, NaN without one.

    Args:
        rows: of one model at one checkpoint.
        columns: the wanted values by heading.
    """
    rows = list(rows)
    found = {heading: matching(rows, wanted) for heading, wanted in columns.items()}
    return {heading: _number(match[0]["value"]) if match else float("nan") for heading, match in found.items()}


def _number(value: float | None) -> float:
    """Return a value as it was before it was written: result files have ``null`` for NaN."""
    return float("nan") if value is None else value
