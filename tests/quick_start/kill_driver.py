"""Runs `unlearn.py` time and again and kills it with signal 9 at random points; test_kill.py starts this.

    python kill_driver.py FOLDER KILLS SEED ARGUMENT...

A life is a child of this process, which has imported everything already, so that lives are short. It dies amid the
requests, after so many calls of Python functions, a number drawn anew for every life. A life that comes to its end is
followed by one that starts over. After the kills one more goes to the end. The last line of what this prints says in
JSON what happened.
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
    """Run to the end, or kill this process after so many calls; leave the number of calls in the file ``calls``."""
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
    """Return how a life in a process of its own ended: its exit status, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        tqdm.set_lock(threading.RLock())  # the usual one is shared by forked processes: one that is killed may hold it
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
