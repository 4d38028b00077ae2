"""Check whether a change altered any number: compare small runs on another revision and on this checkout, bit by bit.

    python benchmarks/same_bits.py HEAD~1
    python benchmarks/same_bits.py main --only LightGCN DNNTSP --json differences.json
    python benchmarks/same_bits.py main --rounding

Nine models (for CF, SBR and NBR) are trained, retrained (for checkpoints 0 and 3) and unlearned with every algorithm
that both revisions have, with sensitive items and with spam, on small generated data. If an algorithm rejects a model,
both revisions must print the same message. For each task, one training and one unlearning run are killed at a snapshot
and resumed; their results must equal those of the undisturbed runs.

The script compares the files of a run: names, every tensor of every checkpoint, result rows, outcomes of requests, and
tables and arrays under log/. It also compares the exit status, the last line on the standard error stream, and the
result lines of the log. It ignores times, and fields that only one revision writes. The checkout includes uncommitted
changes.

Values must be equal bit by bit. With --rounding, a tensor may differ by 1e-4 of its largest absolute value, and another
non-integer number x by 1e-3 max(1, |x|). Then only one epoch is trained and three requests are made, so that rounding
errors do not grow, and no training is killed. A difference in one algorithm only is caused by this algorithm; a
difference in every run of a model is caused by its training.

Older revisions store the whole item-by-item gate of Sets2Sets. They start from the same weights as this checkout, and
the gate is compared at the entries that this checkout stores (`same_bits_gate.py`).

Exit status: 0 no differences, 1 something differs or a side ended early, 2 the revision does not exist.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from revisions import ROOT, checked_out, environment
from same_bits_differences import Differences
from same_bits_runs import ALGORITHMS, TASKS, furnish, matrix

SIDE = Path(__file__).with_name("same_bits_runs.py")
SHOWN = 5
"""Number of differences printed per run; ``--json`` writes all."""


def in_both(tree):
    """Return the names of the algorithms that both this checkout and the other revision (the folder `tree`) have."""
    return [name for name in ALGORITHMS if (tree / f"recbole/unlearning/algorithms/{name}.py").exists()]


def start(source, home, inputs, args, algorithms):
    """Start `same_bits_runs.py` for one side, and return the process; it prints one line of JSON per run.

    Args:
        source: folder of the revision whose ``recbole`` is imported.
        home: new folder in which the runs take place.
        inputs: folder with the data of each task.
        args: command-line arguments.
        algorithms: names of the algorithms to run.
    """
    home.mkdir()
    words = [sys.executable, str(SIDE), str(home), str(inputs), "--only", *args.only]
    words += ["--algorithms", *algorithms]
    return subprocess.Popen(
        [*words, *(["--rounding"] if args.rounding else [])],
        cwd=home, env=environment(source),
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def compare(run, at, homes, endings, wholes, rounding):
    """Compare a run on both sides; a run that was killed and resumed is also compared with its undisturbed run.

    Args:
        run: the :class:`~same_bits_runs.Run`.
        at: its position in the list of runs.
        homes: folders of the two sides, the other revision first.
        endings: what :func:`same_bits_runs.call` returned on each side.
        wholes: label of each earlier run to its position and its ending on this checkout.
        rounding: see :class:`Differences`.

    Returns:
        The :class:`Differences`.
    """
    result = Differences(rounding)
    folders = [home / "runs" / str(at) for home in homes]
    result.endings(*endings)
    result.folders(*folders)
    if run.whole:
        for side, ending in zip(("before", "now"), endings, strict=True):
            if not (ending["killed"] and ending["resumed"]):
                result.add(side, "was not killed at a snapshot and resumed")
        number, ending = wholes[run.whole]
        undisturbed = Differences()
        undisturbed.endings(ending, endings[1] | {"gone": ending["gone"]})
        undisturbed.folders(homes[1] / "runs" / str(number), folders[1])
        result.found += [f"differs from the undisturbed run: {line}" for line in undisturbed.found]
    return result


def compared(runs, sides, homes, rounding):
    """Compare each run when both sides have finished it, and print a line.

    Returns:
        List of dictionaries with the label, the differences and counts of each run; shorter than `runs` if a side
        ended early.
    """
    found, wholes = [], {}
    for at, run in enumerate(runs):
        lines = [side.stdout.readline() for side in sides]
        if not all(lines):
            break
        endings = [json.loads(line) for line in lines]
        wholes[run.label] = at, endings[1]
        result = compare(run, at, homes, endings, wholes, rounding)
        about = f"status {endings[1]['status']}, {result.tensors} tensors, {result.rows} rows"
        about += f", {result.applied} requests applied" if run.program == "unlearn" else ""
        verdict = f"{len(result.found)} DIFFERENCES" if result.found else "same"
        seconds = "/".join(f"{ending['seconds']:.1f}" for ending in endings)
        print(f"{at + 1:3}/{len(runs)} {run.label:<30} {verdict} ({about}, {seconds} s)", flush=True)
        for line in result.found[:SHOWN]:
            print(f"        {line}", flush=True)
        if len(result.found) > SHOWN:
            print(f"        and {len(result.found) - SHOWN} more", flush=True)
        found.append({"run": run.label, "differences": result.found, "tensors": result.tensors, "rows": result.rows,
                      "applied": result.applied, "status": endings[1]["status"]})  # fmt: skip
    return found


def parse_args(argv=None):
    """Return the command-line arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", help="revision to compare this checkout with: a commit, a branch, HEAD~1")
    parser.add_argument("--rounding", action="store_true", help="allow differences due to rounding")
    parser.add_argument("--only", nargs="+", metavar="MODEL", choices=list(TASKS), default=list(TASKS),
                        help=f"run only these models: {', '.join(TASKS)}")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every difference of every run to this file")
    return parser.parse_args(argv)


def main(argv=None):
    """Run both sides, compare them, and return the exit status."""
    args, began = parse_args(argv), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="same_bits_") as folder:
        work = Path(folder).resolve()
        commit = checked_out(args.revision, work / "tree")
        if commit is None:
            print(f"same_bits.py: there is no revision '{args.revision}'", file=sys.stderr)
            return 2
        tried = in_both(work / "tree")
        runs, homes = matrix(args.only, args.rounding, tried), [work / "before", work / "now"]
        for task in {TASKS[model] for model in args.only}:
            furnish(work / "inputs" / task, task, args.rounding)
        sources = zip((work / "tree", ROOT), homes, strict=True)
        sides = [start(source, home, work / "inputs", args, tried) for source, home in sources]
        try:
            found = compared(runs, sides, homes, args.rounding)
        finally:
            for side in sides:
                side.terminate()
                side.wait()
    seconds = time.perf_counter() - began
    differ = sum(bool(run["differences"]) for run in found)
    if args.json:
        told = {"revision": args.revision, "commit": commit, "rounding": args.rounding, "seconds": round(seconds)}
        told |= {"complete": len(found) == len(runs), "compared": len(found), "differ": differ, "runs": found}
        args.json.write_text(json.dumps(told, indent=1) + "\n")
    print(f"{commit[:10]} and this checkout: {len(found)} runs compared, {differ} differ, {seconds:.0f} s")
    if len(found) < len(runs):
        print(f"same_bits.py: a side ended early, in the run '{runs[len(found)].label}'", file=sys.stderr)
    return 1 if differ or len(found) < len(runs) else 0


if __name__ == "__main__":
    sys.exit(main())
