"""Reads result files written by ``unlearn.py --result_file``, including those of earlier versions."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recbole.evaluator.metrics import METRICS
from recbole.evaluator.records import RECORD
from recbole.evaluator.table import COLUMNS
from recbole.utils import UserError, read_json
from recbole.utils.json_types import list_of, nullable, number, object_of, object_with, one_of, text, whole

if TYPE_CHECKING:
    from recbole.evaluator.kinds import Row

_ROUNDING = 1e-6
_RIGHT = "give files written by unlearn.py --result_file"

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

_TEXTS = (
    *("dataset", "model_class", "scenario", "settings", "algorithm", "split", "view", "population", "masking"),
    *("minus", "reference"),
)
_ROW = object_with(
    dict.fromkeys(_TEXTS, nullable(text))
    | dict.fromkeys(("model", "metric"), text)
    | dict.fromkeys(("value", "low", "high"), nullable(number))
    | dict.fromkeys(("seed", "checkpoint", "n_people", "n_rows", "n_skipped"), nullable(whole(0)))
    | {"k": nullable(whole(1)), "reference_twin": one_of(True, False, "unknown", None)},
    needed=("model", "checkpoint", "metric", "value"),
)
_EPOCH = nullable(whole(-1))  # -1: none
_RESULT = object_with(
    RECORD
    | {
        "selected_epochs": nullable(object_with({"base": _EPOCH, "retrained": nullable(object_of(_EPOCH))})),
        "other_seeds": nullable(object_of(whole(0))),
        "same_epoch": nullable(object_of(whole(0))),
        "monolithic": nullable(list_of(text)),
        "metrics": nullable(list_of(_ROW, "row")),
    },
    needed=("kind", "metrics"),
)
"""The type of result files. Keys and columns that earlier versions did not write may be missing."""

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
        UserError: the file cannot be read, is not the result file of an unlearning run, or a value in it has another
            type than this program writes.
    """
    try:
        record: Record = read_json(path, dict)
    except UserError as error:
        raise UserError(f"{path}: not a result file of unlearn.py ({error})") from error
    if fault := _RESULT(record):
        raise UserError(f"{path}: not a result file of unlearn.py ({fault})")
    if record["kind"] != "unlearned":
        raise UserError(f"{path}: a result file of a {record['kind']} model; {_RIGHT}")
    rows = record["metrics"] or []
    for at, row in enumerate(rows, start=1):
        if wrong_value := _impossible(row):
            raise UserError(f"{path}: row {at} in metrics: {wrong_value}")
    if not any(row["model"] == "unlearned" for row in rows):
        raise UserError(f"{path}: no rows of an unlearned model; {_RIGHT}")
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
    return (record.get("mask") or {}).get("forget_set_sha256")


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
    return f"{row['metric']} is {value}, but should be {right}"
