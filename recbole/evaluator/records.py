"""Reads the record next to a checkpoint file: ``X.json`` next to ``X.pth``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recbole.utils import UserError, read_json
from recbole.utils.json_types import JsonType, list_of, nullable, number, object_with, text, whole

SHA256 = "file_sha256"
"""Key of a record with the SHA-256 (hexadecimal) of the checkpoint file."""

_OUTCOMES = ("total", "done", "applied", "reinitialised", "skipped", "timeout", "diverged", "worked")
_SECONDS = (
    *("seconds_mean", "seconds_p95", "seconds_total", "cpu_seconds_mean", "fit_seconds", "fit_cpu_seconds"),
    *("retraining_seconds", "retraining_cpu_seconds", "speedup_over_retraining"),
)
_OF_CHECKPOINTS = ("rebuilt_seconds", "rebuilt_cpu_seconds")

RECORD: dict[str, JsonType] = {
    "kind": text,
    "config": object_with({"model": nullable(text), "topk": nullable(list_of(whole(1)))}),
    "digest": nullable(text),
    "seed": whole(0),
    "dataset": object_with({"name": nullable(text)}),
    "mask": nullable(object_with({"forget_set_sha256": nullable(text)})),
    "spam": nullable(object_with({})),
    "requests": object_with(
        dict.fromkeys(_OUTCOMES, whole(0)) | {"median_relative_change": nullable(number)},
    ),
    "timing": object_with(
        dict.fromkeys(_SECONDS, nullable(number)) | dict.fromkeys(_OF_CHECKPOINTS, nullable(list_of(number))),
    ),
    "certificate": nullable(object_with({})),
    "ensemble": nullable(object_with({})),
    SHA256: nullable(text),
}
"""Key of a record to the type of its value, for the values that this program reads.

Every key may be missing, because earlier versions did not write all of them.
"""


def read_beside(checkpoint: Path) -> dict[str, Any] | None:
    """Return the record next to a checkpoint file.

    Args:
        checkpoint: the checkpoint file, ``X.pth``; the record is ``X.json``.

    Returns:
        None if there is no ``X.json``, or if another program wrote it, which is recognised by the lack of the keys
        ``kind`` and ``file_sha256``.

    Raises:
        UserError: the record cannot be read, is not a JSON object, or a value in it has another type than in
            :data:`RECORD`.
    """
    path = Path(checkpoint).with_suffix(".json")
    record = read_json(path, dict) if path.exists() else None
    if record is None or not record.keys() & {"kind", SHA256}:
        return None
    if fault := object_with(RECORD)(record):
        raise UserError(f"{path}: {fault}")
    return record
