"""Records of runs: JSON files with the command line, settings, data, timing and results of a model.

A record is stored next to each checkpoint file (``X.json`` next to ``X.pth``) and in the file of ``--result_file``.
"""

import os
import platform
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import recbole
from recbole.config.identity import Identity
from recbole.evaluator.records import SHA256
from recbole.quick_start.setup import Setup
from recbole.trainer.checkpoint import sha256_of_checkpoint
from recbole.trainer.state import State
from recbole.utils import UserError, check_replaceable, write_json
from recbole.utils.device import peak_memory
from recbole.utils.memory import peak_rss_mib


def describe(
    setup: Setup,
    state: State,
    identity: Identity | None,
    arguments: list[str],
    timing: dict[str, Any],
    rows: list[dict[str, Any]] | None,
    requests: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the record of a model: a dict with its command line, settings, data, timing and results.

    Args:
        setup: settings, data and requests of the run.
        state: the model's kind (such as ``base``), its checkpoint number and which interactions it has forgotten.
        identity: the settings, data and forgotten interactions that determine the model's parameters; None if unknown.
        arguments: the command line, without credentials.
        timing: dict from the name of a phase, such as ``load_seconds``, to seconds; may contain further values.
        rows: rows of the result table; None if the model has not been evaluated yet.
        requests: dict from an outcome, such as ``applied``, to the number of deletion requests that ended with it. None
            stores only how many requests there are and how many were processed.
    """
    dataset = setup.dataset
    total = 0 if setup.requests is None else len(setup.requests)
    known = {"total": total, "done": 0 if state.done is None else state.done.count}
    return {
        "kind": state.kind,
        "arguments": arguments,
        "config": setup.config.as_dict(),
        "versions": {
            "erase-bench": recbole.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "machine": platform.machine(),
            "threads": torch.get_num_threads(),
        },
        "digest": None if identity is None else identity.digest,
        "settings": None if identity is None else dict(identity.settings),
        "results_version": recbole.RESULTS_VERSION,
        "seed": setup.config["seed"],
        "dataset": {
            "name": dataset.log.name,
            "users": dataset.n_users - 1,
            "items": dataset.n_items - 1,
            "interactions": len(dataset.log),
            "sha256": dataset.log.fingerprint,
        },
        "checkpoint": state.checkpoint,
        "mask": state.mask,
        **setup.scenario.about(),
        "requests": requests or known,
        "timing": {
            **timing,
            "peak_rss_mib": peak_rss_mib(),
            **peak_memory(setup.config["device"]),
        },
        "metrics": rows,
    }


def write_beside(path: Path, record: dict[str, Any]) -> None:
    """Write the record of a model next to its checkpoint file, and add the SHA-256 of the checkpoint to the record.

    Args:
        path: the checkpoint file, ``X.pth``; the record becomes ``X.json``.
        record: the record, from :func:`describe`.
    """
    path = Path(path)
    write_json(path.with_suffix(".json"), record | {SHA256: sha256_of_checkpoint(path)})


def check_result_file(
    path: str | Path,
    saved: str | Path,
    folders: Iterable[Path] = (),
    begins: str = r'\{\s*"kind": "',
    what: str = "record of a run",
) -> None:
    """Check that results can be written to the file that ``--result_file`` names.

    Programs call this before any work. Those that work long call it again before they write, because another program
    may have written a file of this name.

    Args:
        path: the file. It may exist if it contains such results.
        saved: the folder of checkpoint files.
        folders: the folders into which the run writes.
        begins: a regular expression that matches the first characters of such a file.
        what: what such a file contains, for the message.

    Raises:
        UserError: the file cannot be written, exists and has other content, is one of the run's folders, or has a name
            that is reserved for the record next to a checkpoint file.
    """
    path = Path(path)
    for folder in map(_real, folders):
        if _real(path) in (folder, *folder.parents):
            raise UserError(f"cannot write {path}: the run has a folder of this name; choose another path")
    of_checkpoint = path.name.startswith("model_") and _real(saved) in _real(path).parents
    if of_checkpoint or path.with_suffix(".pth").exists():
        raise UserError(f"cannot write {path}: this name is reserved for the record next to a checkpoint")
    check_replaceable(path, begins, what)


def _real(path: str | Path) -> Path:
    return Path(os.path.realpath(path))
