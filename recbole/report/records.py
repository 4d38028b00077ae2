"""Result files, as ``--result_file`` writes them."""

from __future__ import annotations

import json
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole.evaluator.table import COLUMNS
from recbole.utils import UserError

if TYPE_CHECKING:
    from recbole.evaluator.kinds import Row

Record = dict[str, Any]
"""What a run left for scripts: the model's kind, its configuration, timing, requests and result rows (``metrics``)."""

OF_RUN = (
    "dataset",
    "model_class",
    "seed",
    "scenario",
    "settings",
    "low",
    "high",
    "n_people",
    "minus",
    "reference_twin",
)
"""Columns that the result rows of older versions lack."""

_NEEDED = ("model", "checkpoint", "metric", "value")
_OF_FIXED_LENGTH = ("jaccard",)
"""Metrics whose list length was their own in older versions, whatever ``topk`` says."""


def read_if_there(path: Path) -> Record | None:
    """Return what a result file holds, or None where there is none."""
    if not path.exists():
        return None
    record: Record = json.loads(path.read_text(encoding="utf-8"))
    return record


def read_unlearned(path: str | Path) -> Record:
    """Return the record of an unlearning run; its rows have all columns (:func:`completed`).

    Raises:
        UserError: when the file is no such record.
    """
    try:
        record: Record = json.loads(Path(path).read_text(encoding="utf-8"))
        kind, rows = record["kind"], record["metrics"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: not a result file of unlearn.py ({error})") from error
    if kind != "unlearned":
        raise UserError(f"{path}: a result file of a {kind} model; give those of unlearn.py --result_file")
    if not isinstance(rows, list) or not all(map(_is_row, rows)):
        raise UserError(f"{path}: not a result file of unlearn.py (its metrics are no rows of a result table)")
    wrong = [part for part in ("config", "timing", "requests", "dataset") if not isinstance(record.get(part, {}), dict)]
    if wrong:
        raise UserError(f"{path}: not a result file of unlearn.py ({wrong[0]} says nothing by name)")
    if not any(row["model"] == "unlearned" for row in rows):
        raise UserError(f"{path}: no rows of an unlearned model; give what unlearn.py --result_file wrote")
    return completed(record)


def completed(record: Record) -> Record:
    """Return a record with all of the parts and columns of today.

    What rows do not say of their run is taken from the record; what nobody says is None. A row's ``reference_twin`` of
    an older version is ``unknown`` where the row has a reference.
    """
    full: Record = {"config": {}, "timing": {}, "requests": {}, "dataset": {}} | record
    known = {
        "dataset": full["dataset"].get("name"),
        "model_class": full["config"].get("model"),
        "seed": full.get("seed"),
    }
    return full | {"metrics": [_completed(row, known) for row in full["metrics"]]}


def own_rows(record: Record) -> list[Row]:
    """Return the rows of a record but for the distances from yardsticks other than the retrained model.

    These are retrained models of other seeds or of the base's epoch and, beside ensembles, those of all data.
    """
    others = {name for yardstick in ("other_seeds", "same_epoch", "monolithic") for name in record.get(yardstick) or ()}
    return [row for row in record["metrics"] if row["reference"] not in others]


def forget_set(record: Record) -> str | None:
    """Return the digest of the file of what was to be forgotten; None where the record does not tell it."""
    mask = record.get("mask")
    return mask.get("forget_set_sha256") if isinstance(mask, dict) else None


def list_lengths(record: Record) -> list[int]:
    """Return the list lengths that a run was asked for and has rows of, ascending."""
    rows = [row for row in record["metrics"] if row["metric"] not in _OF_FIXED_LENGTH]
    found = {row["k"] for row in rows} - {None}
    asked = set(record["config"].get("topk") or found)
    return sorted(found & asked)


def _completed(row: Row, known: Row) -> Row:
    nothing: Row = dict.fromkeys([*COLUMNS, *OF_RUN])
    full = nothing | row
    full |= {name: value for name, value in known.items() if full[name] is None}
    if full["reference"] is not None and full["reference_twin"] is None:
        full["reference_twin"] = "unknown"
    return full


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict) or not all(name in row for name in _NEEDED):
        return False
    if not isinstance(row["model"], str) or not isinstance(row["metric"], str):
        return False
    numbers = (row["value"], row["checkpoint"], row.get("k"))
    return all(number is None or isinstance(number, Real) for number in numbers)
