"""The tables of `long_sequences.py`, from the records in its work folder."""

import itertools
import math

import pandas as pd

from recbole.report.costs import outcomes
from recbole.report.records import read_if_there
from recbole.report.tables import as_markdown
from recbole.utils import UserError, atomic_write

NDCG_10, LOG_ODDS = "NDCG@10", "log-odds"
CPU_SECONDS, RELEASE_SECONDS = "cpu_seconds", "release_cpu_seconds"


def number(value):
    """Return a value of a record as text; ``none`` where it has none: log-odds of what is hidden, or without pairs."""
    if value is None or math.isnan(value):
        return "none"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.3g}"


def ended(record):
    """Return how the requests of a sequence ended, and how far it came if it was cut off."""
    told, done, total = ", ".join(outcomes([record])), record["done"], record["about"]["requests"]
    return told if done == total else f"{told}; stopped after {done} of {total}, at {record['limit']:g} s"


def per_request(record):
    """Return the CPU seconds of a request in the mean, whatever became of it; NaN where none was answered."""
    return sum(record["cpu"]) / record["done"] if record["done"] else math.nan


def passes_at(record, retraining):
    """Return after how many requests they have cost what one retraining does, as text.

    Where a sequence ended before, the number follows from its mean, and ``~`` stands before it.

    Args:
        record: of requests one at a time.
        retraining: CPU seconds.
    """
    for at, spent in enumerate(itertools.accumulate(record["cpu"]), start=1):
        if spent >= retraining:
            return f"{at:,}"
    each = per_request(record)
    return f"~{math.ceil(retraining / each):,}" if each > 0 else ""


def main_table(records, references):
    """Return what became of each algorithm of a model along the fixed order, of releases the dearest.

    Args:
        records: algorithm to the record of its sequence, one request at a time.
        references: number of requests to the record of its retrained model.
    """
    counts = sorted(references)
    retraining = sum(one[CPU_SECONDS] for one in references.values()) / len(references)

    def line(name, stops, told="", each="", released="", passes=""):
        cells = {f"{heading}: {n}": number(stops[n][heading]) if n in stops else ""
                 for heading in (NDCG_10, LOG_ODDS) for n in counts}  # fmt: skip
        costs = {"CPU s/request": each, "CPU s/release": released, "passes retraining at": passes}
        return {"": name, "outcomes": told, **cells, **costs}

    lines = [line("base", {n: one["base"] for n, one in references.items()})]
    for name, record in records.items():
        stops = {stop["count"]: stop for stop in record["stops"]}
        released = max((stop[RELEASE_SECONDS] for stop in record["stops"]), default=math.nan)
        costs = f"{per_request(record):.3g}", f"{released:.2g}", passes_at(record, retraining)
        lines.append(line(name, stops, ended(record), *costs))
    of_retrained = {n: one["retrained"] for n, one in references.items()}
    lines.append(line("retrained", of_retrained, f"{retraining:.3g} CPU s each"))
    return pd.DataFrame(lines)


def spread(values):
    """Return numbers as text: one, or the least and the greatest of several."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    if len(known) < len(values) or not known:
        return number(None)
    return " to ".join(dict.fromkeys(number(value) for value in (min(known), max(known))))


def variant_table(found, last):
    """Return what each algorithm left when everything was forgotten, by order and batch size.

    Args:
        found: (algorithm, what it is called) to the records of its sequences.
        last: the number of requests.
    """
    lines = []
    for (name, variant), records in found.items():
        ends = [stop for record in records for stop in record["stops"] if stop["count"] == last]
        cells = {key: spread([end[key] for end in ends]) if ends else "" for key in (NDCG_10, LOG_ODDS)}
        each = sum(sum(record["cpu"]) for record in records) / max(sum(record["done"] for record in records), 1)
        told = "; ".join(dict.fromkeys(ended(record) for record in records))
        lines.append({"": name, "requests": variant, "outcomes": told, **cells, "CPU s/request": f"{each:.3g}"})
    return pd.DataFrame(lines)


def variants(work, cell, names):
    """Return what is there of a cell besides the fixed order one at a time, that first; see :func:`variant_table`."""
    found = {}
    for name in names:
        mine = [read_if_there(path) for path in sorted(work.glob(f"{cell}_{name}_order_*_batch_*.json"))]
        mine.sort(key=lambda record: (record["about"]["order"] > 0, record["about"]["batch_size"]))
        shuffled = sum(record["about"]["order"] > 0 for record in mine)
        for record in mine if len(mine) > 1 else ():
            order, size = record["about"]["order"], record["about"]["batch_size"]
            together = "one at a time" if size == 1 else f"{size} together"
            orders = "one shuffled order" if shuffled == 1 else f"{shuffled} shuffled orders"
            variant = orders if order else f"fixed order, {together}"
            found.setdefault((name, variant), []).append(record)
    return found


def write_tables(work, tried, path):
    """Write and print the tables of what is there.

    Args:
        work: the folder of the records.
        tried: cell to the algorithms that are tried on it.
        path: of the Markdown file.

    Raises:
        UserError: nothing is there.
    """
    texts = []
    for cell, names in tried.items():
        references = [read_if_there(one) for one in work.glob(f"{cell}_reference_*.json")]
        if not references:
            continue
        references = {one["about"]["count"]: one for one in references}
        fixed = {name: read_if_there(work / f"{cell}_{name}_order_0_batch_1.json") for name in names}
        one_by_one = {name: record for name, record in fixed.items() if record is not None}
        texts += [f"{cell}, one request after another:", as_markdown(main_table(one_by_one, references))]
        found = variants(work, cell, names)
        if found:
            texts.append(f"{cell}, the same requests in other orders and together, after the last:")
            texts.append(as_markdown(variant_table(found, max(references))))
    if not texts:
        raise UserError(f"{work} holds no retrained model's record: run it first")
    with atomic_write(path) as file:
        file.write("\n\n".join(texts) + "\n")
    print("\n\n".join(texts))
