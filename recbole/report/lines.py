"""The lines of a comparison: one a model of a checkpoint of a run, with all that tells it from other lines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recbole.report.columns import VIEW, VIEW_OF_SPAM, Wanted, forgetting, rows_of, spam, values_of
from recbole.report.costs import AMORTISED, changed, costs, failed, outcomes, rebuild_costs
from recbole.report.intervals import headroom_of, intervals_of
from recbole.report.records import Record, forget_set, own_rows
from recbole.report.tables import shown
from recbole.unlearning.schedule import LAST

if TYPE_CHECKING:
    from recbole.evaluator.kinds import Row

IDENTITY = ("dataset", "model_class", "seed", "scenario", "settings", "run", "model", "algorithm", "checkpoint")
"""Columns that say what a line is of; ``run`` is the file's name, where a line is of one file."""

VIEWED = ("view", "population", "masking")
"""Columns that say on what utility was asked."""

COUNTS = ("n_people", "n_rows", "n_requesting")
"""Columns of whom utility is a mean over: people, their rows; and of how many people asked."""

REMARKS = "remarks"

_UTILITY = ("Recall@", "NDCG@")


@dataclass
class Line:
    """A model at a checkpoint of a run.

    Attributes:
        about: the columns of :data:`IDENTITY` and :data:`VIEWED`.
        mask: what tells the data that were forgotten, beside the scenario's name: a digest or None.
        values: of the columns of results by heading, NaN where there is none.
        rest: of the other columns: people, intervals, requests, costs, remarks; None or NaN where unknown.
    """

    about: dict[str, Any]
    mask: str | None
    values: dict[str, float]
    rest: dict[str, Any]

    @property
    def group(self) -> tuple[Any, ...]:
        """What lines share that may be compared with each other."""
        return (*(self.about[name] for name in ("dataset", "model_class", "seed", "scenario")), self.mask)

    @property
    def key(self) -> tuple[Any, ...]:
        """What two lines share that are of the very same model; of an unlearned one of unknown settings, the file."""
        about = self.about
        own = about["run"] if about["model"] == "unlearned" and about["settings"] is None else None
        return (*self.group, *(about[name] for name in ("settings", "model", "algorithm", "checkpoint")), own)

    @property
    def row(self) -> dict[str, Any]:
        """The line as a row of the table."""
        return {**self.about, **self.rest, **self.values}


def same_as_shown(ours: Mapping[Any, float], theirs: Mapping[Any, float]) -> bool:
    """Return whether two models have values in common, and all of these are the same to the digits that are shown."""
    common = [key for key in ours if key in theirs and not math.isnan(ours[key]) and not math.isnan(theirs[key])]
    return bool(common) and all(shown(ours[key]) == shown(theirs[key]) for key in common)


def columns_of(record: Record, k: int, longest: int | None = None) -> dict[str, Wanted]:
    """Return the columns that a record has values in, by heading.

    Args:
        record: of an unlearning run.
        k: list length.
        longest: another one, for the hit rate of promoted items.
    """
    return spam(k, longest) if record.get("spam") else forgetting(k)


def lines_of(record: Record, run: str, columns: Mapping[str, Wanted]) -> list[Line]:
    """Return a line a (checkpoint, model) of a record.

    Args:
        record: what :func:`~recbole.report.records.read_unlearned` returns.
        run: what the file is called in the table.
        columns: of results, by heading.

    Returns:
        Lines; the clean model of a spam run, which is of no checkpoint, stands at each.
    """
    found = _by_model(own_rows(record))
    view = VIEW_OF_SPAM if record.get("spam") else VIEW
    values = {at: values_of(rows, columns) for at, rows in found.items()}
    lines = []
    for (checkpoint, kind), rows in found.items():
        about = {name: rows[0][name] for name in IDENTITY if name != "run"}
        about |= {"run": run, "checkpoint": checkpoint} | {name: view[name] for name in VIEWED}
        mine = values[checkpoint, kind]
        rest = _counts(rows_of(rows, columns)) | intervals_of(rows, columns)
        rest |= headroom_of(found.get((checkpoint, "base"), ()))
        remarks = _of_rows(rows_of(rows, columns))
        if kind == "rebuilt":
            rest |= rebuild_costs(record, checkpoint)
        if kind == "unlearned":
            rest |= _of_run(record, checkpoint)
            remarks = _of_requests(record) + remarks
            others = {other: values[checkpoint, other] for other in ("base", "rebuilt") if (checkpoint, other) in found}
            equal = [f"= {other}" for other, theirs in others.items() if same_as_shown(mine, theirs)]
            remarks = equal[:1] + remarks
        lines.append(Line(about, forget_set(record), mine, rest | {REMARKS: "; ".join(remarks)}))
    return lines


def _by_model(rows: list[Row]) -> dict[tuple[int, str], list[Row]]:
    """Return the rows of each model of each checkpoint, by the checkpoint's number and the model's kind."""
    checkpoints = {row["checkpoint"] for row in rows} - {None}
    found: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        for at in sorted(checkpoints) if row["model"] == "clean" else {row["checkpoint"]} - {None}:
            found.setdefault((at, row["model"]), []).append(row)
    return found


def _counts(found: Mapping[str, Row]) -> dict[str, Any]:
    """Return whom the columns of results are means over."""
    utility = next((row for heading, row in found.items() if heading.startswith(_UTILITY)), {})
    asked = next((row for row in found.values() if row["population"] == "requesting"), {})
    people = asked.get("n_people")  # of an older version's rows about requesting people each is of one
    values = (utility.get("n_people"), utility.get("n_rows"), asked.get("n_rows") if people is None else people)
    return dict(zip(COUNTS, values, strict=True))


def _of_run(record: Record, checkpoint: int) -> dict[str, Any]:
    """Return what is of the whole run: outcomes, change, costs; of all requests' cost only after the last of them."""
    cost = costs(record)
    if checkpoint != LAST:
        cost |= dict.fromkeys(AMORTISED, float("nan"))
    change = record["requests"].get("median_relative_change")
    return {"requests": ", ".join(outcomes([record])), "median change": change, **cost}


def _of_requests(record: Record) -> list[str]:
    """Return what is to be said of a run whose requests did not all end well."""
    count, bad = changed(record), failed(record)
    if count == 0:
        return ["nothing applied"]
    return [f"{bad} of {count + bad} failed"] if count and bad else []


def _of_rows(found: Mapping[str, Row]) -> list[str]:
    """Return what is to be said of values: that scores were not finite, or that the yardstick is another's."""
    utility = [row for heading, row in found.items() if heading.startswith(_UTILITY)]
    broken = any(row["value"] is None and row["n_rows"] for row in utility)
    remarks = ["scores are not finite"] if broken else []
    twins = [row["reference_twin"] for row in found.values() if row["reference"] is not None]
    if any(twin is False for twin in twins):
        return [*remarks, "reference is no twin"]
    return [*remarks, "reference twin unknown"] if any(twin is not True for twin in twins) else remarks
