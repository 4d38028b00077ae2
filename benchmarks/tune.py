r"""Choose a model's hyper-parameters on validation data.

    python benchmarks/tune.py --data dataset --work results/tune --jobs 2
    python benchmarks/tune.py --work results/tune --write configs/tuned

Each trial is `run_recbole.py` in a process of its own with the model's file in `configs/` and a point of the space in
`tune.yaml`, with one training seed (7), which is not among those that results are reported for. The trial with the
highest value of the model's `valid_metric` on the validation split is chosen; ties go to the earlier trial. Rows of the
test split are not read. Trials that are there are skipped, so that the search can be run in parts.

`--write` writes what was chosen as configuration files that hold only what differs; give both, ERASE's first:
`--config_files configs/config_bpr.yaml configs/tuned/config_bpr.yaml`.
"""

import argparse
import itertools
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import yaml
from grid import ROOT, attempt

SEED = 7
OF_DATA = ("dataset", "user_inter_num_interval", "item_inter_num_interval")
"""Settings that choose the data; they are no hyper-parameters."""


def parse_args():
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, type=Path, help="folder for results and logs")
    parser.add_argument("--data", type=Path, help="folder of the prepared data sets; not needed with --write")
    parser.add_argument("--space", type=Path, default=Path(__file__).with_suffix(".yaml"), help="what to search")
    parser.add_argument("--models", nargs="+", help="only these")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (default: 1)")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for one trial (default: 900)")
    parser.add_argument("--write", type=Path, help="run nothing; show what is there and write the chosen values here")
    args = parser.parse_args()
    args.space = yaml.safe_load(args.space.read_text(encoding="utf-8"))["models"]
    if not (args.write or args.data):
        parser.error("--data says where the data is")
    args.models, args.work = args.models or list(args.space), args.work.resolve()
    return args


def points(entry):
    """Return the trials of a model: the first values of its space, then points drawn without repetition."""
    names, values = list(entry["space"]), list(itertools.product(*entry["space"].values()))
    order = 1 + np.random.default_rng(SEED).permutation(len(values) - 1)
    chosen = [values[0], *(values[i] for i in order[: entry["trials"] - 1])]
    return [dict(zip(names, point, strict=True)) for point in chosen]


def config_file(model):
    """Return the model's file with ERASE's values."""
    return ROOT / "configs" / f"config_{model.lower()}.yaml"


def run(args, model, number, point):
    """Run a trial unless its result is there."""
    result = args.work / "trials" / f"{model}_{number}.json"
    if result.exists():
        return
    settings = {"data_path": args.data.resolve(), **args.space[model]["settings"], **point}
    settings |= {"seed": SEED, "result_file": result, "checkpoint_dir": args.work / "saved" / f"{model}_{number}"}
    words = [sys.executable, ROOT / "run_recbole.py", "--model", model, "--config_files", config_file(model)]
    words += [f"--{key}={value}" for key, value in settings.items()]
    before = time.monotonic()
    status = attempt([str(word) for word in words], args.work, result.with_suffix(".log"), args.timeout)
    for path in settings["checkpoint_dir"].glob("*.pth"):
        path.unlink()
    told = f"{score(args, model, number):.4f}" if status == 0 else f"exit {status}"
    print(f"{time.monotonic() - before:6.0f} s  {model}_{number}  {told}  {point}", flush=True)


def score(args, model, number):
    """Return a trial's best validation value, or None where there is no result."""
    path = args.work / "trials" / f"{model}_{number}.json"
    if not path.exists():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    metric, k = record["config"]["valid_metric"].lower().split("@")
    rows = [row for row in record["metrics"] if row["split"] == "valid"]
    return next(row["value"] for row in rows if (row["metric"], row["k"]) == (metric, int(k)))


def search(args):
    """Run all trials that are missing."""
    (args.work / "trials").mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(args.jobs) as pool:
        waiting = [
            pool.submit(run, args, model, number, point)
            for model in args.models
            for number, point in enumerate(points(args.space[model]))
        ]
        for future in waiting:
            future.result()


def write(args, model):
    """Write the values of a model's best trial; say so if there is none."""
    entry = args.space[model]
    found = [(score(args, model, n), -n, point) for n, point in enumerate(points(entry))]
    done = [trial for trial in found if trial[0] is not None]
    if not done:
        print(f"{model}: not run")
        return
    value, number, point = max(done, key=lambda trial: trial[:2])
    first = "not run" if found[0][0] is None else f"{found[0][0]:.4f}"
    metric = yaml.safe_load(config_file(model).read_text(encoding="utf-8"))["valid_metric"]
    print(f"{model}: trial {-number} of {len(done)}: {value:.4f}, the first {first}: {point}")
    values = {key: v for key, v in entry["settings"].items() if key not in OF_DATA} | point
    searched, file = entry["settings"]["dataset"], config_file(model).name
    lines = [
        f"# {model}: {metric} {value:.4f} on the validation split of {searched}, seed {SEED}: the best of {len(done)}",
        f"# trials of benchmarks/tune.py; with the values of configs/{file} {first}. Give both files, this one last.",
        *(f"{key}: {json.dumps(v)}" for key, v in values.items()),
    ]
    args.write.mkdir(parents=True, exist_ok=True)
    (args.write / file).write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    """Search, or write what was found."""
    args = parse_args()
    if args.write is None:
        search(args)
        return
    for model in args.models:
        write(args, model)


if __name__ == "__main__":
    main()
