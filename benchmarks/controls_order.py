"""The order that `controls.py` expects for each measure on its ladder of models, and the check of this order."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from recbole.report.columns import VIEW, Wanted

STEPS = BASE, HALF, RETRAINED, OVER, UNTRAINED = "base", "half", "retrained", "over-forgotten", "untrained"
"""The steps of the ladder, from the base model, which has forgotten nothing, to the untrained model."""

K = 10
"""Length of the recommended lists in all measures of lists."""

ALIKE = 0.1
"""Utility counts as similar if its difference from the retrained model is below this share of the gain by training.

The gain is the utility of the retrained model minus that of the untrained model.
"""

EQUAL = 1e-9
"""Relative difference up to which two values count as equal."""


@dataclass(frozen=True)
class Measure:
    """A measure, and the relations that its values should have on the ladder.

    Attributes:
        wanted: column values that select its row in the result table.
        chains: tuples of steps; in each, the values should be strictly ascending.
        same: pairs of steps with equal values, because the two models have the same scores in these rows.
        alike: steps whose value should be similar to the retrained model's, see :data:`ALIKE`.
        digits: number of decimals in the table.
        of_reference: whether the measure is a distance from a reference model.
    """

    wanted: Wanted
    chains: tuple[tuple[str, ...], ...] = ()
    same: tuple[tuple[str, str], ...] = ()
    alike: tuple[str, ...] = ()
    digits: int = 4
    of_reference: bool = False


def _distance(metric: str, population: str, similarity: bool = False, k: int | None = None) -> Measure:
    """Return a distance from the reference, which should be smallest for retrained and grow in both directions.

    For users without requests the retrained and the over-forgotten model are identical. `rank_change` depends only on
    forgotten items. For it, the order of over-forgotten (last rank) and untrained (random rank) is unknown.

    Args:
        metric: name of the metric.
        population: ``requesting`` or ``others``, the users it is averaged over.
        similarity: whether the metric is larger for more similar models, which reverses the order.
        k: list length, or None.
    """
    wanted = {"metric": metric, "k": k, "population": population}
    wanted |= {"split": "test", "minus": None, "view": "current", "masking": "all"}
    chains, same = [(RETRAINED, HALF, BASE)], ()
    if population == "others":
        chains, same = [*chains, (BASE, UNTRAINED)], ((RETRAINED, OVER),)
    elif metric == "rank_change":
        chains += [(RETRAINED, OVER), (RETRAINED, UNTRAINED)]
    else:
        chains += [(RETRAINED, OVER, UNTRAINED)]
    ascending = tuple(chain[::-1] if similarity else chain for chain in chains)
    return Measure(wanted, ascending, same, of_reference=True)


def _pairs(metric: str, split: str, rises: bool = False) -> Measure:
    """Return a measure of the forgotten pairs, which should fall (or with ``rises`` rise) with more forgetting."""
    wanted = {"metric": metric, "split": split, "minus": None, "population": "requesting", "masking": "all"}
    falling = (OVER, RETRAINED, HALF, BASE)
    return Measure(wanted, (falling[::-1] if rises else falling,), digits=2)


def _exposure(metric: str, population: str = "requesting") -> Measure:
    """Return a measure of forgotten or sensitive items in the lists of a population; it should fall with forgetting."""
    chains = ((OVER, RETRAINED, HALF, BASE),)
    return Measure(VIEW | {"metric": metric, "k": K, "population": population}, chains, digits=3)


def _utility(metric: str) -> Measure:
    """Return a measure of utility, which should be similar for all trained models, and lower for the untrained one."""
    return Measure(VIEW | {"metric": metric, "k": K}, ((UNTRAINED, RETRAINED),), alike=(BASE, HALF, OVER))


_OF_LISTS = {
    "js_divergence": ("js_divergence", False, None),
    f"jaccard@{K}": ("jaccard", True, K),
    "rank_biased_overlap": ("rank_biased_overlap", True, None),
}

MEASURES: dict[str, Measure] = {
    **{
        f"{name}, {population}": _distance(metric, population, similarity, k)
        for name, (metric, similarity, k) in _OF_LISTS.items()
        for population in ("requesting", "others")
    },
    "rank_change, requesting": _distance("rank_change", "requesting"),
    "forgotten_log_odds, trained pairs": _pairs("forgotten_log_odds", "train"),
    "forgotten_log2_rank, trained pairs": _pairs("forgotten_log2_rank", "train", rises=True),
    "forgotten_log_odds, held-out pairs": _pairs("forgotten_log_odds", "held_out"),
    "forgotten_log2_rank, held-out pairs": _pairs("forgotten_log2_rank", "held_out", rises=True),
    f"avg_forgotten_per_user@{K}": _exposure("avg_forgotten_per_user"),
    f"pct_users_with_forgotten@{K}": _exposure("pct_users_with_forgotten"),
    f"recall_of_forgotten@{K}": _exposure("recall_of_forgotten"),
    f"avg_sensitive_per_user@{K}, requesting": _exposure("avg_sensitive_per_user"),
    f"pct_users_with_sensitive@{K}, requesting": _exposure("pct_users_with_sensitive"),
    f"avg_sensitive_per_user@{K}, all": _exposure("avg_sensitive_per_user", "all"),
    f"pct_users_with_sensitive@{K}, all": _exposure("pct_users_with_sensitive", "all"),
    f"NDCG@{K}": _utility("ndcg"),
    f"recall@{K}": _utility("recall"),
}
"""All measures that are checked, by heading in the table."""


def relations(measure: Measure, values: dict[str, float]) -> dict[str, bool]:
    """Return the relations that a measure should have on the models of one seed.

    Args:
        measure: the measure with the expected order.
        values: step of the ladder to the value of the measure.

    Returns:
        Text of each relation, such as ``base > half``, to whether it holds. A relation with a NaN does not hold.
    """
    found = {}
    for chain in measure.chains:
        for low, high in pairwise(chain):
            found[f"{high} > {low}"] = values[high] > values[low]
    for one, other in measure.same:
        found[f"{one} = {other}"] = bool(np.isclose(values[one], values[other], rtol=EQUAL, atol=0))
    gain = values[RETRAINED] - values[UNTRAINED]
    for step in measure.alike:
        found[f"{step} ~ {RETRAINED}"] = abs(values[step] - values[RETRAINED]) < ALIKE * gain
    return found


def judged(measure: Measure, values: dict[str, list[float]]) -> tuple[int, dict[str, int]]:
    """Check the expected order of a measure in each seed.

    Args:
        measure: the measure with the expected order.
        values: step of the ladder to a list with one value per seed, in the same order of seeds for all steps.

    Returns:
        The number of seeds in which all relations hold; and for each relation that fails in any seed, the number of
        seeds in which it holds.
    """
    ladders = [dict(zip(values, of_seed, strict=True)) for of_seed in zip(*values.values(), strict=True)]
    checked = [relations(measure, ladder) for ladder in ladders]
    holds = {name: sum(one[name] for one in checked) for name in checked[0]}
    return sum(all(one.values()) for one in checked), {name: n for name, n in holds.items() if n < len(checked)}


def separation(values: dict[str, list[float]]) -> float:
    """Return the paired difference base - retrained, its mean over seeds divided by its standard error.

    It is NaN with one seed, or if the standard error is zero.

    Args:
        values: step of the ladder to a list with one value per seed, in the same order of seeds for all steps.
    """
    difference = np.subtract(values[BASE], values[RETRAINED])
    if len(difference) < 2:
        return float("nan")
    error = np.std(difference, ddof=1) / len(difference) ** 0.5
    return float(np.mean(difference) / error) if error > 0 else float("nan")


def table(values: dict[str, dict[str, list[float]]]) -> pd.DataFrame:
    """Return the table of a cell, a row per measure: means over seeds, :func:`separation`, and the check of the order.

    Args:
        values: heading to step of the ladder to a list with one value per seed.
    """
    lines = []
    for name, of_steps in values.items():
        measure = MEASURES[name]
        ordered, failing = judged(measure, of_steps)
        n = len(of_steps[BASE])
        cells = {step: f"{np.mean(of_steps[step]):.{measure.digits}f}" for step in STEPS}
        fails = "; ".join(f"{relation} in {held} of {n}" for relation, held in failing.items())
        mark = "" if not failing else f"**{fails}**"
        cells["base - retrained, in s.e."] = f"{separation(of_steps):.1f}"
        lines.append({"measure": name} | cells | {"ordered": f"{ordered} of {n}", "what fails": mark})
    return pd.DataFrame(lines)
