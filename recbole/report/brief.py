"""The short report (``--brief``): a table of the models after the last request, and sentences that explain it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

from recbole.report.columns import (
    FORGOTTEN_PAIRS,
    HEADROOM,
    VIEW,
    VIEW_OF_SPAM,
    Wanted,
    forgetting,
    matching,
    ndcg,
    rows_of,
    spam,
)
from recbole.report.costs import AMORTISED, COSTS, costs, outcomes
from recbole.report.intervals import cell, interval
from recbole.report.lines import same_as_shown
from recbole.report.records import Record, forget_set, list_lengths, own_rows
from recbole.report.tables import shown
from recbole.report.verdict import UTILITY_LOST, say, verdict
from recbole.utils import UserError

if TYPE_CHECKING:
    from recbole.evaluator.kinds import Row

_YARDSTICKS = ("clean", "base", "rebuilt", "retrained")
_ABOUT = ("dataset", "model_class", "seed", "scenario")
_WIDTH = 120
"""Maximum number of characters per line of prose."""

_LEGEND = """\
base: before any request. rebuilt: base after rebuilding its graph without the forgotten rows, with no other change.
retrained: trained without the forgotten rows, the reference. [low, high]: 95 % interval over users. log-odds: of
forgotten user-item pairs that were in the training data, among all items; a model with lower log-odds recommends them
less. in the list: mean number of forgotten items in a requesting user's list."""

_LEGEND_OF_SPAM = """\
clean: trained on data without spam. base: trained with spam. rebuilt: base after rebuilding its graph without the spam,
with no other change. retrained: trained with the spam masked, the reference. [low, high]: 95 % interval over users.
log p: log-probability of the promoted items, mean over genuine users."""


def in_short(records: Mapping[str, Record]) -> str:
    """Return a short report on unlearning runs as text, for readers who do not know the full table of results.

    Runs with the same data set, model, seed and forget set (or spam) share a table. The table has one line per model,
    with its values after the last request. A few sentences about each run follow.

    Args:
        records: name of the run to its record, from :func:`~recbole.report.records.read_unlearned`.

    Raises:
        UserError: a run has no metrics of ranked lists (such as NDCG@10), or no result rows of an unlearned model at a
            checkpoint.
    """
    groups: dict[tuple[Any, ...], dict[str, Record]] = {}
    for name, record in records.items():
        row = next(row for row in record["metrics"] if row["model"] == "unlearned")
        group = (*(row[column] for column in _ABOUT), forget_set(record), bool(record.get("spam")))
        groups.setdefault(group, {})[name] = record
    told = [_group(runs) for runs in groups.values()]
    spammed = [bool(record.get("spam")) for record in records.values()]
    legends = [_LEGEND] * (not all(spammed)) + [_LEGEND_OF_SPAM] * any(spammed)
    return "\n\n".join([*told, *legends])


def _group(runs: Mapping[str, Record]) -> str:
    """Return the text (heading, table and sentences) about runs that share the base and the retrained model."""
    models = {name: _last(name, record) for name, record in runs.items()}
    first_name = next(iter(runs))
    first, record = models[first_name], runs[first_name]
    columns = _columns(first_name, record)
    lines = {kind: first[kind] for kind in _YARDSTICKS if kind in first and kind != "retrained"}
    lines |= {name: found["unlearned"] for name, found in models.items()}
    lines |= {"retrained": first["retrained"]} if "retrained" in first else {}
    cells = [["", *columns], *([kind, *_cells(rows, columns)] for kind, rows in lines.items())]
    told = [_heading(record, first), "", *_aligned(cells), "", *_of_base(first)]
    told += [fill(f"{name}: {_of_run(runs[name], found, columns)}", _WIDTH) for name, found in models.items()]
    return "\n".join(told)


def _last(name: str, record: Record) -> dict[str, list[Row]]:
    """Return the result rows of the last checkpoint, and of the model trained without spam, by kind of model.

    Raises:
        UserError: the record has no result rows of an unlearned model at a checkpoint.
    """
    rows = own_rows(record)
    checkpoints = [row["checkpoint"] for row in rows if row["model"] == "unlearned" and row["checkpoint"] is not None]
    if not checkpoints:
        raise UserError(f"{name}: no result rows of an unlearned model at a checkpoint")
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row["checkpoint"] == max(checkpoints) or row["model"] == "clean":
            found.setdefault(row["model"], []).append(row)
    return found


def _columns(name: str, record: Record) -> dict[str, Wanted]:
    """Return the columns to show: heading to the values by which the result row is found.

    They are NDCG; the log-odds of forgotten pairs, or for spam the log-probability of promoted items; and how many
    forgotten items are in the list, or for spam the share of lists with a promoted item.

    Args:
        name: name of the run, for the error message.
        record: the record of the run.

    Raises:
        UserError: the record has no metrics of ranked lists.
    """
    lengths = list_lengths(record)
    if not lengths:
        raise UserError(f"{name}: has no metrics of ranked lists (such as NDCG@10), but --brief needs them")
    k = 10 if 10 in lengths else lengths[0]
    if record.get("spam"):
        of_spam = spam(k)
        names = {f"NDCG@{k}": f"NDCG@{k}", "target log p": "log p", f"target HR@{k}": f"in the list of {k}"}
        return {to: of_spam[heading] for heading, to in names.items()}
    log_odds = next(iter(FORGOTTEN_PAIRS.values()))
    return {f"NDCG@{k}": ndcg(k), "log-odds": log_odds, f"in the list of {k}": list(forgetting(k).values())[5]}


def _heading(record: Record, models: Mapping[str, list[Row]]) -> str:
    """Return the heading as text: model, data set, what was forgotten, and the numbers of requests, pairs and users.

    Args:
        record: the record of a run.
        models: kind of model to its result rows at the last checkpoint.
    """
    row = models["unlearned"][0]
    view = VIEW_OF_SPAM if record.get("spam") else VIEW
    everybody = next((one for one in models["unlearned"] if one["metric"] == "ndcg" and matching([one], view)), {})
    pairs = next(iter(matching(models["unlearned"], next(iter(FORGOTTEN_PAIRS.values())))), {})
    asked = record["requests"].get("total")
    what = record["config"].get("sensitive_category") or ("spam" if record.get("spam") else row["scenario"])
    of = f"{row['model_class']} on {row['dataset']}, seed {row['seed']}: forgetting {what}."
    told = f"{of}\nAfter {asked} requests ({', '.join(outcomes([record]))})"
    if pairs.get("n_rows"):
        told += f", where {pairs['n_people']} users had {pairs['n_rows']} forgotten pairs in the training data"
    return told + (f"; NDCG over {everybody['n_people']} users." if everybody.get("n_people") else ".")


def _cells(rows: Iterable[Row], columns: Mapping[str, Wanted]) -> list[str]:
    """Return the texts of a model's cells, one per column; empty where the model has no result row for the column."""
    found = rows_of(rows, columns)
    return [_with_interval(found[heading]) if heading in found else "" for heading in columns]


def _with_interval(row: Row) -> str:
    if row["value"] is None:
        return "not finite"
    return cell(row["value"], *interval(row))


def _aligned(cells: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows of a table as lines of text with aligned columns."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _of_base(models: Mapping[str, list[Row]]) -> list[str]:
    """Return a line that says whether there is something to forget.

    This is so if base and retrained differ in the log-odds of forgotten pairs, that is, if the 95 % interval of the
    difference does not contain 0.

    Args:
        models: kind of model to its result rows at the last checkpoint.

    Returns:
        A list with the line; an empty list if the difference or its interval is not known.
    """
    headroom = next(iter(matching(models.get("base", []), HEADROOM)), None)
    if headroom is None or headroom["value"] is None or math.isnan(sum(interval(headroom))):
        return []
    low, high = interval(headroom)
    much = cell(headroom["value"], low, high)
    if low <= 0 <= high:
        return [f"There is nothing to forget here: the log-odds of base minus those of retrained are {much}."]
    return [f"There is something to forget: retraining lowers the log-odds by {much} (mean paired difference)."]


def _of_run(record: Record, models: Mapping[str, list[Row]], columns: Mapping[str, Wanted]) -> str:
    """Return sentences about a run: how close it came to retraining, and what it cost in utility and time.

    Args:
        record: the record of the run.
        models: kind of model to its result rows at the last checkpoint.
        columns: the columns of the table, from :func:`_columns`.
    """
    codes = verdict(record)
    told = [] if record.get("spam") else _way(models, columns)
    utility = next(iter(columns))
    ours, base = (_value(models.get(kind, []), columns[utility]) for kind in ("unlearned", "base"))
    if not math.isnan(ours) and not math.isnan(base) and UTILITY_LOST not in codes:
        same = same_as_shown({utility: ours}, {utility: base})
        told.append(f"{utility} is {'unchanged' if same else f'{shown(ours)}, before unlearning {shown(base)}'}.")
    told += [*say(codes).splitlines(), *_cost(record)]
    return " ".join(told)


def _way(models: Mapping[str, list[Row]], columns: Mapping[str, Wanted]) -> list[str]:
    """Return a sentence about how far the log-odds of forgotten pairs moved towards those of retrained, in per cent.

    They start from the model ``rebuilt``, if the run has one (the base model with its graph rebuilt without the
    forgotten interactions), else from ``base``.

    Args:
        models: kind of model to its result rows at the last checkpoint.
        columns: the columns of the table, from :func:`_columns`.

    Returns:
        A list with the sentence; an empty list if a value is not known, or if base and retrained do not differ.
    """
    before = "rebuilt" if "rebuilt" in models else "base"
    wanted = columns["log-odds"]
    start, ours, end = (_value(models.get(kind, []), wanted) for kind in (before, "unlearned", "retrained"))
    low, high = interval(next(iter(matching(models.get("base", []), HEADROOM)), {}))
    if math.isnan(low + high) or low <= 0 <= high or math.isnan(start + ours + end) or start == end:
        return []
    return [f"The log-odds move {100 * (start - ours) / (start - end):.0f} % of the way from {before} to retrained."]


def _cost(record: Record) -> list[str]:
    """Return a list with a text that compares the time of the requests with that of retraining; empty if unknown."""
    found = costs(record)
    each, faster, amortised = (found[name] for name in (COSTS[0], COSTS[2], AMORTISED[0]))
    if math.isnan(each):
        return []
    told = f"A request takes {shown(each)} s"
    if math.isnan(faster) or not amortised > 0:
        return [f"{told}."]
    return [
        f"{told}; retraining takes {faster:.0f} times as long. All requests together take as long as "
        f"{1 / amortised:.2g} retrainings."
    ]


def _value(rows: Iterable[Row], wanted: Wanted) -> float:
    """Return the value of the first row that has the wanted column values; NaN if no row has them."""
    found = matching(rows, wanted)
    return float("nan") if not found or found[0]["value"] is None else float(found[0]["value"])
