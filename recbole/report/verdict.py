"""The verdict on an unlearning run: codes for common problems, and texts that explain them and say what to try."""

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
"""Largest loss of NDCG@10 that does not count as lost utility, as a share of the base model's NDCG@10."""

SMALLEST = 0.1
"""Smallest change in log-odds that counts as a change, as a share of the difference between base and retrained."""

_FORGETTING = ("forgotten_log_odds", "forgotten_log2_rank")
_EXPOSURE = "avg_forgotten_per_user"
_ABOUT = ("split", "view", "population", "masking", "metric", "k")

_PLAIN = {
    NOTHING_CHANGED: "Nothing changed: after all requests the model's recommendations are (nearly) the same. Try "
    "larger steps: a smaller --damping (or the algorithm's own damping flag, see --help), a larger --max_norm if one "
    "is set, or --preset tuned.",
    UTILITY_LOST: "Utility is lost: NDCG@10 is more than 5 % below the base model's, or unknown. Try smaller steps: a "
    "larger --damping (or the algorithm's own damping flag, see --help), a --max_norm, or --preset tuned.",
    ALL_DIVERGED: "All diverged: every request that required work failed, and the model is unchanged. Try a larger "
    "--damping, with gif a larger --gif_scale_factor; the log gives the reason for each request.",
    NOTHING_TO_FORGET: "Nothing to forget: the forgotten interactions are no less visible in the retrained model than "
    "in the base, so these requests cannot distinguish good unlearning from none. Try another forget set or a larger "
    "--unlearning_fraction.",
}


def verdict(record: Record) -> list[str]:
    """Return codes for the problems of an unlearning run, judged after the last request.

    Args:
        record: the record of the run with its result rows.

    Returns:
        Those of the following codes that apply. Codes that cannot be checked with this record are left out.
            ``nothing_changed``: no request changed the model, or the results hardly differ from those before unlearning
            (not returned together with ``all_diverged``); ``utility_lost``: NDCG@10 is much lower than the base
            model's; ``all_diverged``: every request that required work diverged; ``nothing_to_forget``: the model
            retrained without the forgotten interactions does not differ from the base on them.
    """
    record = completed(record | {"metrics": record["metrics"] or []})
    models = _last(own_rows(record))
    diverged = _all_diverged(record)
    holds = {
        NOTHING_CHANGED: not diverged and _nothing_changed(record, models),
        UTILITY_LOST: _utility_lost(record, models),
        ALL_DIVERGED: diverged,
        NOTHING_TO_FORGET: _nothing_to_forget(models),
    }
    return [code for code, is_so in holds.items() if is_so]


def say(codes: Iterable[str], causes: Sequence[str] = ()) -> str:
    """Return a text that explains a verdict and says what to try, one line per code; empty without codes.

    Args:
        codes: the codes that :func:`verdict` returned.
        causes: why requests diverged, one text per request. The first one is added to the line about ``all_diverged``.
    """
    told = f" The first one: {causes[0]}." if causes else ""
    return "\n".join(_PLAIN[code] + (told if code == ALL_DIVERGED else "") for code in codes)


def _last(rows: list[Row]) -> dict[str, list[Row]]:
    """Return the result rows of the last checkpoint of the unlearned model, by kind of model."""
    checkpoints = [row["checkpoint"] for row in rows if row["model"] == "unlearned" and row["checkpoint"] is not None]
    found: dict[str, list[Row]] = {}
    for row in rows:
        if checkpoints and row["checkpoint"] == max(checkpoints):
            found.setdefault(row["model"], []).append(row)
    return found


def _all_diverged(record: Record) -> bool:
    """Return whether some requests diverged, and none changed the model or timed out."""
    requests = record["requests"]
    diverged = requests.get("diverged", 0)
    return bool(diverged) and changed(record) == 0 and not requests.get("timeout", 0)


def _nothing_changed(record: Record, models: dict[str, list[Row]]) -> bool:
    """Return whether no request changed the model, or the results hardly differ from those before unlearning.

    The model before unlearning is ``rebuilt`` (the base model with its graph rebuilt without the forgotten
    interactions) if the record has one, else ``base``. Results hardly differ if all metrics of ranked lists are equal
    to four digits. They also hardly differ if the log-odds of the forgotten user-item pairs in the training data
    changed by less than :data:`SMALLEST` of the difference between the model before unlearning and the retrained model.

    Args:
        record: the record of the run.
        models: kind of model to its result rows at the last checkpoint.
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
    """Return whether the unlearned model's NDCG@10 is much lower than the base model's.

    Much lower means by more than the share :data:`TOLERATED`. NaN for the unlearned model alone counts as lost, too.
    False if the record lacks the NDCG@10 of one of the two models, or if the base model's is NaN.

    Args:
        record: the record of the run.
        models: kind of model to its result rows at the last checkpoint.
    """
    wanted = ndcg(10, spam=bool(record.get("spam")))
    found = [matching(models.get(kind, []), wanted) for kind in ("unlearned", "base")]
    if not all(found):
        return False
    ours, base = (math.nan if rows[0]["value"] is None else rows[0]["value"] for rows in found)
    return not math.isnan(base) and not ours >= (1 - TOLERATED) * base


def _nothing_to_forget(models: dict[str, list[Row]]) -> bool:
    """Return whether base and retrained do not differ on the forgotten user-item pairs.

    This is so if, for the log-odds and the log2 rank of forgotten pairs from the training data, the 95 % interval of
    the difference between base and retrained contains 0. Without such intervals it is so if both models have the same
    values in all metrics of forgotten pairs.

    Args:
        models: kind of model to its result rows at the last checkpoint.
    """
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
    """Return the values of result rows by the columns in ``_ABOUT``, without NaN and without differences of models."""
    own = [row for row in rows if row["minus"] is None and row["value"] is not None]
    return {tuple(row[name] for name in _ABOUT): row["value"] for row in own if not math.isnan(row["value"])}
