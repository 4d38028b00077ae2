"""The tables of `long_sequences.py`, built from the records in its work folder."""

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
    """Return a value of a record as text; ``none`` for None or NaN.

    Log-odds have no value if all forgotten pairs are hidden (algorithm ``filter``), or if there are no training pairs.
    """
    if value is None or math.isnan(value):
        return "none"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.3g}"


def ended(record):
    """Return as text the number of requests by outcome, and after how many requests the sequence was stopped, if so."""
    by_outcome, done, total = ", ".join(outcomes([record])), record["done"], record["about"]["requests"]
    return by_outcome if done == total else f"{by_outcome}; stopped after {done} of {total}, at {record['limit']:g} s"


def per_request(record):
    """Return the mean CPU seconds of a processed request, whatever its outcome; NaN if none was processed."""
    return sum(record["cpu"]) / record["done"] if record["done"] else math.nan


def passes_at(record, retraining):
    """Return as text the number of requests that together cost as much CPU time as one retraining.

    If the sequence ended before, the number is extrapolated from the mean cost, and ``~`` is put before it.

    Args:
        record: the record of a sequence with one request at a time.
        retraining: CPU seconds of one retraining.
    """
    for at, spent in enumerate(itertools.accumulate(record["cpu"]), start=1):
        if spent >= retraining:
            return f"{at:,}"
    each = per_request(record)
    return f"~{math.ceil(retraining / each):,}" if each > 0 else ""


def main_table(records, references):
    """Return the table of a cell for the fixed order with one request at a time, a data frame.

    It has lines for base, each algorithm and retrained, with metrics after each number of requests. The cost of a
    release is the largest of the sequence.

    Args:
        records: algorithm to the record of its sequence.
        references: number of requests to the record of the model retrained without these requests.
    """
    counts = sorted(references)
    retraining = sum(one[CPU_SECONDS] for one in references.values()) / len(references)

    def line(name, stops, text="", each="", released="", passes=""):
        cells = {f"{heading}: {n}": number(stops[n][heading]) if n in stops else ""
                 for heading in (NDCG_10, LOG_ODDS) for n in counts}  # fmt: skip
        costs = {"CPU s/request": each, "CPU s/release": released, "passes retraining at": passes}
        return {"": name, "outcomes": text, **cells, **costs}

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
    """Return numbers as text: the smallest and the largest, or one if they are equal; ``none`` if any is unknown."""
    known = [value for value in values if value is not None and not math.isnan(value)]
    if len(known) < len(values) or not known:
        return number(None)
    return " to ".join(dict.fromkeys(number(value) for value in (min(known), max(known))))


def variant_table(found, last):
    """Return the table after the last request, a data frame with a line per algorithm and variant.

    Args:
        found: (algorithm, name of the variant) to the records of its sequences, as :func:`variants` returns them.
        last: the number of requests in a complete sequence.
    """
    lines = []
    for (name, variant), records in found.items():
        ends = [stop for record in records for stop in record["stops"] if stop["count"] == last]
        cells = {key: spread([end[key] for end in ends]) if ends else "" for key in (NDCG_10, LOG_ODDS)}
        each = sum(sum(record["cpu"]) for record in records) / max(sum(record["done"] for record in records), 1)
        by_outcome = "; ".join(dict.fromkeys(ended(record) for record in records))
        lines.append({"": name, "requests": variant, "outcomes": by_outcome, **cells, "CPU s/request": f"{each:.3g}"})
    return pd.DataFrame(lines)


def variants(work, cell, names):
    """Return the existing records of a cell, (algorithm, name of the variant) to a list of records.

    A variant is an order and a batch size; the fixed order with one request at a time comes first. Algorithms that were
    run in only one variant are left out.

    Args:
        work: the folder with the records.
        cell: the name of the cell.
        names: the algorithms of the cell.
    """
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
    """Write and print the tables of all existing records.

    Args:
        work: the folder with the records.
        tried: cell to the names of its algorithms.
        path: path of the Markdown file.

    Raises:
        UserError: the folder contains no record of a retrained model.
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
        raise UserError(f"{work} contains no record of a retrained model: run long_sequences.py without --table first")
    with atomic_write(path) as file:
        file.write("\n\n".join(texts) + "\n")
    print("\n\n".join(texts))
