"""Distances of models from retrained models with the same seed and with other seeds, at one checkpoint."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from recbole.report.columns import DISTANCES, SIMILARITIES, Wanted, matching
from recbole.report.records import Record
from recbole.report.t_intervals import OfSeeds, line

if TYPE_CHECKING:
    from recbole.evaluator.kinds import Row

COUPLED, SAME_EPOCH, EXCESS, COUPLING = "coupled", "coupled, same epoch", "excess", "coupling"
"""Names of the quantities; ``LEGEND`` in :mod:`recbole.report.seeds_told` explains them."""

OTHER_SEED = "retrained, other seed"
"""The name of the model in lines with distances between retrained models of different seeds."""

FAR = 0.2
"""Base and retrained count as selected at different epochs if these differ by more than this share of the base's."""

CHAOS = 0.5
"""If the coupling is lower, distances between models of one seed are mostly random; see :func:`chaotic`."""

_MEASURED = ("base", "rebuilt", "unlearned")

Measured = dict[tuple[int, int], float]
"""(seed a, seed b) to the distance between a model with seed a and the retrained model with seed b."""


def closeness(of_seed: Mapping[int, Record], checkpoint: int) -> list[dict[str, Any]]:
    """Return the lines of the table over seeds that concern distances from retrained models at a checkpoint.

    Args:
        of_seed: seed to the record of its run.
        checkpoint: number of the checkpoint, 0 to 3.

    Returns:
        Lines with the columns :data:`~recbole.report.t_intervals.QUANTITIES`.
    """
    lines = []
    far = bool(far_epochs(of_seed, checkpoint))
    for heading, wanted in DISTANCES.items():
        kinds = (*_MEASURED, "retrained")
        rows = {kind: _rows(of_seed, checkpoint, kind, wanted) for kind in kinds}
        found = {kind: _from_retrained(of_seed, rows[kind]) for kind in kinds}
        for kind in _MEASURED:
            lines += line(heading, kind, COUPLED, own(found[kind]))
            if far:
                same = _from_same_epoch(of_seed, checkpoint, rows[kind], found[kind])
                lines += line(heading, kind, SAME_EPOCH, same)
            lines += line(heading, kind, EXCESS, excess(found[kind], found["retrained"]))
            if kind == "base":
                lines += _coupling(heading, found[kind])
        others = from_others(found["retrained"])
        yardstick = line(heading, OTHER_SEED, COUPLED, others)
        yardstick += line(heading, OTHER_SEED, EXCESS, dict.fromkeys(others, 0.0))
        # each pair of seeds occurs in both directions, and the excess is 0 by definition, so there is no interval
        lines += [row | {"low": math.nan, "high": math.nan} for row in yardstick]
    return lines


def chaotic(lines: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the distances, by heading, that are mostly due to randomness of training, with their coupling.

    These are the distances with a coupling below :data:`CHAOS` for which retrained models with different seeds are
    about as far apart as base and retrained with the same seed. If the retrained models were much closer to each other,
    the low coupling would be due to the forgotten data.

    Args:
        lines: the lines that :func:`closeness` returns.
    """
    found = {(one["measure"], one["model"], one["quantity"]): one["mean"] for one in lines}
    return {
        heading: value
        for (heading, _, quantity), value in found.items()
        if quantity == COUPLING
        and value < CHAOS
        and found.get((heading, OTHER_SEED, COUPLED), math.inf) > CHAOS * found[heading, "base", COUPLED]
    }


def far_epochs(of_seed: Mapping[int, Record], checkpoint: int) -> dict[int, tuple[int, int]]:
    """Return ``(epoch of base, epoch of retrained)`` by seed, for seeds where they differ by more than :data:`FAR`.

    These are the epochs with the best validation score, from 0.
    """
    epochs = {seed: _epochs(record, checkpoint) for seed, record in of_seed.items()}
    return {
        seed: (base, retrained)
        for seed, (base, retrained) in epochs.items()
        if base is not None and retrained is not None and abs(base - retrained) > FAR * (base + 1)  # from epoch 0
    }


def own(measured: Measured) -> dict[int, float]:
    """Return, by seed, the distance between the model and the retrained model with the same seed."""
    return {seed: value for (seed, other), value in measured.items() if seed == other}


def from_others(measured: Measured) -> dict[int, float]:
    """Return, by seed, the mean distance between the model and the retrained models with other seeds."""
    found: dict[int, list[float]] = {}
    for (seed, other), value in measured.items():
        if seed != other:
            found.setdefault(seed, []).append(value)
    return {seed: float(np.mean(values)) for seed, values in found.items()}


def excess(measured: Measured, retrained: Measured) -> dict[int, float]:
    """Return, by seed s, the mean of d(M_s, R_t) - d(R_s, R_t) over the other seeds t.

    M_s is the model and R_s the retrained model with seed s, and d is the distance. Zero means that the model is as far
    from retrained models with other seeds as a retrained model is.
    """
    return from_others({pair: value - retrained[pair] for pair, value in measured.items() if pair in retrained})


def _epochs(record: Record, checkpoint: int) -> tuple[int | None, int | None]:
    """Return the selected epochs of base and retrained in a record, from 0; None where unknown."""
    selected = record.get("selected_epochs") or {}
    return selected.get("base"), (selected.get("retrained") or {}).get(str(checkpoint))


def _rows(of_seed: Mapping[int, Record], checkpoint: int, kind: str, wanted: Wanted) -> dict[int, list[Row]]:
    """Return, by seed, the result rows of a distance that have a value and a reference model.

    Args:
        of_seed: seed to the record of its run.
        checkpoint: number of the checkpoint, 0 to 3.
        kind: the kind of model whose distance it is, such as ``base``.
        wanted: the values by which the rows of the distance are found.
    """
    found = {}
    for seed, record in of_seed.items():
        rows = [row for row in record["metrics"] if row["checkpoint"] == checkpoint and row["model"] == kind]
        known = [row for row in matching(rows, wanted) if row["value"] is not None and row["reference"] is not None]
        found[seed] = known
    return found


def _from_retrained(of_seed: Mapping[int, Record], rows: Mapping[int, list[Row]]) -> Measured:
    """Return the distances from retrained models, each at the epoch selected for it, by pair of seeds.

    Args:
        of_seed: seed to the record of its run.
        rows: seed to the result rows of the distance, from :func:`_rows`.
    """
    found: Measured = {}
    for seed, some in rows.items():
        others = of_seed[seed].get("other_seeds") or {}
        left_out = {name for yardstick in ("same_epoch", "monolithic") for name in of_seed[seed].get(yardstick) or ()}
        for row in some:
            if row["reference"] not in left_out:
                found.setdefault((seed, others.get(row["reference"], seed)), _distance(row))
    return found


def _from_same_epoch(
    of_seed: Mapping[int, Record], checkpoint: int, rows: Mapping[int, list[Row]], measured: Measured
) -> OfSeeds:
    """Return, by seed, the distance from the retrained model's weights at the epoch that was selected for the base.

    If the same epoch was selected for both, this is the distance from the retrained model itself.
    """
    found: dict[int, float] = {}
    for seed, some in rows.items():
        base, retrained = _epochs(of_seed[seed], checkpoint)
        if base is not None and base == retrained and (seed, seed) in measured:
            found[seed] = measured[seed, seed]
        same = of_seed[seed].get("same_epoch") or {}
        for row in some:
            if row["reference"] in same:
                found[seed] = _distance(row)
    return found


def _distance(row: Row) -> float:
    """Return a row's value as a distance: 1 - value for similarities, so that 0 means equal."""
    return 1 - row["value"] if row["metric"] in SIMILARITIES else row["value"]


def _coupling(heading: str, base: Measured) -> list[dict[str, Any]]:
    """Return the line with the coupling: 1 - mean distance within a seed / mean distance between seeds.

    Base and retrained with the same seed share the random draws of training. A coupling near 1 means that this brings
    them much closer than models with different seeds; 0 means that it makes no difference.
    """
    apart, together = [list(found.values()) for found in (from_others(base), own(base))]
    if not apart or not together or not np.mean(apart):
        return []
    ratio = float(1 - np.mean(together) / np.mean(apart))
    return [row | {"seeds": len(apart)} for row in line(heading, "base", COUPLING, {0: ratio})]
