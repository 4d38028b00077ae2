"""The short table of `grid.py`: does an algorithm have an effect, does it harm utility, and what does it cost?

All numbers are means over seeds at the last checkpoint. The *way* is how far the mean log-odds of the forgotten
training pairs move from the model before unlearning (the rebuilt base model if a run has one, otherwise the base) to
the retrained model: 100 % means that they are equal to the retrained model's, more that they are even lower. An
algorithm *does something* if the way is at least a tenth, and *does harm* if NDCG@10 falls by more than 5 % of the base
model's. The verdict on every run uses the same bounds (`recbole/report/verdict.py`).
"""

import numpy as np
import pandas as pd

from recbole.report.columns import FORGOTTEN_PAIRS, JS_OTHERS, NDCG, matching, values_of
from recbole.report.costs import cpu_costs, outcomes
from recbole.report.records import own_rows
from recbole.report.verdict import SMALLEST, TOLERATED

LOG_ODDS = "forgotten log-odds"
JUDGED = {LOG_ODDS: FORGOTTEN_PAIRS[LOG_ODDS], "NDCG@10": NDCG, "JS others": JS_OTHERS}

LEAST_WAY = 0.05
"""If the log-odds of base and retrained differ by less than this, the way is not computed."""

FAR = 100
"""From this ratio on (10,000 %), a value is shown as ``far beyond``."""


def judged_table(found, last):
    """Return the table, a data frame with one row per cell and algorithm.

    Args:
        found: (cell, name of the run) to a list with one record per seed.
        last: index of the last checkpoint.
    """
    return pd.DataFrame([line_of(*about, [judged(one, last) for one in of], of) for about, of in found.items()])


def judged(record, last):
    """Return the measures of one seed, a dictionary of floats; unknown values are NaN.

    ``headroom`` is the log-odds of the retrained model minus those before unlearning, ``way`` a fraction of it,
    ``NDCG@10`` and ``JS others`` are relative changes. The costs are those of
    :func:`~recbole.report.costs.cpu_costs`.

    Args:
        record: the record of an unlearning run.
        last: index of the last checkpoint.
    """
    rows = own_rows(record)
    of = {kind: values_of(matching(rows, {"checkpoint": last, "model": kind}), JUDGED) for kind in kinds(rows)}
    before, ours, retrained = of["rebuilt" if "rebuilt" in of else "base"], of["unlearned"], of["retrained"]
    whole = retrained[LOG_ODDS] - before[LOG_ODDS]
    known = abs(whole) >= LEAST_WAY
    return {
        "headroom": whole,
        "way": (ours[LOG_ODDS] - before[LOG_ODDS]) / whole if known else np.nan,
        "NDCG@10": ours["NDCG@10"] / of["base"]["NDCG@10"] - 1,
        "JS others": ours["JS others"] / before["JS others"] - 1 if before["JS others"] else np.nan,
        **cpu_costs(record),
    }


def kinds(rows):
    """Return the kinds of models in some result rows, a set."""
    return {row["model"] for row in rows}


def line_of(cell, name, seeds, records):
    """Return a row of the table, heading to cell.

    Args:
        cell: name of the cell.
        name: name of the run.
        seeds: what :func:`judged` returns, one per seed.
        records: the records, one per seed.
    """
    frame = pd.DataFrame(seeds, dtype=float)
    mean = frame.mean()
    lost = ~(frame["NDCG@10"] >= -TOLERATED)  # scores that are not numbers have no NDCG@10, and that is harm
    return {
        "cell": cell,
        "algorithm": name,
        "seeds": len(frame),
        "does something": "not known" if np.isnan(mean["way"]) else "yes" if mean["way"] >= SMALLEST else "no",
        "does harm": "no" if not lost.any() else "yes" if lost.all() else f"in {lost.sum()} of {len(lost)}",
        "way": shown(frame["way"], ",.0%"),
        "NDCG@10": shown(frame["NDCG@10"], "+.1%"),
        "JS others": shown(frame["JS others"], "+,.0%"),
        "CPU s a request": f"{mean['CPU s/request']:.3g}",
        "times less than retraining": f"{mean['speed-up']:.3g}",
        "requests": ", ".join(outcomes(records)),
    }


def shown(values, form):
    """Return mean and range over seeds as text, such as ``38% [25%, 50%]``; empty if all values are NaN.

    Args:
        values: a series of floats, one per seed.
        form: the format of each number.
    """
    values = values.dropna()
    if values.empty:
        return ""
    if values.abs().max() >= FAR:
        return "far beyond"
    low, mean, high = (f"{value:{form}}" for value in (values.min(), values.mean(), values.max()))
    return mean if low == high else f"{mean} [{low}, {high}]"
