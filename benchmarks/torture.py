"""Test the programs under kills, damaged files and odd settings: no silent error, traceback, hang or excessive memory.

    python benchmarks/torture.py --out torture.jsonl --kills 200 --writers 60 --flips 400 --hostile 1000 \
        --settings 2000 --pairs 40 --full 40 --launched 16

Kinds of trials, and what has to hold in each:

kills       A training, retraining, unlearning or spam-generation run is killed with signal 9, at a random moment or at
            a random change in the file system. The same command, started again, must end like an undisturbed run, with
            byte-identical checkpoints.
pairs       As kills, but the kill is always just before a file gets its final name.
writers     The same command is started twice at the same time. Both must succeed, and leave the files of a single run.
flips       One bit of a checkpoint, a snapshot or a file in ERASE's format is flipped. Reading it must give an error or
            the original values.
hostile     A random value or random bytes of a checkpoint, the learned part of a closed-form model, a snapshot or a
            record are changed. A program that reads the file must succeed, or end with a one-line error: no signal, no
            traceback, at most 60 s, and at most 256 MiB more memory than with the intact file.
settings    Odd values in settings files, on the command line or in the environment, or files that are no settings. The
            run must succeed, or end with a one-line error. Twenty trials share a process.
full        The file system becomes full at a random moment. The run must end with a one-line error and exit status 2,
            and succeed when there is space again. (A separate file system if mounting is permitted, otherwise a limit
            on the size of files.)
launched    In a run of two processes, the launcher gets a signal, or one process is killed. All processes must end with
            the exit status for that signal, and the same command must succeed afterwards.

The data is small (`same_bits_runs.py`). Most trials run in forked children of this process, which has imported
everything. The random numbers of a trial depend on --seed, its kind and its number. Each trial is a line in --out; only
trials that are not in the file are run. Needs Linux. Exit status: 0 everything held, 1 some trial failed.
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
"""Kind of trial to the default number of trials."""

MODELS = ("BPR", "SimRec", "EASE", "GRU4Rec")
MOST_SECONDS, MOST_MIB = 60, 256
"""Limits of a trial of the kinds `hostile` and `settings`: seconds, and additional memory in MiB."""

FRAUD = Run("spam", "", "make", (
    *("--dataset", "tiny", "--task_type", "CF", "--config_files", "tiny.yaml", "--seed", "2", "--spam"),
    *("--unlearning_fraction", "0.1", "--n_target_items", "2"),
))  # fmt: skip
OUR_FOLDERS = ("saved", "dataset", "log")


class Place:
    """The folders of all trials, and the undisturbed runs that the trials are compared with.

    Args:
        home: empty folder for everything.
        models: names of the models that are trained; BPR must be one of them.

    Attributes:
        n: number of folders created so far.
        mounts: whether this process may mount file systems.
        settled: number of a batch's first setting to the reasons of its failures, see `torture_settings.tried`.
    """

    def __init__(self, home, models=MODELS):
        self.home, self.models = home, models
        furnish(home / "warm", "CF", rounding=False)
        with contextlib.chdir(home / "warm"):
            call(kills.runs_of("BPR")[0])  # a warm-up run imports everything
        self.n, self.mounts, self.settled = 0, may_mount(), {}

    @cached_property
    def plain(self):
        """The path of a folder that contains only the data."""
        furnish(self.home / "plain", TASKS["BPR"], rounding=False)
        return self.home / "plain"

    @cached_property
    def steps(self):
        """The commands to disturb, a list of `kills.Step` with the results of undisturbed runs."""
        found = [step for model in self.models for step in kills.undisturbed(model, self.home)]
        made = self.home / "spam"
        furnish(made / "0", TASKS["BPR"], rounding=False)
        shutil.copytree(made / "0", made / "1")
        ended = kills.life(FRAUD, made / "1")
        return [*found, kills.Step(FRAUD, made / "0", made / "1", ended.seconds, ended.status)]

    @cached_property
    def subjects(self):
        """The files to damage, a list of `torture_hostile.Subject`."""
        return [make(self) for make in SUBJECTS]

    def copy(self, folder):
        """Copy a folder; return the path of the copy."""
        self.n += 1
        return Path(shutil.copytree(folder, self.home / "tried" / str(self.n)))

    def new(self):
        """Return the path of a folder that does not exist yet."""
        self.n += 1
        (self.home / "tried").mkdir(exist_ok=True)
        return self.home / "tried" / str(self.n)


# --- children of this process -----------------------------------------------------------------------------------------
EVENTS = ("os.rename", "os.remove", "os.mkdir", "open")
"""Python's audit events for changes to the file system."""


def changes(run, folder, at=None, events=EVENTS):
    """Run a command in a child process, and kill it at one of its changes to the file system.

    Args:
        run: the command, a `same_bits_runs.Run`.
        folder: working folder.
        at: number of the change, from 0, just before which the child is killed with signal 9; None: never.
        events: audit events that count as changes, if they concern OUR_FOLDERS.

    Returns:
        The number of changes if the command ended by itself, otherwise the negative number of the signal.
    """
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
    """Call a function in a child process.

    Args:
        work: function without arguments that returns an exit status.
        seconds: seconds after which the child is ended with SIGALRM.

    Returns:
        ``(status, err, mib)``: exit status or negative number of a signal, text on the standard error stream, and peak
        memory in MiB.
    """
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


# --- kinds: each returns the reason why the trial failed, or an empty string ------------------------------------------
def try_kills(place, draw, number):
    """Kill a command, and run it again to its end."""
    step, folder = place.steps[number % len(place.steps)], place.new()
    if number // len(place.steps) % 2:
        reason = "; ".join(kills.trial(step, folder, draw.uniform(0, kills.LATE))[1].found[:3])
        return reason or _other_bytes(step.left, folder)
    return _killed_at_a_change(place, step, draw, EVENTS)


def try_pairs(place, draw, number):
    """Kill a command just before it renames a file to its final name, and run it again to its end."""
    return _killed_at_a_change(place, place.steps[number % len(place.steps)], draw, ("os.rename",))


def _killed_at_a_change(place, step, draw, events):
    folder, total = place.new(), changes(step.run, place.copy(step.found), events=events)
    shutil.copytree(step.found, folder)
    changes(step.run, folder, draw.randrange(max(total, 1)), events)
    reason = "; ".join(_left(step, folder, kills.life(step.run, folder)).found[:3])
    return reason or _other_bytes(step.left, folder)


def _left(step, folder, last):
    """Return the differences between the files in a folder and those of the undisturbed run."""
    result = Differences()
    result.values("status", step.status, last.status)
    for side in (step.left, folder):
        for path in side.rglob("*.log"):
            path.unlink()
    result.folders(step.left, folder)
    return result


def _other_bytes(left, folder):
    """Return a text that names the first checkpoint whose bytes differ, or an empty string."""
    for path in left.rglob("*.pth"):
        if path.read_bytes() != (folder / path.relative_to(left)).read_bytes():
            return f"{path.name}: bytes differ from those of the undisturbed run"
    return ""


def try_writers(place, draw, number):
    """Start a command twice at the same time."""
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
        return f"exit status {sorted(statuses)} instead of {step.status}"
    one = place.copy(step.left)
    for side in (one, folder):  # the process that waited only evaluates, and its result has no validation rows
        (side / "result.json").unlink(missing_ok=True)
    found = _left(step._replace(left=one), folder, kills.Ended(step.status, 0.0, False)).found
    return "; ".join(found[:3]) or _other_bytes(step.left, folder)


def try_flips(place, draw, number):
    """Flip one bit of a file, and read it."""
    subject = [one for one in place.subjects if one.is_archive][number % sum(one.is_archive for one in place.subjects)]
    path = place.copy(subject.folder) / subject.name
    path.with_suffix(".json").unlink(missing_ok=True)  # its checksum would reveal the change immediately
    before = load_checkpoint(path)
    path.write_bytes(flipped(path.read_bytes(), draw))
    try:
        return "" if same_values(load_checkpoint(path), before) else f"{subject.name}: values changed without an error"
    except UserError as error:
        return "" if "\n" not in str(error) else f"error message of more than one line: {error}"


def try_hostile(place, draw, number):
    """Change a random part of a file, and run a program that reads it."""
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
    """Run a training with odd settings."""
    from torture_settings import tried

    return tried(place, draw.seed_of, number)


def try_full(place, draw, number):
    """Run a command on a file system that becomes full, and again with enough space."""
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
    """Start a run of two processes, and send a signal to one of them or to their launcher."""
    step = place.steps[0]
    return launched(step, place.copy(step.found), FATES[number % len(FATES)], draw)


def parse_args(argv):
    """Return the command-line arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for kind, usual in KINDS.items():
        parser.add_argument(f"--{kind}", type=int, default=usual, metavar="N", help=f"trials (default: {usual})")
    parser.add_argument("--only", nargs="+", choices=MODELS, default=MODELS, help="only these models, including BPR")
    parser.add_argument("--seed", type=int, default=1, help="random seed (default: 1)")
    parser.add_argument("--out", type=Path, help="JSON-lines file of results; trials in the file are not run again")
    return parser.parse_args(argv)


def main(argv=None):
    """Run all trials, and print how many held; return the exit status."""
    args = parse_args(argv)
    os.environ.setdefault("ERASE_SNAPSHOT_SECONDS", "0.1")
    torch.set_num_threads(1)  # forked children do not inherit threads, and would wait for them forever
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
    print(f"{sum(held.values())} of {sum(tried.values())} held; peak memory of this process: "
          f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB")  # fmt: skip
    return 0 if held == tried else 1


if __name__ == "__main__":
    sys.exit(main())
