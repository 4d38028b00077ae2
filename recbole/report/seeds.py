"""How close unlearned models are to retrained ones, from the result files of several seeds."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recbole.report.columns import JS_OTHERS, JS_REQUESTING, Wanted, matching
from recbole.report.records import Record

if TYPE_CHECKING:
    from recbole.evaluator.kinds import Row

ABOUT = ("dataset", "model_class", "scenario", "algorithm", "settings", "checkpoint")
"""Columns that say what a line is of."""

COLUMNS = (*ABOUT, "distance", "model", "seeds", "coupled", "excess", "coupling")

CHAOS = 0.5
"""Below so much coupling the distance of models of one seed is mostly training's chaos."""

DISTANCES: dict[str, Wanted] = {"JS requesting": JS_REQUESTING, "JS others": JS_OTHERS}
"""What is looked at, by heading."""

OTHER_SEED = "retrained, other seed"

_FORGET_SEED = re.compile(r"_forget_seed_\d+")
_LEGEND = """\
Over seeds: coupled: distance from the retrained model of the own seed, mean over seeds; low is evidence of closeness,
high is none, and algorithms that draw noise are not ranked by it. excess: mean distance from retrained models of other
seeds, less that of retrained models from each other; zero for perfect unlearning. coupling: 1 - base's distance from
the retrained model of its seed over that from those of other seeds: how much of training the two have in common."""

Measured = dict[tuple[int, int], float]
"""The distance of a model of the first seed from the retrained model of the second."""


@dataclass(frozen=True)
class OverSeeds:
    """A table over seeds, with what is to be said of it.

    Attributes:
        table: a row a (what it is of, distance, model); columns are :data:`COLUMNS`.
        notes: a line each.
        legend: what the columns mean.
    """

    table: pd.DataFrame
    notes: list[str]
    legend: str = _LEGEND


def over_seeds(records: Iterable[Record]) -> OverSeeds | None:
    """Return what the result files of several seeds say together; None where none has distances over seeds.

    Files belong together that have the data set, the model's class, what is forgotten (the same forget set), the
    algorithm and the settings folder in common.

    Args:
        records: what :func:`~recbole.report.records.read_unlearned` returns; of a seed that comes twice, the first.
    """
    groups: dict[tuple[Any, ...], dict[int, Record]] = {}
    for record in records:
        if record.get("other_seeds"):
            groups.setdefault(_group(record), {}).setdefault(record["seed"], record)
    lines = [line for group, of_seed in groups.items() for line in _lines(group, of_seed)]
    if not lines:
        return None
    return OverSeeds(pd.DataFrame(lines, columns=list(COLUMNS)), _notes(lines))


def _group(record: Record) -> tuple[Any, ...]:
    """Return what files have in common that differ in their seed alone; the forget set's digest stands last."""
    row = next(row for row in record["metrics"] if row["model"] == "unlearned")
    scenario = _FORGET_SEED.sub("", row["scenario"] or "")
    folder = re.sub(r" \(results version .*\)$", "", row["settings"] or "").rpartition(" ")[0]
    mask = record.get("mask")
    forgotten = mask.get("forget_set_sha256") if isinstance(mask, dict) else None
    return row["dataset"], row["model_class"], scenario, row["algorithm"], folder, forgotten


def _lines(group: tuple[Any, ...], of_seed: dict[int, Record]) -> list[dict[str, Any]]:
    checkpoints = sorted({row["checkpoint"] for record in of_seed.values() for row in record["metrics"]} - {None})
    lines = []
    for checkpoint in checkpoints:
        about = dict(zip(ABOUT, (*group[:-1], checkpoint), strict=True))
        for heading, wanted in DISTANCES.items():
            found = {kind: _measured(of_seed, checkpoint, kind, wanted) for kind in ("base", "unlearned", "retrained")}
            if any(found.values()):
                lines += [about | {"distance": heading} | line for line in _compared(found)]
    return lines


def _measured(of_seed: dict[int, Record], checkpoint: int, kind: str, wanted: Wanted) -> Measured:
    """Return the distances of one kind of model from the retrained models of its own and of other seeds."""
    found: Measured = {}
    for seed, record in of_seed.items():
        rows: list[Row] = [row for row in record["metrics"] if row["checkpoint"] == checkpoint and row["model"] == kind]
        for row in matching(rows, wanted):
            if row["value"] is not None and row["reference"] is not None:
                found.setdefault((seed, record["other_seeds"].get(row["reference"], seed)), row["value"])
    return found


def _compared(found: dict[str, Measured]) -> list[dict[str, Any]]:
    """Return the lines of base, unlearned and retrained models at a checkpoint, for one distance."""
    base, others = found["base"], _mean(found["retrained"], _apart)
    lines = []
    for kind in ("base", "unlearned"):
        measured = found[kind]
        both = [pair for pair in measured if _apart(pair) and pair in found["retrained"]]
        differences = [measured[pair] - found["retrained"][pair] for pair in both]
        excess = float(np.mean(differences)) if differences else math.nan
        lines.append({
            "model": kind, "seeds": len({seed for seed, _ in measured}), "coupled": _mean(measured, _own),
            "excess": excess, "coupling": _coupling(base) if kind == "base" else math.nan,
        })  # fmt: skip
    seeds = len({seed for seed, _ in found["retrained"]})
    return [*lines, {"model": OTHER_SEED, "seeds": seeds, "coupled": others, "excess": 0.0, "coupling": math.nan}]


def _coupling(base: Measured) -> float:
    """Return how much of training the draws that twins share decide; NaN where it is not known."""
    apart = _mean(base, _apart)
    return 1 - _mean(base, _own) / apart if apart else math.nan


def _own(pair: tuple[int, int]) -> bool:
    return pair[0] == pair[1]


def _apart(pair: tuple[int, int]) -> bool:
    return pair[0] != pair[1]


def _mean(measured: Measured, of: Callable[[tuple[int, int]], bool]) -> float:
    """Return the mean distance over the pairs of seeds that are asked for; NaN without one."""
    values = [value for pair, value in measured.items() if of(pair)]
    return float(np.mean(values)) if values else math.nan


def _notes(lines: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f"{line['dataset']}, {line['model_class']}, checkpoint {line['checkpoint']}, {line['distance']}: coupling is "
        f"{line['coupling']:.2f}, below {CHAOS}: the coupled column is mostly training's chaos"
        for line in lines
        if line["coupling"] < CHAOS
    ]
