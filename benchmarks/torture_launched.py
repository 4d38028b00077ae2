"""Trials for `torture.py` with runs of two processes, of which one, or their launcher, gets a signal."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

FATES = ("SIGKILL", "SIGTERM", "main", "SIGINT", "SIGKILL", "SIGHUP", "other", "SIGUSR1")
"""Events: the signal that the launcher gets, or ``main`` or ``other`` if that process is killed."""


def launched(step, folder, fate, draw):
    """Start a run of two processes, disturb it, and run the same command again.

    Args:
        step: the command and its undisturbed result, a `kills.Step`.
        folder: working folder; deleted at the end.
        fate: the disturbance, one of :data:`FATES`.
        draw: random generator.

    Returns:
        The reason why the trial failed, or an empty string.
    """
    words = [sys.executable, str(Path(__file__).parents[1] / "run_recbole.py"), *step.run.words]
    words += ["--nproc", "2", "--port", "0"]
    where = {"cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, **where) as launcher:
        _wait(launcher, folder, draw)
        workers = sorted(set(running_in(folder)) - {launcher.pid})
        if fate.startswith("SIG"):
            launcher.send_signal(getattr(signal, fate))
        elif len(workers) == 2:
            with contextlib.suppress(ProcessLookupError):
                os.kill(workers[fate == "other"], signal.SIGKILL)
        try:
            _, err = launcher.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            launcher.kill()
            return f"{fate}: the launcher did not end within 60 s"
    until = time.monotonic() + 20
    while (left := running_in(folder)) and time.monotonic() < until:
        time.sleep(0.1)
    if left:
        return f"{fate}: processes {left} were still running 20 s after the launcher ended"
    number = signal.SIGKILL if not fate.startswith("SIG") else getattr(signal, fate)
    expected = {-9} if fate == "SIGKILL" else {128 + number}
    if launcher.returncode not in expected | {step.status} or "Traceback" in err:
        return f"{fate}: exit {launcher.returncode}, {err[-300:]!r}"
    again = subprocess.run(words, **where, timeout=600, check=False)
    partial = [path.name for path in folder.rglob(".*.partial")]
    shutil.rmtree(folder, ignore_errors=True)
    return "" if again.returncode == step.status and not partial else f"{fate}: exit {again.returncode}, left {partial}"


def _wait(launcher, folder, draw: random.Random):
    """Wait for a random time of up to 60 s, or until just after the first snapshot."""
    until = time.monotonic() + draw.uniform(1, 60)
    while time.monotonic() < until and launcher.poll() is None and not list(folder.glob("saved/*.resume")):
        time.sleep(0.05)
    time.sleep(draw.uniform(0, 0.3))


def running_in(folder):
    """Return the ids of all other processes whose working directory is a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if Path(os.readlink(path / "cwd")) == folder and int(path.name) != os.getpid():
                found.append(int(path.name))
    return found
