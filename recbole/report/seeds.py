"""The table over seeds: means and intervals of metrics and distances, from the result files of several seeds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from recbole.report.closeness import CHAOS, SAME_EPOCH, chaotic, closeness, far_epochs
from recbole.report.columns import Wanted, matching, over_seeds_measures
from recbole.report.records import Record, forget_set, own_rows
from recbole.report.t_intervals import QUANTITIES, differences, line

if TYPE_CHECKING:
    from recbole.evaluator.kinds import Row

ABOUT = ("dataset", "model_class", "scenario", "algorithm", "settings", "checkpoint")
"""Columns that say which runs (one per seed) a row combines, and at which checkpoint."""

COLUMNS = (*ABOUT, *QUANTITIES)

MINUS = {"minus base": "base", "minus retrained": "retrained"}
"""Name of a difference between two models with the same seed, to the kind of model that is subtracted."""

_KINDS = ("clean", "base", "rebuilt", "unlearned", "retrained")
_FORGET_SEED, _FRACTION = re.compile(r"_forget_seed_\d+"), re.compile(r"(fraction_[^_]+)")

Group = tuple[Any, ...]
"""Values that runs must share to be combined: :data:`ABOUT` without the checkpoint, and the forget set's SHA-256."""


@dataclass(frozen=True)
class OverSeeds:
    """A table of means over seeds, with notes.

    Attributes:
        table: one row per group of combined runs, checkpoint, measure (metric or distance), model and quantity (such as
            the value, or its difference from the base model's); the columns are :data:`COLUMNS`.
        notes: lines of text that warn of wrong interpretations.
    """

    table: pd.DataFrame
    notes: list[str]


def over_seeds(records: Iterable[Record]) -> OverSeeds | None:
    """Combine the results of runs that differ only in the model seed.

    Runs are combined if they have the same data set, model class, forget set, algorithm and hyper-parameters. The table
    contains metrics if there are at least two seeds. It contains distances from retrained models also for a single
    seed, if this run was compared with models that were retrained with other seeds.

    Args:
        records: records from :func:`~recbole.report.records.read_unlearned`. If a group has several records with the
            same seed, the first is used.

    Returns:
        The table and notes; None if both are empty.
    """
    groups: dict[Group, dict[int, Record]] = {}
    for record in records:
        groups.setdefault(_group(record), {}).setdefault(record.get("seed", 0), record)
    lines: list[dict[str, Any]] = []
    notes: dict[str, None] = {}
    for group, of_seed in groups.items():
        if len(of_seed) == 1 and not any(record.get("other_seeds") for record in of_seed.values()):
            continue
        for checkpoint in _checkpoints(of_seed):
            about = dict(zip(ABOUT, (*group[:-1], checkpoint), strict=True))
            found = closeness(of_seed, checkpoint)
            notes |= dict.fromkeys(f"{_told(about)}: {note}" for note in _notes(of_seed, checkpoint, found))
            found += _values(of_seed, checkpoint) if len(of_seed) > 1 else []
            lines += [about | one for one in found]
    said = [*notes, *_apart(groups)]
    return OverSeeds(pd.DataFrame(lines, columns=list(COLUMNS)), said) if lines or said else None


def _group(record: Record) -> Group:
    """Return the values that runs must share to be combined (:data:`Group`), taken from one run's record."""
    row = next(row for row in record["metrics"] if row["model"] == "unlearned")
    scenario = row["scenario"] or ""
    if not _FORGET_SEED.search(scenario):  # the name contains no forget-set seed if this is the run's own seed
        scenario = _FRACTION.sub(rf"\1_forget_seed_{record.get('seed')}", scenario, count=1)
    folder = re.sub(r" \(results version .*\)$", "", row["settings"] or "").rpartition(" ")[0]
    return row["dataset"], row["model_class"], scenario, row["algorithm"], folder, forget_set(record)


def _checkpoints(of_seed: Mapping[int, Record]) -> list[int]:
    """Return the checkpoint numbers that occur in the records, ascending."""
    return sorted({row["checkpoint"] for record in of_seed.values() for row in record["metrics"]} - {None})


def _values(of_seed: Mapping[int, Record], checkpoint: int) -> list[dict[str, Any]]:
    """Return rows of the table over seeds with metrics: of each kind of model, and differences between two kinds.

    A difference is computed for each seed before averaging.

    Args:
        of_seed: seed to the record of its run.
        checkpoint: number of the checkpoint, 0 to 3.
    """
    lines = []
    headings: dict[str, Wanted] = {}
    for record in of_seed.values():
        headings |= over_seeds_measures(bool(record.get("spam")))
    for heading, wanted in headings.items():
        found = {kind: _of_kind(of_seed, checkpoint, kind, wanted) for kind in _KINDS}
        for kind, values in found.items():
            lines += line(heading, kind, "value", values)
            for quantity, other in MINUS.items():
                if kind != other:
                    lines += line(heading, kind, quantity, differences(values, found[other]))
    return lines


def _of_kind(of_seed: Mapping[int, Record], checkpoint: int, kind: str, wanted: Wanted) -> dict[int, float]:
    """Return the value of a metric for one kind of model, by seed; seeds without a value are left out.

    Args:
        of_seed: seed to the record of its run.
        checkpoint: number of the checkpoint, 0 to 3; ignored for the model ``clean`` (trained without spam), which
            belongs to no checkpoint.
        kind: the kind of model, such as ``unlearned``.
        wanted: the values by which the metric's result row is found.
    """
    at = None if kind == "clean" else checkpoint
    found: dict[int, float] = {}
    for seed, record in of_seed.items():
        rows: list[Row] = [row for row in own_rows(record) if row["checkpoint"] == at and row["model"] == kind]
        row = next(iter(matching(rows, wanted)), None)
        if row is not None and row["value"] is not None:
            found[seed] = row["value"]
    return found


def _told(about: Mapping[str, Any]) -> str:
    return f"{about['dataset']}, {about['model_class']}, checkpoint {about['checkpoint']}"


def _notes(of_seed: Mapping[int, Record], checkpoint: int, lines: Iterable[dict[str, Any]]) -> list[str]:
    """Return notes that warn of distances at a checkpoint that are easily misread.

    There is a note on low coupling (base and retrained with the same seed are hardly closer to each other than models
    with different seeds), and one on base and retrained models that validation selected at very different epochs.

    Args:
        of_seed: seed to the record of its run.
        checkpoint: number of the checkpoint, 0 to 3.
        lines: the rows that :func:`~recbole.report.closeness.closeness` returned.
    """
    found = list(lines)
    notes = []
    low = ", ".join(f"{value:.2f} ({heading})" for heading, value in chaotic(found).items())
    if low:
        notes.append(f"coupling is {low}, below {CHAOS}: the column coupled shows mostly randomness of training there")
    far = far_epochs(of_seed, checkpoint)
    if not far:
        return notes
    epochs = ", ".join(f"{base} and {other} (seed {seed})" for seed, (base, other) in sorted(far.items()))
    counted = {one["seeds"] for one in found if one["quantity"] == SAME_EPOCH}
    missing = "" if counted == {len(of_seed)} else f", known for {max(counted, default=0)} of {len(of_seed)} seeds"
    return [
        *notes,
        f"the selected epochs of base and retrained differ by more than a fifth: {epochs}; '{SAME_EPOCH}' compares "
        f"with the retrained model at the base's epoch{missing}",
    ]


def _apart(groups: Mapping[Group, Mapping[int, Record]]) -> list[str]:
    """Return notes about runs that were not combined because each seed has its own forget set.

    Args:
        groups: the values that combined runs share, to the record of each seed.
    """
    alike: dict[Group, set[int]] = {}
    for group, of_seed in groups.items():
        key = (*group[:2], _FORGET_SEED.sub("", group[2]), *group[3:-1])
        alike.setdefault(key, set()).update(of_seed if len(of_seed) == 1 else ())
    return [
        f"{key[0]}, {key[1]}, {key[3]}: seeds {', '.join(map(str, sorted(seeds)))} have different forget sets and are "
        "not combined; --forget_set_seed uses the same forget set with all seeds"
        for key, seeds in alike.items()
        if len(seeds) > 1
    ]
