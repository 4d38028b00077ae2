"""What `controls.py` expects of every measure on a ladder of models, and whether its values have that order."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from recbole.report.columns import VIEW, Wanted

STEPS = BASE, HALF, RETRAINED, OVER, UNTRAINED = "base", "half", "retrained", "over-forgotten", "untrained"
"""The ladder, from the model that has forgotten nothing to the one that never learned."""

K = 10
"""Length of the lists that are looked at."""

ALIKE = 0.1
"""Utility is alike where it differs from the retrained model's by less than this share of what training gains."""

EQUAL = 1e-9
"""Relative difference up to which two values that should be the same are."""


@dataclass(frozen=True)
class Measure:
    """A measure, and what it should say of the ladder.

    Attributes:
        wanted: which row of the result table it is.
        chains: steps in the order of their values, ascending and without ties.
        same: pairs of steps that are the same model for what is asked.
        alike: steps whose value should be near the retrained model's, measured by how far the untrained one is below.
        digits: how its values are shown.
        of_reference: whether it needs a model to be measured from.
    """

    wanted: Wanted
    chains: tuple[tuple[str, ...], ...] = ()
    same: tuple[tuple[str, str], ...] = ()
    alike: tuple[str, ...] = ()
    digits: int = 4
    of_reference: bool = False


def _distance(metric: str, population: str, similarity: bool = False, k: int | None = None) -> Measure:
    """Return a distance from the reference: least of the retrained model, growing on both sides of it.

    People who asked for nothing are asked the same by the retrained and the over-forgotten model. Of `rank_change`,
    which looks at forgotten items alone, nothing is known of over-forgotten against untrained: the last place of the
    catalogue against a random one.
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
    wanted = {"metric": metric, "split": split, "minus": None, "population": "requesting", "masking": "all"}
    falling = (OVER, RETRAINED, HALF, BASE)
    return Measure(wanted, (falling[::-1] if rises else falling,), digits=2)


def _exposure(metric: str, population: str = "requesting") -> Measure:
    chains = ((OVER, RETRAINED, HALF, BASE),)
    return Measure(VIEW | {"metric": metric, "k": K, "population": population}, chains, digits=3)


def _utility(metric: str) -> Measure:
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
"""Every measure that a comparison prints, by heading."""


def relations(measure: Measure, values: dict[str, float]) -> dict[str, bool]:
    """Return what a measure should say of one ladder, in words, and whether it does; nothing holds of a NaN.

    Args:
        measure: what is expected.
        values: step to value.
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
    """Return in how many seeds a measure has all of its order, and in how many each relation that ever fails holds.

    Args:
        measure: what is expected.
        values: step to one value a seed, the seeds in one order.
    """
    ladders = [dict(zip(values, of_seed, strict=True)) for of_seed in zip(*values.values(), strict=True)]
    told = [relations(measure, ladder) for ladder in ladders]
    holds = {name: sum(one[name] for one in told) for name in told[0]}
    return sum(all(one.values()) for one in told), {name: n for name, n in holds.items() if n < len(told)}


def separation(values: dict[str, list[float]]) -> float:
    """Return the mean over seeds of what base and retrained model differ by, over its standard error; NaN of one seed.

    Args:
        values: step to one value a seed, the seeds in one order.
    """
    difference = np.subtract(values[BASE], values[RETRAINED])
    if len(difference) < 2:
        return float("nan")
    error = np.std(difference, ddof=1) / len(difference) ** 0.5
    return float(np.mean(difference) / error) if error > 0 else float("nan")


def table(values: dict[str, dict[str, list[float]]]) -> pd.DataFrame:
    """Return the table of a model: means over seeds, base against retrained, in how many seeds the order is there.

    Args:
        values: heading to step to one value a seed.
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
