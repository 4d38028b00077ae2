"""The columns of reports. Each heading is mapped to the column values by which a row of the result table is found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recbole.evaluator.kinds import Row


Wanted = Mapping[str, Any]
"""How a row of the result table is found: column (``recbole.evaluator.COLUMNS``) to the value that it must have."""

_TOP = 10
"""List length (k) of the columns whose heading does not mention one."""

_VALUE = {"split": "test", "minus": None}
"""Selects rows of the test split that are not differences between two models."""

VIEW: dict[str, Any] = {**_VALUE, "view": "current", "population": "all", "masking": "retained"}
"""Finds utility on all users' test data without forgotten interactions. Items in a user's history are no candidates."""

VIEW_OF_SPAM: dict[str, Any] = VIEW | {"view": "clean"}
"""Finds utility in runs about spam: on the test data of genuine users."""

WHOLE_TEST: Wanted = VIEW | {"view": "all"}
"""Finds utility on the whole test split, including forgotten interactions."""

_REQUESTING = VIEW | {"population": "requesting"}
_PAIRS = {"split": "train", "minus": None, "view": "current", "population": "requesting", "masking": "all"}
FORGOTTEN_PAIRS: dict[str, Wanted] = {
    "forgotten log-odds": {"metric": "forgotten_log_odds", **_PAIRS},
    "forgotten log2 rank": {"metric": "forgotten_log2_rank", **_PAIRS},
}
"""Columns about forgotten user-item pairs from the training data. The first one is the main metric of forgetting."""

HEADROOM: Wanted = {"metric": "forgotten_log_odds", **_PAIRS, "minus": "retrained"}
"""Finds the mean difference between the log-odds of forgotten pairs, base minus retrained.

If the interval of this difference contains 0, there is nothing to forget.
"""

_DISTANCE = {**_VALUE, "metric": "js_divergence", "view": "current", "masking": "all"}
JS_REQUESTING: Wanted = _DISTANCE | {"population": "requesting"}
JS_OTHERS: Wanted = _DISTANCE | {"population": "others"}

_JACCARD: dict[str, Any] = {"metric": "jaccard", "k": _TOP}
_OVERLAP: dict[str, Any] = {"metric": "rank_biased_overlap"}
DISTANCES: dict[str, Wanted] = {
    "JS requesting": JS_REQUESTING,
    "JS others": JS_OTHERS,
    f"1 - Jaccard@{_TOP} requesting": {**JS_REQUESTING, **_JACCARD},
    f"1 - Jaccard@{_TOP} others": {**JS_OTHERS, **_JACCARD},
    "1 - RBO requesting": {**JS_REQUESTING, **_OVERLAP},
    "1 - RBO others": {**JS_OTHERS, **_OVERLAP},
    "rank change requesting": {**JS_REQUESTING, "metric": "rank_change"},
}
"""The distances in the table over seeds, by heading."""

SIMILARITIES = ("jaccard", "rank_biased_overlap")
"""Metrics of two models that are 1 for equal lists; reports show 1 - value."""


def ndcg(k: int, spam: bool = False) -> Wanted:
    """Return how the result row with NDCG@k is found.

    Args:
        k: the list length.
        spam: True for runs about spam, whose NDCG is computed on the test data of genuine users.
    """
    return {"metric": "ndcg", "k": k, **(VIEW_OF_SPAM if spam else VIEW)}


def forgetting(k: int) -> dict[str, Wanted]:
    """Return the columns for runs that forget interactions of genuine users, by heading, at list length k."""
    return {
        f"Recall@{k}": {"metric": "recall", "k": k, **VIEW},
        f"NDCG@{k}": ndcg(k),
        **FORGOTTEN_PAIRS,
        f"sensitive@{k} requesting": {"metric": "avg_sensitive_per_user", "k": k, **_REQUESTING},
        f"forgotten@{k} requesting": {"metric": "avg_forgotten_per_user", "k": k, **_REQUESTING},
        "JS requesting": JS_REQUESTING,
        "JS others": JS_OTHERS,
    }


def spam(k: int, longest: int | None = None) -> dict[str, Wanted]:
    """Return the columns for runs that forget spam, by heading.

    Args:
        k: the list length.
        longest: a second list length, at which the hit rate of the promoted items is shown too; None for none.
    """
    lengths = dict.fromkeys([k, longest or k])
    return {
        f"Recall@{k}": {"metric": "recall", "k": k, **VIEW_OF_SPAM},
        f"NDCG@{k}": ndcg(k, spam=True),
        **{f"target HR@{n}": {"metric": "target_hit_rate", "k": n, **VIEW_OF_SPAM} for n in lengths},
        f"target exposure@{k}": {"metric": "target_exposure", "k": k, **VIEW_OF_SPAM},
        "target rank": {"metric": "target_rank", **VIEW_OF_SPAM},
        "target log p": {"metric": "target_log_probability", **VIEW_OF_SPAM},
        "JS others": JS_OTHERS,
    }


def over_seeds_measures(of_spam: bool) -> dict[str, Wanted]:
    """Return the metrics in the table over seeds, by heading: NDCG and the metrics of forgotten or promoted items.

    Args:
        of_spam: True for runs about spam, which have promoted items.
    """
    columns = spam(_TOP) if of_spam else forgetting(_TOP)
    left_out = ("Recall", "sensitive", "JS")
    return {heading: wanted for heading, wanted in columns.items() if not heading.startswith(left_out)}


RECALL, NDCG, _, _, SENSITIVE, FORGOTTEN = list(forgetting(_TOP).values())[:6]
"""Columns of :func:`forgetting` at list length 10."""


def matching(rows: Iterable[Row], wanted: Wanted) -> list[Row]:
    """Return the rows that have all wanted column values; a column that a row lacks counts as None."""
    return [row for row in rows if all(row.get(column) == value for column, value in wanted.items())]


def only_value(rows: Iterable[Row], wanted: Wanted) -> float:
    """Return the value of the only row that has all wanted column values; NaN if the result file has ``null`` there.

    Raises:
        ValueError: no row or more than one row has these values.
    """
    found = matching(rows, wanted)
    if len(found) != 1:
        raise ValueError(f"expected one row of the result table with {dict(wanted)}, found {len(found)}")
    return _number(found[0]["value"])


def rows_of(rows: Iterable[Row], columns: Mapping[str, Wanted]) -> dict[str, Row]:
    """Return the first matching row for each column, by heading; columns without a matching row are left out.

    Args:
        rows: result rows of one model at one checkpoint.
        columns: heading to the values that its row must have.
    """
    rows = list(rows)
    found = {heading: matching(rows, wanted) for heading, wanted in columns.items()}
    return {heading: match[0] for heading, match in found.items() if match}


def values_of(rows: Iterable[Row], columns: Mapping[str, Wanted]) -> dict[str, float]:
    """Return the value of the first matching row for each column, by heading; NaN without a matching row.

    Args:
        rows: result rows of one model at one checkpoint.
        columns: heading to the values that its row must have.
    """
    found = rows_of(rows, columns)
    return {heading: _number(found[heading]["value"]) if heading in found else float("nan") for heading in columns}


def legend(columns: Mapping[str, Wanted]) -> list[str]:
    """Return lines of text that say on which data, for which users and among which candidates columns are computed.

    These are the values of ``view``, ``population`` and ``masking``. Columns with equal values share a line.
    """
    found: dict[str, list[str]] = {}
    for heading, wanted in columns.items():
        of = ", ".join(f"{name} {wanted[name]}" for name in ("view", "population", "masking"))
        found.setdefault(of, []).append(heading)
    return [f"{', '.join(headings)}: {of}." for of, headings in found.items()]


def _number(value: float | None) -> float:
    """Return a value of a result file, where ``null`` stands for NaN."""
    return float("nan") if value is None else value
