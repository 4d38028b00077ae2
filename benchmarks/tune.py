r"""Choose a model's hyper-parameters on validation data.

    python benchmarks/tune.py --data dataset --work results/tune --jobs 2
    python benchmarks/tune.py --work results/tune --write configs/tuned
    python benchmarks/tune.py --data dataset --work results/tune --test

Each trial runs `run_recbole.py` in a process of its own, with the model's file in `configs/` and a point of the search
space in `tune.yaml`. All trials use the training seed 7, for which no results are reported. The trial with the highest
value of the model's `valid_metric` on the validation split is selected; in a tie, the earlier trial. The test split is
not evaluated. Existing trials are skipped, so that the search can run in parts.

`--test` trains with the values of `configs/` alone and with the selected values on top, for the seeds that results are
reported for, and prints the test metrics of both.

`--write` writes the selected values to configuration files. They contain only the values that were set in the trials,
so that both files have to be given, that of `configs/` first: `--config_files configs/config_bpr.yaml
configs/tuned/config_bpr.yaml`.
"""

import argparse
import itertools
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import yaml
from grid import ROOT, attempt

from recbole.report.columns import WHOLE_TEST, only_value
from recbole.report.records import read_if_there
from recbole.report.tables import mean_and_deviation

SEED = 7
TESTED = ("recall", "ndcg", "mrr")
OF_DATA = ("dataset", "user_inter_num_interval", "item_inter_num_interval")
"""Settings that select the data, and are not hyper-parameters."""


def parse_args():
    """Return the command-line arguments, with the search space."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, type=Path, help="folder for results and logs")
    parser.add_argument("--data", type=Path, help="folder of the prepared data sets; not needed with --write")
    parser.add_argument("--space", type=Path, default=Path(__file__).with_suffix(".yaml"), help="YAML file of spaces")
    parser.add_argument("--models", nargs="+", help="only these models")
    parser.add_argument("--jobs", type=int, default=1, help="parallel processes (default: 1)")
    parser.add_argument("--timeout", type=float, default=900, help="limit of one trial in seconds (default: 900)")
    parser.add_argument("--write", type=Path, help="run nothing; write the selected values into this folder")
    parser.add_argument("--test", action="store_true", help="evaluate configs/ and configs/tuned on the test split")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 5], help="for --test (default: 2 3 5)")
    args = parser.parse_args()
    args.space = yaml.safe_load(args.space.read_text(encoding="utf-8"))["models"]
    if not (args.write or args.data):
        parser.error("give --data, the folder of the prepared data sets, or --write")
    args.models, args.work = args.models or list(args.space), args.work.resolve()
    return args


def points(entry):
    """Return the trials of a model, a list of dictionaries of hyper-parameters.

    The first trial has the first value of every list in the search space; the others are sampled without repetition.
    """
    names, values = list(entry["space"]), list(itertools.product(*entry["space"].values()))
    order = 1 + np.random.default_rng(SEED).permutation(len(values) - 1)
    chosen = [values[0], *(values[i] for i in order[: entry["trials"] - 1])]
    return [dict(zip(names, point, strict=True)) for point in chosen]


def config_file(model):
    """Return the path of a model's file in `configs/`, which has ERASE's values."""
    return ROOT / "configs" / f"config_{model.lower()}.yaml"


def run(args, name, model, settings, files=()):
    """Train a model unless its result file exists; print the validation value, or the exit status of a failure."""
    result = args.work / f"{name}.json"
    if result.exists():
        return
    folder = args.work / "saved" / name
    settings = {"data_path": args.data.resolve(), **settings, "result_file": result, "checkpoint_dir": folder}
    words = [sys.executable, ROOT / "run_recbole.py", "--model", model, "--config_files", config_file(model), *files]
    words += [f"--{key}={value}" for key, value in settings.items()]
    before = time.monotonic()
    status = attempt([str(word) for word in words], args.work, result.with_suffix(".log"), args.timeout)
    for path in folder.glob("*.pth"):
        path.unlink()
    told = f"valid {value(result):.4f}" if status == 0 else f"exit {status}"
    print(f"{time.monotonic() - before:6.0f} s  {name}  {told}", flush=True)


def value(path):
    """Return the best validation value in a result file, or None if there is none."""
    record = read_if_there(path)
    if record is None:
        return None
    metric, k = record["config"]["valid_metric"].lower().split("@")
    found = only_value(record["metrics"], {"split": "valid", "metric": metric, "k": int(k)})
    return None if np.isnan(found) else found


def search(args):
    """Run all missing trials of the search."""
    trials = [(model, *trial) for model in args.models for trial in enumerate(points(args.space[model]))]
    with ThreadPoolExecutor(args.jobs) as pool:
        for _ in pool.map(lambda trial: run_trial(args, *trial), trials):
            pass


def run_trial(args, model, number, point):
    """Run one trial of the search."""
    run(args, f"trials/{model}_{number}", model, {**args.space[model]["settings"], **point, "seed": SEED})


def test(args):
    """Train with ERASE's and with the selected values, for every seed, and print the test metrics."""
    kinds = {"ERASE's": lambda model: (), "tuned": lambda model: [ROOT / "configs" / "tuned" / config_file(model).name]}
    runs = [(m, kind, seed) for m in args.models for kind in kinds for seed in args.seeds]
    (args.work / "test").mkdir(exist_ok=True)

    def one(model, kind, seed):
        settings = {key: v for key, v in args.space[model]["settings"].items() if key in OF_DATA}
        run(args, f"test/{model}_{kind[:5]}_{seed}", model, {**settings, "seed": seed}, kinds[kind](model))

    with ThreadPoolExecutor(args.jobs) as pool:
        for _ in pool.map(lambda each: one(*each), runs):
            pass
    print(f"{'model':<10}{'values':<9}" + "".join(f"{metric + '@10':>20}" for metric in TESTED))
    for model, kind in itertools.product(args.models, kinds):
        found = [read_if_there(args.work / f"test/{model}_{kind[:5]}_{seed}.json") for seed in args.seeds]
        shown = [told([record for record in found if record], metric) for metric in TESTED]
        print(f"{model:<10}{kind:<9}" + "".join(f"{text:>20}" for text in shown))


def told(records, metric):
    """Return the mean and standard deviation over seeds of a metric at 10 on all test rows, as text."""
    wanted = {"metric": metric, "k": 10, **WHOLE_TEST}
    return mean_and_deviation([only_value(record["metrics"], wanted) for record in records], ".4f") or "not run"


def write(args, model):
    """Write the values of a model's best trial to a configuration file; print ``not run`` if there is no trial."""
    entry = args.space[model]
    found = [(value(args.work / f"trials/{model}_{n}.json"), -n, point) for n, point in enumerate(points(entry))]
    done = [trial for trial in found if trial[0] is not None]
    if not done:
        print(f"{model}: not run")
        return
    best, number, point = max(done, key=lambda trial: trial[:2])
    first = "not run" if found[0][0] is None else f"{found[0][0]:.4f}"
    metric = yaml.safe_load(config_file(model).read_text(encoding="utf-8"))["valid_metric"]
    print(f"{model}: trial {-number} of {len(done)}: {best:.4f}, the first {first}: {point}")
    values = {key: v for key, v in entry["settings"].items() if key not in OF_DATA} | point
    searched, file = entry["settings"]["dataset"], config_file(model).name
    lines = [
        f"# {model}: {metric} {best:.4f} on the validation split of {searched}, seed {SEED}: the best of {len(done)}",
        f"# trials of benchmarks/tune.py; with the values of configs/{file} {first}. Give both files, this one last.",
        *(f"{key}: {json.dumps(v)}" for key, v in values.items()),
    ]
    args.write.mkdir(parents=True, exist_ok=True)
    (args.write / file).write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    """Search, or with ``--test`` evaluate, or with ``--write`` write the selected values."""
    args = parse_args()
    (args.work / "trials").mkdir(parents=True, exist_ok=True)
    if args.write:
        for model in args.models:
            write(args, model)
    else:
        (test if args.test else search)(args)


if __name__ == "__main__":
    main()
