"""What a run leaves for scripts: the JSON beside a checkpoint, the result file, ERASE's CSV."""

import csv
import platform
import resource
from pathlib import Path

import numpy as np
import torch

import recbole
from recbole.utils import atomic_write, sha256_of_file, write_json
from recbole.utils.device import now, peak_memory


class Clock:
    """Seconds of a run by phase, each until the device has done its work."""

    def __init__(self, device="cpu"):
        self.device, self.last = device, now(device)
        self.seconds = {}

    def lap(self, phase):
        """Book the time since the last lap under ``phase`` and return it."""
        wall = now(self.device)
        spent, self.last = wall - self.last, wall
        self.seconds[f"{phase}_seconds"] = self.seconds.get(f"{phase}_seconds", 0.0) + spent
        return spent


def describe(setup, kind, arguments, timing, rows, requests=None, checkpoint=None):
    """Return the record of a model: what produced it, how long it took, how it scores.

    Args:
        setup: the run's nouns.
        kind: ``base``, ``retrained`` or ``unlearned``.
        arguments: the command line, without credentials.
        timing: seconds by phase.
        rows: rows of the result table.
        requests: counts by outcome, or None.
        checkpoint: 0 to 3 or None.
    """
    dataset = setup.dataset
    known = {"total": 0 if setup.requests is None else len(setup.requests), "done": 0}
    if checkpoint is not None:
        known["done"] = setup.sizes[checkpoint]
    return {
        "kind": kind,
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
        "seed": setup.config["seed"],
        "dataset": {
            "name": dataset.log.name,
            "users": dataset.n_users - 1,
            "items": dataset.n_items - 1,
            "interactions": len(dataset.log),
            "sha256": dataset.log.fingerprint,
        },
        "checkpoint": checkpoint,
        "mask": setup.mask_name(checkpoint),
        "spam": None if setup.spam is None else setup.spam.about(),
        "requests": requests or known,
        "timing": {
            **timing,
            "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            **peak_memory(setup.config["device"]),
        },
        "metrics": rows,
    }


def write_beside(path, record):
    """Write a checkpoint's record as ``X.json`` beside ``X.pth``."""
    write_json(Path(path).with_suffix(".json"), record)


def reference_name(path):
    """Return how a result row names the model that a distance is measured from."""
    return f"{Path(path).name} sha256:{sha256_of_file(path)}"


_CSV = (
    *("dataset", "model", "seed", "sensitive_category", "checkpoint_idx", "eval_type", "unlearning_algorithm"),
    *("unlearning_fraction", "topk", "users_with_sensitive", "total_users", "pct_users_with_sensitive"),
    *("avg_sensitive_per_user", "min_sensitive_per_user", "max_sensitive_per_user", "total_sensitive_in_topk"),
)


def write_exposure_csv(path, setup, rows, kind, algorithm=None):
    """Write ERASE's table of sensitive items in recommendations from result rows; return whether there were any.

    Counted over the whole catalogue, as in ERASE. ``eval_type`` and ``unlearning_algorithm`` say what was evaluated;
    in ERASE's tables of unlearned models they do not.
    """
    config = setup.config
    population = "all" if setup.requests is None else "requesting"
    found = {}
    for row in rows:
        if row["model"] == kind and row["masking"] == "all" and row["population"] == population:
            found.setdefault((row["checkpoint"], row["k"]), {"n": row["n_rows"]})[row["metric"]] = row["value"]
    found = {key: values for key, values in found.items() if "pct_users_with_sensitive" in values}
    if not found:
        return False
    with atomic_write(path) as file:
        table = csv.DictWriter(file, _CSV, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        for (checkpoint, k), values in found.items():
            table.writerow(values | {
                "dataset": config["dataset"],
                "model": config["model"],
                "seed": config["seed"],
                "sensitive_category": config["sensitive_category"],
                "checkpoint_idx": checkpoint,
                "eval_type": kind,
                "unlearning_algorithm": algorithm,
                "unlearning_fraction": config["unlearning_fraction"],
                "topk": k,
                "users_with_sensitive": round(values["pct_users_with_sensitive"] * values["n"] / 100),
                "total_users": values["n"],
            })  # fmt: skip
    return True
