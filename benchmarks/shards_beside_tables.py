"""The tables of :mod:`shards_beside`: who forgot how well, how far from which retrained model, and at what cost."""

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
"""A model of all data; the algorithm of ensembles; an ensemble that was retrained."""

_K = 10
_UTILITY = (f"NDCG@{_K}", f"Recall@{_K}")
_FROM = {name: DISTANCES[name] for name in ("JS requesting", "JS others")}
_FROM_ONE = {f"{name}, from one model": wanted for name, wanted in _FROM.items()}
_COSTS = ("CPU s/request", "lazy CPU s/request", "retraining / request", "retraining / all requests")
_MEASURED = (*_UTILITY, *FORGOTTEN_PAIRS, f"target HR@{_K}", "target rank", *_FROM, *_FROM_ONE, *_COSTS)
_OF_REQUESTS = ("shards/request", "all retrained after", "requests")
_STOPS = (1, 2, 5, 10, 20, 50, 100)

NOTE = """\
Of the last checkpoint; means and deviations over seeds. An ensemble's twin is trained from scratch, all shards,
without the forgotten rows; that of the one model of all data is the retrained model. JS: divergence from the own twin
and, of ensembles, from the one retrained model ("from one model"). CPU s/request: mean of the requests that had
something to do; of shards, each request answered at once (projected: its shards and the aggregation at their measured
means), and "lazy" as it was measured: what was hit is trained again at the four checkpoints, and the requests share
that. retraining: CPU seconds of the one model retrained, over one request's and over those of all requests (of shards:
lazily). all retrained after: so many requests; the curve: where K (1 - (1 - 1/K)^r) passes K - 1/2."""

DIRTY = """\
Dirty shards after so many requests: measured / K (1 - (1 - 1/K)^r), which is of requests that hit one shard each / what
is expected of requests that hit as many shards as these did, each drawn evenly."""


def told(records):
    """Return all tables as one text.

    Args:
        records: cell to seed to ``one model`` or ensemble to step to its result file's record, or to None.

    Raises:
        UserError: records of a cell and seed are of different requests, or those of the one model of other settings.
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
    """Refuse records that are not of the same requests, and those of the one model that other settings made.

    Raises:
        UserError: naming one step of each, or what differs.
    """
    known = {}
    for of, steps in found.items():
        for step, record in steps.items():
            if record and step != BASE:
                known.setdefault((forget_set(record), record["dataset"]["sha256"]), f"{of} {step}")
    if len(known) > 1:
        raise UserError(f"{cell}, seed {seed}: not of the same requests and data: {', '.join(known.values())}")
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
    """Return what decides the trained model of a record: of the settings that another record has too."""
    config = {key: value for key, value in record["config"].items() if key in other["config"]}
    return deciding(config | dict.fromkeys(("ensemble", BUDGET)), config["model"])


# --- the lines of the first table ------------------------------------------------------------------------------------
def lines_of(cell, of, seeds):
    """Return the lines of the one model or an ensemble: base, retrained, and each algorithm.

    Args:
        cell: its name.
        of: who it is.
        seeds: seed to whom to step to record.
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
    """Return a line: means and deviations over seeds of the values that are known."""
    known = {name: pd.Series([one.get(name) for one in of_seed], dtype=float).dropna() for name in _MEASURED}
    about = {"requests of": cell, "model": of, "": step, "seeds": len(of_seed)}
    return about | {name: shown(name, some) for name, some in known.items()} | dict.fromkeys(_OF_REQUESTS, "")


def shown(heading, known):
    """Return values as text: their mean and deviation; of what spans magnitudes, the mean to three digits."""
    if known.empty:
        return ""
    if heading in _COSTS or heading in _FROM or heading in _FROM_ONE:
        return f"{known.mean():.3g}"
    return mean_and_deviation(known, ".4f" if heading in _UTILITY else ".2f")


def values(record, kind):
    """Return the values of one kind of model at the last checkpoint by heading, without costs."""
    columns = (spam(_K) if record.get("spam") else forgetting(_K)) | _FROM
    wanted = {"checkpoint": LAST, "model": kind}
    found = values_of(matching(own_rows(record), wanted), columns)
    if kind == "monolithic":  # whose rows are distances from an ensemble
        return {name: value for name, value in found.items() if name not in _FROM}
    others = set(record.get("monolithic") or ())
    far = [row for row in matching(record["metrics"], wanted) if row["reference"] in others]
    return found | values_of(far, _FROM_ONE)


def of_ensemble(found):
    """Return a record of an ensemble that knows the one retrained model, or None."""
    records = [steps.get(SHARDS) for of, steps in found.items() if of != ONE]
    return next((record for record in records if record and record.get("monolithic")), None)


# --- what it costs ---------------------------------------------------------------------------------------------------
def retraining_seconds(steps):
    """Return the CPU seconds of the one model's retraining; NaN where it is not known."""
    if steps.get(RETRAINED):
        return steps[RETRAINED]["timing"]["fit_cpu_seconds"]
    known = [record["timing"].get("retraining_cpu_seconds") for record in steps.values() if record]
    return next((seconds for seconds in known if seconds is not None), math.nan)


def costs(record, retraining):
    """Return what a request cost by heading, of a record of an unlearning run."""
    each, worked, lazy = cpu_costs(record)["CPU s/request"], record["requests"]["worked"], math.nan
    of_all = each * worked
    if worked and (parts := record.get("ensemble")):
        lazy = each if parts["materialise"] == "lazy" else lazy
        each = parts["projected_eager_cpu_seconds"] / worked
    ratios = [retraining / cost if cost else math.nan for cost in (each, of_all)]
    return dict(zip(_COSTS, (each, lazy, *ratios), strict=True))


def of_requests(records):
    """Return how requests ended and, of an ensemble, which shards they hit, by heading."""
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
    """Return after how many requests all k shards were dirty, as text; how many were where they never all were."""
    first = next((r for r, n in enumerate(dirty, 1) if n == k), None)
    return str(first) if first else f"not after {len(dirty)} ({dirty[-1] if dirty else 0} of {k})"


def dirty_lines(cell, of, seeds):
    """Return the line of an ensemble's dirty shards by request, means over seeds; none where it was not run."""
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
    """Return how many of k shards requests make dirty that hit so many each, drawn evenly."""
    return k * (1 - math.prod(1 - n / k for n in hit))
