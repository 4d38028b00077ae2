"""Processes end with their launcher, and one line says why."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recbole.utils import UserError
from recbole.utils.ending import SIGNALS
from recbole.utils.launcher import launch

ROOT = Path(__file__).parents[2]
PARENT = """
import multiprocessing, os, subprocess, sys, time
from recbole.utils import launcher

def child():
    launcher.die_with_starter()
    print(os.getpid(), flush=True)
    time.sleep(100)

if __name__ == "__main__":
    if sys.argv[1] == "launched":
        code = "import os, sys, time; from recbole.utils import launcher; import ctypes\\n"
        if sys.argv[2] == "portable":
            code += "ctypes.CDLL = lambda *_, **__: (_ for _ in ()).throw(OSError())\\n"
        code += "launcher.die_with_launcher(); print(os.getpid(), flush=True); time.sleep(100)"
        subprocess.run([sys.executable, "-c", code], env=os.environ | {launcher._LAUNCHER: str(os.getpid())})
    else:
        process = multiprocessing.get_context(sys.argv[2]).Process(target=child)
        process.start()
        process.join()
"""


def is_running(pid):
    """Return whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
@pytest.mark.parametrize("how", [("launched", "linux"), ("launched", "portable"), ("starter", "forkserver")])
def test_a_worker_ends_when_its_parent_is_killed(tmp_path, how):
    (tmp_path / "parent.py").write_text(PARENT)
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py"), *how],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    ) as parent:  # fmt: skip
        worker = int(parent.stdout.readline())
        assert is_running(worker)
        parent.send_signal(signal.SIGKILL)
    until = time.monotonic() + 30
    while is_running(worker) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_running(worker)


LAUNCHED = """
import os, signal, sys, time
from pathlib import Path
from recbole.utils import UserError, launcher
from recbole.utils.ending import can_go_on_from, ended

def work():
    launcher.die_with_launcher()
    if not launcher.launched():
        return launcher.launch(2, 0, 0, "localhost", "0", sys.argv)
    rank, how = os.environ["RANK"], sys.argv[1]
    if how == "mistaken":
        raise UserError("look there")
    if rank == "0":
        Path("x").touch()
        can_go_on_from(Path("x"))
    if how == "dies" and rank == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    os.write(1, b"%d\\n" % os.getpid())  # in one piece: both processes write to one pipe
    time.sleep(100)

sys.exit(ended("it", work, tells=launcher.tells))
"""


def launched(folder, how):
    """Start a program that launches two processes, each of which tells its number as soon as it waits."""
    (folder / "it.py").write_text(LAUNCHED)
    return subprocess.Popen(
        [sys.executable, "it.py", how], cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at /proc")
@pytest.mark.parametrize("name", [*SIGNALS, "SIGKILL"])
def test_a_signal_to_who_launched_them_ends_all_processes(tmp_path, name):
    number = getattr(signal, name)
    with launched(tmp_path, "waits") as launcher:
        workers = [int(launcher.stdout.readline()) for _ in range(2)]
        launcher.send_signal(number)
        if name != "SIGKILL":
            launcher.send_signal(number)  # a scheduler may say it twice
        _, err = launcher.communicate(timeout=60)
    until = time.monotonic() + 30
    while any(map(is_running, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(is_running, workers))
    if name == "SIGKILL":
        assert (launcher.returncode, err) == (-9, "")
        return
    how = "interrupted" if name == "SIGINT" else f"stopped by {name}"
    assert err.startswith(f"it: {how}; the same command continues from ") and err.count("\n") == 1
    assert launcher.returncode == 128 + number


@pytest.mark.parametrize(
    ("how", "status", "told"), [
        ("mistaken", 2, "it: look there\n"),
        ("dies", 137, "it: process 1 stopped by SIGKILL; the same command continues from its last snapshot, or starts "
                      "over if there is none\n"),
    ],
)  # fmt: skip
def test_what_ends_a_process_is_told_once(tmp_path, how, status, told):
    with launched(tmp_path, how) as launcher:
        _, err = launcher.communicate(timeout=60)
    assert (launcher.returncode, err) == (status, told)


def test_a_port_that_is_taken_is_refused():
    with socket.socket() as listener:
        listener.bind(("", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        with pytest.raises(UserError, match=f"cannot listen on --port {port} .*: choose another"):
            launch(2, 0, 0, "localhost", port, [])
    with pytest.raises(UserError, match="cannot listen on --port many"):
        launch(2, 0, 0, "localhost", "many", [])
