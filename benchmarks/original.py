r"""Compare the CPU seconds of an unlearning request with those measured for ERASE's own code on the same kind of work.

    python benchmarks/original.py --data dataset --work results/original
    python benchmarks/original.py --work results/original --table results/original.md

From a prepared ml-100k the script creates one data set for each task, with the sizes and the number of requests of the
measurement of ERASE's code: ratings (CF), the last 60 events of 250 users (SBR; the seed of this sample was chosen so
that the sizes match), and baskets of up to 20 films that a user rated on the same day (NBR). Each step in
`original.yaml` then runs as a command in a process of its own: `run_recbole.py` trains a base model, `unlearn.py` runs
an algorithm. Steps whose result file exists are skipped; after `--minutes` no new step starts. If GIF rejects a request
because its series diverges, the step is repeated with a scale for which the series converges, so that the cost of all
iterations is measured.

The ratios compare two different machines. To compare the machines themselves, measure an epoch of RecBole 1.2.1 on both
with `compare_recbole.py`. Seconds are the mean over the requests that had something to forget.
"""

import argparse
import json
import math
import re
import shutil
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd
import yaml
from grid import BASE, ROOT, attempt, show

from recbole.report.costs import CPU_COSTS, cpu_costs, outcomes
from recbole.report.records import read_if_there

SEED = 2
CATEGORY = "horror"
HORIZON, N_PEOPLE, GAP, LEAST_EVENTS = 60, 250, 1800, 3
"""Session data: events kept per user, number of users, seconds of inactivity that end a session, minimum length."""

DAY, BASKET, LEAST_BASKETS = 86400, 20, 4
"""Basket data: seconds of a day, maximum number of films in a basket, minimum number of baskets of a user."""

SIZES = {
    "gif": "gif_iterations", "idea": "idea_iterations", "ceu": "ceu_cg_iterations", "scif": "scif_hessian_samples",
}  # fmt: skip
"""Algorithm to the hyper-parameter that is set by the number in a step's name: ``gif 10`` sets 10 iterations."""

GIF_SCALE, GIF_DAMPING, SCALED = 1000, 0.01, "scaled"
"""GIF's default scale, its damping as a fraction of it, and the suffix of a step repeated with a larger scale."""

LOAD = {"inter": ["user_id", "item_id", "timestamp"]}


def parse_args():
    """Return the command-line arguments, with the data sets and models of `original.yaml`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, type=Path, help="folder for data, results, checkpoints and logs")
    parser.add_argument("--data", type=Path, help="folder of the prepared data sets; not needed with --table")
    parser.add_argument("--models", nargs="+", help="run only these models (default: all models of original.yaml)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no new step after this time")
    parser.add_argument("--timeout", type=float, default=900, help="limit of one step in seconds (default: 900)")
    parser.add_argument("--table", type=Path, help="run nothing; print existing results and write them as .md and .csv")
    args = parser.parse_args()
    known = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    args.sets, args.cells = known["data"], known["models"]
    unknown = set(args.models or ()) - set(args.cells)
    if unknown or not (args.table or args.data):
        message = f"--models: not in original.yaml: {', '.join(sorted(unknown))}"
        parser.error(message if unknown else "give --data, the folder that contains ml-100k, or --table")
    args.models, args.work = args.models or list(args.cells), args.work.resolve()
    args.deadline = time.monotonic() + 60 * args.minutes
    return args


def make_data(args):
    """Create the three data sets and their forget sets; print their sizes next to those of ERASE's measurement."""
    source = args.data / "ml-100k"
    table = pd.read_csv(source / "ml-100k.inter", sep="\t", dtype=str)
    keys = table[["user_id:token", "timestamp:float"]].astype(int)
    table = table.loc[keys.sort_values(list(keys), kind="stable").index]
    made = {"mlcf": (table, core(table)), "mlsbr": sessions(table), "mlnbr": baskets(table)}
    for name, (rows, counts) in made.items():
        folder = args.work / "data" / name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / f"sensitive_asins_{CATEGORY}.txt", folder)
        if isinstance(rows, dict):
            (folder / f"{name}_merged.json").write_text(json.dumps(rows), encoding="utf-8")
        else:
            rows.to_csv(folder / f"{name}.inter", sep="\t", index=False)
        drawn = {f: draw(args, name, f) for f in args.sets[name]["requests"]}
        for what, wanted in (args.sets[name]["counts"] | args.sets[name]["requests"]).items():
            label = what if isinstance(what, str) else f"requests at {what}"
            print(f"{name:6}{label:20}{(counts | drawn)[what]:>8,} (measured with {wanted:,})")


def core(table, least=5):
    """Return the sizes of the `least`-core: users and films with fewer ratings are removed until none is left."""
    size = None
    while size != len(table):
        size = len(table)
        for side in ("user_id:token", "item_id:token"):
            table = table[table.groupby(side)[side].transform("size") >= least]
    return sizes(table)


def sizes(table, **more):
    """Return the numbers of users, items and rows of a table as a dictionary, with the counts in `more` added."""
    return {
        "users": table["user_id:token"].nunique(),
        "items": table["item_id:token"].nunique(),
        "rows": len(table),
    } | more


def sessions(table):
    """Return the last events of a sample of users, without sessions that are too short, and the sizes."""
    table = table.groupby("user_id:token", sort=False).tail(HORIZON)
    user, at = table["user_id:token"], table["timestamp:float"].astype(int)
    session = ((user != user.shift()) | (at.diff() > GAP)).cumsum()
    people = np.sort(user.unique().astype(int))
    drawn = np.random.RandomState(SEED).choice(people, N_PEOPLE, replace=False).astype(str)
    kept = user.isin(drawn) & (session.groupby(session).transform("size") >= LEAST_EVENTS)
    return table[kept], sizes(table[kept], sessions=session[kept].nunique())


def baskets(table):
    """Return ``{user: [[film, ...], ...]}``, the films of each day in baskets of at most 20, and the sizes."""
    day = table["timestamp:float"].astype(int) // DAY
    part = table.groupby(["user_id:token", day]).cumcount() // BASKET
    keys = ["user_id:token", day, part.rename("part")]
    lists = table["item_id:token"].astype(int).groupby([table[keys[0]], *keys[1:]], sort=False).agg(list)
    people = lists.groupby(level=0, sort=False).agg(list)
    people = people[people.map(len) >= LEAST_BASKETS]
    rows = table[table["user_id:token"].isin(people.index)]
    return people.to_dict(), sizes(rows, baskets=int(people.map(len).sum()))


def draw(args, name, fraction):
    """Sample a forget set with make_forget_set.py, unless its file exists; return its number of requests."""
    about, folder = args.sets[name], args.work / "data"
    method = f"{name}_unlearn_pairs_sensitive_category_{CATEGORY}_seed_{SEED}_unlearning_fraction_{fraction}"
    path = folder / name / f"{method}.{'json' if about['task'] == 'NBR' else 'inter'}"
    if not path.exists():
        settings = {"data_path": folder, "dataset": name, "task_type": about["task"], "seed": SEED}
        settings |= {"sensitive_category": CATEGORY, "unlearning_fraction": fraction}
        if "rating_threshold" in about:
            settings["rating_threshold"] = about["rating_threshold"]
        log = args.work / f"{name}_{fraction}.log"
        status = attempt(words("make_forget_set.py", settings), args.work, log, args.timeout)
        if status != 0:
            sys.exit(f"make_forget_set.py failed with exit status {status}; see {log}")
    if path.suffix == ".json":
        return len(json.loads(path.read_text(encoding="utf-8")))
    return pd.read_csv(path, sep="\t")["user_id:token"].nunique()


def words(script, settings):
    """Return the command line, a list of words, that runs a script with settings as flags."""
    return [sys.executable, str(ROOT / script), *(f"--{key}={value}" for key, value in settings.items())]


def result_path(args, model, step):
    """Return the path of a step's result file."""
    return args.work / "steps" / f"{model}_{step.replace(' ', '_')}.json"


def run(args, model, step, **more):
    """Run a step unless its result file exists; return the result, or None if the step has none."""
    path, cell = result_path(args, model, step), args.cells[model]
    if path.exists() or time.monotonic() > args.deadline:
        return read_if_there(path)
    settings = {"model": model, "dataset": cell["data"], "data_path": args.work / "data", "seed": SEED}
    settings |= {"config_files": ROOT / "configs" / f"config_{model.lower()}.yaml", "result_file": path}
    if args.sets[cell["data"]]["task"] != "NBR":
        settings["load_col"] = LOAD
    if step == BASE:
        settings["epochs"] = cell["epochs"]
    else:
        settings |= forgetting(args, model, step) | more
    before = time.monotonic()
    script = "run_recbole.py" if step == BASE else "unlearn.py"
    status = attempt(words(script, settings), args.work, path.with_suffix(".log"), args.timeout)
    print(f"{time.monotonic() - before:6.0f} s  exit {status}  {path.stem}", flush=True)
    return read_if_there(path)


def forgetting(args, model, step):
    """Return the settings of an unlearning step, such as ``gif 10`` (see `SIZES`)."""
    step, cell = step.removesuffix(f" {SCALED}"), args.cells[model]
    algorithm, *size = step.split()
    settings = {"unlearning_algorithm": algorithm, "sensitive_category": CATEGORY}
    settings["unlearning_fraction"] = cell["steps"][step].get("fraction", cell["fraction"])
    return settings | ({SIZES[algorithm]: size[0]} if size else {})


def chain(args, model):
    """Run all missing steps of a model; repeat a GIF step with a larger scale if its series diverged."""
    if run(args, model, BASE) is None:
        return
    for step in args.cells[model]["steps"]:
        record = run(args, model, step)
        if record and record["requests"]["diverged"] and step.startswith("gif"):
            log = result_path(args, model, step).with_suffix(".log").read_text(encoding="utf-8")
            run(args, model, f"{step} {SCALED}", gif_scale_factor=larger_scale(log))


def larger_scale(log):
    """Return a power of ten above GIF's default scale for which the series converges at all curvatures in a log.

    Args:
        log: log text of a GIF step; its messages give the curvatures at which the series diverged.
    """
    bends = map(float, re.findall(r"where the curvature is (\S+):", log))
    least = max([GIF_SCALE, *(bend / 2 if bend > 0 else -bend / GIF_DAMPING for bend in bends)])
    return 10.0 ** (math.floor(math.log10(least)) + 1)


def line(args, model, step, measured):
    """Return a row of the table, column name to text.

    Args:
        args: command-line arguments.
        model: name of the model.
        step: name of the step, such as ``gif 10``.
        measured: entry of the step in `original.yaml`, with the CPU seconds of ERASE's code.
    """
    record = read_if_there(result_path(args, model, step))
    marks = ["a"] * measured.get("anomaly", False) + re.findall(r"\d+", step)
    scale = f", scale {record['config']['gif_scale_factor']:.0e}".replace("+0", "") if SCALED in step else ""
    shown = {"model": model, "algorithm": step.split()[0] + scale}
    shown["measured"] = f"{measured['seconds']:.3g} {', '.join(marks)}".strip()
    if record is None:
        return shown | {"ours": "", "ratio": "", "requests": "not run"}
    ours = cpu_costs(record)[CPU_COSTS[0]]
    ratio = measured["seconds"] / ours
    ratio = f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}"
    return shown | {"ours": f"{ours:.2g}", "ratio": ratio, "requests": ", ".join(outcomes([record]))}


def table(args):
    """Return the table of all steps as a DataFrame."""
    lines = []
    for model in args.models:
        for step, measured in args.cells[model]["steps"].items():
            lines.append(line(args, model, step, measured))
            if result_path(args, model, f"{step} {SCALED}").exists():
                lines.append(line(args, model, f"{step} {SCALED}", measured))
    return pd.DataFrame(lines)


def main():
    """Run all missing steps, or with ``--table`` show the existing results."""
    args = parse_args()
    if args.table is not None:
        print("CPU seconds per request. a: PyTorch's anomaly mode on; 10: 10 iterations; 32: Hessian of 32 examples")
        show(table(args), args.table)
        return
    (args.work / "steps").mkdir(parents=True, exist_ok=True)
    make_data(args)
    for model in args.models:
        chain(args, model)


if __name__ == "__main__":
    main()
