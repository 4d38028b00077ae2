"""Shared by `scale.py`, `speed.py` and `formats.py`: measure in separate processes, store results, format tables."""

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
"""Seconds in a week."""

PATIENCE = 20
"""A process is killed as hanging after this multiple of its limit of CPU seconds, plus an hour, of wall time."""


class Ended(NamedTuple):
    """How a process ended.

    Attributes:
        status: the exit status, or minus the number of the signal that killed it.
        cpu: CPU seconds, user and system.
        wall: wall seconds.
        peak_mib: peak memory in MiB.
        out: its standard output.
        err: its standard error.
    """

    status: int
    cpu: float
    wall: float
    peak_mib: float
    out: str
    err: str


def run(words, source, cwd=None, limit=None, patience=None):
    """Run a command with one thread, and wait for its end.

    Args:
        words: the command line.
        source: the folder from which it imports ``recbole``.
        cwd: the folder to run it in; None: the current one.
        limit: CPU seconds after which the system stops it; None: no limit.
        patience: wall seconds after which it is killed; None: a week.

    Returns:
        :class:`Ended`. Its CPU seconds include those of child processes that the command waited for.
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
        output = out.read(), err.read()
    return Ended(process.returncode, usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024, *output)


def measure(spec, source=ROOT, cwd=None):
    """Run one part of `parts.py` in its own process.

    Args:
        spec: the part's name and settings, as JSON values; ``limit`` is in CPU seconds.
        source: the folder from which it imports ``recbole``.
        cwd: the folder to run it in; None: the current one.

    Returns:
        The dictionary of :func:`outcome`; if the part succeeded, updated with the values that it printed (``cpu``,
        ``wall``, ``peak_mib``, ...).
    """
    words = [sys.executable, PARTS, json.dumps(spec, default=str)]
    ended = run(words, source, cwd, patience=PATIENCE * spec["limit"] + 3600)
    found = outcome(ended, spec["limit"])
    return found | json.loads(ended.out.splitlines()[-1]) if found["status"] == "done" else found


def outcome(ended, limit, good=(0,)):
    """Return the result of a process as a dictionary for :class:`Results`.

    Args:
        ended: how the process ended, an :class:`Ended`.
        limit: its limit in CPU seconds.
        good: exit statuses that count as success.

    Returns:
        A dictionary with ``status`` (``done``, ``timeout`` or ``failed``), ``wall`` (seconds), ``peak_mib``, and
        ``cpu`` (seconds; None unless done). A timeout has the ``limit``, a failure the ``reason``, which is usually the
        last line of standard error.
    """
    if ended.status in (-signal.SIGXCPU, 128 + signal.SIGXCPU) or (
        ended.status == -signal.SIGKILL and ended.cpu > limit
    ):
        return {"status": "timeout", "limit": limit, "cpu": None, "wall": ended.wall, "peak_mib": ended.peak_mib}
    if ended.status not in good:
        reason = (ended.err.strip().splitlines() or ["no output"])[-1]
        if ended.status == -signal.SIGKILL:
            reason = f"killed after {ended.wall:.0f} s, peak memory {ended.peak_mib:.0f} MiB"
        return {"status": "failed", "reason": reason, "cpu": None, "wall": ended.wall, "peak_mib": ended.peak_mib}
    return {"status": "done", "limit": limit, "cpu": ended.cpu, "wall": ended.wall, "peak_mib": ended.peak_mib}


class Results:
    """Results by label. They are stored in a JSON file after each measurement, and reused in later runs.

    Args:
        path: path of the file; None: results are not stored.
        about: a dictionary of conditions (such as the revision) that stored results must share to be reused.
        again: ignore stored results.

    Raises:
        UserError: the file contains results for other conditions.
    """

    def __init__(self, path, about, again=False):
        self.path, self.about, self.found = path, about, {}
        if path and path.exists() and not again:
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["about"] != about:
                raise UserError(f"{path} contains results for {kept['about']}, not for {about}; --again replaces them")
            self.found = kept["results"]

    def get(self, label, limit):
        """Return the stored result for a label; None if it must be measured.

        It must be measured if there is none, if the last measurement failed, or if it exceeded a limit lower than
        ``limit`` CPU seconds.
        """
        kept = self.found.get(label)
        if kept is None or kept["status"] == "failed" or (kept["status"] == "timeout" and kept["limit"] < limit):
            return None
        return kept

    def put(self, label, result):
        """Store the result for a label, together with the information of :func:`machine`."""
        self.found[label] = result | machine()
        if self.path:
            write_json(self.path, {"about": self.about, "results": self.found})


def machine():
    """Return the current time (UTC), the Python version, the processor and the commit of the checkout, a dictionary."""
    return {
        "measured": datetime.now(UTC).isoformat(timespec="minutes"),
        "python": platform.python_version(),
        "processor": _processor(),
        "checkout": (commit_of("HEAD") or "unknown")[:10],
    }


def measured_on(results):
    """Return a sentence with the dates, processors and commits of some results (label to result)."""
    found = {(one["measured"][:10], one["processor"], one["checkout"]) for one in results.values()}
    return f"Measured: {'; '.join(f'{day}, {on}, commit {at}' for day, on, at in sorted(found)) or 'not yet'}."


def _processor():
    """Return the processor's name, or its architecture if the name is unknown."""
    try:
        information = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        information = ""
    name = re.search(r"model name\s*:\s*(.+)", information)
    return name.group(1) if name else platform.machine()


def shown(seconds):
    """Return seconds as text for a table: two significant digits below ten, integers from ten on, empty for None."""
    if seconds is None:
        return ""
    return f"{seconds:,.0f}" if seconds >= 10 else f"{seconds:.2g}"


def cost(result, key="cpu"):
    """Return the text of a table cell for a result.

    Args:
        result: a dictionary of :func:`outcome`, or None if it was not measured, which gives an empty cell.
        key: the key of the seconds to show. A timeout is shown as ``> limit``, a failure with its reason.
    """
    if result is None:
        return ""
    if result["status"] == "timeout":
        return f"> {shown(result['limit'])}"
    return f"failed: {result['reason']}" if result["status"] == "failed" else shown(result.get(key))


def counts(results):
    """Return the number of results by status as text, such as ``40 done, 2 timeout``; zeros are left out."""
    ended = [result["status"] for result in results if result is not None]
    return ", ".join(f"{ended.count(kind)} {kind}" for kind in ("done", "timeout", "failed") if kind in ended)


def told_in_docs(path, section, text):
    """Replace the text between the two comments ``<!-- section: begin -->`` and ``<!-- section: end -->`` of a page.

    Args:
        path: path of the Markdown page.
        section: name of the section in the comments.
        text: the new text.

    Raises:
        UserError: the page cannot be read, or lacks one of the comments.
    """
    begin, end = f"<!-- {section}: begin -->", f"<!-- {section}: end -->"
    try:
        page = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise UserError(f"{path} lacks the line '{begin}', or the line '{end}' after it")
    with atomic_write(path) as file:
        file.write(f"{before}{begin}\n{text.strip()}\n{end}{after}")
