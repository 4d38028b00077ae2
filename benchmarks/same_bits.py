"""Whether a change moved any number: a matrix of small runs of another revision and of this checkout, compared.

    python benchmarks/same_bits.py REVISION [--rounding] [--only BPR GRU4Rec] [--json differences.json]

Nine models are trained, retrained and unlearned (every algorithm), with sensitive items and with spam, on data that is
made here; a training and an unlearning are killed and resumed. Compared are the names of all checkpoints, every tensor
in them, their metadata, the result rows, the outcomes of the requests, exit statuses, the last line of the standard
error stream, and the result lines of the log. Exit status 0: no difference; 1: there are some; 2: no such revision.
"""

import argparse
import contextlib
import io
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
TASKS = {
    "BPR": "CF", "LightGCN": "CF", "SGL": "CF", "SimRec": "CF", "EASE": "CF", "GRU4Rec": "SBR", "SASRec": "SBR",
    "DNNTSP": "NBR", "Sets2Sets": "NBR",
}  # fmt: skip
ALGORITHMS = ("scif", "kookmin", "fanchuan", "gif", "ceu", "idea", "seif")
SPAM = ("--spam", "--unlearning_fraction", "0.1", "--n_target_items", "2")
SENSITIVE = ("--sensitive_category", "odd", "--unlearning_fraction", "0.03")
SMALL = ("--gif_scale_factor", "100", "--scif_hessian_samples", "16", "--retain_samples_used_for_update", "16")
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
TOLD = re.compile(r"(test result|best valid|Results for model|\[Top-\d+\]|Promoted items|Finished training).*")
TIMES = re.compile(r"second|_mib$|fit_|^took$")


# --- one side --------------------------------------------------------------------------------------------------------
def furnish(folder, task, epochs):
    """Write the data set ``tiny`` of a task, its list of sensitive items and its settings."""
    data, field = folder / "dataset" / "tiny", "session_id" if task == "SBR" else "user_id"
    data.mkdir(parents=True)
    draw = np.random.default_rng(7)
    histories = {100 + user: draw.choice(np.arange(1, 34), 12 + user % 5, replace=False).tolist() for user in range(30)}
    if task == "NBR":
        baskets = {
            str(user): [items[at : at + 3] for at in range(0, len(items), 3)] for user, items in histories.items()
        }
        (data / "tiny_merged.json").write_text(json.dumps(baskets))
    else:
        rows = [f"{user}\t{item}\t{at}\n" for user, items in histories.items() for at, item in enumerate(items)]
        (data / "tiny.inter").write_text(f"{field}:token\titem_id:token\ttimestamp:float\n{''.join(rows)}")
    (data / "sensitive_asins_odd.txt").write_text("".join(f"{item}\n" for item in range(1, 12, 2)))
    (folder / "tiny.yaml").write_text(SETTINGS.format(field=field, epochs=epochs))


def matrix(models, rounding):
    """Yield ``(folder, program, arguments)`` of every run, in order; a folder is a scenario of a model."""
    for model in models:
        task = TASKS[model]
        common = ("--model", model, "--dataset", "tiny", "--config_files", "tiny.yaml")
        for scenario, asked in (("sensitive", SENSITIVE), ("spam", SPAM)):
            place = f"{model}/{scenario}"
            yield place, "make", ("--dataset", "tiny", "--task_type", task, "--seed", "2", *asked)
            if scenario == "spam":
                yield place, "train", common  # the clean model
            yield place, "train", (*common, *(asked if scenario == "spam" else ()))
            for index in "03":
                yield place, "train", (*common, *asked, "--retrain_checkpoint_idx_to_match", index)
            for algorithm in ("exact",) if model == "EASE" else ALGORITHMS:
                limit = ("--unlearning_batchsize", "2") if rounding else ()
                yield place, "unlearn", (*common, *asked, "--unlearning_algorithm", algorithm, *SMALL, *limit)


def run(program, arguments):
    """Run a program in this process; return its exit status, the last line of its errors, and its result lines."""
    from recbole.quick_start import main

    mains = {"make": main.make_forget_set_main, "train": main.train_main, "unlearn": main.unlearn_main}
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = mains[program](list(arguments))
        except SystemExit as stop:
            status = stop.code
    lines = err.getvalue().strip().splitlines()
    told = [match.group(0) for match in map(TOLD.search, out.getvalue().splitlines()) if match]
    return {"status": status, "error": lines[-1] if lines and status not in (0, 3) else "", "told": told}


def killed(program, arguments):
    """Run a program in a child, kill it when it has left a snapshot, and return how it ended."""
    before = set(Path().glob("saved/*.resume"))
    pid = os.fork()
    if pid == 0:
        os.environ["ERASE_SNAPSHOT_SECONDS"] = "0"
        with contextlib.suppress(BaseException):
            run(program, arguments)
        os._exit(0)
    while set(Path().glob("saved/*.resume")) <= before and os.waitpid(pid, os.WNOHANG) == (0, 0):
        time.sleep(0.001)
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return bool(set(Path().glob("saved/*.resume")) - before)


def side(folder, models, rounding):
    """Run the matrix with the ``recbole`` that is on the path; leave what is compared in ``folder``."""
    found, home = {}, folder.resolve()
    for at, (place, program, arguments) in enumerate(matrix(models, rounding)):
        where = home / place
        if not where.exists():
            furnish(where, TASKS[place.split("/")[0]], 1 if rounding else 3)
        with contextlib.chdir(where):
            again = program != "make" and place == f"{models[0]}/sensitive" and "3" not in arguments[-1:]
            if again and (program == "train" or "kookmin" in arguments):
                found[f"{at:03} {place} killed {program}"] = {"status": killed(program, arguments)}
            found[f"{at:03} {place} {program} {' '.join(arguments[6:])}"] = run(program, arguments)
        print(f"{place} {program} {' '.join(arguments[6:])}"[:110], flush=True)
    (home / "runs.json").write_text(json.dumps(found))


# --- comparison ------------------------------------------------------------------------------------------------------
class Comparison:
    """Collects differences.

    Args:
        rounding: allow 1e-4 of a tensor's largest value, and 1e-3 in a result row.
    """

    def __init__(self, rounding=False):
        self.rounding, self.found, self.compared = rounding, [], 0

    def same(self, where, one, other, close=1e-3):
        """Compare plain values, by the keys that both have in dictionaries."""
        self.compared += 1
        if isinstance(one, dict) and isinstance(other, dict):
            for key in sorted(set(one) & set(other), key=str):
                if not TIMES.search(str(key)):
                    self.same(f"{where}.{key}", one[key], other[key], close)
        elif isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
            if len(one) != len(other):
                self.found.append(f"{where}: {len(one)} values, now {len(other)}")
            for at, pair in enumerate(zip(one, other, strict=False)):
                self.same(f"{where}[{at}]", *pair, close)
        elif isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
            self.same_tensor(where, one, other)
        elif not self._equal(one, other, close):
            self.found.append(f"{where}: {one!r}, now {other!r}"[:300])

    def _equal(self, one, other, close):
        if one == other:
            return True
        if not all(isinstance(value, (int, float)) for value in (one, other)):
            return False
        both_nan = math.isnan(one) and math.isnan(other)
        return both_nan or (self.rounding and abs(one - other) <= close * max(1.0, abs(one)))

    def same_tensor(self, where, one, other):
        """Compare tensors: bit for bit, or to 1e-4 of the largest value."""
        if one.shape != other.shape or one.dtype != other.dtype:
            self.found.append(f"{where}: {one.dtype} {tuple(one.shape)}, now {other.dtype} {tuple(other.shape)}")
            return
        one, other = (tensor.to_dense() if tensor.layout != torch.strided else tensor for tensor in (one, other))
        if bool(((one == other) | (one.isnan() & other.isnan())).all()):
            return
        apart = (one.double() - other.double()).abs().nan_to_num(nan=math.inf).max().item()
        scale = one.double().abs().max().item()
        if not (self.rounding and apart <= 1e-4 * scale):
            self.found.append(f"{where}: {apart:.3g} apart, the largest value is {scale:.3g}")

    def files(self, where, one, other, pattern):
        """Return the files of a pattern that both folders have; others are differences."""
        names = [{str(path.relative_to(side)) for path in side.glob(pattern)} for side in (one, other)]
        self.found += [f"{where}: {name} is gone" for name in sorted(names[0] - names[1])]
        self.found += [f"{where}: {name} is new" for name in sorted(names[1] - names[0])]
        return sorted(names[0] & names[1])


def rows_of(record):
    """Return the result rows of a record without what names a file's content."""
    return [row | {"reference": str(row.get("reference")).split(" ")[0]} for row in record.get("metrics") or []]


def requests_of(path):
    """Return what a request log tells of outcomes, without seconds."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def compare(one, other, places, rounding):
    """Return the :class:`Comparison` of two sides' folders."""
    result = Comparison(rounding)
    runs = [json.loads((folder / "runs.json").read_text()) for folder in (one, other)]
    for name in runs[0]:
        told = [side.get(name) for side in runs]
        result.same(name, *({**side, "told": None} if rounding and side else side for side in told))
    for place in places:
        a, b = one / place, other / place
        for name in result.files(place, a, b, "saved/*.pth"):
            held = [torch.load(side / name, weights_only=True) for side in (a, b)]
            for key in ("state_dict", "other_parameter", "epoch", "meta", "best_valid_score"):
                result.same(f"{name}:{key}", *(content[key] for content in held))
            if not rounding:
                result.same(f"{name}:optimizer", *(content["optimizer"] for content in held))
        for name in result.files(place, a, b, "saved/*.json"):
            told = [json.loads((side / name).read_text()) for side in (a, b)]
            result.same(f"{name}:metrics", *map(rows_of, told))
            for key in ("kind", "checkpoint", "mask", "spam", "requests", "seed", "dataset"):
                result.same(f"{name}:{key}", *(record.get(key) for record in told))
        for name in result.files(place, a, b, "log/*.requests.jsonl"):
            result.same(name, requests_of(a / name), requests_of(b / name))
        for name in result.files(place, a, b, "log/*.npz"):
            arrays = [np.load(side / name) for side in (a, b)]
            for key in sorted(set(arrays[0].files) - {"target_token"}):
                result.same(f"{name}:{key}", *(torch.from_numpy(array[key]) for array in arrays))
        for name in result.files(place, a, b, "dataset/tiny/*"):
            result.same(name, *((side / name).read_bytes() for side in (a, b)))
    return result


# --- the program -----------------------------------------------------------------------------------------------------
def checked_out(revision, folder):
    """Write the tree of a revision into a folder; return its commit, or None where there is no such revision."""
    asked = ["git", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    if not commit:
        return None
    archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit], stdout=subprocess.PIPE, check=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return commit


def started(source, folder, args):
    """Start one side on a checkout's ``recbole``."""
    folder.mkdir()
    words = [sys.executable, __file__, "--side", str(folder), "--only", *args.only]
    return subprocess.Popen(
        [*words, *(["--rounding"] if args.rounding else [])],
        env=os.environ | {"PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def parse_args():
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", nargs="?", help="what to compare with, such as HEAD~1")
    parser.add_argument("--rounding", action="store_true", help="one epoch, and differences of rounding are allowed")
    parser.add_argument("--only", nargs="+", choices=list(TASKS), default=list(TASKS), help="these models alone")
    parser.add_argument("--json", help="write the differences to this file")
    parser.add_argument("--keep", help="keep both sides' files in this folder")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side is None and args.revision is None:
        parser.error("say which revision to compare with, such as HEAD~1")
    return args


def main():
    """Run both sides, compare, and return the exit status."""
    args = parse_args()
    if args.side:
        side(Path(args.side), args.only, args.rounding)
        return 0
    began, work = time.perf_counter(), Path(tempfile.mkdtemp(prefix="same_bits_"))
    try:
        (work / "tree").mkdir()
        commit = checked_out(args.revision, work / "tree")
        if commit is None:
            print(f"same_bits.py: there is no revision '{args.revision}'", file=sys.stderr)
            return 2
        sides = [started(work / "tree", work / "one", args), started(ROOT, work / "other", args)]
        for line in sides[1].stdout:
            print(line, end="", flush=True)
        if any(process.wait() for process in sides):
            print("same_bits.py: one side ended early, see above", file=sys.stderr)
            return 1
        places = [f"{model}/{scenario}" for model in args.only for scenario in ("sensitive", "spam")]
        result = compare(work / "one", work / "other", places, args.rounding)
        if args.keep:
            shutil.copytree(work, args.keep, dirs_exist_ok=True)
    finally:
        shutil.rmtree(work)
    print(*result.found[:50], sep="\n")
    if args.json:
        Path(args.json).write_text(json.dumps({"commit": commit, "differences": result.found}, indent=1))
    print(
        f"{commit[:10]} and this checkout: {result.compared:,} values compared, {len(result.found)} differ, "
        f"{time.perf_counter() - began:.0f} s"
    )
    return 1 if result.found else 0


if __name__ == "__main__":
    sys.exit(main())
