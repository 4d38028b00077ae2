r"""How much CPU time and memory does a large data set take, from its raw files to an unlearned model?

    python benchmarks/formats.py --folder results/formats --json results/formats.json --docs docs/data.md
    python benchmarks/formats.py --folder results/formats --json results/small.json --scale 0.01

The eight large data sets are not available everywhere, so raw files in the format of each source are generated
(`raw_formats.py`). MovieLens 20M, 30Music and Instacart have their published size, the others a tenth of it;
``--scale`` sets another share for all. Then four parts are measured, each in its own process with one thread:

- ``prepare``: the whole process of ``dataset/<name>/prepare.py --from``;
- ``load``: reading, numbering, sorting and splitting the prepared log with the settings in ``configs/``;
- ``steps``: 100 training steps (``--steps``) of BPR, GRU4Rec or DNNTSP. If an epoch has fewer steps, one epoch is
  measured, and the table shows its number of steps in brackets;
- ``request``: one unlearning request of a user for two training interactions, processed by Kookmin (``--algorithm``) on
  the model after those steps. Another request is processed before it, which does not count unless it takes more than
  20 CPU seconds.

GRU4Rec is trained with the BPR loss on 30Music, because a softmax over its millions of items would dominate the cost.
The raw files are deleted after ``prepare``, and the prepared files after the last part. Results in the file ``--json``
are not measured again, so an interrupted run continues with the next part. A part is stopped when it has used
``--limit`` CPU seconds; the following parts of the data set are then left out.
"""

import argparse
import shutil
import sys
from pathlib import Path

import pandas as pd
from measuring import Results, cost, counts, measure, measured_on, outcome, run, shown, told_in_docs
from raw_formats import FORMATS, write_raw
from revisions import ROOT

from recbole.report.tables import as_markdown
from recbole.utils import UserError

WHOLE = ("movielens", "30music", "instacart")
"""Data sets whose raw files are generated at their published size."""

TENTH = 0.1
"""Share of the published size for all other data sets."""

MODELS = {
    "movielens": "BPR", "goodreads": "BPR", "amazon_reviews_grocery_and_gourmet_food": "BPR",
    "amazon_reviews_books": "GRU4Rec", "30music": "GRU4Rec", "nowp": "GRU4Rec",
    "instacart": "DNNTSP", "dunnhumby": "DNNTSP",
}  # fmt: skip
SETTINGS = {"use_gpu": False, "show_progress": False, "tensorboard": False, "state": "WARNING"}
OWN = {"30music": {"loss_type": "BPR"}}
PARTS = ("prepare", "load", "steps", "request")
COLUMNS = ("data set", "share", "raw MB", "interactions", "people", "items", "model", "prepare", "MiB", "load", "MiB ",
           "steps", "MiB  ", "request", "MiB   ", "outcome")  # fmt: skip


def parse_args(argv=None):
    """Return the command-line arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", required=True, type=Path, help="folder for the generated files, which are deleted")
    parser.add_argument("--only", nargs="+", choices=list(FORMATS), default=list(FORMATS), help="only these data sets")
    parser.add_argument("--scale", type=float, help="share of the published sizes (default: 1 for three, else 0.1)")
    parser.add_argument("--steps", type=int, default=100, help="training steps to measure (default: %(default)s)")
    parser.add_argument("--algorithm", default="kookmin", help="algorithm for the request (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=900, help="CPU seconds for each part (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="store results here, and reuse those it contains")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="write the table into this page, between its markers")
    parser.add_argument("--again", action="store_true", help="ignore stored results and measure everything again")
    parser.add_argument(
        "--generate", choices=list(FORMATS), help=argparse.SUPPRESS
    )  # internal: the process that writes raw files
    args = parser.parse_args(argv)
    args.folder = args.folder.resolve()
    return args


def share_of(args, name):
    """Return the share of a data set's published size at which its raw files are generated."""
    return args.scale or (1.0 if name in WHOLE else TENTH)


# --- what is measured ------------------------------------------------------------------------------------------------
def spec_of(args, name, part):
    """Return the specification that `parts.py` takes for a part (not ``prepare``) on a prepared data set."""
    spec = {
        "data": str(args.folder / "data"), "name": name, "model": MODELS[name], "limit": args.limit,
        "files": [str(ROOT / "configs" / f"config_{MODELS[name].lower()}.yaml")],
        "settings": SETTINGS | OWN.get(name, {}), "weights": str(args.folder / "data" / f"{name}.pth"),
    }  # fmt: skip
    more = {"load": {"part": "load"}, "steps": {"part": "epoch", "steps": args.steps}}
    more["request"] = {"part": "request", "algorithm": args.algorithm, "requests": 1}
    return spec | more[part]


def prepare(args, name):
    """Generate a data set's raw files, prepare them, and delete them.

    Returns:
        The result of the preparation as in :func:`measuring.outcome`, with ``megabytes``, the size of the raw files,
        and ``generating``, the CPU seconds for generating them.
    """
    raw, data = args.folder / "raw" / name, args.folder / "data" / name
    for folder in (raw, data):
        shutil.rmtree(folder, ignore_errors=True)
    words = [sys.executable, __file__, "--folder", args.folder, "--scale", share_of(args, name), "--generate", name]
    made = outcome(run(words, ROOT, limit=args.limit), args.limit)
    try:
        if made["status"] != "done":
            return made | {"status": "failed", "reason": f"generating raw files: {made.get('reason', made['status'])}"}
        size = sum(path.stat().st_size for path in raw.rglob("*") if path.is_file())
        words = [sys.executable, ROOT / "dataset" / name / "prepare.py", "--from", raw, "--output", data]
        about_raw = {"megabytes": size / 1e6, "generating": made["cpu"]}
        return outcome(run(words, ROOT, limit=args.limit), args.limit) | about_raw
    finally:
        shutil.rmtree(raw, ignore_errors=True)


def measure_set(args, name, results):
    """Measure the missing parts of a data set in order, and stop after a part that fails or exceeds its limit.

    ``prepare`` and ``steps`` are repeated if later parts need the files that they wrote.
    """
    there = args.folder / "data" / name / "source_counts.json"
    missing = [part for part in PARTS if results.get(f"{name} {part}", args.limit) is None]
    if not missing:
        print(f"{name}: all parts (as kept)", flush=True)
        return
    if not there.is_file() or "prepare" in missing:
        missing = ["prepare", *(part for part in missing if part != "prepare")]
    weights = Path(spec_of(args, name, "load")["weights"])
    if "request" in missing and "steps" not in missing and not weights.exists():
        missing.insert(-1, "steps")
    for part in missing:
        found = prepare(args, name) if part == "prepare" else measure(spec_of(args, name, part), cwd=args.folder)
        results.put(f"{name} {part}", found)
        peak = f", {found['peak_mib']:.0f} MiB" if found["peak_mib"] else ""
        print(f"{name} {part}: {cost(found, key_of(part))} CPU s{peak}", flush=True)
        if found["status"] != "done":
            break
    shutil.rmtree(args.folder / "data" / name, ignore_errors=True)
    weights.unlink(missing_ok=True)


def key_of(part):
    """Return the key of a part's CPU seconds in its result; ``cpu`` of steps is an estimate for the whole epoch."""
    return "cpu_of_steps" if part == "steps" else "cpu"


# --- the table -------------------------------------------------------------------------------------------------------
def line(results, name, share, steps):
    """Return one row of the table, a list of cells for `COLUMNS`; `steps` is the requested number of training steps."""
    parts = {part: results.get(f"{name} {part}") for part in PARTS}
    made, loaded, request = parts["prepare"], parts["load"] or {}, parts["request"] or {}
    cells = [name, f"{share:g}", shown(made.get("megabytes"))]
    cells += [f"{loaded[key]:,}" if key in loaded else "" for key in ("rows", "people", "items")]
    cells.append(MODELS[name])
    for part, found in parts.items():
        peak = found and found["peak_mib"]
        fewer = part == "steps" and found and found.get("steps", steps) < steps
        in_brackets = f" ({found['steps']})" if fewer else ""
        cells += [cost(found, key_of(part)) + in_brackets, f"{peak:,.0f}" if peak else ""]
    return [*cells, ", ".join(f"{n} {kind}" for kind, n in request.get("outcomes", {}).items())]


def table(args, results):
    """Return the Markdown table of all data sets with a result, and a sentence with those that are not complete."""
    begun = [name for name in FORMATS if f"{name} prepare" in results]
    made = pd.DataFrame([line(results, name, share_of(args, name), args.steps) for name in begun], columns=COLUMNS)
    made.columns = [f"{args.steps} steps" if name == "steps" else name.strip() for name in COLUMNS]
    done = {name for name in begun if results.get(f"{name} request", {}).get("status") == "done"}
    left = [name for name in FORMATS if name not in done]
    note = f" Not measured to the end: {', '.join(left)}." if left else ""
    ended = counts(results.values()) or "none"
    return f"{as_markdown(made)}\n\nCPU seconds of one thread. Parts: {ended}.{note} {measured_on(results)}"


def main(argv=None):
    """Measure the missing parts and print the table. Return the exit status, which is 1 if a part failed."""
    args = parse_args(argv)
    if args.generate:
        write_raw(args.generate, args.folder / "raw" / args.generate, share_of(args, args.generate))
        return 0
    args.folder.mkdir(parents=True, exist_ok=True)
    results = Results(args.json, {"scale": args.scale, "steps": args.steps, "algorithm": args.algorithm}, args.again)
    for name in FORMATS:
        if name in args.only:
            measure_set(args, name, results)
    text = table(args, results.found)
    print(f"\n{text}")
    if args.docs:
        told_in_docs(args.docs, "formats", text)
    return int(any(result["status"] == "failed" for result in results.found.values()))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"formats.py: {error}", file=sys.stderr)
        sys.exit(2)
