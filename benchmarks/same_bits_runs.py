"""Run one side of `same_bits.py`: all small runs on one revision.

`same_bits.py` starts this script twice, with a different ``recbole`` on the path. A run calls a program's entry
function in this process, since importing torch takes longer than a run. Apart from `same_bits_gate.py` nothing else of
``recbole`` is used, so that it works across revisions. For each run the script prints a line of JSON that says how the
run ended, and copies the files that the run wrote to ``runs/<number>``.
"""

import argparse
import contextlib
import importlib
import io
import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from same_bits_gate import start_alike
from tqdm import tqdm

TASKS = {
    "BPR": "CF", "LightGCN": "CF", "SGL": "CF", "SimRec": "CF", "EASE": "CF", "GRU4Rec": "SBR", "SASRec": "SBR",
    "DNNTSP": "NBR", "Sets2Sets": "NBR",
}  # fmt: skip
"""Model to task. EASE has a closed-form solution and only supports the algorithm ``exact``."""

ALGORITHMS = (
    *("scif", "kookmin", "fanchuan", "gif", "ceu", "idea", "seif", "exact"),
    *("finetune", "neggrad", "neggrad_repair", "filter", "reset"),
)
"""The algorithms of this checkout; `same_bits.py` leaves out those that the other revision does not have."""

SMALL = ("--gif_scale_factor", "100000", "--scif_hessian_samples", "16", "--retain_samples_used_for_update", "16")
"""Hyper-parameters that make requests fast, and with which the series of GIF converges on most models."""

TOLD = re.compile(r"(test result|best valid|Results for model|\[Top-\d+\]|Promoted items|Finished training).*")
SETTINGS = """
USER_ID_FIELD: {field}
load_col: {{inter: [{field}, item_id, timestamp]}}
eval_args: {{order: TO}}
embedding_size: 8
hidden_size: 8
inner_size: 16
n_heads: 2
teacher_epochs: 1
soft_samples: 50
epochs: {epochs}
train_batch_size: 32
eval_batch_size: 16
learning_rate: 0.01
metrics: [Recall, NDCG, MRR]
valid_metric: Recall@10
use_gpu: False
tensorboard: False
show_progress: False
user_inter_num_interval: "[1,inf)"
item_inter_num_interval: "[1,inf)"
"""


class Run(NamedTuple):
    """One of the runs that are compared.

    Attributes:
        label: name, such as ``BPR sensitive scif``.
        place: working folder, relative to the folder of the side; runs with the same folder see each other's files.
        program: ``make`` (`make_forget_set.py`), ``train`` (`run_recbole.py`) or ``unlearn`` (`unlearn.py`).
        words: command-line arguments of the program.
        whole: for a run that is killed and resumed, the label of the same run without a kill; otherwise empty.
    """

    label: str
    place: str
    program: str
    words: tuple[str, ...]
    whole: str = ""


def scenarios(rounding):
    """Return scenario name to command-line flags; with `rounding` there are fewer requests."""
    sensitive, spam = ("0.01", "0.07") if rounding else ("0.02", "0.1")
    return {
        "sensitive": ("--sensitive_category", "odd", "--unlearning_fraction", sensitive),
        "spam": ("--spam", "--unlearning_fraction", spam, "--n_target_items", "2"),
    }


def matrix(models, rounding, algorithms=ALGORITHMS):
    """Return the list of :class:`Run` for some models and algorithms, in the order in which they have to run."""
    found, killed = [], set()
    for task in dict.fromkeys(TASKS[model] for model in models):
        for scenario, flags in scenarios(rounding).items():
            words = ("--dataset", "tiny", "--task_type", task, "--config_files", "tiny.yaml", "--seed", "2", *flags)
            found.append(Run(f"{task} makes {scenario}", f"{task}/makes_{scenario}", "make", words))
    for model in models:
        for scenario, flags in scenarios(rounding).items():
            found += _runs(model, scenario, flags, algorithms)
        if model != "EASE" and TASKS[model] not in killed:
            killed.add(TASKS[model])
            whole = [run for run in found if run.label in (f"{model} sensitive base", f"{model} sensitive kookmin")]
            found += [
                run._replace(label=run.label.replace("sensitive", "killed"), place=f"{model}/killed", whole=run.label)
                for run in whole
                if not (rounding and run.program == "train")  # a training of one epoch leaves no snapshot to resume
            ]
    return found


def _runs(model, scenario, flags, algorithms):
    place, label = f"{model}/{scenario}", f"{model} {scenario}"
    common = ("--model", model, "--dataset", "tiny", "--config_files", "tiny.yaml", "--result_file", "result.json")
    base = (*common, *flags) if scenario == "spam" else common
    if scenario == "spam":
        yield Run(f"{label} clean", place, "train", common)
    yield Run(f"{label} base", place, "train", base)
    for index in "03":
        words = (*common, *flags, "--retrain_checkpoint_idx_to_match", index)
        yield Run(f"{label} retrained {index}", place, "train", words)
    for algorithm in algorithms:
        words = (*common, *flags, "--unlearning_algorithm", algorithm, *SMALL)
        yield Run(f"{label} {algorithm}", place, "unlearn", words)
    if scenario == "sensitive":
        words = (*common, *flags, "--unlearning_algorithm", "exact" if model == "EASE" else "scif", *SMALL)
        yield Run(f"{label} counted", place, "unlearn", (*words, "--eval_only", "--sensitive_eval_only"))


# --- data ------------------------------------------------------------------------------------------------------------
def furnish(folder, task, rounding):
    """Write the data set ``tiny`` of a task, a list of sensitive items, a forget set and a settings file.

    Each of thirty users has 12 to 16 of 33 items (NBR: eight baskets of three items). The first six odd items are
    sensitive. The forget set has the sensitive items of five users, or with `rounding` of three users.
    """
    data, field = folder / "dataset" / "tiny", "session_id" if task == "SBR" else "user_id"
    data.mkdir(parents=True)
    draw, listed = np.random.default_rng(7), list(range(1, 12, 2))
    if task == "NBR":
        held = {user: [draw.choice(33, 3, replace=False) + 1 for _ in range(8)] for user in range(100, 130)}
        baskets = {str(user): [basket.tolist() for basket in mine] for user, mine in held.items()}
        (data / "tiny_merged.json").write_text(json.dumps(baskets))
        rows = [(user, item) for user, mine in held.items() for item in dict.fromkeys(np.concatenate(mine).tolist())]
    else:
        rows = [(user, item + 1) for user in range(100, 130) for item in draw.choice(33, 12 + user % 5, replace=False)]
        lines = "".join(f"{user}\t{item}\t{at}\n" for at, (user, item) in enumerate(rows))
        (data / "tiny.inter").write_text(f"{field}:token\titem_id:token\ttimestamp:float\n{lines}")
    (data / "sensitive_asins_odd.txt").write_text("".join(f"{item}\n" for item in listed))
    asking = list(dict.fromkeys(user for user, item in rows if item in listed))[: 3 if rounding else 5]
    fraction = scenarios(rounding)["sensitive"][-1]
    stem = f"tiny_unlearn_pairs_sensitive_category_odd_seed_2_unlearning_fraction_{fraction}"
    if task == "NBR":
        (data / f"{stem}.json").write_text(json.dumps([str(user) for user in asking]))
    else:
        pairs = "".join(f"{user}\t{item}\n" for user, item in rows if user in asking and item in listed)
        (data / f"{stem}.inter").write_text(f"{field}:token\titem_id:token\n{pairs}")
    (folder / "tiny.yaml").write_text(SETTINGS.format(field=field, epochs=1 if rounding else 3))


def prepare(home, inputs, run):
    """Create a run's working folder, copy the files it needs from other runs, and return the folder."""
    where, owner = home / run.place, run.place.split("/")[0]
    task = TASKS.get(owner, owner)
    if not where.exists():
        shutil.copytree(inputs / task, where)
        if run.place.endswith("spam"):
            for path in (home / task / "makes_spam/dataset/tiny").glob("tiny_fraud_*"):
                shutil.copy(path, where / "dataset" / "tiny")
        if run.program == "make":
            for path in where.glob("dataset/tiny/tiny_unlearn_pairs_*"):
                path.unlink()
    if run.whole and run.program == "unlearn":
        (where / "saved").mkdir(exist_ok=True)
        for path in (home / owner / "sensitive/saved").iterdir():
            if (
                path.is_file()
                and "unlearning_algorithm" not in path.name
                and not (where / "saved" / path.name).exists()
            ):
                shutil.copy(path, where / "saved")
    return where


# --- runs ------------------------------------------------------------------------------------------------------------
def call(run):
    """Run a program in this process and the current folder; return how it ended.

    Returns:
        A dictionary with the exit ``status``, the last line on the standard error stream (``error``), the result
        lines of the log (``told``), and whether the run continued from a snapshot (``resumed``).
    """
    tqdm.set_lock(threading.RLock())  # tqdm's own lock is shared by forked processes, and a killed one may hold it
    programs = importlib.import_module("recbole.quick_start.main")
    mains = {"make": programs.make_forget_set_main, "train": programs.train_main, "unlearn": programs.unlearn_main}
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = mains[run.program](list(run.words))
        except SystemExit as stop:
            status = stop.code
        except Exception as error:  # an internal error is compared like any other result
            status = 1
            print(f"{type(error).__name__}: {error}", file=err)
    source = str(Path(programs.__file__).parents[2])
    lines = err.getvalue().replace(source, "<source>").strip().splitlines()
    told = [match.group(0) for match in map(TOLD.search, out.getvalue().splitlines()) if match]
    resumed = any(line.startswith("continuing ") for line in out.getvalue().splitlines())
    return {"status": status, "error": lines[-1] if lines else "", "told": told, "resumed": resumed}


def kill(run):
    """Run a program in a child process that kills itself with signal 9 just before it writes its second snapshot.

    It is therefore killed at the same point each time. Return whether it was killed.
    """
    pid = os.fork()
    if pid == 0:
        os.environ["ERASE_SNAPSHOT_SECONDS"] = "0"
        seen = []

        def watch(event, arguments):
            if event == "os.rename" and str(arguments[1]).endswith(".resume"):
                seen.append(event)
                if len(seen) == 2:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        try:
            call(run)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def stamps(folder):
    """Return relative path to (inode, modification time, size) of all files in a folder, to see which ones change.

    Log files are left out, since their names contain times.
    """
    found = {path: path.stat() for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".log"}
    return {path.relative_to(folder): (told.st_ino, told.st_mtime_ns, told.st_size) for path, told in found.items()}


def main():
    """Run all runs of one side, and print one line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("inputs", type=Path)
    parser.add_argument("--only", nargs="+", default=list(TASKS))
    parser.add_argument("--algorithms", nargs="+", default=list(ALGORITHMS))
    parser.add_argument("--rounding", action="store_true")
    args = parser.parse_args()
    home, inputs = args.home.resolve(), args.inputs.resolve()
    source = Path(importlib.import_module("recbole").__file__).resolve().parents[1]
    if source != Path(os.environ["PYTHONPATH"]).resolve():
        sys.exit(f"same_bits_runs.py: recbole is imported from {source}, not from {os.environ['PYTHONPATH']}")
    start_alike()
    for at, run in enumerate(matrix(args.only, args.rounding, args.algorithms)):
        where, began = prepare(home, inputs, run), time.perf_counter()
        before = stamps(where)
        with contextlib.chdir(where):
            killed = kill(run) if run.whole else False
            told = call(run)
        for path, stamp in stamps(where).items():
            if before.get(path) != stamp:
                kept = home / "runs" / str(at) / path
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(where / path, kept)
        gone = sorted(str(path) for path in before if not (where / path).exists())
        print(json.dumps(told | {"killed": killed, "gone": gone, "seconds": time.perf_counter() - began}), flush=True)


if __name__ == "__main__":
    main()
