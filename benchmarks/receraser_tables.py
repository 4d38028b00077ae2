"""The tables of :mod:`receraser`: quality, shares of the retrained model, differences, minutes, figures."""

from statistics import mean

import pandas as pd
from receraser_people import METRICS as PAIRED
from receraser_people import K, difference

from recbole.report.tables import as_markdown, mean_and_deviation

METRICS = tuple((metric, k) for metric in ("recall", "ndcg") for k in (10, 20, 50))
AT_10 = (METRICS.index(("recall", 10)), METRICS.index(("ndcg", 10)))
"""Where the metrics stand that shares are told of."""

TITLES = {"recall": "Recall", "ndcg": "NDCG"}
HEADINGS = tuple(f"{TITLES[metric]}@{k}" for metric, k in METRICS)
RETRAIN = "Retrain"
NOT_RUN = "not run"

NOTE = (
    "Deviations are those over seeds. Differences are paired: user by user of the same seed, with 95 % intervals over "
    "users, who are drawn again with their rows of all seeds."
)


def told(plan, records, people):
    """Return all tables as one text.

    Args:
        plan: what ``receraser.yaml`` holds.
        records: model to cell to seed to the result file's record, None where there is none.
        people: model to cell to seed to the users' values (:func:`receraser_people.read`), None where there are none.
    """
    parts = [NOTE]
    for model, cells in records.items():
        tried = {cell: cells[cell] for cell in plan["models"][model]["cells"]}
        parts += [f"### {model}: Recall and NDCG (RecEraser's Table 3)", as_markdown(quality(plan, model, tried))]
        parts += [f"### {model}: per cent of {RETRAIN}", as_markdown(shares(plan, model, tried))]
        pairs = [pair for pair in plan["pairs"] if tried.keys() >= set(pair)]
        if pairs:
            parts += [f"### {model}: differences, user by user", as_markdown(differences(pairs, people[model]))]
        parts += [f"### {model}: CPU minutes (RecEraser's Table 4)", as_markdown(minutes(plan, model, tried))]
    shown = next(iter(plan["models"]))
    if shown in records:
        for name, cells in plan["figures"].items():
            parts += [f"### {shown} by {name}", as_markdown(figure(name, cells, records[shown]))]
    return "\n\n".join(parts)


def differences(pairs, cells):
    """Return the table of what the first of a pair of cells has more than the second.

    Args:
        pairs: of names of cells.
        cells: cell to seed to the users' values, None where there are none.
    """
    lines = []
    for one, other in pairs:
        found = difference(cells[one], cells[other])
        seeds, users, means = found or (0, "", {})
        line = {"": one, "minus": other, "seeds": seeds, "users": users}
        for metric in PAIRED:
            value = means.get(metric)
            line[f"{TITLES[metric]}@{K}"] = NOT_RUN if value is None else "{:+.4f} ({:+.4f} to {:+.4f})".format(*value)
        lines.append(line)
    return pd.DataFrame(lines)


def values(record):
    """Return the metrics of a record's model on its test rows, in the order of :data:`METRICS`."""
    rows = [row for row in record["metrics"] if row["model"] == "base" and row["split"] == "test"]
    found = {(row["metric"], row["k"]): row["value"] for row in rows if row["population"] == "all"}
    return [found[key] for key in METRICS]


def there(by_seed):
    """Return the records that are there."""
    return [record for record in by_seed.values() if record]


def known(plan, model, cell):
    """Return the paper's numbers for a cell, by :data:`METRICS`; None where it has none."""
    return plan["paper"].get(model, {}).get(plan["paper_row"].get(cell)) or [None] * len(METRICS)


def quality(plan, model, cells):
    """Return the table of metrics, means and deviations over seeds, each with the paper's number in brackets."""
    lines = []
    for cell, by_seed in cells.items():
        found = [values(record) for record in there(by_seed)]
        own = [mean_and_deviation(column, ".4f") for column in zip(*found, strict=True)] or [NOT_RUN] * len(METRICS)
        papers = [f" ({value:.4f})" if value is not None else "" for value in known(plan, model, cell)]
        texts = [one + paper for one, paper in zip(own, papers, strict=True)]
        lines.append({"": cell, "seeds": len(found)} | dict(zip(HEADINGS, texts, strict=True)))
    return pd.DataFrame(lines)


def shares(plan, model, cells):
    """Return the table of shares of the retrained model, in per cent, and by how many points the nearer one differs.

    A share is of the same seed's retrained model, the mean over seeds; the paper's and the prototype's of their own.
    """
    whole = {seed: values(record) for seed, record in cells[RETRAIN].items() if record}
    lines = []
    for cell, by_seed in cells.items():
        line = {"": cell}
        both = [(values(record), whole[seed]) for seed, record in by_seed.items() if record and seed in whole]
        for at, of in enumerate(AT_10):
            own = [100 * one[of] / all_data[of] for one, all_data in both]
            paper = _share(known(plan, model, cell)[of], known(plan, model, RETRAIN)[of])
            prototype = plan["prototype"].get(model, {})
            other = _share(prototype[cell][at], prototype[RETRAIN][at]) if cell in prototype else None
            points = [mean(own) - share for share in (paper, other) if share is not None] if own else []
            line |= {
                HEADINGS[of]: mean_and_deviation(own, ".1f") or NOT_RUN,
                f"paper's {HEADINGS[of]}": _text(paper),
                f"prototype's {HEADINGS[of]}": _text(other),
                f"points off, {HEADINGS[of]}": f"{min(points, key=abs):+.1f}" if points and cell != RETRAIN else "",
            }
        lines.append(line)
    return pd.DataFrame(lines)


def _share(part, whole):
    return None if part is None or whole is None else 100 * part / whole


def _text(value, digits=".1f"):
    return "" if value is None else format(value, digits)


def costs(record):
    """Return the CPU minutes of a record: of all training, and of an ensemble's mean and longest shard and the rest."""
    found = {"all": record["timing"]["fit_cpu_seconds"] / 60}
    if parts := record.get("ensemble"):
        shards = [seconds / 60 for seconds in parts["shard_cpu_seconds"].values()]
        found |= {"shard": mean(shards), "longest": max(shards), "aggregation": parts["aggregate_cpu_seconds"] / 60}
        found["request"] = found["shard"] + found["aggregation"]
    return found


def minutes(plan, model, cells):
    """Return the table of CPU minutes: of training everything, and of one request, beside the paper's minutes.

    Everything is all shards and the aggregation, without the partition, which no request makes anew.
    """
    whole = [costs(record)["all"] for record in there(cells[RETRAIN])]
    paper = plan["paper_minutes"].get(model)
    lines = []
    for cell, by_seed in cells.items():
        found = [costs(record) for record in there(by_seed)]
        means = {name: mean(one[name] for one in found) for name in found[0]} if found else {}
        faster = mean(whole) / means["request"] if whole and "request" in means else None
        lines.append({
            "": cell,
            "everything": _text(means.get("all"), ".2f") or NOT_RUN,
            "a shard, mean": _text(means.get("shard"), ".2f"),
            "longest": _text(means.get("longest"), ".2f"),
            "aggregation": _text(means.get("aggregation"), ".2f"),
            "one request": _text(means.get("request"), ".2f"),
            f"{RETRAIN} / request": _text(faster),
        })  # fmt: skip
    if paper:
        total = paper["shard"] + paper["aggregation"]
        lines.append(dict(zip(lines[0], (
            f"paper: {RETRAIN}, RecEraser", f"{paper['retrain']:g}", f"{paper['shard']:g}", "",
            f"{paper['aggregation']:g}", f"{total:g}", f"{paper['retrain'] / total:.1f}",
        ), strict=True)))  # fmt: skip
    return pd.DataFrame(lines)


def figure(name, cells, records):
    """Return a figure as a table: what is varied, the metrics, and what the training and a request cost.

    Args:
        name: of what is varied.
        cells: its values, each with the name of its cell.
        records: cell to seed to record.
    """
    lines = []
    for shown, cell in cells.items():
        found = there(records[cell])
        columns = list(zip(*map(values, found), strict=True))
        taken = [costs(record) for record in found]
        line = {name: shown, "seeds": len(found)}
        for of in AT_10:
            line[HEADINGS[of]] = mean_and_deviation(columns[of], ".4f") if found else NOT_RUN
        for key, heading in (("all", "everything"), ("shard", "a shard"), ("request", "one request")):
            line[f"{heading}, CPU minutes"] = _text(mean(one[key] for one in taken), ".2f") if taken else ""
        lines.append(line)
    return pd.DataFrame(lines)
