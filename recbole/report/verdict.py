"""What is to be said of an unlearning run in plain words when it has ended."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from recbole.report.columns import matching, ndcg
from recbole.report.costs import changed
from recbole.report.lines import same_as_shown
from recbole.report.records import Record, completed, own_rows

if TYPE_CHECKING:
    from recbole.evaluator.kinds import Row

NOTHING_CHANGED, UTILITY_LOST = "nothing_changed", "utility_lost"
ALL_DIVERGED, NOTHING_TO_FORGET = "all_diverged", "nothing_to_forget"

TOLERATED = 0.05
"""Share of base's NDCG@10 that may be lost."""

SMALLEST = 0.1
"""Share of the way to the retrained model that is no longer nothing."""

_FORGETTING = ("forgotten_log_odds", "forgotten_log2_rank")
_EXPOSURE = "avg_forgotten_per_user"
_ABOUT = ("split", "view", "population", "masking", "metric", "k")

_PLAIN = {
    NOTHING_CHANGED: "Nothing changed: after all requests the model recommends as it did, or nearly so. Try larger "
    "steps: a smaller --damping (or the algorithm's own; --help names it), a larger --max_norm if one is set, or "
    "--preset tuned.",
    UTILITY_LOST: "Utility is lost: NDCG@10 is more than 5 % below the base model's. Try smaller steps: a larger "
    "--damping (or the algorithm's own; --help names it), a --max_norm, or --preset tuned.",
    ALL_DIVERGED: "All diverged: no request that had something to do led to a step, and the model is as it was. Try a "
    "larger --damping, with gif a larger --gif_scale_factor; the log tells the cause of each request.",
    NOTHING_TO_FORGET: "Nothing to forget: what was to be forgotten is seen no less in the retrained model than in the "
    "base, so these requests cannot tell good unlearning from none. Try another forget set or a larger "
    "--unlearning_fraction.",
}


def verdict(record: Record) -> list[str]:
    """Return what is to be said of an unlearning run.

    Args:
        record: of the run, with its rows, as it is written or read.

    Returns:
        Of ``nothing_changed``, ``utility_lost``, ``all_diverged`` and ``nothing_to_forget`` those that hold after the
        last request; none where nothing is known. Of a run whose steps all diverged it is not said too that nothing
        changed.
    """
    record = completed(record | {"metrics": record["metrics"] or []})
    models = _last(own_rows(record))
    diverged = _all_diverged(record)
    holds = {
        NOTHING_CHANGED: not diverged and _nothing_changed(record, models),
        UTILITY_LOST: _utility_lost(record, models),
        ALL_DIVERGED: diverged,
        NOTHING_TO_FORGET: _nothing_to_forget(record, models),
    }
    return [code for code, is_so in holds.items() if is_so]


def say(codes: Iterable[str], causes: Sequence[str] = ()) -> str:
    """Return a verdict in plain words, with what can be done; a line each, empty for an empty one.

    Args:
        codes: what :func:`verdict` returns.
        causes: what the log tells of requests that diverged; the first is told too.
    """
    told = f" The first one: {causes[0]}." if causes else ""
    return "\n".join(_PLAIN[code] + (told if code == ALL_DIVERGED else "") for code in codes)


def _last(rows: list[Row]) -> dict[str, list[Row]]:
    """Return the rows of the last checkpoint that an unlearned model has, by kind of model."""
    checkpoints = [row["checkpoint"] for row in rows if row["model"] == "unlearned" and row["checkpoint"] is not None]
    found: dict[str, list[Row]] = {}
    for row in rows:
        if checkpoints and row["checkpoint"] == max(checkpoints):
            found.setdefault(row["model"], []).append(row)
    return found


def _all_diverged(record: Record) -> bool:
    """Return whether requests diverged and none did better, but for those that had nothing to do."""
    requests = record["requests"]
    diverged = requests.get("diverged", 0)
    return bool(diverged) and changed(record) == 0 and not requests.get("timeout", 0)


def _nothing_changed(record: Record, models: dict[str, list[Row]]) -> bool:
    """Return whether no request changed the model, or what is seen of it hardly differs.

    That is: no value about lists differs in four digits, or the log-odds of the forgotten pairs that were trained on
    have not moved by a tenth of the way between the model before and the retrained one.
    """
    kinds = ("rebuilt" if "rebuilt" in models else "base", "unlearned", "retrained")
    before, ours, retrained = (_values(models.get(kind, [])) for kind in kinds)
    lists = [{about: value for about, value in values.items() if about[-1] is not None} for values in (ours, before)]
    if changed(record) == 0 or same_as_shown(*lists):
        return True
    trained = [about for about in before if about[0] == "train" and about[-2] == _FORGETTING[0]]
    known = [about for about in trained if about in ours and about in retrained]
    ways = [(abs(ours[about] - before[about]), abs(retrained[about] - before[about])) for about in known]
    return bool(ways) and all(moved < SMALLEST * way for moved, way in ways)


def _utility_lost(record: Record, models: dict[str, list[Row]]) -> bool:
    wanted = ndcg(10, spam=bool(record.get("spam")))
    found = [matching(models.get(kind, []), wanted) for kind in ("unlearned", "base")]
    if not all(found) or any(rows[0]["value"] is None for rows in found):
        return False
    ours, base = (rows[0]["value"] for rows in found)
    return bool(ours < (1 - TOLERATED) * base)


def _nothing_to_forget(record: Record, models: dict[str, list[Row]]) -> bool:
    """Return whether nobody's rows were learned from, or base and retrained do not differ in what is to be forgotten.

    They do not where the paired interval of the forgotten pairs that were trained on holds zero or, without intervals,
    where all that is known of the forgotten pairs is the same in both.
    """
    requests = record["requests"]
    if requests.get("total") and requests.get("idle") == requests["total"]:
        return True
    pairs = {frozenset(("base", "retrained"))}
    differences = [
        (row["low"], row["high"])
        for rows in models.values()
        for row in rows
        if row["metric"] in _FORGETTING and row["split"] == "train" and frozenset((row["model"], row["minus"])) in pairs
    ]
    known = [(low, high) for low, high in differences if low is not None and high is not None]
    if known:
        return all(low <= 0 <= high for low, high in known)
    base, retrained = (
        _values(row for row in models.get(kind, []) if row["metric"] in (*_FORGETTING, _EXPOSURE))
        for kind in ("base", "retrained")
    )
    return bool(base) and base == retrained


def _values(rows: Iterable[Row]) -> dict[tuple[object, ...], float]:
    """Return the known values of rows that are no differences, by what they are about."""
    own = [row for row in rows if row["minus"] is None and row["value"] is not None]
    return {tuple(row[name] for name in _ABOUT): row["value"] for row in own if not math.isnan(row["value"])}
