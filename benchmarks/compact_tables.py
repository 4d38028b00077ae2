"""The tables that `compact.py` prints: distances between kinds of models, utility and forgetting.

All have 95 % intervals over seeds.
"""

import numpy as np
import pandas as pd
from scipy.stats import t

from recbole.report.columns import FORGOTTEN_PAIRS, ndcg

KINDS = BASE, MASKED, COMPACT, ANEW = "base", "masked", "compact", "anew"
PAIRS = ((COMPACT, MASKED), (ANEW, MASKED), (ANEW, COMPACT), (BASE, MASKED))
COLUMNS = {
    "NDCG@10": ndcg(10),
    "NDCG@10, others": ndcg(10) | {"population": "others"},
    "forgotten log-odds": FORGOTTEN_PAIRS["forgotten log-odds"],
}


def apart(found):
    """Return the mean distance between models of different seeds.

    Args:
        found: float64 [seeds, seeds], the distance between each model of one kind and each model of another kind.
    """
    return float(found[~np.eye(len(found), dtype=bool)].mean())


def excess(across, one, other):
    """Return the mean distance between two kinds minus the mean of the distances within each kind.

    It is zero if the models of both kinds follow one distribution. Pairs of models with the same seed are left out.

    Args:
        across: float64 [seeds, seeds], distances between the models of the two kinds.
        one: float64 [seeds, seeds], distances between models of the first kind.
        other: float64 [seeds, seeds], distances between models of the second kind.
    """
    return apart(across) - (apart(one) + apart(other)) / 2


def jackknifed(statistic, matrices):
    """Return a statistic and half the length of its 95 % jackknife interval over seeds.

    Args:
        statistic: a function of the matrices that returns a float.
        matrices: float64 arrays [seeds, seeds]; the jackknife leaves out the row and column of one seed at a time.
    """
    n, whole = len(matrices[0]), statistic(*matrices)
    left = [statistic(*(np.delete(np.delete(one, at, 0), at, 1) for one in matrices)) for at in range(n)]
    return whole, interval(n * whole - (n - 1) * np.array(left))[1]


def interval(values):
    """Return the mean of values (one per seed) and half the length of its 95 % interval (Student's t)."""
    return float(np.mean(values)), float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)


def with_interval(value, half, digits=4):
    """Return a value and its interval as text, ``value [low, high]``; `half` is half the interval's length."""
    return f"{value:.{digits}f} [{value - half:.{digits}f}, {value + half:.{digits}f}]"


def distance_table(found):
    """Return the table of distances, a data frame with a row per pair of kinds and a column per heading.

    Args:
        found: heading to (kind, kind) to distances, float64 [seeds, seeds].
    """
    lines = {}
    for heading, of in found.items():
        cells = {f"{kind}, {kind}": f"{apart(of[kind, kind]):.4f}" for kind in KINDS}
        for pair in PAIRS:
            three = of[pair], of[pair[0], pair[0]], of[pair[1], pair[1]]
            cells[", ".join(pair)] = f"{apart(of[pair]):.4f}"
            cells[f"{', '.join(pair)}: excess"] = with_interval(*jackknifed(excess, three))
            cells[f"{', '.join(pair)}: same seed"] = f"{np.diag(of[pair]).mean():.4f}"
        lines[heading] = cells
    return pd.DataFrame(lines).rename_axis("models").reset_index()


def value_table(values):
    """Return the table of utility and forgetting, with a row per kind and per difference from ``masked``.

    Args:
        values: kind to heading to values, float64 [seeds].
    """
    names = {kind: values[kind] for kind in KINDS}
    for kind in (COMPACT, ANEW, BASE):
        difference = {key: np.subtract(values[kind][key], values[MASKED][key]) for key in COLUMNS}
        names[f"{kind} - {MASKED}, paired by seed"] = difference
    lines = {name: {key: with_interval(*interval(one[key])) for key in COLUMNS} for name, one in names.items()}
    for name, cells in lines.items():
        if name.startswith(ANEW):
            cells["NDCG@10"] = ""  # some of these test rows of requesting users were training rows
    return pd.DataFrame(lines).T.rename_axis("models").reset_index()
