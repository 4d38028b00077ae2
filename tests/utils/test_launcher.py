"""Processes end with the one that started them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
    """Return whether a process runs, that is, is there and no zombie."""
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
