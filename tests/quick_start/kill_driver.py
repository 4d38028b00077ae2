"""Run `unlearn.py` repeatedly, and kill it with signal 9 at random moments; test_kill.py starts this script.

    python kill_driver.py FOLDER KILLS SEED ARGUMENT...

Each run is a forked child of this process, which has imported everything, so that runs are short. A child kills itself
during the requests, after a random number of calls of Python functions. If a run completes, the next one starts over.
After all kills, one more run goes to its end. The last line of the output is a JSON summary.
"""

import json
import os
import random
import signal
import sys
import threading
from pathlib import Path

from tqdm import tqdm

from recbole.quick_start.main import unlearn_main
from recbole.unlearning.pipeline import Pipeline


def live(arguments, dies_after=None):
    """Run to the end, or kill this process after some number of calls; write their number to the file ``calls``."""
    calls, whole = 0, Pipeline.run

    def count(frame, event, argument):
        nonlocal calls
        calls += event == "call"
        if calls == dies_after:
            os.kill(os.getpid(), signal.SIGKILL)

    def run(self, save):
        sys.setprofile(count)
        summary = whole(self, save)
        sys.setprofile(None)
        Path("calls").write_text(str(calls))
        return summary

    Pipeline.run = run
    return unlearn_main(arguments)


def child(arguments, dies_after=None):
    """Run in a child process; return its exit status, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        tqdm.set_lock(threading.RLock())  # tqdm's own lock is shared by forked processes, and a killed one may hold it
        with open("output", "a") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        try:
            os._exit(live(arguments, dies_after))
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main():
    folder, kills, seed, *arguments = sys.argv[1:]
    os.chdir(folder)
    unlearn_main(arguments)  # imports everything
    draw, statuses, done = random.Random(int(seed)), [child(arguments)], []
    length = int(Path("calls").read_text())
    for path in (*Path("saved").glob("*_unlearn_epoch_*"), *Path("log").glob("*.jsonl"), Path("result.json")):
        path.unlink()
    for _ in range(int(kills)):
        while (status := child(arguments, draw.randint(1, length // 3))) != -signal.SIGKILL:
            statuses.append(status)
        done.append(len(next(Path("log").glob("*.requests.jsonl")).read_bytes().splitlines()))
    statuses.append(child(arguments))
    print(json.dumps({"statuses": statuses, "requests_done": done, "calls": length}))


if __name__ == "__main__":
    main()
