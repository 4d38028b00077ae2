"""Compare the files of two runs: checkpoints, result rows, outcomes of requests, tables, and file names.

Times and the results version are ignored. Two dictionaries are compared at the keys that both have, since a later
revision may write more; but the tensors of a checkpoint must have the same names.
"""

import csv
import hashlib
import json
import re

import numpy as np
import torch
from same_bits_gate import as_entries

TIMES = re.compile(r"second|_mib$|speed")
LEFT_OUT = {"arguments", "config", "versions"}
"""Keys of a record that describe the settings of a run, not its results."""
OF_FILES = {"digest", "base_sha256"}
"""Keys that depend on the bytes of the checkpoint that was unlearned; ignored with rounding."""
INTERNAL_ERROR = 1
"""Exit status of a run that ended with a traceback."""
PARAMETERS = ("state_dict", "other_parameter", "optimizer")
"""Keys of a checkpoint that contain tensors."""
ROW = ("model", "algorithm", "checkpoint", "split", "view", "population", "masking", "metric", "k", "minus")


class Differences:
    """Collects the differences between two runs, one line each.

    Args:
        rounding: allow a tensor to differ by 1e-4 of its largest absolute value, and any other non-integer number x by
            1e-3 max(1, abs(x)).

    Attributes:
        found: the lines, a list of str.
        tensors: number of compared tensors and arrays.
        rows: number of compared result rows.
        applied: number of compared requests with the outcome ``applied``.
    """

    def __init__(self, rounding=False):
        self.rounding, self.found, self.tensors, self.rows, self.applied = rounding, [], 0, 0, 0

    def add(self, where, told):
        """Add a difference: where it is (a file or key), and what differs."""
        self.found.append(f"{where}: {told}"[:400])

    # --- values
    def values(self, where, one, other, keys="both"):
        """Compare two values: numbers, texts, tensors, or nested dictionaries and lists of these.

        Args:
            where: name of the value in the reported lines.
            one: value of the earlier revision.
            other: value of the later revision.
            keys: which keys two dictionaries must share. ``both``: compare the keys that both have. ``kept``: also
                report keys of `one` that are missing in `other`. ``same``: report any other keys or order.
        """
        if isinstance(one, dict) and isinstance(other, dict):
            lost = set(one) - set(other)
            if (keys == "kept" and lost) or (keys == "same" and list(one) != list(other)):
                self.add(where, f"holds {list(map(str, one))}, now {list(map(str, other))}")
            for key in one:
                if key in other and not self._left_out(str(key)):
                    self.values(f"{where}.{key}", one[key], other[key], keys)
        elif isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
            if len(one) != len(other):
                self.add(where, f"{len(one)} values, now {len(other)}")
            for at, pair in enumerate(zip(one, other, strict=False)):
                self.values(f"{where}[{at}]", *pair, keys)
        elif isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
            self.tensor(where, one, other)
        elif not self._equal(one, other):
            by = f" (by {abs(one - other):.3g})" if _numbers(one, other) else ""
            self.add(where, f"{one!r}, now {other!r}{by}")

    def _left_out(self, key):
        return TIMES.search(key) or key == "results_version" or (self.rounding and key in OF_FILES)

    def _equal(self, one, other):
        if one == other or (one != one and other != other):  # noqa: PLR0124 (NaN equals NaN here)
            return True
        near = self.rounding and _numbers(one, other) and not (isinstance(one, int) and isinstance(other, int))
        return near and abs(one - other) <= 1e-3 * max(1.0, abs(one))

    def tensor(self, where, one, other):
        """Compare two tensors bit by bit; with rounding allow 1e-4 of the largest absolute value of the first one."""
        self.tensors += 1
        if (one.shape, one.dtype, one.layout) != (other.shape, other.dtype, other.layout):
            self.add(where, f"{one.dtype} {tuple(one.shape)}, now {other.dtype} {tuple(other.shape)}")
            return
        one, other = (tensor.to_dense() if tensor.layout != torch.strided else tensor for tensor in (one, other))
        if torch.equal(_bits(one), _bits(other)):
            return
        same = (one == other) | (one.isnan() & other.isnan())
        values = [tensor.to(torch.float64) for tensor in (one, other)]
        apart = (values[0] - values[1]).abs()[~same].nan_to_num(nan=torch.inf)
        furthest = apart.max().item() if len(apart) else 0.0
        largest = values[0].nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).abs().max().item()
        if not (self.rounding and one.is_floating_point() and furthest <= 1e-4 * largest):
            count = f"{len(apart)} of {one.numel()} values" if len(apart) else "signs of zeros or bits of NaNs"
            self.add(where, f"{count} differ, by {furthest:.3g} at most, where the largest is {largest:.3g}")

    # --- files
    def folders(self, one, other):
        """Compare the names and the contents of all files in two folders."""
        names = [{str(path.relative_to(side)) for path in side.rglob("*") if path.is_file()} for side in (one, other)]
        for name in sorted(names[0] | names[1]):
            if name not in names[1]:
                self.add(name, "is missing")
            elif name not in names[0]:
                self.add(name, "is new")
            else:
                self.file(name, one / name, other / name)

    def file(self, name, one, other):
        """Compare two files by the type that their name implies; training snapshots are not compared."""
        kind = name.rsplit(".", 1)[-1]
        if name.startswith("dataset"):
            self.values(name, *(hash_of(path) for path in (one, other)))
        elif kind == "pth":
            self._checkpoints(name, *(torch.load(path, weights_only=True) for path in (one, other)))
        elif kind == "json":
            self._records(name, *(json.loads(path.read_bytes()) for path in (one, other)))
        elif kind == "jsonl":
            self._requests(name, *(lines_of(path) for path in (one, other)))
        elif kind == "csv":
            self.values(name, *(table_of(path) for path in (one, other)))
        elif kind == "npz":
            self._arrays(name, *(dict(np.load(path)) for path in (one, other)))
        elif kind != "resume":
            self.values(name, one.read_bytes(), other.read_bytes())

    def _checkpoints(self, name, one, other):
        one, other = as_entries(one, other)
        for key in PARAMETERS:
            self.values(f"{name}: {key}", one.get(key), other.get(key), keys="same")
        rest = [{k: v for k, v in held.items() if k not in (*PARAMETERS, *LEFT_OUT)} for held in (one, other)]
        self.values(name, *rest)

    def _records(self, name, one, other):
        rows = [record.get("metrics") or [] for record in (one, other)]
        self.rows += len(rows[0])
        if len(rows[0]) != len(rows[1]):
            self.add(name, f"{len(rows[0])} rows, now {len(rows[1])}")
        for pair in zip(*rows, strict=False):
            what = " ".join(str(pair[0].get(key)) for key in ROW if pair[0].get(key) is not None)
            self.values(f"{name}: row {what}", *(_without_hash(row, self.rounding) for row in pair), keys="kept")
        rest = [{k: v for k, v in record.items() if k not in LEFT_OUT | {"metrics"}} for record in (one, other)]
        self.values(name, *rest)

    def _requests(self, name, one, other):
        if self.rounding:  # the iterations and residuals of solvers are not compared
            one, other = ([{k: v for k, v in line.items() if k != "work"} for line in side] for side in (one, other))
        self.applied += sum(line.get("status") == "applied" for line in other)
        self.values(f"{name}: request", one, other, keys="kept")

    def _arrays(self, name, one, other):
        for key in one.keys() & other.keys():
            if one[key].dtype.kind in "biuf" and other[key].dtype.kind in "biuf":
                self.tensor(f"{name}: {key}", *(torch.from_numpy(np.asarray(held[key])) for held in (one, other)))
            else:
                self.values(f"{name}: {key}", one[key].tolist(), other[key].tolist())
        if one.keys() != other.keys():
            self.add(name, f"holds {sorted(one)}, now {sorted(other)}")

    def endings(self, one, other):
        """Compare how two runs ended, given the dictionaries that ``same_bits_runs.call`` returned.

        With rounding the numbers in the log lines are ignored, since the result rows contain them. An internal error is
        added even if both runs ended with it.
        """
        if one["status"] == other["status"] == INTERNAL_ERROR:
            self.add("both", f"internal error: {other['error']}")
        for key in ("status", "error", "gone"):
            self.values(key, one[key], other[key])
        told = [
            [re.sub(r"\d+(\.\d+)?", "#", line) if self.rounding else line for line in run["told"]]
            for run in (one, other)
        ]
        self.values("log", *told)


def _numbers(*values):
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


def _bits(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _without_hash(row, rounding):
    """Return a result row without hashes of files, which depend on more than the tensors.

    The hash is removed from ``reference``, and with ``rounding`` the digest is removed from ``settings``.
    """
    row = row | {"reference": str(row.get("reference")).split(" ")[0]}
    if rounding and row.get("settings"):
        row["settings"] = re.sub(r"\b[0-9a-f]{8}$", "", row["settings"])
    return row


def hash_of(path):
    """Return the SHA-256 of a file as text, ``sha256:...``."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def lines_of(path):
    """Return the values in a JSON-lines file as a list."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def table_of(path):
    """Return the rows of a CSV file as dictionaries; cells that contain numbers become float."""

    def number(text):
        try:
            return float(text)
        except (TypeError, ValueError):
            return text

    with open(path, newline="") as file:
        return [{key: number(text) for key, text in row.items()} for row in csv.DictReader(file)]
