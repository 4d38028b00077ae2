"""The tables of :mod:`shards_beside`: utility, forgetting, distances from retrained models, costs, and dirty shards.

In this module *of* is ``one model`` (a single model trained on all data) or the name of an ensemble, and a *step* is
``base``, ``retrained`` or the name of an unlearning algorithm.
"""

import math
from statistics import mean

import pandas as pd
from grid import BASE, LAST, RETRAINED

from recbole.config.identity import Identity, deciding
from recbole.config.identity import told as differences
from recbole.report.columns import DISTANCES, FORGOTTEN_PAIRS, forgetting, matching, spam, values_of
from recbole.report.costs import cpu_costs, outcomes
from recbole.report.records import forget_set, own_rows
from recbole.report.tables import as_markdown, mean_and_deviation
from recbole.trainer.stored import BUDGET
from recbole.utils import UserError

ONE, SHARDS, TWIN = "one model", "shards", "twin"
"""A single model trained on all data; the unlearning algorithm of ensembles; an ensemble retrained from scratch."""

_K = 10
_UTILITY = (f"NDCG@{_K}", f"Recall@{_K}")
_FROM = {name: DISTANCES[name] for name in ("JS requesting", "JS others")}
_FROM_ONE = {f"{name}, from one model": wanted for name, wanted in _FROM.items()}
_COSTS = ("CPU s/request", "lazy CPU s/request", "retraining / request", "retraining / all requests")
_MEASURED = (*_UTILITY, *FORGOTTEN_PAIRS, f"target HR@{_K}", "target rank", *_FROM, *_FROM_ONE, *_COSTS)
_OF_REQUESTS = ("shards/request", "all retrained after", "requests")
_STOPS = (1, 2, 5, 10, 20, 50, 100)

NOTE = """\
Values at the last checkpoint; means and standard deviations over seeds. "twin": all shards of an ensemble trained from
scratch without the forgotten rows. For "one model" (a single model trained on all data) this is the retrained model.
JS: Jensen-Shannon divergence from the twin; "from one model": from the single retrained model. CPU s/request: mean over
the requests that had something to forget. For shards it assumes that every request is handled immediately (projected
from the mean measured times of shards and aggregation); "lazy" is the measured time when shards are retrained only at
the four checkpoints, divided by the number of requests. retraining: CPU seconds of retraining the single model, divided
by those of one request and of all requests (for shards: lazy). all retrained after: number of requests until every one
of the K shards has been retrained; curve: the expected number r, at which K (1 - (1 - 1/K)^r) exceeds K - 1/2."""

DIRTY = """\
Dirty shards (containing a forgotten row) after some numbers of requests, as three values: measured / expected if each
request hits one random shard, K (1 - (1 - 1/K)^r) / expected if each request hits as many random shards as it did."""


def told(records):
    """Return all tables as one Markdown text.

    Args:
        records: ``{cell: {seed: {of: {step: record}}}}``, where a record is the content of a result file or None.

    Raises:
        UserError: records of the same cell and seed have different requests or data, or records of the single model
            have different settings.
    """
    table, dirty = [], []
    for cell, seeds in records.items():
        for seed, found in seeds.items():
            check(cell, seed, found)
        for of in dict.fromkeys(of for found in seeds.values() for of in found):
            table += lines_of(cell, of, seeds)
            dirty += dirty_lines(cell, of, seeds)
    parts = [NOTE, as_markdown(pd.DataFrame(table))]
    if dirty:
        parts += [DIRTY, as_markdown(pd.DataFrame(dirty).fillna(""))]
    return "\n\n".join(parts)


def check(cell, seed, found):
    """Check that the records of a cell and seed are comparable.

    Args:
        cell: name of the cell.
        seed: training seed.
        found: ``{of: {step: record or None}}``.

    Raises:
        UserError: requests or data differ, or the settings of the single model's records differ.
    """
    known = {}
    for of, steps in found.items():
        for step, record in steps.items():
            if record and step != BASE:
                known.setdefault((forget_set(record), record["dataset"]["sha256"]), f"{of} {step}")
    if len(known) > 1:
        raise UserError(f"{cell}, seed {seed}: the requests or data differ between {', '.join(known.values())}")
    ran = {step: record for step, record in found.get(ONE, {}).items() if record}
    for step, record in ran.items():
        name, first = next(iter(ran.items()))
        ours, theirs = Identity(settings_of(record, first)), Identity(settings_of(first, record))
        if differing := ours.differences(theirs):
            raise UserError(
                f"{cell}, seed {seed}: the settings of {name} (file) and {step} (configuration) differ: "
                f"{differences(differing)}"
            )


def settings_of(record, other):
    """Return the settings of a record that affect the trained model, restricted to those that another record has."""
    config = {key: value for key, value in record["config"].items() if key in other["config"]}
    return deciding(config | dict.fromkeys(("ensemble", BUDGET)), config["model"])


# --- the lines of the first table ------------------------------------------------------------------------------------
def lines_of(cell, of, seeds):
    """Return the rows of the single model or of an ensemble: base, retrained, and each algorithm.

    Args:
        cell: name of the cell.
        of: ``one model`` or the name of the ensemble.
        seeds: ``{seed: {of: {step: record or None}}}``.
    """
    there = {seed: found.get(of, {}) for seed, found in seeds.items()}
    known = dict.fromkeys(step for steps in there.values() for step in steps)
    algorithms = [step for step in known if step not in (BASE, RETRAINED)]
    any_of = [next((steps[a] for a in algorithms if steps.get(a)), None) for steps in there.values()]
    lines = []
    for kind in (BASE, RETRAINED):
        of_seed = [values(record, kind) for record in any_of if record]
        if not of_seed and (of, kind) == (ONE, RETRAINED):
            of_seed = [values(record, "monolithic") for record in map(of_ensemble, seeds.values()) if record]
        lines.append(line(cell, of, TWIN if of != ONE and kind == RETRAINED else kind, of_seed))
    for algorithm in algorithms:
        ran = {seed: steps[algorithm] for seed, steps in there.items() if steps.get(algorithm)}
        of_seed = [
            values(record, "unlearned") | costs(record, retraining_seconds(seeds[seed].get(ONE, {})))
            for seed, record in ran.items()
        ]
        lines.append(line(cell, of, algorithm, of_seed) | of_requests(list(ran.values())))
    return lines


def line(cell, of, step, of_seed):
    """Return a row, column name to text, with means and standard deviations over seeds.

    Args:
        cell, of, step: names in the first columns.
        of_seed: for each seed a dictionary of column name to value; missing values are left out of the mean.
    """
    known = {name: pd.Series([one.get(name) for one in of_seed], dtype=float).dropna() for name in _MEASURED}
    about = {"requests of": cell, "model": of, "": step, "seeds": len(of_seed)}
    return about | {name: shown(name, some) for name, some in known.items()} | dict.fromkeys(_OF_REQUESTS, "")


def shown(heading, known):
    """Return the mean and standard deviation of a column as text; for costs and distances only the mean."""
    if known.empty:
        return ""
    if heading in _COSTS or heading in _FROM or heading in _FROM_ONE:
        return f"{known.mean():.3g}"
    return mean_and_deviation(known, ".4f" if heading in _UTILITY else ".2f")


def values(record, kind):
    """Return column name to value, without costs, for one kind of model at the last checkpoint.

    Args:
        record: content of a result file.
        kind: kind of model in the result rows: ``base``, ``retrained``, ``unlearned``, or ``monolithic`` (the single
            retrained model in the record of an ensemble).
    """
    columns = (spam(_K) if record.get("spam") else forgetting(_K)) | _FROM
    wanted = {"checkpoint": LAST, "model": kind}
    found = values_of(matching(own_rows(record), wanted), columns)
    if kind == "monolithic":  # its distances are from the ensemble
        return {name: value for name, value in found.items() if name not in _FROM}
    others = set(record.get("monolithic") or ())
    far = [row for row in matching(record["metrics"], wanted) if row["reference"] in others]
    return found | values_of(far, _FROM_ONE)


def of_ensemble(found):
    """Return an ensemble's record that contains rows of the single retrained model, or None."""
    records = [steps.get(SHARDS) for of, steps in found.items() if of != ONE]
    return next((record for record in records if record and record.get("monolithic")), None)


# --- what it costs ---------------------------------------------------------------------------------------------------
def retraining_seconds(steps):
    """Return the CPU seconds of retraining the single model; NaN if unknown.

    Args:
        steps: step to record of the single model.
    """
    if steps.get(RETRAINED):
        return steps[RETRAINED]["timing"]["fit_cpu_seconds"]
    known = [record["timing"].get("retraining_cpu_seconds") for record in steps.values() if record]
    return next((seconds for seconds in known if seconds is not None), math.nan)


def costs(record, retraining):
    """Return column name to cost for a record of an unlearning run.

    Args:
        record: content of the result file.
        retraining: CPU seconds of retraining the single model.
    """
    each, worked, lazy = cpu_costs(record)["CPU s/request"], record["requests"]["worked"], math.nan
    of_all = each * worked
    if worked and (parts := record.get("ensemble")):
        lazy = each if parts["materialise"] == "lazy" else lazy
        each = parts["projected_eager_cpu_seconds"] / worked
    ratios = [retraining / cost if cost else math.nan for cost in (each, of_all)]
    return dict(zip(_COSTS, (each, lazy, *ratios), strict=True))


def of_requests(records):
    """Return column name to text: how requests ended and, for an ensemble, how many shards they hit."""
    found = {"requests": ", ".join(outcomes(records)) or "not run"}
    parts = [record["ensemble"] for record in records if record.get("ensemble")]
    if not parts:
        return found
    k = records[0]["config"]["num_shards"]
    each = [mean([n for n in part["shards_hit"] if n] or [0]) for part in parts]
    after = ", ".join(all_after(part["dirty_shards"], k) for part in parts)
    curve = 1 if k == 1 else math.ceil(math.log(0.5 / k) / math.log(1 - 1 / k))
    return {
        "shards/request": mean_and_deviation(each, ".1f"),
        "all retrained after": f"{after} (curve: {curve})",
    } | found


def all_after(dirty, k):
    """Return the number of requests after which all k shards were dirty, as text.

    If some shards stayed clean, the text is such as ``not after 20 (7 of 10)``.

    Args:
        dirty: number of dirty shards after each request.
        k: number of shards.
    """
    first = next((r for r, n in enumerate(dirty, 1) if n == k), None)
    return str(first) if first else f"not after {len(dirty)} ({dirty[-1] if dirty else 0} of {k})"


def dirty_lines(cell, of, seeds):
    """Return the row of an ensemble in the table of dirty shards, means over seeds; an empty list if it was not run."""
    records = [found[of][SHARDS] for found in seeds.values() if found.get(of, {}).get(SHARDS)]
    if not records:
        return []
    parts, k = [record["ensemble"] for record in records], records[0]["config"]["num_shards"]
    n = min(len(part["shards_hit"]) for part in parts)
    cells = {}
    for r in (n, *(stop for stop in _STOPS if stop < n)):
        three = (
            [part["dirty_shards"][r - 1] for part in parts],
            [part["expected_dirty_shards"][r - 1] for part in parts],
            [drawn(part["shards_hit"][:r], k) for part in parts],
        )
        cells[f"after {r}" if r < n else "after all"] = " / ".join(f"{mean(some):.1f}" for some in three)
    return [{"requests of": cell, "model": of, "K": k, "requests": n} | cells]


def drawn(hit, k):
    """Return the expected number of dirty shards out of k.

    Args:
        hit: number of distinct shards that each request hits, drawn uniformly.
        k: number of shards.
    """
    return k * (1 - math.prod(1 - n / k for n in hit))
