"""Does a run that is killed with signal 9, and given again, leave the bits of a run that nobody disturbed?

    python benchmarks/kills.py --kills 30 --seed 1

BPR, GRU4Rec and DNNTSP, on the small data of `same_bits_runs.py`: a base model, the model retrained without the whole
forget set with its weights at the base's epoch, and an unlearning run. Each is run once undisturbed. Then, so many
times in all, a run is started on what it found, killed at a moment that is uniform over the CPU seconds that it took
undisturbed (and a twentieth more, so that some kills come too late), and the same command is given again. What is there
then is compared with what the undisturbed run left, names and all: each tensor to the bit, records and result rows but
for times, the outcomes of requests, tables and arrays. A run that is killed on a snapshot has to go on from it.

A run is a child of this process, which has imported everything: the moments lie in the run, not in its imports. Pauses
between snapshots are short, so that there are some; --pause 0 takes one whenever one can be taken, so that kills hit
the writing too. Linux alone. Exit status: 0 all the same, 1 something differs.
"""

import argparse
import collections
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from same_bits_differences import Differences
from same_bits_runs import TASKS, call, furnish, matrix

EPOCHS = {"BPR": 60, "GRU4Rec": 20, "DNNTSP": 40, "SimRec": 15, "EASE": 1}
"""How long each model is trained: about a second; not so EASE, which is fitted."""

ALGORITHMS = {"BPR": "gif", "GRU4Rec": "ceu", "DNNTSP": "scif", "SimRec": "scif", "EASE": "exact"}
USUAL = ("BPR", "GRU4Rec", "DNNTSP")
"""What each model is unlearned by."""

PLACES = ("before the first snapshot", "between snapshots", "after a model was written", "after completion")
"""Where a kill can hit a run, by what it has left."""

LATE = 1.05
"""Moments are uniform up to so many times what the undisturbed run took."""


class Step(NamedTuple):
    """One command.

    Attributes:
        run: the :class:`~same_bits_runs.Run`.
        found: the folder as the command finds it.
        left: the folder as the undisturbed run leaves it.
        seconds: CPU seconds that it took.
        status: its exit status.
    """

    run: object
    found: Path
    left: Path
    seconds: float
    status: int


class Ended(NamedTuple):
    """How a run ended: its exit status, minus the signal that killed it; its CPU seconds; whether it went on."""

    status: int
    seconds: float
    resumed: bool


def runs_of(model):
    """Return the commands of a model: base, retraining, unlearning."""
    found = {run.label: run for run in matrix([model], rounding=False)}
    training = ("--epochs", str(EPOCHS[model]), "--stopping_step", "1000")
    runs = [found[f"{model} sensitive {name}"] for name in ("base", "retrained 3", ALGORITHMS[model])]
    return [run._replace(words=run.words + training) if run.program == "train" else run for run in runs]


def life(run, folder, seconds=None):
    """Run a command in a child of this process, in a folder.

    Args:
        run: the command.
        folder: where.
        seconds: CPU seconds after which it is killed; None: never.

    Returns:
        :class:`Ended`.
    """
    goes_on = folder.with_name(f"{folder.name}.goes_on")
    goes_on.unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            os.chdir(folder)
            told = call(run)
            if told["resumed"]:
                goes_on.touch()
            status = told["status"]
        finally:
            os._exit(status)
    ended = os.WEXITED | os.WNOWAIT | os.WNOHANG
    while seconds is not None and not os.waitid(os.P_PID, pid, ended):
        if cpu_seconds(pid) >= seconds:
            os.kill(pid, signal.SIGKILL)
            break
        time.sleep(0.001)
    _, status, usage = os.wait4(pid, 0)
    return Ended(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, goes_on.exists())


def cpu_seconds(pid):
    """Return the CPU seconds of a child that this process has not waited for; infinity of one that has ended."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # how Linux names the CPU clock of a process
    except OSError:
        return float("inf")


def undisturbed(model, work):
    """Run the commands of a model and return the steps, each a :class:`Step`."""
    steps, found = [], work / model / "0"
    furnish(found, TASKS[model], rounding=False)
    for at, run in enumerate(runs_of(model), start=1):
        left = work / model / str(at)
        shutil.copytree(found, left)
        ended = life(run, left)
        steps.append(Step(run, found, left, ended.seconds, ended.status))
        found = left
    return steps


def place_of(status, found, folder):
    """Return which of :data:`PLACES` a kill hit.

    Args:
        status: of the run: minus the signal, or how it ended before.
        found: the folder as the run found it.
        folder: as it left it.
    """
    if status >= 0:
        return PLACES[3]
    snapshots, models = ({path.name for path in (folder / "saved").rglob(f"*{end}")} for end in (".resume", ".pth"))
    new = models - {path.name for path in (found / "saved").rglob("*.pth")}
    if not snapshots:
        return PLACES[3] if new else PLACES[0]
    return PLACES[2] if new else PLACES[1]


def compared(step, folder, ended, place):
    """Return the :class:`~same_bits_differences.Differences` of a second life's folder from the undisturbed run's.

    Args:
        step: the command.
        folder: where it was run twice.
        ended: how the second life :class:`Ended`.
        place: which of :data:`PLACES` the first one's kill hit.
    """
    result = Differences()
    result.values("status", step.status, ended.status)
    result.values("went on from a snapshot", place in PLACES[1:3], ended.resumed)
    for side in (step.left, folder):
        for path in side.rglob("*.log"):  # tells times on every line
            path.unlink()
    result.folders(step.left, folder)
    return result


def trial(step, folder, moment):
    """Kill a run and give its command again.

    Args:
        step: the command.
        folder: to run it in; made here.
        moment: when it is killed, as a share of what the undisturbed run took.

    Returns:
        ``(place, differences)``: which of :data:`PLACES` was hit, and :class:`Differences`.
    """
    shutil.copytree(step.found, folder)
    place = place_of(life(step.run, folder, moment * step.seconds).status, step.found, folder)
    return place, compared(step, folder, life(step.run, folder), place)


def parse_args(argv):
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30, help="how many, over all commands (default: 30)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default: 1)")
    parser.add_argument("--only", nargs="+", choices=list(EPOCHS), default=list(USUAL), help="these models")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between snapshots (default: 0.1)")
    return parser.parse_args(argv)


def main(argv=None):
    """Kill, resume, compare; return the exit status."""
    args = parse_args(argv)
    os.environ["ERASE_SNAPSHOT_SECONDS"] = str(args.pause)
    draw, hit, differ = random.Random(args.seed), collections.Counter(), 0
    with tempfile.TemporaryDirectory(prefix="kills_") as work:
        home = Path(work).resolve()
        furnish(home / "warm", "CF", rounding=False)
        with contextlib.chdir(home / "warm"):
            call(runs_of("BPR")[0])  # imports everything
        steps = [step for model in args.only for step in undisturbed(model, home)]
        for step in steps:
            print(f"{step.run.label}: {step.seconds:.1f} s, exit {step.status}", flush=True)
        for at in range(args.kills):
            step, moment = steps[at % len(steps)], draw.uniform(0, LATE)
            place, result = trial(step, home / "killed" / str(at), moment)
            hit[place] += 1
            differ += bool(result.found)
            verdict = "DIFFERENT" if result.found else "same"
            print(f"{at + 1:3} {step.run.label:<28} killed at {moment:4.0%}, {place}: {verdict} "
                  f"({result.tensors} tensors, {result.rows} rows)", flush=True)  # fmt: skip
            for line in result.found[:5]:
                print(f"        {line}")
    print(f"{args.kills} kills: {', '.join(f'{hit[place]} {place}' for place in PLACES)}; {differ} differ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
