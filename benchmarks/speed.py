r"""What did changes gain? CPU seconds and memory of another revision and of this checkout, beside ERASE's own code.

    python benchmarks/speed.py main~20 --json results/speed.json
    python benchmarks/speed.py main~20 --json results/speed.json --docs docs/scale.md
    python benchmarks/speed.py main~20 --only "BPR|LightGCN" --quick --times 1

Two tables from one run. The first is of what holds everything else: importing, reading a log of 0.8 or 8.7 million
ratings, the questions and views of an evaluation, the graph, `unlearn.py` (BPR of one epoch, 20 requests of Kookmin, no
retrained models), Sets2Sets on all of Ta-Feng, and the memory of requests among 400,000 items. ``--quick`` leaves out
the largest logs. The second: an epoch of each model, retraining BPR for 100 epochs, and a request of each algorithm, on
ml-100k, the Diginetica sample and tafeng_1000. ``--data`` holds `ml-100k`, `diginetica_sample` and `tafeng`, prepared;
tafeng_1000 is made from the last where it is missing, as `dataset/tafeng/prepare.py --subset 1000 --seed 2` does.

``before`` is the revision, ``after`` this checkout as it lies. Each measurement is a process of its own with one
thread; the sides alternate, so that a busy machine weighs on both alike; a cell is the median of ``--times``. A request
is the mean of three people's, after one that does not count, of a model that the revision trained for both (see
`scale.py`, and `speed_rows.py` for how long); how they ended is counted. What uses more than ``--limit`` CPU seconds is
ended, printed as ``> limit``, and not tried again on that side. What ``--json`` has is not measured again.
``original``: ERASE's code as it ships and without PyTorch's anomaly mode, from `original.yaml`, on another machine.

Exit status: 0 all measured (or over the limit), 1 something failed, 2 no such revision, or no such data.
"""

import argparse
import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import pandas as pd
from measuring import Results, cost, counts, measure, measured_on, outcome, run, shown, told_in_docs
from revisions import ROOT, checked_out, commit_of
from scale import settings_of
from speed_rows import command, rows, training
from synthetic import FULL, furnish

from recbole.report.tables import as_markdown
from recbole.utils import UserError

SIDES = ("before", "after")
TITLES = {"structure": "What everything rests on", "models": "Epochs and requests"}
NEEDED = {"ml-100k": "ml-100k.inter", "diginetica_sample": "diginetica_sample.inter", "tafeng": "tafeng_merged.json"}
SUBSET = "tafeng_1000"
LOGS = {shape.name: shape for pair in FULL.values() for shape in pair}
"""The logs that are made here, by name."""


def parse_args(argv=None):
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", help="what to compare this checkout with: a commit, a branch, HEAD~1")
    parser.add_argument("--data", type=Path, default=ROOT / "dataset", help="folder of the data sets (%(default)s)")
    parser.add_argument("--folder", type=Path, default=ROOT / "results" / "speed", help="for logs, weights, models")
    parser.add_argument("--times", type=int, default=3, help="measurements of each side (default: %(default)s)")
    parser.add_argument("--only", metavar="PATTERN", default="", help="rows whose label has this regular expression")
    parser.add_argument("--quick", action="store_true", help="no log of 8.7 or 10 million rows")
    parser.add_argument("--limit", type=float, default=1800, help="CPU seconds of a part (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the results here, and go on from them")
    parser.add_argument("--docs", type=Path, metavar="PAGE", help="write the tables into this page")
    parser.add_argument("--again", action="store_true", help="measure everything anew")
    args = parser.parse_args(argv)
    args.data, args.folder = args.data.resolve(), args.folder.resolve()
    return args


# --- what rows need --------------------------------------------------------------------------------------------------
def make_ready(args, row, source):
    """Make what a row needs: its data, and a model that the revision trains for both sides.

    Raises:
        UserError: a data set is missing, or the model cannot be trained.
    """
    name = row.home.name if row.home else row.spec.get("name")
    if name in LOGS:
        furnish(args.folder, LOGS[name])
    elif name == SUBSET:
        subset(args)
    elif name in NEEDED and not (args.data / name / NEEDED[name]).exists():
        raise UserError(f"--data: there is no {args.data / name / NEEDED[name]}; dataset/{name}/prepare.py makes it")
    if row.base and not Path(row.spec["weights"]).exists():
        made = measure(row.base | {"limit": args.limit}, source, args.folder)
        if made["status"] != "done":
            raise UserError(f"no model to put requests to, {row.label}: training it: {cost(made)} CPU s")


def forget_others(folder, about):
    """Delete the models that other trees made, ``about`` telling the two of this run."""
    told, path = json.dumps(about), folder / "models_of.json"
    if not path.exists() or path.read_text(encoding="utf-8") != told:
        for name in ("weights", "homes"):
            shutil.rmtree(folder / name, ignore_errors=True)
        path.write_text(told, encoding="utf-8")


def subset(args):
    """Make tafeng_1000 where it is missing."""
    path = args.folder / "data" / SUBSET
    if (path / f"{SUBSET}_merged.json").exists():
        return
    words = [sys.executable, ROOT / "dataset" / "tafeng" / "prepare.py", "--from", args.data / "tafeng"]
    ended = run([*words, "--output", path, "--subset", "1000", "--seed", "2"], ROOT)
    if ended.status:
        raise UserError(f"dataset/tafeng/prepare.py: {(ended.err.strip().splitlines() or ['failed'])[-1]}")


def home_of(args, side, row, source):
    """Return a side's folder for `unlearn.py`, with the model of an epoch that it starts from; made where missing.

    Raises:
        UserError: that cannot be trained.
    """
    home = args.folder / "homes" / f"{side}_{row.home.name}"
    if not list(home.glob("saved/*.pth")):
        home.mkdir(parents=True, exist_ok=True)
        settings = settings_of("CF") | {"epochs": 1, "eval_step": 0}
        (home / "settings.yaml").write_text(json.dumps(settings))
        ended = run([sys.executable, source / "run_recbole.py", *training(args.folder, row.home)], source, home)
        if ended.status:
            raise UserError(f"run_recbole.py, {row.label}: {(ended.err.strip().splitlines() or ['failed'])[-1]}")
    return home


def measured(args, side, row, source):
    """Measure a row once on a side."""
    home = home_of(args, side, row, source) if row.home else args.folder
    if row.command:
        return outcome(run(command(row, source), source, home, args.limit), args.limit, row.good)
    return measure(row.spec | {"limit": args.limit}, source, home)


# --- results ---------------------------------------------------------------------------------------------------------
def labels(row, side, times):
    """Return the labels of a row's results on a side."""
    return [f"{row.label} | {side} {at + 1}" for at in range(times)]


def over(results, row, side, times):
    """Return the results of a row on a side, those that are there."""
    return [results[label] for label in labels(row, side, times) if label in results]


def measure_rows(args, wanted, results, sources):
    """Measure what is not there, the sides in turn, a line for each row."""
    for at, row in enumerate(wanted):
        pairs = [(time, side) for time in range(args.times) for side in SIDES]
        missing = [(t, side) for t, side in pairs if results.get(labels(row, side, args.times)[t], args.limit) is None]
        if missing:
            make_ready(args, row, sources["before"])
        for time, side in missing:
            if any(one["status"] == "timeout" for one in over(results.found, row, side, time)):
                continue
            results.put(labels(row, side, args.times)[time], measured(args, side, row, sources[side]))
        told = cells(row, results.found, args.times)
        costs = f"{told['before']} -> {told['after']} CPU s, {told['MiB before']} -> {told['MiB after']} MiB"
        ended = f", {told['outcomes']}" if told["outcomes"] else ""
        print(f"{at + 1:3}/{len(wanted)} {row.label:<45} {costs}{ended}", flush=True)


def middle(results, key="cpu"):
    """Return the median result: ``timeout`` or ``failed`` where any is, else its ``key``'s median; None of none."""
    for kind in ("failed", "timeout"):
        for result in results:
            if result["status"] == kind:
                return result
    return {"status": "done", key: statistics.median(result[key] for result in results)} if results else None


def outcomes(results):
    """Return how requests ended, such as ``9 applied, 1 diverged``; one that passed the limit is a timeout."""
    found = Counter()
    for result in results:
        found.update(result.get("outcomes", {}))
        if result["status"] != "done":
            found[result["status"]] += 1
    return ", ".join(f"{n} {kind}" for kind, n in sorted(found.items()))


def cells(row, results, times):
    """Return a row's cells, of both tables, by column."""
    sides = {side: over(results, row, side, times) for side in SIDES}
    medians = {side: middle(sides[side]) for side in SIDES}
    told = {"work": row.label}
    told["original, as shipped"] = shown(row.original.get("shipped"))
    told["original, no anomaly mode"] = shown(row.original.get("plain"))
    told |= {side: cost(medians[side]) for side in SIDES}
    done = all(one and one["status"] == "done" for one in medians.values())
    told["ratio"] = f"{medians['before']['cpu'] / max(medians['after']['cpu'], 1e-6):.2f}" if done else ""
    for side in SIDES:
        peaks = [one["peak_mib"] for one in sides[side] if one["peak_mib"]]
        told[f"MiB {side}"] = f"{statistics.median(peaks):,.0f}" if peaks else ""
    ended = [outcomes(sides[side]) if row.spec.get("part") == "request" else "" for side in SIDES]
    told["outcomes"] = ended[0] if ended[0] == ended[1] else f"{ended[0] or '-'}; after: {ended[1] or '-'}"
    sizes = [one["megabytes"] for side in SIDES for one in sides[side] if "megabytes" in one]
    told["outcomes"] += f"{sizes[0]:,.0f} MB; after: {sizes[-1]:,.0f} MB" if sizes else ""
    return told


def tables(wanted, results, times, commit):
    """Return both tables in Markdown, and what they are of."""
    told = []
    for table, title in TITLES.items():
        made = pd.DataFrame([cells(row, results, times) for row in wanted if row.table == table])
        if len(made):
            empty = ["original, as shipped", "original, no anomaly mode"] if table == "structure" else []
            told.append(f"**{title}** (CPU seconds)\n\n{as_markdown(made.drop(columns=empty))}")
    ended = counts([one for row in wanted for side in SIDES for one in over(results, row, side, times)])
    told.append(f"Before: {commit[:10]}. Processes: {ended or 'none'}. {measured_on(results)}")
    return "\n\n".join(told)


def checkout():
    """Return the commit of this checkout and, where something is not committed, a digest of that."""
    asked = ["git", "-C", str(ROOT), "diff", "HEAD", "--", "recbole"]
    changes = subprocess.run(asked, stdout=subprocess.PIPE, check=True).stdout
    return f"{commit_of('HEAD')[:10]}{' with ' + hashlib.sha256(changes).hexdigest()[:10] if changes else ''}"


def main(argv=None):
    """Measure what is missing, print the tables, and return the exit status."""
    args = parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="speed_") as folder:
        tree = Path(folder).resolve() / "tree"
        commit = checked_out(args.revision, tree)
        if commit is None:
            raise UserError(f"there is no revision '{args.revision}'")
        wanted = rows(args)
        if not wanted:
            raise UserError(f"--only: no row has '{args.only}' in its label")
        args.folder.mkdir(parents=True, exist_ok=True)
        about = {"before": commit, "after": checkout()}
        results = Results(args.json, about, args.again)
        forget_others(args.folder, about)
        measure_rows(args, wanted, results, {"before": tree, "after": ROOT})
    text = tables(wanted, results.found, args.times, commit)
    print(f"\n{text}")
    if args.docs:
        told_in_docs(args.docs, "speed", text)
    return int(any(result["status"] == "failed" for result in results.found.values()))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"speed.py: {error}", file=sys.stderr)
        sys.exit(2)
