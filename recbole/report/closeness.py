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
"""Names of four quantities that are computed from distances between models with the same and with other seeds.

``LEGEND`` in :mod:`recbole.report.seeds_told` explains them.
"""

OTHER_SEED = "retrained, other seed"
"""The value of the column ``model`` in lines with distances between retrained models with different seeds."""

FAR = 0.2
"""Largest difference between the numbers of epochs of base and retrained that counts as equal.

It is a share of the base's number. The number of epochs of a model is that up to its best validation score.
"""

CHAOS = 0.5
"""Coupling below which the distance between models with the same seed is mostly due to the randomness of training.

See :func:`_coupling` for its definition and :func:`chaotic` for the full condition.
"""

_MEASURED = ("base", "rebuilt", "unlearned")

Measured = dict[tuple[int, int], float]
"""(seed a, seed b) to the distance between a model (such as the base) of seed a and the retrained model of seed b."""


def closeness(of_seed: Mapping[int, Record], checkpoint: int) -> list[dict[str, Any]]:
    """Return the lines of the table over seeds with distances from retrained models at a checkpoint.

    Args:
        of_seed: seed to the record of its run.
        checkpoint: number of the checkpoint, 0 to 3.

    Returns:
        One dict per line, with the columns :data:`~recbole.report.t_intervals.QUANTITIES` as keys.
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
    """Find the distances that, even between models with the same seed, are mostly due to the randomness of training.

    A distance is one of them if its coupling is below :data:`CHAOS` (base and retrained are hardly closer with the same
    seed than with different seeds) and the mean distance between retrained models with different seeds is more than
    ``CHAOS`` times that between base and retrained with the same seed. If retrained models were much closer to each
    other, the low coupling would be due to the forgotten data.

    Args:
        lines: the lines that :func:`closeness` returned.

    Returns:
        Heading of the distance to its coupling.
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
    """Find the seeds whose base and retrained models had their best validation score at very different epochs.

    Very different means by more than :data:`FAR`.

    Args:
        of_seed: seed to the record of its run.
        checkpoint: number of the checkpoint, 0 to 3.

    Returns:
        Seed to ``(epoch of base, epoch of retrained)``, counted from 0.
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
    """Return how much farther a model is from the retrained models with other seeds than the retrained model is.

    For seed s this is the mean of d(M_s, R_t) - d(R_s, R_t) over the other seeds t, where d is the distance, M_s the
    model and R_s the retrained model with seed s. Zero is the value of perfect unlearning.

    Args:
        measured: distances of the model from retrained models.
        retrained: distances of retrained models from each other.

    Returns:
        Seed s to this mean.
    """
    return from_others({pair: value - retrained[pair] for pair, value in measured.items() if pair in retrained})


def _epochs(record: Record, checkpoint: int) -> tuple[int | None, int | None]:
    """Return the epochs at which validation selected base and retrained, from 0; None where the record lacks them."""
    selected = record.get("selected_epochs") or {}
    return selected.get("base"), (selected.get("retrained") or {}).get(str(checkpoint))


def _rows(of_seed: Mapping[int, Record], checkpoint: int, kind: str, wanted: Wanted) -> dict[int, list[Row]]:
    """Return, by seed, the result rows of a distance that have a value and name a reference model.

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
    """Return the distances from retrained models (each with the weights that validation selected), by pair of seeds.

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

    If the same epoch was selected for both, this is the distance from the retrained model itself. Seeds without such a
    distance are left out.

    Args:
        of_seed: seed to the record of its run.
        checkpoint: number of the checkpoint, 0 to 3.
        rows: seed to the result rows of the distance, from :func:`_rows`.
        measured: the distances that :func:`_from_retrained` returned for these rows.
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
    """Return a result row's value as a distance, 0 for equal models: similarities are subtracted from 1."""
    return 1 - row["value"] if row["metric"] in SIMILARITIES else row["value"]


def _coupling(heading: str, base: Measured) -> list[dict[str, Any]]:
    """Return the line with the coupling of base and retrained, in a list; an empty list if it cannot be computed.

    The coupling is 1 - (mean distance between base and retrained with the same seed) / (the same with different seeds).
    Models with the same seed share random draws of training. A coupling near 1 means that this brings them much closer
    together than models with different seeds; 0 means that it makes no difference.

    Args:
        heading: heading of the distance.
        base: distances of the base models from retrained models.
    """
    apart, together = [list(found.values()) for found in (from_others(base), own(base))]
    if not apart or not together or not np.mean(apart):
        return []
    ratio = float(1 - np.mean(together) / np.mean(apart))
    return [row | {"seeds": len(apart)} for row in line(heading, "base", COUPLING, {0: ratio})]
