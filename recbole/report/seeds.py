"""What the result files of several seeds say together: how close models are to retrained ones, and their values."""

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
"""Columns that say what a line is of."""

COLUMNS = (*ABOUT, *QUANTITIES)

MINUS = {"minus base": "base", "minus retrained": "retrained"}
"""Quantities that are differences within each seed, and the model that is subtracted."""

_KINDS = ("clean", "base", "rebuilt", "unlearned", "retrained")
_FORGET_SEED, _FRACTION = re.compile(r"_forget_seed_\d+"), re.compile(r"(fraction_[^_]+)")

Group = tuple[Any, ...]
"""What the runs of several seeds have in common: :data:`ABOUT` but for the checkpoint, and the forget set's digest."""


@dataclass(frozen=True)
class OverSeeds:
    """A table over seeds, with what is to be said of it.

    Attributes:
        table: a row a (what it is of, measure, model, quantity); columns are :data:`COLUMNS`.
        notes: a line each.
    """

    table: pd.DataFrame
    notes: list[str]


def over_seeds(records: Iterable[Record]) -> OverSeeds | None:
    """Return what the result files of several seeds say together; None where there is nothing to say.

    Files belong together that have the data set, the model's class, what is forgotten (the same forget set), the
    algorithm and the settings folder in common. Values are told from two seeds on, distances also of one seed that was
    measured from the retrained models of others.

    Args:
        records: what :func:`~recbole.report.records.read_unlearned` returns; of a seed that comes twice, the first.
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
    row = next(row for row in record["metrics"] if row["model"] == "unlearned")
    scenario = row["scenario"] or ""
    if not _FORGET_SEED.search(scenario):  # names leave it out where it is the run's own
        scenario = _FRACTION.sub(rf"\1_forget_seed_{record.get('seed')}", scenario, count=1)
    folder = re.sub(r" \(results version .*\)$", "", row["settings"] or "").rpartition(" ")[0]
    return row["dataset"], row["model_class"], scenario, row["algorithm"], folder, forget_set(record)


def _checkpoints(of_seed: Mapping[int, Record]) -> list[int]:
    return sorted({row["checkpoint"] for record in of_seed.values() for row in record["metrics"]} - {None})


def _values(of_seed: Mapping[int, Record], checkpoint: int) -> list[dict[str, Any]]:
    """Return the lines of what models of all seeds show at a checkpoint, and of the differences within each seed."""
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
    """Return what one kind of model shows, by seed; the clean model is of no checkpoint."""
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
    """Return what is to be said of a checkpoint's distances."""
    found = list(lines)
    notes = []
    low = ", ".join(f"{value:.2f} ({heading})" for heading, value in chaotic(found).items())
    if low:
        notes.append(f"coupling is {low}, below {CHAOS}: there the coupled column is mostly training's chaos")
    far = far_epochs(of_seed, checkpoint)
    if not far:
        return notes
    epochs = ", ".join(f"{base} and {other} (seed {seed})" for seed, (base, other) in sorted(far.items()))
    counted = {one["seeds"] for one in found if one["quantity"] == SAME_EPOCH}
    missing = "" if counted == {len(of_seed)} else f", and is of {max(counted, default=0)} of {len(of_seed)} seeds"
    return [
        *notes,
        f"the selected epochs of base and retrained are more than a fifth apart: {epochs}; '{SAME_EPOCH}' compares "
        f"with the retraining at the base's epoch{missing}",
    ]


def _apart(groups: Mapping[Group, Mapping[int, Record]]) -> list[str]:
    """Return a line for runs that differ in seed and forget set alone, and thus are not taken together."""
    alike: dict[Group, set[int]] = {}
    for group, of_seed in groups.items():
        key = (*group[:2], _FORGET_SEED.sub("", group[2]), *group[3:-1])
        alike.setdefault(key, set()).update(of_seed if len(of_seed) == 1 else ())
    return [
        f"{key[0]}, {key[1]}, {key[3]}: seeds {', '.join(map(str, sorted(seeds)))} have a forget set each and are not "
        "taken together; --forget_set_seed gives all seeds the same one"
        for key, seeds in alike.items()
        if len(seeds) > 1
    ]
