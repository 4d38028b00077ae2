"""What `scale.py` and `speed.py` share: parts that run in processes of their own, results that are kept, tables."""

import json
import math
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from revisions import ROOT, commit_of, environment

from recbole.utils import UserError, write_json
from recbole.utils.files import atomic_write

PARTS = Path(__file__).with_name("parts.py")
WEEK = 7 * 86400
"""In seconds."""

PATIENCE = 20
"""A process is ended after so many times its limit of CPU seconds by the clock, and an hour: it hangs."""


class Ended(NamedTuple):
    """How a process ended: its exit status (minus the signal that killed it), costs, and what it wrote."""

    status: int
    cpu: float
    wall: float
    peak_mib: float
    out: str
    err: str


def run(words, source, cwd=None, limit=None, patience=None):
    """Run a command to its end on the ``recbole`` of a tree, with one thread.

    Args:
        words: the command line.
        source: the tree.
        cwd: the folder to run it in.
        limit: CPU seconds after which the system ends it; None for none.
        patience: wall seconds after which it is killed; None for a week.

    Returns:
        :class:`Ended`; CPU seconds are user and system time, with those of its own children that it waited for.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began = time.perf_counter()
        words = ["sh", "-c", f'ulimit -S -t {math.ceil(limit)}; exec "$@"', "sh", *words] if limit else words
        process = subprocess.Popen(list(map(str, words)), cwd=cwd, env=environment(source), stdout=out, stderr=err)
        alarm = threading.Timer(patience or WEEK, os.kill, (process.pid, signal.SIGKILL))
        alarm.daemon = True
        alarm.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            alarm.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - began
        for file in (out, err):
            file.seek(0)
        told = out.read(), err.read()
    return Ended(process.returncode, usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024, *told)


def measure(spec, source=ROOT, cwd=None):
    """Run one part of `parts.py` in a process of its own.

    Args:
        spec: the part and its settings; ``limit`` is in CPU seconds.
        source: the tree whose ``recbole`` it imports.
        cwd: the folder to run it in.

    Returns:
        What the part told (``cpu``, ``wall``, ``peak_mib``, ...) under ``status`` ``done``; or ``timeout`` with the
        limit that was passed, or ``failed`` with the last line of its error stream.
    """
    words = [sys.executable, PARTS, json.dumps(spec, default=str)]
    ended = run(words, source, cwd, patience=PATIENCE * spec["limit"] + 3600)
    found = outcome(ended, spec["limit"])
    return found | json.loads(ended.out.splitlines()[-1]) if found["status"] == "done" else found


def outcome(ended, limit, good=(0,)):
    """Return the result of a process: its costs, or that it passed its limit, or why it failed.

    Args:
        ended: how it ended.
        limit: CPU seconds that it had.
        good: exit statuses of success.
    """
    if ended.status in (-signal.SIGXCPU, 128 + signal.SIGXCPU) or (
        ended.status == -signal.SIGKILL and ended.cpu > limit
    ):
        return {"status": "timeout", "limit": limit, "cpu": None, "wall": ended.wall, "peak_mib": ended.peak_mib}
    if ended.status not in good:
        reason = (ended.err.strip().splitlines() or ["no output"])[-1]
        if ended.status == -signal.SIGKILL:
            reason = f"killed, of {ended.peak_mib:.0f} MiB, after {ended.wall:.0f} s"
        return {"status": "failed", "reason": reason, "cpu": None, "wall": ended.wall, "peak_mib": ended.peak_mib}
    return {"status": "done", "limit": limit, "cpu": ended.cpu, "wall": ended.wall, "peak_mib": ended.peak_mib}


class Results:
    """Results by label, in a JSON file that is written after each; what is there is not measured again.

    Args:
        path: of the file, or None.
        about: what must be the same for a result to be taken from the file, such as the revision.
        again: measure everything anew.

    Raises:
        UserError: the file holds results of something else.
    """

    def __init__(self, path, about, again=False):
        self.path, self.about, self.found = path, about, {}
        if path and path.exists() and not again:
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["about"] != about:
                raise UserError(f"{path} holds results of {kept['about']}, not of {about}; --again replaces them")
            self.found = kept["results"]

    def get(self, label, limit):
        """Return the result of a label, or None where it is to be measured: never, failed, or with a lower limit."""
        kept = self.found.get(label)
        if kept is None or kept["status"] == "failed" or (kept["status"] == "timeout" and kept["limit"] < limit):
            return None
        return kept

    def put(self, label, result):
        """Keep the result of a label, with when and on what it was measured."""
        self.found[label] = result | machine()
        if self.path:
            write_json(self.path, {"about": self.about, "results": self.found})


def machine():
    """Return when and on what something was measured, and of which commit the checkout is."""
    return {
        "measured": datetime.now(UTC).isoformat(timespec="minutes"),
        "python": platform.python_version(),
        "processor": _processor(),
        "checkout": (commit_of("HEAD") or "unknown")[:10],
    }


def measured_on(results):
    """Return a sentence about when, on what and at which commit some results (label to result) were measured."""
    found = {(one["measured"][:10], one["processor"], one["checkout"]) for one in results.values()}
    return f"Measured: {'; '.join(f'{day}, {on}, commit {at}' for day, on, at in sorted(found)) or 'not yet'}."


def _processor():
    """Return the processor's name, or its architecture."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        told = ""
    name = re.search(r"model name\s*:\s*(.+)", told)
    return name.group(1) if name else platform.machine()


def shown(seconds):
    """Return seconds as they stand in a table: with two digits, from ten on whole."""
    if seconds is None:
        return ""
    return f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.2g}"


def cost(result, key="cpu"):
    """Return a cell: the seconds, ``> limit``, the reason of a failure, or nothing where it was not measured."""
    if result is None:
        return ""
    if result["status"] == "timeout":
        return f"> {shown(result['limit'])}"
    return f"failed: {result['reason']}" if result["status"] == "failed" else shown(result.get(key))


def counts(results):
    """Return how the parts ended, such as ``40 done, 2 timeout``; all three are told where they occur."""
    ended = [result["status"] for result in results if result is not None]
    return ", ".join(f"{ended.count(kind)} {kind}" for kind in ("done", "timeout", "failed") if kind in ended)


def told_in_docs(path, section, text):
    """Write a text between a page's two comments of a section, ``<!-- section: begin -->`` and ``... end -->``.

    Raises:
        UserError: the page cannot be read or lacks one of them.
    """
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    try:
        page = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise UserError(f"{path}: has no '{begin}' with '{end}' after it")
    with atomic_write(path) as file:
        file.write(f"{before}{begin}\n{text.strip()}\n{end}{after}")
