"""Does an algorithm do something, does it do harm, and what does it cost: the short table of `grid.py`.

All numbers are of the last checkpoint, means over seeds. The *way* is how far the mean log-odds of the forgotten pairs
that were trained on get from the model before (the base; where it stands between them, the null row) to the retrained
one: 100 % is there, more is beyond. *Something* is a tenth of it or more, towards retraining; *harm* is more
than 5 % of the base's NDCG@10, the bounds of the verdict of every run (`recbole/report/verdict.py`).
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
"""Log-odds: where base and retrained are nearer, a share of the way says nothing."""

FAR = 100
"""From here on, ten thousand per cent, a number only says that a model is gone."""


def judged_table(found, last):
    """Return the table, a row a (cell, algorithm).

    Args:
        found: ``(cell, name of the run) -> records``, one a seed.
        last: the checkpoint.
    """
    return pd.DataFrame([line_of(*about, [judged(one, last) for one in of], of) for about, of in found.items()])


def judged(record, last):
    """Return what a record says of one seed: the way, the change of NDCG@10 and of others' divergence, the cost."""
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
    """Return the kinds of models in some rows."""
    return {row["model"] for row in rows}


def line_of(cell, name, seeds, records):
    """Return a row of the table."""
    frame = pd.DataFrame(seeds, dtype=float)
    mean = frame.mean()
    lost = frame["NDCG@10"] < -TOLERATED
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
    """Return the mean and the range over seeds as text, without digits that mean nothing; empty if nothing is known."""
    values = values.dropna()
    if values.empty:
        return ""
    if values.abs().max() >= FAR:
        return "far beyond"
    low, mean, high = (f"{value:{form}}" for value in (values.min(), values.mean(), values.max()))
    return mean if low == high else f"{mean} [{low}, {high}]"
