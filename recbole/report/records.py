"""Reads result files written by ``unlearn.py --result_file``, including those of earlier versions."""

from __future__ import annotations

import math
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole.evaluator.metrics import METRICS
from recbole.evaluator.table import COLUMNS
from recbole.utils import UserError, read_json

if TYPE_CHECKING:
    from recbole.evaluator.kinds import Row

_ROUNDING = 1e-6

Record = dict[str, Any]
"""The content of a result file, read from JSON: kind of model, configuration, timing, outcomes of requests, and rows of
the result table (key ``metrics``)."""

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
"""Columns that result rows of older versions may lack."""

_NEEDED = ("model", "checkpoint", "metric", "value")
_OF_FIXED_LENGTH = ("jaccard",)
"""Metrics whose list length did not depend on ``topk`` in older versions."""


def read_if_there(path: Path) -> Record | None:
    """Return the content of a result file, or None if it does not exist."""
    if not path.exists():
        return None
    return read_json(path, dict)


def read_unlearned(path: str | Path) -> Record:
    """Read the result file of an unlearning run.

    If an earlier version of this program wrote the file, :func:`completed` adds what that version did not write.

    Raises:
        UserError: the file cannot be read, or is not the result file of an unlearning run.
    """
    try:
        record: Record = read_json(path, dict)
        kind, rows = record["kind"], record["metrics"]
    except (KeyError, UserError) as error:
        raise UserError(f"{path}: not a result file of unlearn.py ({error})") from error
    if kind != "unlearned":
        raise UserError(f"{path}: a result file of a {kind} model; give files written by unlearn.py --result_file")
    if not isinstance(rows, list) or not all(map(_is_row, rows)):
        raise UserError(f"{path}: not a result file of unlearn.py (metrics is not a list of result rows)")
    if wrong_value := next(filter(None, map(_impossible, rows)), None):
        raise UserError(f"{path}: {wrong_value}")
    wrong = [part for part in ("config", "timing", "requests", "dataset") if not isinstance(record.get(part, {}), dict)]
    if wrong:
        raise UserError(f"{path}: not a result file of unlearn.py ({wrong[0]} is not a JSON object)")
    if not any(row["model"] == "unlearned" for row in rows):
        raise UserError(f"{path}: no rows of an unlearned model; give files written by unlearn.py --result_file")
    return completed(record)


def completed(record: Record) -> Record:
    """Return a copy of a record with the keys and columns added that an earlier version of this program did not write.

    In result rows, missing values of ``dataset``, ``model_class`` and ``seed`` are taken from the record. Other missing
    columns are None, except that ``reference_twin`` (whether the model in ``reference`` was trained like the base) is
    ``unknown`` in rows with a reference.
    """
    full: Record = {"config": {}, "timing": {}, "requests": {}, "dataset": {}} | record
    known = {
        "dataset": full["dataset"].get("name"),
        "model_class": full["config"].get("model"),
        "seed": full.get("seed"),
    }
    return full | {"metrics": [_completed(row, known) for row in full["metrics"]]}


def own_rows(record: Record) -> list[Row]:
    """Return the result rows of a record that are not comparisons with models other than the run's retrained model.

    Left out are comparisons with models retrained with other seeds, with the retrained model's weights at the epoch
    that was selected for the base, and (in runs of ensembles) with single models retrained on all retained data.
    """
    others = {name for yardstick in ("other_seeds", "same_epoch", "monolithic") for name in record.get(yardstick) or ()}
    return [row for row in record["metrics"] if row["reference"] not in others]


def forget_set(record: Record) -> str | None:
    """Return the SHA-256 of the file that lists the run's deletion requests; None if the record does not contain it."""
    mask = record.get("mask")
    return mask.get("forget_set_sha256") if isinstance(mask, dict) else None


def list_lengths(record: Record) -> list[int]:
    """Return the list lengths k that are in the run's setting ``topk`` and have result rows, ascending."""
    rows = [row for row in record["metrics"] if row["metric"] not in _OF_FIXED_LENGTH]
    found = {row["k"] for row in rows} - {None}
    asked = set(record["config"].get("topk") or found)
    return sorted(found & asked)


def _completed(row: Row, known: Row) -> Row:
    """Return a copy of a result row with all columns; where a value is None, the value in ``known`` is used, if any."""
    nothing: Row = dict.fromkeys([*COLUMNS, *OF_RUN])
    full = nothing | row
    full |= {name: value for name, value in known.items() if full[name] is None}
    if full["reference"] is not None and full["reference_twin"] is None:
        full["reference_twin"] = "unknown"
    return full


def _is_row(row: Any) -> bool:
    """Return whether a value can be a row of the result table: a dict with the needed columns of the right types."""
    if not isinstance(row, dict) or not all(name in row for name in _NEEDED):
        return False
    if not isinstance(row["model"], str) or not isinstance(row["metric"], str):
        return False
    numbers = (row["value"], row["checkpoint"], row.get("k"))
    return all(number is None or (isinstance(number, Real) and math.isfinite(number)) for number in numbers)


def _impossible(row: Any) -> str | None:
    """Say which value of a result row is outside the range of its metric; None if it is inside.

    Only the metrics of :mod:`recbole.evaluator.metrics` are checked, and no differences between two models.
    """
    metric, value = METRICS.get(row["metric"]), row["value"]
    if metric is None or value is None or row.get("minus") is not None:
        return None
    if -_ROUNDING <= value <= (1 + _ROUNDING if metric.bounded else math.inf):
        return None
    right = "between 0 and 1" if metric.bounded else "0 or more"
    return f"{row['metric']} is {value} in a result row, but should be {right}"
