"""Whether a change moved any number: a matrix of small runs on another revision and on this checkout, compared.

    python benchmarks/same_bits.py HEAD~1
    python benchmarks/same_bits.py main --only LightGCN DNNTSP --json differences.json
    python benchmarks/same_bits.py main --rounding

Nine models (CF, SBR, NBR) are trained, retrained (0 and 3) and unlearned by every algorithm that both
revisions have, with sensitive items and with spam, on small data that are made here; a pair that is refused is to be
refused in the same words. Of each task one training and one unlearning are killed at a snapshot and resumed; they have
to end with the bits of those that were not.

A run's files are compared: their names, each tensor of each checkpoint, result rows, outcomes of the requests, tables
and arrays under log/; so are its exit status, its last line on the standard error stream and the result lines of its
log. Times are not, nor what one revision tells and the other does not. The checkout is taken as it lies, with what is
not committed.

Equal means equal to the bit. With --rounding a tensor may differ by 1e-4 of its largest absolute value, and another
number by 1e-3 (of itself, above one); one epoch is trained and three requests are made, so that rounding is not
amplified, and no training is killed. A bit that differs in one algorithm alone is in that algorithm; one in every run
of a model is in its training.

A revision that stores the whole gate of Sets2Sets begins with the weights that this checkout draws; what becomes of it
is compared where this checkout stores it (`same_bits_gate.py`).

Exit status: 0 all the same, 1 something differs or a side ended early, 2 no such revision.
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
"""Differences of a run that are printed; ``--json`` writes all."""


def in_both(tree):
    """Return the algorithms of this checkout that the tree of the other revision has too."""
    return [name for name in ALGORITHMS if (tree / f"recbole/unlearning/algorithms/{name}.py").exists()]


def start(source, home, inputs, args, algorithms):
    """Start the runs of one side on a checkout's ``recbole``; their endings come from its standard output."""
    home.mkdir()
    words = [sys.executable, str(SIDE), str(home), str(inputs), "--only", *args.only]
    words += ["--algorithms", *algorithms]
    return subprocess.Popen(
        [*words, *(["--rounding"] if args.rounding else [])],
        cwd=home, env=environment(source),
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def compare(run, at, homes, endings, wholes, rounding):
    """Return the :class:`Differences` of a run on two sides, and of a resumed one from the one that nobody killed.

    Args:
        run: the run.
        at: its number.
        homes: the folders of the two sides.
        endings: how the run ended on each.
        wholes: number and ending, on this checkout, of each earlier run, by its label.
        rounding: see :class:`Differences`.
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
        result.found += [f"unlike the run that nobody killed: {line}" for line in undisturbed.found]
    return result


def compared(runs, sides, homes, rounding):
    """Compare the runs as they end, and print a line for each.

    Returns:
        For each run its label and differences; fewer than there are runs, where a side ended early.
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
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", help="what to compare this checkout with: a commit, a branch, HEAD~1")
    parser.add_argument("--rounding", action="store_true", help="allow differences of rounding")
    parser.add_argument("--only", nargs="+", metavar="MODEL", choices=list(TASKS), default=list(TASKS),
                        help=f"these models alone, of {', '.join(TASKS)}")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every difference of every run to this file")
    return parser.parse_args(argv)


def main(argv=None):
    """Run both sides, compare, and return the exit status."""
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
        print(f"same_bits.py: a side ended early, in '{runs[len(found)].label}'", file=sys.stderr)
    return 1 if differ or len(found) < len(runs) else 0


if __name__ == "__main__":
    sys.exit(main())
