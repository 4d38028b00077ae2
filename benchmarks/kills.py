"""Does a run that is killed with signal 9 and started again give results bit-identical to an undisturbed run?

    python benchmarks/kills.py --kills 30 --seed 1

Each of BPR, GRU4Rec and DNNTSP, on the small data of `same_bits_runs.py`, has three commands: training the base model,
retraining without the whole forget set (which also stores the weights at the base model's epoch), and an unlearning
run. Each command is run once undisturbed. Then, in each of --kills trials, a command is started on a copy of the folder
as it was before the undisturbed run, killed at a random moment, and given again. The moment is uniform between 0 and
105 % of the CPU seconds of the undisturbed run, so that some kills come after completion. The files in the folder are
then compared with those of the undisturbed run: file names, tensors (bit by bit), records and result rows except times,
outcomes of requests, tables and arrays. A run that was killed after it had written a snapshot must resume from it.

Each run is a forked child of this process, which has already imported everything, so kills hit the run and not its
imports. The pauses between snapshots are short (--pause), so that runs write several. With --pause 0 a snapshot is
written at every opportunity, so that kills also hit the writing. Works only on Linux. Exit status: 0 if all results
are identical, 1 if any differ.
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
"""Number of training epochs by model, about one second of training; EASE is fitted in closed form."""

ALGORITHMS = {"BPR": "gif", "GRU4Rec": "ceu", "DNNTSP": "scif", "SimRec": "scif", "EASE": "exact"}
"""Model to the algorithm of its unlearning run."""

USUAL = ("BPR", "GRU4Rec", "DNNTSP")
"""The models that are run by default."""

PLACES = ("before the first snapshot", "between snapshots", "after a model was written", "after completion")
"""The stage of a run at which a kill hit it, determined from the files that it left."""

LATE = 1.05
"""The latest moment of a kill, as a multiple of the CPU seconds of the undisturbed run."""


class Step(NamedTuple):
    """A command and its undisturbed run.

    Attributes:
        run: the command, a :class:`~same_bits_runs.Run`.
        found: path of a folder with the files as they are before the command.
        left: path of a folder with the files as the undisturbed run leaves them.
        seconds: CPU seconds of the undisturbed run.
        status: exit status of the undisturbed run.
    """

    run: object
    found: Path
    left: Path
    seconds: float
    status: int


class Ended(NamedTuple):
    """How a run ended.

    Attributes:
        status: the exit status, or minus the number of the signal that killed it.
        seconds: CPU seconds.
        resumed: whether the run resumed from a snapshot.
    """

    status: int
    seconds: float
    resumed: bool


def runs_of(model):
    """Return the three commands for a model in order: training the base model, retraining, unlearning."""
    found = {run.label: run for run in matrix([model], rounding=False)}
    training = ("--epochs", str(EPOCHS[model]), "--stopping_step", "1000")
    runs = [found[f"{model} sensitive {name}"] for name in ("base", "retrained 3", ALGORITHMS[model])]
    return [run._replace(words=run.words + training) if run.program == "train" else run for run in runs]


def life(run, folder, seconds=None):
    """Run a command in a forked child process, and wait for its end.

    Args:
        run: the command.
        folder: the folder in which it runs.
        seconds: CPU seconds after which it is killed with signal 9; None: it is not killed.

    Returns:
        How the run ended, an :class:`Ended`.
    """
    goes_on = folder.with_name(f"{folder.name}.goes_on")
    goes_on.unlink(missing_ok=True)
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            os.chdir(folder)
            report = call(run)
            if report["resumed"]:
                goes_on.touch()
            status = report["status"]
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
    """Return the CPU seconds that a running child process has used; infinity if it has ended."""
    try:
        return time.clock_gettime((~pid << 3) | 2)  # Linux's id for the CPU clock of a process
    except OSError:
        return float("inf")


def undisturbed(model, work):
    """Run the commands for a model without a kill, in subfolders of ``work``; return a list of :class:`Step`."""
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
    """Return the stage at which a kill hit a run, one of :data:`PLACES`.

    Args:
        status: minus the number of the signal, or the exit status (0 or more) if the run ended before the kill.
        found: a folder with the files as they were before the run.
        folder: the folder in which it ran.
    """
    if status >= 0:
        return PLACES[3]
    snapshots, models = ({path.name for path in (folder / "saved").rglob(f"*{end}")} for end in (".resume", ".pth"))
    new = models - {path.name for path in (found / "saved").rglob("*.pth")}
    if not snapshots:
        return PLACES[3] if new else PLACES[0]
    return PLACES[2] if new else PLACES[1]


def compared(step, folder, ended, place):
    """Compare a folder after a killed run and its repetition with the folder of the undisturbed run.

    Args:
        step: the command.
        folder: the folder in which the command was killed and run again.
        ended: how the second run ended.
        place: the stage at which the first run was killed, one of :data:`PLACES`.

    Returns:
        The differences, a :class:`~same_bits_differences.Differences`.
    """
    result = Differences()
    result.values("status", step.status, ended.status)
    result.values("went on from a snapshot", place in PLACES[1:3], ended.resumed)
    for side in (step.left, folder):
        for path in side.rglob("*.log"):  # log files contain the time on every line
            path.unlink()
    result.folders(step.left, folder)
    return result


def trial(step, folder, moment):
    """Kill a run, give its command again, and compare the result with the undisturbed run.

    Args:
        step: the command.
        folder: path of the folder to run it in, which must not exist yet.
        moment: the moment of the kill, as a share of the CPU seconds of the undisturbed run.

    Returns:
        ``(place, differences)``: the stage of the kill, one of :data:`PLACES`, and a :class:`Differences`.
    """
    shutil.copytree(step.found, folder)
    place = place_of(life(step.run, folder, moment * step.seconds).status, step.found, folder)
    return place, compared(step, folder, life(step.run, folder), place)


def parse_args(argv):
    """Return the command-line arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30, help="number of kills over all commands (default: 30)")
    parser.add_argument("--seed", type=int, default=1, help="seed for the moments of the kills (default: 1)")
    parser.add_argument("--only", nargs="+", choices=list(EPOCHS), default=list(USUAL), help="only these models")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between snapshots (default: 0.1)")
    return parser.parse_args(argv)


def main(argv=None):
    """Run all commands undisturbed, then all trials, and print the results. Return the exit status."""
    args = parse_args(argv)
    os.environ["ERASE_SNAPSHOT_SECONDS"] = str(args.pause)
    draw, hit, differ = random.Random(args.seed), collections.Counter(), 0
    with tempfile.TemporaryDirectory(prefix="kills_") as work:
        home = Path(work).resolve()
        furnish(home / "warm", "CF", rounding=False)
        with contextlib.chdir(home / "warm"):
            call(runs_of("BPR")[0])  # imports all modules, so that the forked children do not
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
