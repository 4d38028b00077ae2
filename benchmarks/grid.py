r"""Run every unlearning algorithm on every model with several seeds, and print tables of the results.

    python benchmarks/grid.py --data dataset --work results/grid --jobs 2
    python benchmarks/grid.py --work results/grid --table results/grid.md

A cell is a model and a forget set, run with several model seeds and one seed for the forget set. `grid.yaml` defines
the cells. Each step runs a documented command in its own process. First `run_recbole.py` trains the base model and the
model retrained without the whole forget set. When these exist for all seeds, `unlearn.py` runs each algorithm and
compares the result with the retrained models of all seeds. Steps with a result file are skipped, so the grid can be run
in parts and resumed after a kill. No step starts after `--minutes`. The tables show steps without a result as "not
run", and failed steps with their exit status. Of the checkpoints only those of the base model, of the retrained model
and of the last unlearned model are kept.

`--table` writes three tables: the metrics of all models, their distances from retrained models over seeds
(`grid_seeds.py`), and a short judgement of each algorithm (`grid_judged.py`). With `--preset tuned` the algorithms run
with the values of that preset, if it has some for the pair of algorithm and model; these results are stored in addition
to those with default values. No hyper-parameters are selected here: all tables show the test split, and tuning uses
other scripts and validation data.
"""

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import pandas as pd
import yaml
from grid_judged import judged_table
from grid_seeds import seeds_table

from recbole.report.columns import FORGOTTEN, FORGOTTEN_PAIRS, JS_OTHERS, JS_REQUESTING, NDCG, matching, values_of
from recbole.report.costs import CPU_COSTS, cpu_costs, outcomes
from recbole.report.records import own_rows, read_if_there
from recbole.report.tables import as_text, mean_and_deviation, write_csv, write_markdown

ROOT = Path(__file__).resolve().parents[1]
ALGORITHMS = ("scif", "kookmin", "fanchuan", "gif", "ceu", "idea", "seif")
"""The algorithms run in a cell that does not list its own; the cell's ``baselines`` are run after them."""

BASE, REBUILT, RETRAINED = "base", "rebuilt", "retrained"
LAST = 3
"""Index of the checkpoint after the last request."""

OF_FORGETTING = ("sensitive_category", "unlearning_fraction", "forget_set_seed")
"""Settings of a cell that define the forget set; the base model is trained without them."""

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(10**11)}
"""Environment variables for every step: one thread, and the C library keeps freed memory.

Returning memory to the system after each training step takes half of the time of Sets2Sets.
"""

COLUMNS = {
    "NDCG@10": NDCG,
    **FORGOTTEN_PAIRS,
    "forgotten@10": FORGOTTEN,
    "JS requesting": JS_REQUESTING,
    "JS others": JS_OTHERS,
}
TWO_DIGITS = (*FORGOTTEN_PAIRS, "forgotten@10")


def parse_args():
    """Return the command-line arguments.

    ``cells`` holds the settings of all cells by name, ``algorithms`` the names of those to run by cell.
    """
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, type=Path, help="folder for results, checkpoints and logs")
    parser.add_argument("--data", type=Path, help="folder of the prepared data sets; not needed with --table")
    parser.add_argument("--cells", type=Path, default=Path(__file__).with_suffix(".yaml"), help="default: grid.yaml")
    parser.add_argument("--models", nargs="+", help="run only these cells")
    parser.add_argument("--algorithms", nargs="*", help="run only these; without a name, only train the models")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 5], help="model seeds (default: 2 3 5)")
    parser.add_argument("--preset", help="run the algorithms with this preset of unlearn.py")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (default: 1)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no step after this many minutes")
    parser.add_argument("--timeout", type=float, default=900, help="time limit of one step in seconds (default: 900)")
    parser.add_argument(
        "--table",
        type=Path,
        help="run nothing; write tables of the existing results to this .md file, <stem>_over_seeds.md and "
        "<stem>_judged.md, and as .csv",
    )
    args = parser.parse_args()
    cells = yaml.safe_load(args.cells.read_text(encoding="utf-8"))["models"]
    args.cells = {name: dict(cell) for name, cell in cells.items()}  # cells that are the same in YAML are one object
    unknown = set(args.models or ()) - set(args.cells)
    if unknown or not (args.table or args.data):
        parser.error(f"not in the grid: {', '.join(sorted(unknown))}" if unknown else "--data is missing")
    args.models = args.models or list(args.cells)
    tried = {model: tried_on(cell) for model, cell in args.cells.items()}
    wanted = args.algorithms
    for model in args.models if wanted and not args.table else ():
        if not set(wanted) & set(tried[model]):
            parser.error(f"none of {', '.join(wanted)} is tried on {model}; its algorithms: {', '.join(tried[model])}")
    args.algorithms = {m: [a for a in given if wanted is None or a in wanted] for m, given in tried.items()}
    args.work = args.work.resolve()
    return args


def tried_on(cell):
    """Remove ``algorithms`` and ``baselines`` from a cell's settings; return the names of all algorithms to run.

    A cell that lists its ``algorithms`` gets exactly these; any other cell gets `ALGORITHMS` and its ``baselines``.
    """
    baselines = cell.pop("baselines", ())
    return cell.pop("algorithms", (*ALGORITHMS, *baselines))


def result_path(args, cell, seed, step, preset=None):
    """Return the path of a step's result file. Cells with the same model and data set share the base model's file."""
    name = cell if step != BASE else f"{model_of(args, cell)} {args.cells[cell]['dataset']}"
    return args.work / "cells" / f"{name}_{seed}_{step}{f'_{preset}' if preset else ''}.json"


def model_of(args, cell):
    """Return the name of a cell's model: its setting ``model``, otherwise the cell's name."""
    return args.cells[cell].get("model", cell)


def command(args, cell, seed, step, result):
    """Return the command line of a step, a list of strings."""
    given = {"data_path": args.data.resolve(), "model": cell, **args.cells[cell]}
    settings = given | {"seed": seed, "result_file": result}
    script = "run_recbole.py" if step in (BASE, RETRAINED) else "unlearn.py"
    config = ROOT / "configs" / f"config_{model_of(args, cell).lower()}.yaml"
    words = [sys.executable, ROOT / script, "--config_files", config]
    if step == RETRAINED:
        settings["retrain_checkpoint_idx_to_match"] = LAST
    elif step == BASE:
        for key in OF_FORGETTING:
            del settings[key]
    else:
        settings["unlearning_algorithm"] = step
        words += ["--other_seeds", *(other for other in args.seeds if other != seed)] if len(args.seeds) > 1 else []
        if args.preset:
            settings["preset"] = args.preset
    return [str(word) for word in words] + [f"--{key}={value}" for key, value in settings.items()]


def run(args, cell, seed, step):
    """Run a step, unless its result exists, and delete unneeded checkpoints.

    Returns:
        The exit status (0 also if the result existed), ``"timeout"``, or None if no time was left to start the step.
    """
    result = result_path(args, cell, seed, step, args.preset if step not in (BASE, RETRAINED) else None)
    if result.exists():
        return 0
    status = once(args, command(args, cell, seed, step, result), result)
    if result.exists():  # otherwise the next run can still resume from the checkpoints
        drop_checkpoints(args.work / "saved", model_of(args, cell), seed, step)
    return status


def once(args, words, result):
    """Run a command that writes a result file, unless the file exists.

    Args:
        args: an object with ``work``, the folder to run it in, ``timeout`` in seconds, and ``deadline``, the
            ``time.monotonic()`` after which nothing is started.
        words: the command line.
        result: path of the result file. The output is written next to it as ``.log``, the exit status as ``.status``.

    Returns:
        The exit status (0 also if the file existed), ``"timeout"``, or None if the deadline has passed.
    """
    if result.exists():
        return 0
    if time.monotonic() > args.deadline:
        return None
    before = time.monotonic()
    status = attempt(words, args.work, result.with_suffix(".log"), args.timeout)
    result.with_suffix(".status").write_text(f"{status}\n", encoding="utf-8")
    print(f"{time.monotonic() - before:6.0f} s  exit {status}  {result.stem}", flush=True)
    return status


def attempt(words, folder, log, seconds):
    """Run a command in a folder with one thread, and write its output to the file ``log``.

    Returns:
        The exit status, or ``"timeout"`` if the command was killed after ``seconds``.
    """
    with open(log, "w", encoding="utf-8") as file:
        print("$", *words, file=file, flush=True)
        to = {"stdout": file, "stderr": file, "env": os.environ | ONE_THREAD}
        try:
            return subprocess.run(words, check=False, cwd=folder, timeout=seconds, **to).returncode
        except subprocess.TimeoutExpired:
            return "timeout"


def drop_checkpoints(folder, model, seed, algorithm):
    """Delete the checkpoints of an unlearning run except the last. The result file contains the metrics of all."""
    for path in folder.rglob(f"model_{model}_seed_{seed}_*_unlearning_algorithm_{algorithm}_*_unlearn_epoch_*"):
        if f"_to_match_{LAST}" not in path.name and path.suffix in (".pth", ".json"):
            path.unlink(missing_ok=True)


def trained(args, cell, seed):
    """Train the missing models of a cell and seed; return whether both the base and the retrained model exist."""
    return all(run(args, cell, seed, step) == 0 for step in (BASE, RETRAINED))


def forget(args, cell, seed):
    """Run the algorithms without a result for a cell and seed."""
    for algorithm in args.algorithms[cell]:
        run(args, cell, seed, algorithm)


def run_all(args):
    """Run the grid cell by cell: train the models of all seeds, then, if all of them exist, run the algorithms."""
    (args.work / "cells").mkdir(parents=True, exist_ok=True)
    args.deadline = time.monotonic() + 60 * args.minutes
    with ThreadPoolExecutor(args.jobs) as pool:
        for cell in args.models:
            if all(pool.map(partial(trained, args, cell), args.seeds)):
                list(pool.map(partial(forget, args, cell), args.seeds))


def scores(record, kind):
    """Return the values of `COLUMNS` for a kind of model, such as ``retrained``, at the last checkpoint, by heading."""
    return values_of(matching(own_rows(record), {"checkpoint": LAST, "model": kind}), COLUMNS)


def kinds(record):
    """Return the kinds of models for which a record contains result rows, a set."""
    return {row["model"] for row in record["metrics"]}


def lines_of(args, model):
    """Yield ``(name, list of values by heading for each seed, note)`` for each line of a cell in the table.

    The lines are base, rebuilt (if the records have it), retrained, and all algorithms.
    """
    names = args.algorithms[model]
    found = {a: {s: read_if_there(result_path(args, model, s, a, args.preset)) for s in args.seeds} for a in names}
    any_of = [next((found[a][s] for a in names if found[a][s]), None) for s in args.seeds]
    for kind in (BASE, REBUILT, RETRAINED):
        there = [record for record in any_of if record and kind in kinds(record)]
        if there or kind != REBUILT:
            yield kind, [scores(record, kind) for record in there], ""
    for algorithm, records in found.items():
        values = [scores(record, "unlearned") | cpu_costs(record) for record in records.values() if record]
        yield algorithm, values, note(args, model, algorithm, records)


def note(args, model, algorithm, records):
    """Return as text the number of requests by outcome, summed over seeds, and the seeds without a result."""
    parts = outcomes([record for record in records.values() if record])
    for seed, record in records.items():
        status = result_path(args, model, seed, algorithm, args.preset).with_suffix(".status")
        if record is None:
            parts.append(f"seed {seed} " + (f"exit {status.read_text().strip()}" if status.exists() else "not run"))
    if all(part.endswith("not run") for part in parts):
        return "not run"
    return ", ".join(parts)


def cell(values, column):
    """Return mean and standard deviation over seeds as text; for costs only the mean. Empty without values."""
    if column in CPU_COSTS:
        return mean_and_deviation([values.mean()], ".3g")
    return mean_and_deviation(values, ".2f" if column in TWO_DIGITS else ".4f")


def table(args):
    """Return the first table, a data frame: means and standard deviations over all seeds with a result."""
    lines = []
    for model in args.models:
        for name, values, about in lines_of(args, model):
            frame = pd.DataFrame(values, columns=[*COLUMNS, *CPU_COSTS], dtype=float)
            cells = {column: cell(frame[column], column) for column in frame}
            lines.append({"model": model, "": name, "seeds": len(frame)} | cells | {"requests": about})
    return pd.DataFrame(lines)


def records_of(args):
    """Return the existing records: (cell, name of the run) to a list with one record per seed."""
    found = {}
    for of in args.models:
        for algorithm in args.algorithms[of]:
            paths = [result_path(args, of, seed, algorithm, args.preset) for seed in args.seeds]
            records = [record for record in map(read_if_there, paths) if record]
            if records:
                found[of, f"{algorithm}, {args.preset}" if args.preset else algorithm] = records
    return found


def show(shown, path):
    """Print a table (data frame), and write it to ``path`` as Markdown and next to it as .csv."""
    write_markdown(shown, path)
    write_csv(shown, path.with_suffix(".csv"))
    print(as_text(shown))


def main():
    """Run the grid, or with ``--table`` print and write its tables."""
    args = parse_args()
    if args.table is None:
        run_all(args)
    else:
        show(table(args), args.table)
        found = records_of(args)
        over = seeds_table(found, LAST)
        if over.empty:
            print("No distances over seeds: they need retrained models of two seeds.")
        else:
            show(over, args.table.with_stem(f"{args.table.stem}_over_seeds"))
        show(judged_table(found, LAST), args.table.with_stem(f"{args.table.stem}_judged"))


if __name__ == "__main__":
    main()
