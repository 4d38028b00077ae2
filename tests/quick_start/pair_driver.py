"""Run pairs of programs at the same time in one folder; test_side_by_side.py starts this script.

    python pair_driver.py JOBS

JOBS is a JSON file with a list of pairs, each of two lists [folder, program, argument...]. The programs run in forked
children of this process, which has imported everything, so that both of a pair start at the same time. The script
prints the exit statuses of all pairs.
"""

import json
import os
import sys
from pathlib import Path

from recbole.quick_start import unlearning  # noqa: F401 - imports what the children need
from recbole.quick_start.main import train_main, unlearn_main


def child(folder, program, *arguments):
    """Start a program in a child process; return its process id."""
    pid = os.fork()
    if pid:
        return pid
    os.chdir(folder)
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    try:
        os._exit({"train": train_main, "unlearn": unlearn_main}[program](list(arguments)))
    finally:
        os._exit(1)


def main():
    """Run all pairs, one after another."""
    statuses = []
    for pair in json.loads(Path(sys.argv[1]).read_text()):
        pids = [child(*job) for job in pair]
        statuses.append([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids])
    print(json.dumps(statuses))


if __name__ == "__main__":
    main()
