"""Is anything wrong silently, a traceback, a hang or a waste of memory when runs are killed and files are changed?

    python benchmarks/torture.py --out torture.jsonl --kills 200 --writers 60 --flips 400 --hostile 1000 \
        --settings 2000 --pairs 40 --full 40 --launched 16

kills       a base, a retraining, an unlearning run or the making of spam is killed with signal 9, at a random moment or
            at a random change in the file system (between the two files of a pair, say), and the same command is
            given again: it ends as an undisturbed run does, with the bytes of its checkpoints
writers     the same command is given twice at once: both end well, and leave what one would
flips       one bit of a checkpoint, a snapshot or a file as the original writes them is flipped: told, or the same
            values
hostile     a checkpoint, what a fitted model learned, a snapshot or a record is changed at a random place, or its bytes
            are, and a program is run on it: it ends with one line, or well; no signal, no traceback, at most 60 s,
            and at most 256 MiB more than with the honest file
settings    odd values in files, on the command line, in the environment, and files that are no settings: one line,
            or it runs; twenty in one process
full        the file system is full at a random moment: one line, exit 2; with room the same command ends well (a file
            system of its own where that may be mounted, else files of limited size)
launched    a run of two processes loses its launcher by signal 9, the launcher is sent another signal, or a process
            dies: all end, with the status that says so, and the same command ends well

On small data (`same_bits_runs.py`), most of it in children of this process, which has imported everything. Every trial
has its own random numbers, from --seed, its kind and its number, and one line in --out: given again with the same seed,
only what is not there is tried. Linux alone. Exit status: 0 everything held, 1 something did not.
"""

import argparse
import contextlib
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from functools import cached_property
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import kills
import torch
from same_bits_differences import Differences
from same_bits_runs import TASKS, Run, call, furnish
from torture_disks import Disk, may_mount, size_of
from torture_hostile import SUBJECTS, flipped, same_values
from torture_launched import FATES, launched

from recbole.trainer import load_checkpoint
from recbole.utils import UserError

KINDS = {
    "kills": 20, "pairs": 5, "writers": 6, "flips": 60, "hostile": 200, "settings": 100, "full": 5, "launched": 1,
}  # fmt: skip
"""What is tried, and how often by default."""

MODELS = ("BPR", "SimRec", "EASE", "GRU4Rec")
MOST_SECONDS, MOST_MIB = 60, 256
FRAUD = Run("spam", "", "make", (
    *("--dataset", "tiny", "--task_type", "CF", "--config_files", "tiny.yaml", "--seed", "2", "--spam"),
    *("--unlearning_fraction", "0.1", "--n_target_items", "2"),
))  # fmt: skip
OUR_FOLDERS = ("saved", "dataset", "log")


class Place:
    """Folders as undisturbed runs find and leave them.

    Attributes:
        home: the folder of everything.
        models: those of the commands.
        steps: the commands, each a `kills.Step`.
    """

    def __init__(self, home, models=MODELS):
        self.home, self.models = home, models
        furnish(home / "warm", "CF", rounding=False)
        with contextlib.chdir(home / "warm"):
            call(kills.runs_of("BPR")[0])  # imports everything
        self.n, self.mounts, self.settled = 0, may_mount(), {}

    @cached_property
    def plain(self):
        """A folder with the data, in which nothing was run."""
        furnish(self.home / "plain", TASKS["BPR"], rounding=False)
        return self.home / "plain"

    @cached_property
    def steps(self):
        found = [step for model in self.models for step in kills.undisturbed(model, self.home)]
        made = self.home / "spam"
        furnish(made / "0", TASKS["BPR"], rounding=False)
        shutil.copytree(made / "0", made / "1")
        ended = kills.life(FRAUD, made / "1")
        return [*found, kills.Step(FRAUD, made / "0", made / "1", ended.seconds, ended.status)]

    @cached_property
    def subjects(self):
        """What hostile files are made of, by name: `torture_hostile.Subject`."""
        return [make(self) for make in SUBJECTS]

    def copy(self, folder):
        """Return a new copy of a folder."""
        self.n += 1
        return Path(shutil.copytree(folder, self.home / "tried" / str(self.n)))

    def new(self):
        """Return the path of a folder that is not there."""
        self.n += 1
        (self.home / "tried").mkdir(exist_ok=True)
        return self.home / "tried" / str(self.n)


# --- children of this process -----------------------------------------------------------------------------------------
EVENTS = ("os.rename", "os.remove", "os.mkdir", "open")
"""What changes the file system."""


def changes(run, folder, at=None, events=EVENTS):
    """Run a command in a child that is killed at its change number ``at`` of our files; return how many it made."""
    told, pid = folder.with_name(f"{folder.name}.changes"), os.fork()
    if pid == 0:
        seen = 0

        def watch(event, arguments):
            nonlocal seen
            if event in events and (event != "open" or _writes(arguments)):
                if seen == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                seen += any(name in str(arguments[0]) for name in OUR_FOLDERS)

        try:
            os.chdir(folder)
            sys.addaudithook(watch)
            call(run)
            told.write_text(str(seen))
        finally:
            os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return int(told.read_text()) if told.exists() else status


def _writes(arguments):
    return isinstance(arguments[0], str) and bool((arguments[2] or 0) & (os.O_CREAT | os.O_WRONLY | os.O_RDWR))


def ended(work, seconds=MOST_SECONDS):
    """Call a function in a child; return what it printed on the standard error stream, how it ended, and peak MiB."""
    with tempfile.TemporaryFile("w+") as err:
        pid = os.fork()
        if pid == 0:
            status = 70
            try:
                signal.alarm(seconds)
                os.dup2(err.fileno(), 2)
                sys.stderr = os.fdopen(2, "w")
                with contextlib.redirect_stdout(io.StringIO()):
                    status = work()
            except SystemExit as stop:
                status = stop.code if isinstance(stop.code, int) else 1
            except BaseException:
                sys.excepthook(*sys.exc_info())
                status = 1
            finally:
                sys.stderr.flush()
                os._exit(status)
        _, status, usage = os.wait4(pid, 0)
        err.seek(0)
        return os.waitstatus_to_exitcode(status), err.read(), usage.ru_maxrss / 1024


# --- kinds: each returns why something did not hold, or nothing -------------------------------------------------------
def try_kills(place, draw, number):
    """Kill a command and give it again."""
    step, folder = place.steps[number % len(place.steps)], place.new()
    if number // len(place.steps) % 2:
        reason = "; ".join(kills.trial(step, folder, draw.uniform(0, kills.LATE))[1].found[:3])
        return reason or _other_bytes(step.left, folder)
    return _killed_at_a_change(place, step, draw, EVENTS)


def try_pairs(place, draw, number):
    """Kill a command when a file is about to get its place, and give it again."""
    return _killed_at_a_change(place, place.steps[number % len(place.steps)], draw, ("os.rename",))


def _killed_at_a_change(place, step, draw, events):
    folder, total = place.new(), changes(step.run, place.copy(step.found), events=events)
    shutil.copytree(step.found, folder)
    changes(step.run, folder, draw.randrange(max(total, 1)), events)
    reason = "; ".join(_left(step, folder, kills.life(step.run, folder)).found[:3])
    return reason or _other_bytes(step.left, folder)


def _left(step, folder, last):
    result = Differences()
    result.values("status", step.status, last.status)
    for side in (step.left, folder):
        for path in side.rglob("*.log"):
            path.unlink()
    result.folders(step.left, folder)
    return result


def _other_bytes(left, folder):
    for path in left.rglob("*.pth"):
        if path.read_bytes() != (folder / path.relative_to(left)).read_bytes():
            return f"{path.name}: other bytes"
    return ""


def try_writers(place, draw, number):
    """Give a command twice at once."""
    step = place.steps[number % len(place.steps)]
    folder, pids = place.copy(step.found), []
    for at in range(2):
        pids.append(os.fork())
        if pids[-1] == 0:
            status = 70
            try:
                os.chdir(folder)
                time.sleep(at * draw.uniform(0, 0.3))
                status = call(step.run)["status"]
            finally:
                os._exit(status)
    statuses = {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids}
    if statuses != {step.status}:
        return f"ended with {sorted(statuses)}, not {step.status}"
    one = place.copy(step.left)
    for side in (one, folder):  # who waited evaluates what is there, and has no validation to tell of
        (side / "result.json").unlink(missing_ok=True)
    found = _left(step._replace(left=one), folder, kills.Ended(step.status, 0.0, False)).found
    return "; ".join(found[:3]) or _other_bytes(step.left, folder)


def try_flips(place, draw, number):
    """Flip a bit of a file and read it."""
    subject = [one for one in place.subjects if one.is_archive][number % sum(one.is_archive for one in place.subjects)]
    path = place.copy(subject.folder) / subject.name
    path.with_suffix(".json").unlink(missing_ok=True)  # which would tell at once
    before = load_checkpoint(path)
    path.write_bytes(flipped(path.read_bytes(), draw))
    try:
        return (
            "" if same_values(load_checkpoint(path), before) else f"{subject.name}: other values, and nothing is told"
        )
    except UserError as error:
        return "" if "\n" not in str(error) else f"more than one line: {error}"


def try_hostile(place, draw, number):
    """Change a file at a random place and run a program on it."""
    subject = place.subjects[number % len(place.subjects)]
    folder = place.copy(subject.folder)
    told = subject.change(folder, draw)
    status, err, mib = ended(lambda: subject.run(folder))
    shutil.rmtree(folder)
    if status < 0:
        return f"{subject.name} {told}: signal {-status}"
    if status not in (0, 2, 3) or "Traceback" in err or (status == 2 and err.count("\n") != 1):
        return f"{subject.name} {told}: exit {status}, {err[-300:]!r}"
    if mib > subject.peak(place, ended) + MOST_MIB:
        return f"{subject.name} {told}: {mib:.0f} MiB"
    return ""


def try_settings(place, draw, number):
    """Run with an odd setting."""
    from torture_settings import tried

    return tried(place, draw.seed_of, number)


def try_full(place, draw, number):
    """Run a command on a file system that gets full, and again with room."""
    step, folder = place.steps[number % len(place.steps)], place.new()
    folder.mkdir()
    with Disk(folder, place.mounts) as disk:
        shutil.copytree(step.found, folder, dirs_exist_ok=True)
        disk.leave(draw.randrange(max(size_of(step.left) - size_of(step.found), 8)))
        status, err, _ = ended(lambda: _on(disk, step.run, folder))
        if status not in (2, step.status) or "Traceback" in err:
            return f"{step.run.label}: exit {status}, {err[-300:]!r}"
        disk.leave(None)
        reason = "; ".join(_left(step, folder, kills.life(step.run, folder)).found[:3])
        return f"{step.run.label}: {reason}" if reason else _other_bytes(step.left, folder)


def _on(disk, run, folder):
    disk.limit()
    os.chdir(folder)
    told = call(run)
    print(told["error"], file=sys.stderr)
    return told["status"]


def try_launched(place, draw, number):
    """Let something happen to a run of two processes."""
    step = place.steps[0]
    return launched(step, place.copy(step.found), FATES[number % len(FATES)], draw)


def parse_args(argv):
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for kind, usual in KINDS.items():
        parser.add_argument(f"--{kind}", type=int, default=usual, metavar="N", help=f"(default: {usual})")
    parser.add_argument("--only", nargs="+", choices=MODELS, default=MODELS, help="these models, BPR among them")
    parser.add_argument("--seed", type=int, default=1, help="of the random numbers (default: 1)")
    parser.add_argument("--out", type=Path, help="a file of results, one a line; what is there is not tried again")
    return parser.parse_args(argv)


def main(argv=None):
    """Try everything, and say what held; return the exit status."""
    args = parse_args(argv)
    os.environ.setdefault("ERASE_SNAPSHOT_SECONDS", "0.1")
    torch.set_num_threads(1)  # a fork has no threads that another one could wait for
    lines = args.out.read_text().splitlines() if args.out and args.out.exists() else []
    known = {(one["seed"], one["kind"], one["number"]): one["reason"] for one in map(json.loads, lines)}
    held, tried = Counter(), Counter()
    with tempfile.TemporaryDirectory(prefix="torture_") as home:
        place = Place(Path(home).resolve(), args.only)
        for kind in KINDS:
            for number in range(getattr(args, kind)):
                key = args.seed, kind, number
                if key not in known:
                    draw = random.Random(f"{key}")
                    draw.seed_of = f"{args.seed} {kind} "
                    known[key] = globals()[f"try_{kind}"](place, draw, number)
                    if args.out:
                        with open(args.out, "a", encoding="utf-8") as file:
                            found = {"seed": args.seed, "kind": kind, "number": number, "reason": known[key]}
                            file.write(json.dumps(found) + "\n")
                    if known[key]:
                        print(f"{kind} {number}: {known[key]}", flush=True)
                tried[kind] += 1
                held[kind] += not known[key]
            print(f"{kind}: {held[kind]} of {tried[kind]} held", flush=True)
    print(f"{sum(held.values())} of {sum(tried.values())} held; this process took "
          f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB at most")  # fmt: skip
    return 0 if held == tried else 1


if __name__ == "__main__":
    sys.exit(main())
