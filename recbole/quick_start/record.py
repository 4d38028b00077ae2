"""What a run leaves for scripts: the JSON beside a checkpoint, and the result file."""

import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

import recbole
from recbole.config.identity import Identity
from recbole.quick_start.setup import Setup
from recbole.trainer.state import State
from recbole.utils import sha256_of_file, write_json
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
    """Return the record of a model: what produced it, how long it took, how it scores.

    Args:
        setup: the run's.
        state: the model's.
        identity: what made the model, if that is known.
        arguments: the command line, without credentials.
        timing: seconds by phase.
        rows: rows of the result table.
        requests: counts by outcome, or None.
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
    """Write a checkpoint's record as ``X.json`` beside ``X.pth``."""
    write_json(Path(path).with_suffix(".json"), record)


def reference_name(path: str | Path) -> str:
    """Return how a result row names the model that a distance is measured from."""
    return f"{Path(path).name} sha256:{sha256_of_file(path)}"
