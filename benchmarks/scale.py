r"""Measure how the cost of each step grows in a log ten times as large, and compare it with the limits of the machine.

    python benchmarks/scale.py --folder results/scale --json results/scale.json
    python benchmarks/scale.py --folder results/scale --json results/scale.json --docs docs/scale.md
    python benchmarks/scale.py --folder results/scale --tasks CF --models LightGCN --parts epoch request --limit 300
    python benchmarks/scale.py --folder results/small --sizes small

For each task two logs are generated in ``--folder`` (`synthetic.py`: ratings of 0.8 and 8.7 million rows, sessions of 1
and 10 million rows over 50,000 and 400,000 items, baskets of 1 and 8 million rows) and kept for the next run. The
settings are those of `configs/`, but without filters on the log. Four parts are measured in each log, and for the first
three a lower bound that the machine sets, the *limit*:

- ``load``: read the log, map tokens to ids, sort and split. Limits: a sequential read of the file, and parsing it with
  Arrow's CSV reader (baskets: with Python's ``json``).
- ``epoch``: 100 training steps (``--steps``), or as many as start within 0.8 of the time limit, extrapolated to the
  whole epoch. Limit: the multiplications of the scores and their two derivatives, at the speed of a matrix product.
- ``evaluation``: the metrics of 10,000 users (``--people``). Limit: the matrix product of that many vectors with the
  item matrix.
- ``request``: a user wants two training interactions forgotten by a model that was trained for the steps of ``epoch``.
  Each algorithm runs with default hyper-parameters. The cost is the mean of three users, or of those that start within
  a minute. A warm-up request comes first, and is counted only if it takes more than 20 s.

Each part runs in a process of its own with one thread. Its peak memory includes the data and the model. A part that
uses more CPU seconds than ``--limit`` is ended, and printed as ``> limit``. The exponent is log(ratio of costs) /
log(ratio of rows). Results in ``--json`` are not measured again, except with ``--again``, or if a part failed or
exceeded a limit lower than the current one. The table shows all results in the file.
"""

import argparse
import math
import sys
from pathlib import Path

import pandas as pd
import yaml
from measuring import Results, cost, counts, measure, measured_on, shown, told_in_docs
from revisions import ROOT
from synthetic import SIZES, furnish

from recbole.report.tables import as_markdown
from recbole.utils import UserError

TASKS = {
    "BPR": "CF", "LightGCN": "CF", "SGL": "CF", "GRU4Rec": "SBR", "NARM": "SBR", "SASRec": "SBR", "SRGNN": "SBR",
    "DNNTSP": "NBR", "Sets2Sets": "NBR",
}  # fmt: skip
MODELS = ("BPR", "LightGCN", "GRU4Rec", "DNNTSP", "Sets2Sets")
"""The models that are measured by default."""

ALGORITHMS = ("scif", "kookmin", "fanchuan", "gif", "ceu", "idea", "seif")
KINDS = ("load", "epoch", "evaluation", "request")
LIMITS = {"load": ("reading", "parsing"), "evaluation": ("product",)}
"""Part to the measurements of `machine_limits.py` that are its limits; the limit of an epoch is computed from
``product``."""

REQUESTS = 3
"""Number of measured requests for each algorithm."""

DERIVATIVES = 3
"""Matrix products in a training step: the scores, and their derivatives with respect to both factors."""

COLUMNS = ("task", "model", "part", "CPU s (wall), small log", "large log", "exponent", "MiB, small log", "large log ",
           "exponent ", "limit, CPU s, small log", "large log  ", "outcome")  # fmt: skip


def parse_args(argv=None):
    """Return the command-line arguments, with the defaults of ``--sizes``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", required=True, type=Path, help="folder for generated logs and trained weights")
    parser.add_argument("--sizes", choices=list(SIZES), default="full", help="small: a smoke test")
    parser.add_argument("--tasks", nargs="+", choices=["CF", "SBR", "NBR"], help="only these tasks")
    parser.add_argument("--models", nargs="+", choices=list(TASKS), help=f"default: {' '.join(MODELS)}")
    parser.add_argument("--parts", nargs="+", choices=KINDS, default=KINDS, help="only these parts, and their limits")
    parser.add_argument("--algorithms", nargs="+", choices=ALGORITHMS, default=ALGORITHMS, help="only these algorithms")
    parser.add_argument("--limit", type=float, default=900, help="CPU seconds of a part (default: %(default)s)")
    parser.add_argument("--steps", type=int, help="training steps of an epoch (default: 100; small: 3)")
    parser.add_argument("--people", type=int, help="number of evaluated users (default: 10,000; small: 50)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="file of results; existing results are reused")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="write the table into this Markdown page")
    parser.add_argument("--again", action="store_true", help="measure everything again")
    args = parser.parse_args(argv)
    small = args.sizes == "small"
    args.steps = args.steps or (3 if small else 100)
    args.people = args.people or (50 if small else 10_000)
    args.models = [m for m in args.models or MODELS if not args.tasks or TASKS[m] in args.tasks]
    args.folder = args.folder.resolve()
    return args


# --- what is measured ------------------------------------------------------------------------------------------------
def settings_of(task):
    """Return the settings for a task that override the files in ``configs/``."""
    person = "session_id" if task == "SBR" else "user_id"
    every = {"use_gpu": False, "show_progress": False, "tensorboard": False, "state": "WARNING"}
    every |= {"user_inter_num_interval": "[0,inf)", "item_inter_num_interval": "[0,inf)"}
    if task == "NBR":
        return every
    return every | {"USER_ID_FIELD": person, "load_col": {"inter": [person, "item_id", "timestamp"]}}


def config_file(model):
    """Return the path of a model's file in ``configs/``."""
    return ROOT / "configs" / f"config_{model.lower()}.yaml"


def configured(model):
    """Return the settings in a model's file in ``configs/``."""
    return yaml.safe_load(config_file(model).read_text(encoding="utf-8"))


def spec_of(folder, shape, model, **more):
    """Return the specification of a part (see `parts.py`) on a generated log.

    Args:
        folder: folder of the logs and of the trained weights.
        shape: the :class:`~synthetic.Shape` of the log.
        model: name of the model.
        more: further entries of the specification.
    """
    return {
        "data": str(folder), "name": shape.name, "model": model, "files": [str(config_file(model))],
        "settings": settings_of(shape.task), "weights": str(folder / "weights" / f"{shape.name}_{model}.pth"),
    } | more  # fmt: skip


def parts_of(args):
    """Return two dictionaries in the order of measurement: label to specification, and label to shape of the log."""
    found, shapes = {}, {}

    def add(label, shape, **spec):
        if label not in found:
            found[label], shapes[label] = spec | {"limit": args.limit}, shape

    for model in args.models:
        for shape in SIZES[args.sizes][TASKS[model]]:
            spec = spec_of(args.folder, shape, model)
            if "load" in args.parts:
                add(f"{shape.name} load", shape, part="load", **spec)
                for limit in LIMITS["load"]:
                    add(f"{shape.name} {limit}", shape, part=limit)
            if {"epoch", "evaluation"} & set(args.parts):
                width = configured(model)["embedding_size"]
                more = {"people": args.people, "width": width, "items": shape.items}
                add(f"{shape.name} product of width {width}", shape, part="product", **more)
            if "epoch" in args.parts:
                add(f"{shape.name} {model} epoch", shape, part="epoch", steps=args.steps, **spec)
            if "evaluation" in args.parts:
                add(f"{shape.name} {model} evaluation", shape, part="evaluation", people=args.people, **spec)
            for algorithm in args.algorithms if "request" in args.parts else ():
                more = {"algorithm": algorithm, "requests": REQUESTS}
                add(f"{shape.name} {model} request {algorithm}", shape, part="request", **spec, **more)
    return found, shapes


def run(args, results):
    """Measure all parts without a result, and print a line for each part."""
    found, shapes = parts_of(args)
    for at, (label, spec) in enumerate(found.items()):
        kept = results.get(label, args.limit)
        if kept is None:
            file = furnish(args.folder, shapes[label])
            kept = measure(spec | {"file": str(file)}, cwd=args.folder)
            trained = spec["part"] != "request" or Path(spec["weights"]).exists()
            results.put(label, kept | ({} if trained else {"untrained": True}))
            note = ""
        else:
            note = " (measured before)"
        peak = f", {kept['peak_mib']:.0f} MiB" if kept["peak_mib"] else ""
        told = ended(kept)
        print(
            f"{at + 1:3}/{len(found)} {label:<38} {cost(kept)} CPU s{peak}{f', {told}' if told else ''}{note}",
            flush=True,
        )


# --- the table -------------------------------------------------------------------------------------------------------
def exponent(costs, rows):
    """Return log(ratio of costs) / log(ratio of rows) as text.

    If the part exceeded its limit in the large log, the text is a lower bound, ``> ...``. It is empty if a cost is
    unknown.

    Args:
        costs: results for the small and the large log, or numbers.
        rows: numbers of rows of the small and the large log.
    """
    values, more = [], ""
    for value in costs:
        if isinstance(value, dict):
            more = "> " if value["status"] == "timeout" else more
            value = value["limit"] if value["status"] == "timeout" else value.get("cpu")  # noqa: PLW2901
        values.append(value)
    small = costs[0]
    if not all(values) or (isinstance(small, dict) and small["status"] != "done"):
        return ""
    return f"{more}{math.log(values[1] / values[0]) / math.log(rows[1] / rows[0]):.2f}"


def ended(result):
    """Return how the requests of a part ended, such as ``1 applied``, or the status of a part that failed."""
    if result is None or result["status"] != "done":
        return "" if result is None else result["status"]
    told = ", ".join(f"{n} {kind}" for kind, n in result.get("outcomes", {}).items())
    return told + (" (untrained)" if result.get("untrained") else "")


def multiplications(model, result):
    """Return the minimum number of multiplications in an epoch, for scores, derivatives and graph propagation.

    Args:
        model: name of the model.
        result: result of its part ``epoch``.
    """
    width, examples = configured(model)["embedding_size"], result["examples"]
    if TASKS[model] != "CF":
        return DERIVATIVES * examples * width * result["items"]
    layers = configured(model).get("n_layers", 0) if model != "BPR" else 0
    return DERIVATIVES * examples * 2 * width + result["batches"] * layers * 2 * 2 * examples * width


def limit_of(results, shape, model, kind):
    """Return the limit of a part that the machine sets, CPU seconds as text.

    For ``load`` these are two limits: reading / parsing the file. The text is empty for ``request``.
    """
    if kind == "load":
        return " / ".join(cost(results.get(f"{shape.name} {limit}")) for limit in LIMITS["load"])
    product = results.get(f"{shape.name} product of width {configured(model)['embedding_size']}")
    if product is None or product["status"] != "done" or kind == "request":
        return ""
    if kind == "evaluation":
        return cost(product)
    epoch = results.get(f"{shape.name} {model} epoch")
    done = epoch is not None and epoch["status"] == "done"
    return shown(product["cpu"] * multiplications(model, epoch) / product["multiplications"]) if done else ""


def lines(results, sizes):
    """Return the rows of the table for everything that has been measured.

    Args:
        results: label to result.
        sizes: task to the two shapes of its logs.
    """
    kinds = [("load", None), ("epoch", None), ("evaluation", None), *(("request", name) for name in ALGORITHMS)]
    found, loaded = [], set()
    for model, task in TASKS.items():
        for kind, algorithm in kinds:
            if kind == "load" and task in loaded:
                continue
            words = [] if kind == "load" else [model]
            words += [kind, *([algorithm] if algorithm else [])]
            pair = [results.get(" ".join([shape.name, *words])) for shape in sizes[task]]
            if any(pair):
                found.append(line(results, sizes[task], model, words, pair))
                loaded |= {task} if kind == "load" else set()
    return found


def line(results, shapes, model, words, pair):
    """Return one row of the table, a list of texts in the order of COLUMNS.

    Args:
        results: label to result.
        shapes: shapes of the small and the large log.
        model: name of the model.
        words: words of the label after the name of the log.
        pair: results for the small and the large log, each None if not measured.
    """
    rows, kind = [shape.rows for shape in shapes], words[0] if words[0] == "load" else words[1]
    peaks = [result and result["peak_mib"] for result in pair]
    cells = [f"{shapes[0].task}, {rows[0]:,} and {rows[1]:,} rows", "" if kind == "load" else model]
    cells.append(" ".join(words if kind == "load" else words[1:]))
    cells += [f"{cost(one)} ({shown(one.get('wall'))})" if one else "" for one in pair]
    cells.append(exponent(pair, rows) if all(pair) else "")
    cells += [f"{peak:,.0f}" if peak else "" for peak in peaks]
    done = all(one and one["status"] == "done" for one in pair)
    cells.append(exponent(peaks, rows) if done else "")
    cells += [limit_of(results, shape, model, kind) for shape in shapes]
    told = [ended(one) for one in pair]
    return [*cells, "; ".join(told) if any(told) else ""]


def table(results, sizes):
    """Return the table in Markdown, with a line that says how the parts ended and on which machine."""
    made = pd.DataFrame(lines(results, sizes), columns=COLUMNS)
    made.columns = [name.strip() for name in COLUMNS]
    return f"{as_markdown(made)}\n\nParts: {counts(results.values()) or 'none'}. {measured_on(results)}"


def main(argv=None):
    """Measure what is missing, print the table, and return the exit status: 1 if a part failed."""
    args = parse_args(argv)
    args.folder.mkdir(parents=True, exist_ok=True)
    about = {"sizes": args.sizes, "steps": args.steps, "people": args.people}
    results = Results(args.json, about, args.again)
    run(args, results)
    text = table(results.found, SIZES[args.sizes])
    print(f"\n{text}")
    if args.docs:
        told_in_docs(args.docs, "scale", text)
    return int(any(result["status"] == "failed" for result in results.found.values()))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"scale.py: {error}", file=sys.stderr)
        sys.exit(2)
