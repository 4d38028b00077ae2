"""The lines of the comparison table: one per run, checkpoint and model."""

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
"""Columns that identify a line. ``run`` is the result file's name; None for models that files share (base)."""

VIEWED = ("view", "population", "masking")
"""Columns that say on which rows, users and candidates the utility metrics were computed."""

COUNTS = ("n_people", "n_rows", "n_requesting")
"""Columns with three numbers: users, and evaluation rows, in the utility metrics; users who submitted a request."""

REMARKS = "remarks"

_UTILITY = ("Recall@", "NDCG@")


@dataclass
class Line:
    """One line of the comparison table: the values of one model at one checkpoint of a run.

    Attributes:
        about: values of the columns in :data:`IDENTITY` and :data:`VIEWED`.
        mask: the SHA-256 (hexadecimal) of the file that lists the deletion requests, or None if unknown.
        values: values of the metric columns by heading; NaN where unknown.
        rest: values of all other columns (counts, intervals, requests, costs, remarks); None or NaN where unknown.
    """

    about: dict[str, Any]
    mask: str | None
    values: dict[str, float]
    rest: dict[str, Any]

    @property
    def group(self) -> tuple[Any, ...]:
        """The values that lines must share to be comparable: data set, model class, seed, scenario and forget set."""
        return (*(self.about[name] for name in ("dataset", "model_class", "seed", "scenario")), self.mask)

    @property
    def key(self) -> tuple[Any, ...]:
        """The values that identify the model: two lines with equal values show the same model.

        If the settings of an unlearned model are unknown, the name of the result file is one of these values.
        """
        about = self.about
        own = about["run"] if about["model"] == "unlearned" and about["settings"] is None else None
        return (*self.group, *(about[name] for name in ("settings", "model", "algorithm", "checkpoint")), own)

    @property
    def row(self) -> dict[str, Any]:
        """The line as a row of the table, column to value."""
        return {**self.about, **self.rest, **self.values}


def same_as_shown(ours: Mapping[Any, float], theirs: Mapping[Any, float]) -> bool:
    """Return whether the values of two models look equal in the table, where numbers have four significant digits.

    Only values that are known (not NaN) for both models are compared. Without any the result is False.

    Args:
        ours, theirs: values of the two models, by heading or any other key.
    """
    common = [key for key in ours if key in theirs and not math.isnan(ours[key]) and not math.isnan(theirs[key])]
    return bool(common) and all(shown(ours[key]) == shown(theirs[key]) for key in common)


def columns_of(record: Record, k: int, longest: int | None = None) -> dict[str, Wanted]:
    """Return the metric columns for a run: heading of a column to the values by which its result row is found.

    Args:
        record: the record of an unlearning run.
        k: the list length to show.
        longest: a second list length, at which the hit rate of items promoted by spam is shown too; None for none.
    """
    return spam(k, longest) if record.get("spam") else forgetting(k)


def lines_of(record: Record, run: str, columns: Mapping[str, Wanted]) -> list[Line]:
    """Return the lines of a run, one per checkpoint and model.

    Args:
        record: the record, from :func:`~recbole.report.records.read_unlearned`.
        run: the name of the result file, for the column ``run``.
        columns: the metric columns: heading to the values by which the result row is found.

    Returns:
        The lines. In a run about spam, the model trained without spam belongs to no checkpoint; it gets a line at each
        checkpoint.
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
    """Return result rows by (checkpoint number, kind of model); those of the model ``clean`` at every checkpoint."""
    checkpoints = {row["checkpoint"] for row in rows} - {None}
    found: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        for at in sorted(checkpoints) if row["model"] == "clean" else {row["checkpoint"]} - {None}:
            found.setdefault((at, row["model"]), []).append(row)
    return found


def _counts(found: Mapping[str, Row]) -> dict[str, Any]:
    """Return the values of the columns in :data:`COUNTS`, from the result row found for each metric column."""
    utility = next((row for heading, row in found.items() if heading.startswith(_UTILITY)), {})
    asked = next((row for row in found.values() if row["population"] == "requesting"), {})
    people = asked.get("n_people")  # older versions lack it; there, each requesting user has one row
    values = (utility.get("n_people"), utility.get("n_rows"), asked.get("n_rows") if people is None else people)
    return dict(zip(COUNTS, values, strict=True))


def _of_run(record: Record, checkpoint: int) -> dict[str, Any]:
    """Return the columns about the whole run: outcomes of requests, change of the parameters, and costs.

    The ratio of the time of retraining to that of all requests (``AMORTISED``) is NaN except at the last checkpoint.
    """
    cost = costs(record)
    if checkpoint != LAST:
        cost |= dict.fromkeys(AMORTISED, float("nan"))
    change = record["requests"].get("median_relative_change")
    return {"requests": ", ".join(outcomes([record])), "median change": change, **cost}


def _of_requests(record: Record) -> list[str]:
    """Return a list with a remark if no request changed the model, or if some requests timed out or diverged."""
    count, bad = changed(record), failed(record)
    if count == 0:
        return ["nothing applied"]
    return [f"{bad} of {count + bad} failed"] if count and bad else []


def _of_rows(found: Mapping[str, Row]) -> list[str]:
    """Return remarks about scores that are not finite, and about a reference that was not trained like the base.

    The reference is the model that distances are measured from, usually the retrained one. Except that the forgotten
    interactions were left out, it should have been trained exactly like the base model.

    Args:
        found: heading to the result row of one model.
    """
    utility = [row for heading, row in found.items() if heading.startswith(_UTILITY)]
    broken = any(row["value"] is None and row["n_rows"] for row in utility)
    remarks = ["scores are not finite"] if broken else []
    twins = [row["reference_twin"] for row in found.values() if row["reference"] is not None]
    if any(twin is False for twin in twins):
        return [*remarks, "reference not trained like base"]
    unknown = any(twin is not True for twin in twins)
    return [*remarks, "unknown whether reference was trained like base"] if unknown else remarks
