"""One side of `same_bits.py`: the matrix of small runs, and what each of them wrote.

`same_bits.py` starts this twice, each time with another ``recbole`` on the path. All runs are calls of the programs'
entry functions in this process, since importing torch takes longer than a run does. Of ``recbole`` nothing else is
used (but by `same_bits_gate.py`), so that the rest of it may move. A line of JSON on the standard output tells how a
run ended; the folder ``runs/<number>`` holds the files that it wrote.
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
"""The models and their tasks. EASE is fitted: it forgets by ``exact`` alone."""

ALGORITHMS = (
    *("scif", "kookmin", "fanchuan", "gif", "ceu", "idea", "seif", "exact"),
    *("finetune", "neggrad", "neggrad_repair", "filter", "reset"),
)
"""Those of this checkout; `same_bits.py` leaves out what the other revision does not have."""

SMALL = ("--gif_scale_factor", "100000", "--scif_hessian_samples", "16", "--retain_samples_used_for_update", "16")
"""Hyper-parameters that make requests quick, and the series of gif converge on most models."""

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
    """One run of the matrix.

    Attributes:
        label: what it is called, such as ``BPR sensitive scif``.
        place: the folder that it runs in; runs in one folder find each other's files.
        program: ``make``, ``train`` or ``unlearn``.
        words: the command line.
        whole: the label of the run that nobody kills, where this one is killed and resumed; or an empty string.
    """

    label: str
    place: str
    program: str
    words: tuple[str, ...]
    whole: str = ""


def scenarios(rounding):
    """Return the flags of each scenario; few requests where rounding is allowed."""
    sensitive, spam = ("0.01", "0.07") if rounding else ("0.02", "0.1")
    return {
        "sensitive": ("--sensitive_category", "odd", "--unlearning_fraction", sensitive),
        "spam": ("--spam", "--unlearning_fraction", spam, "--n_target_items", "2"),
    }


def matrix(models, rounding, algorithms=ALGORITHMS):
    """Return the runs of these models and algorithms, in order."""
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
                if not (rounding and run.program == "train")  # of one epoch there is no snapshot to go on from
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
    """Write the data set ``tiny`` of a task, a list of sensitive items, a forget set and settings.

    Thirty people have 12 to 16 of 33 items each (NBR: eight baskets of three). Five ask that what they had of the
    first six odd items be forgotten; three, where rounding is allowed.
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
    """Make the folder that a run needs, with everything that other runs leave for it; return the folder."""
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
    """Run a program in this process and folder; return how it ended, and what it told.

    Returns:
        A dictionary with the exit ``status``, the last line of the standard error stream (``error``), the result
        lines of the log (``told``), and whether it went on from a snapshot (``resumed``).
    """
    tqdm.set_lock(threading.RLock())  # the usual lock is shared by forked processes: one that is killed may hold it
    programs = importlib.import_module("recbole.quick_start.main")
    mains = {"make": programs.make_forget_set_main, "train": programs.train_main, "unlearn": programs.unlearn_main}
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = mains[run.program](list(run.words))
        except SystemExit as stop:
            status = stop.code
        except Exception as error:  # an internal failure is a result that is compared, not the end of the matrix
            status = 1
            print(f"{type(error).__name__}: {error}", file=err)
    source = str(Path(programs.__file__).parents[2])
    lines = err.getvalue().replace(source, "<source>").strip().splitlines()
    told = [match.group(0) for match in map(TOLD.search, out.getvalue().splitlines()) if match]
    resumed = any(line.startswith("continuing ") for line in out.getvalue().splitlines())
    return {"status": status, "error": lines[-1] if lines else "", "told": told, "resumed": resumed}


def kill(run):
    """Run a program in a child that dies, by signal 9, when it is about to replace its first snapshot by another.

    So it dies at the same point each time. Returns whether it did.
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
    """Return, for each file under a folder that tells no time in its name, what changes when it is written."""
    found = {path: path.stat() for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".log"}
    return {path.relative_to(folder): (told.st_ino, told.st_mtime_ns, told.st_size) for path, told in found.items()}


def main():
    """Run the matrix of one side; one line of JSON a run."""
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
