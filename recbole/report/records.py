"""Result files, as ``--result_file`` writes them."""

import json
from pathlib import Path
from typing import Any

from recbole.utils import UserError

Record = dict[str, Any]
"""What a run left for scripts: the model's kind, its configuration, timing, requests and result rows (``metrics``)."""


def read_if_there(path: Path) -> Record | None:
    """Return what a result file holds, or None where there is none."""
    if not path.exists():
        return None
    record: Record = json.loads(path.read_text(encoding="utf-8"))
    return record


def read_unlearned(path: str | Path) -> Record:
    """Return the record of an unlearning run.

    Raises:
        UserError: when the file is no such record.
    """
    try:
        record: Record = json.loads(Path(path).read_text(encoding="utf-8"))
        if record["kind"] == "unlearned" and isinstance(record["metrics"], list):
            return record
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a result file of unlearn.py ({error})") from error
    raise UserError(f"{path}: a result file of a {record['kind']} model; give those of unlearn.py --result_file")
