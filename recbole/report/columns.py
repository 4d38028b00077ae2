"""Which row of the result table is in which column, and how it is found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recbole.evaluator.kinds import Row


Wanted = Mapping[str, Any]
"""Columns of the result table (see :data:`~recbole.evaluator.table.COLUMNS`) with the values that a row must have."""

_TOP = 10
"""List length of the columns below that name none."""

_VALUE = {"split": "test", "minus": None}
"""What is no validation's, and no difference of two models."""

VIEW: dict[str, Any] = {**_VALUE, "view": "current", "population": "all", "masking": "retained"}
"""What utility is shown on: everybody's test rows that are still there, with the retained history masked."""

VIEW_OF_SPAM: dict[str, Any] = VIEW | {"view": "clean"}
"""What utility is shown on after an attack: the test rows of genuine people."""

WHOLE_TEST: Wanted = VIEW | {"view": "all"}
"""What rows about all of the test split have in common, whatever was forgotten."""

_REQUESTING = VIEW | {"population": "requesting"}
_PAIRS = {"split": "train", "minus": None, "view": "current", "population": "requesting", "masking": "all"}
FORGOTTEN_PAIRS: dict[str, Wanted] = {
    "forgotten log-odds": {"metric": "forgotten_log_odds", **_PAIRS},
    "forgotten log2 rank": {"metric": "forgotten_log2_rank", **_PAIRS},
}
"""Columns of the forgotten pairs that were trained on; the first is the primary measure of forgetting."""

HEADROOM: Wanted = {"metric": "forgotten_log_odds", **_PAIRS, "minus": "retrained"}
"""What the base has more than the retrained model; where its interval holds zero there is nothing to forget."""

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
"""What is looked at over seeds, by heading."""

SIMILARITIES = ("jaccard", "rank_biased_overlap")
"""Metrics of two models that are 1 for the same lists."""


def ndcg(k: int, spam: bool = False) -> Wanted:
    """Return the column of NDCG at a list length, of models that have forgotten a forget set or spam."""
    return {"metric": "ndcg", "k": k, **(VIEW_OF_SPAM if spam else VIEW)}


def forgetting(k: int) -> dict[str, Wanted]:
    """Return the columns of a comparison of models that have forgotten a forget set, by heading, at a list length."""
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
    """Return the columns of a comparison of models that have forgotten spam, by heading.

    Args:
        k: the list length.
        longest: the hit rate is shown at this length too.
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
    """Return what is told of models over seeds, by heading: utility, and what is still seen of the forgotten."""
    columns = spam(_TOP) if of_spam else forgetting(_TOP)
    left_out = ("Recall", "sensitive", "JS")
    return {heading: wanted for heading, wanted in columns.items() if not heading.startswith(left_out)}


RECALL, NDCG, _, _, SENSITIVE, FORGOTTEN = list(forgetting(_TOP).values())[:6]
"""Single columns, at ten."""


def matching(rows: Iterable[Row], wanted: Wanted) -> list[Row]:
    """Return the rows that have all of the wanted values; a column that a row lacks is None."""
    return [row for row in rows if all(row.get(column) == value for column, value in wanted.items())]


def only_value(rows: Iterable[Row], wanted: Wanted) -> float:
    """Return the value of the one row that has all of the wanted values; NaN where a result file holds ``null``.

    Raises:
        ValueError: when there is none, or more than one.
    """
    found = matching(rows, wanted)
    if len(found) != 1:
        raise ValueError(f"{len(found)} rows of the result table have {dict(wanted)}, not one")
    return _number(found[0]["value"])


def rows_of(rows: Iterable[Row], columns: Mapping[str, Wanted]) -> dict[str, Row]:
    """Return the first row that is wanted in each column, by heading; without those that have none.

    Args:
        rows: of one model at one checkpoint.
        columns: the wanted values by heading.
    """
    rows = list(rows)
    found = {heading: matching(rows, wanted) for heading, wanted in columns.items()}
    return {heading: match[0] for heading, match in found.items() if match}


def values_of(rows: Iterable[Row], columns: Mapping[str, Wanted]) -> dict[str, float]:
    """Return the value of each column by heading: of the first row that is wanted there, NaN without one.

    Args:
        rows: of one model at one checkpoint.
        columns: the wanted values by heading.
    """
    found = rows_of(rows, columns)
    return {heading: _number(found[heading]["value"]) if heading in found else float("nan") for heading in columns}


def legend(columns: Mapping[str, Wanted]) -> list[str]:
    """Return, a line for each view, which columns are of it: its data, whose rows, and what may be recommended."""
    found: dict[str, list[str]] = {}
    for heading, wanted in columns.items():
        of = ", ".join(f"{name} {wanted[name]}" for name in ("view", "population", "masking"))
        found.setdefault(of, []).append(heading)
    return [f"{', '.join(headings)}: {of}." for of, headings in found.items()]


def _number(value: float | None) -> float:
    """Return a value as it was before it was written: result files have ``null`` for NaN."""
    return float("nan") if value is None else value
