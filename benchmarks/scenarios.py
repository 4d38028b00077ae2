r"""Measure what it costs to sample a forget set from a large log, and to generate spam for many sessions.

    python benchmarks/scenarios.py --out results/scenarios.json
    python benchmarks/scenarios.py --interactions 100000 --sessions 10000

`make_forget_set.py` runs as a command in a process of its own, on synthetic logs that are generated before (users and
sessions with ten interactions each; items follow Zipf's law). One percent of the items is sensitive. Seconds are those
of the whole program, including its start: wall-clock seconds, and CPU seconds of all threads. Memory is the peak of the
process. This script imports large packages only after measuring, since Linux includes the memory of the parent in the
peak of a child process.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "synthetic"
ROWS_EACH = 10
N_ITEMS = 100_000
COMMANDS = {
    "forget set": ("--sensitive_category", "rare", "--unlearning_fraction", "0.0001"),
    "spam": ("--spam", "--unlearning_fraction", "0.01", "--n_target_items", "10"),
}
LIMITS = {"forget set": 20, "spam": 60}
"""Wall-clock seconds that each scenario may take at the default sizes, on two cores."""


def parse_args():
    """Return the command-line arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--interactions", type=int, default=10_000_000, help="in the log for the forget set")
    parser.add_argument("--sessions", type=int, default=1_000_000, help="in the log for the spam")
    parser.add_argument("--seed", type=int, default=2, help="random seed (default: 2)")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args()


def write_log(folder, n_rows, owner, seed):
    """Write a synthetic .inter file and a list of sensitive items.

    Args:
        folder: folder for both files.
        n_rows: number of interactions.
        owner: name of the column of users or sessions; the rows of each are contiguous.
        seed: random seed.
    """
    sys.path.insert(0, str(ROOT))
    import numpy as np

    from recbole.data.atomic import write_atomic
    from recbole.generators.artefact_names import sensitive_list_name
    from recbole.utils import stream

    generator = stream(seed, "synthetic log", n_rows)
    weights = np.cumsum(1 / np.arange(1, N_ITEMS + 1))
    columns = {
        owner: np.arange(n_rows) // ROWS_EACH,
        "item_id": np.searchsorted(weights, generator.random(n_rows) * weights[-1]),
        "timestamp": 10**9 + np.cumsum(generator.integers(1, 200, n_rows)),
    }
    write_atomic(folder / f"{NAME}.inter", columns, {owner: "token", "item_id": "token", "timestamp": "float"})
    listed = generator.choice(N_ITEMS, N_ITEMS // 100, replace=False)
    (folder / sensitive_list_name("rare")).write_text("".join(f"{item}\n" for item in listed))


def measure(what, folder, task, seed):
    """Run make_forget_set.py on a log; return its costs: wall-clock and CPU seconds, and peak memory in MiB."""
    command = [sys.executable, ROOT / "make_forget_set.py", "--dataset", NAME, "--data_path", folder.parent]
    command += ["--task_type", task, "--seed", str(seed), *COMMANDS[what]]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall, process.returncode = time.perf_counter() - started, os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit status {process.returncode} from the command {' '.join(map(str, command))}")
    return {
        "what": what,
        "wall_seconds": wall,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
    }


def run(args, what, task, owner, n_rows):
    """Generate a log, and measure one scenario on it."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / NAME
        folder.mkdir()
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            pool.submit(write_log, folder, n_rows, owner, args.seed).result()
        return {"task": task, "interactions": n_rows, **measure(what, folder, task, args.seed)}


def table(found):
    """Return the costs as a Markdown table; pandas is imported here, after all measurements."""
    sys.path.insert(0, str(ROOT))
    import pandas as pd

    from recbole.report.tables import as_markdown

    lines = [
        {
            "what": row["what"],
            "task": row["task"],
            "interactions": f"{row['interactions']:,}",
            "profiles": f"{-(-row['interactions'] // ROWS_EACH):,}",
            "wall s": f"{row['wall_seconds']:.1f}",
            "CPU s": f"{row['cpu_seconds']:.1f}",
            "peak MiB": f"{row['peak_mib']:,.0f}",
            "limit at full size, s": LIMITS[row["what"]],
        }
        for row in found
    ]
    return as_markdown(pd.DataFrame(lines))


def main():
    """Measure both scenarios and print the table."""
    args = parse_args()
    found = [
        run(args, "forget set", "CF", "user_id", args.interactions),
        run(args, "spam", "SBR", "session_id", args.sessions * ROWS_EACH),
    ]
    print(table(found))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps({"arguments": {**vars(args), "out": str(args.out)}, "costs": found}, indent=1))


if __name__ == "__main__":
    main()
