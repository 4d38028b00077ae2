r"""Try every unlearning algorithm on every model, several seeds, and print one table.

    python benchmarks/grid.py --data dataset --work results/grid --jobs 2
    python benchmarks/grid.py --work results/grid --table results/grid.md

A cell is a model on a forget set, tried with several seeds of the model and one of the forget set. Each step is the
documented command in a process of its own: `run_recbole.py` for the base model and for the model retrained without the
whole forget set, then, when those of all seeds are there, `unlearn.py` for each algorithm, which is held against the
retrained models of all of them. What is done is skipped, so that the grid can be run in parts and goes on after a kill;
`--minutes` stops starting steps. A step that has not been run is printed as "not run", one that failed with its exit
status. Of the checkpoints only base, retrained and the last unlearned one are kept. The cells stand in `grid.yaml`.

`--table` writes three tables: all models, how close they are over seeds (`grid_seeds.py`), and what each algorithm
does, harms and costs (`grid_judged.py`). With `--preset tuned` the algorithms run with that preset, where it has
something for the pair, beside the defaults. Nothing here chooses anything: the tables show the test split, and what is
tuned is tuned elsewhere.
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
"""What is tried on a cell that does not say; its ``baselines`` come after them."""

BASE, REBUILT, RETRAINED = "base", "rebuilt", "retrained"
LAST = 3
"""The checkpoint after the last request."""

OF_FORGETTING = ("sensitive_category", "unlearning_fraction", "forget_set_seed")
"""Settings of a cell that its base does not have."""

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(10**11)}
"""Environment of every step: one thread, and no memory handed back between steps (half of Sets2Sets' time)."""

COLUMNS = {
    "NDCG@10": NDCG,
    **FORGOTTEN_PAIRS,
    "forgotten@10": FORGOTTEN,
    "JS requesting": JS_REQUESTING,
    "JS others": JS_OTHERS,
}
TWO_DIGITS = (*FORGOTTEN_PAIRS, "forgotten@10")


def parse_args():
    """Return the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, type=Path, help="folder for results, checkpoints and logs")
    parser.add_argument("--data", type=Path, help="folder of the prepared data sets; not needed with --table")
    parser.add_argument("--cells", type=Path, default=Path(__file__).with_suffix(".yaml"), help="which data for whom")
    parser.add_argument("--models", nargs="+", help="only these cells")
    parser.add_argument("--algorithms", nargs="*", help="only these; none trains the models alone")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 5], help="of the models")
    parser.add_argument("--preset", help="run the algorithms with this preset of unlearn.py")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (default: 1)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start nothing after so long")
    parser.add_argument("--timeout", type=float, default=900, help="seconds for one step (default: 900)")
    parser.add_argument(
        "--table",
        type=Path,
        help="run nothing; write what is there, and distances over seeds (<stem>_over_seeds), as Markdown and .csv",
    )
    args = parser.parse_args()
    cells = yaml.safe_load(args.cells.read_text(encoding="utf-8"))["models"]
    args.cells = {name: dict(cell) for name, cell in cells.items()}  # cells that are the same in YAML are one object
    unknown = set(args.models or ()) - set(args.cells)
    if unknown or not (args.table or args.data):
        parser.error(f"not in the grid: {', '.join(sorted(unknown))}" if unknown else "--data says where the data is")
    args.models = args.models or list(args.cells)
    tried = {model: tried_on(cell) for model, cell in args.cells.items()}
    wanted = args.algorithms
    for model in args.models if wanted and not args.table else ():
        if not set(wanted) & set(tried[model]):
            parser.error(f"none of {', '.join(wanted)} is tried on {model}, but {', '.join(tried[model])}")
    args.algorithms = {m: [a for a in given if wanted is None or a in wanted] for m, given in tried.items()}
    args.work = args.work.resolve()
    return args


def tried_on(cell):
    """Take out of a cell what is tried on it, and return that; one that names its algorithms has no baselines."""
    baselines = cell.pop("baselines", ())
    return cell.pop("algorithms", (*ALGORITHMS, *baselines))


def result_path(args, cell, seed, step, preset=None):
    """Return where the result of a step is; cells of a model on the same data share its base."""
    name = cell if step != BASE else f"{model_of(args, cell)} {args.cells[cell]['dataset']}"
    return args.work / "cells" / f"{name}_{seed}_{step}{f'_{preset}' if preset else ''}.json"


def model_of(args, cell):
    """Return the model of a cell: what it says, else its name."""
    return args.cells[cell].get("model", cell)


def command(args, cell, seed, step, result):
    """Return the command line of a step."""
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
    """Run a step unless its result is there; return its exit status, or None if it was not run."""
    result = result_path(args, cell, seed, step, args.preset if step not in (BASE, RETRAINED) else None)
    if result.exists():
        return 0
    status = once(args, command(args, cell, seed, step, result), result)
    if result.exists():  # else the next run goes on from what is there
        drop_checkpoints(args.work / "saved", model_of(args, cell), seed, step)
    return status


def once(args, words, result):
    """Run a command that writes a result; return its exit status, 0 if that is there, None if the time is over.

    Args:
        args: ``work``, the folder it is run in; ``timeout`` in seconds; ``deadline``, after which nothing is started.
        words: the command.
        result: the file; beside it the output goes to ``.log``, the exit status to ``.status``.
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
    """Run a command in a folder with one thread, its output to ``log``; return its exit status, or "timeout"."""
    with open(log, "w", encoding="utf-8") as file:
        print("$", *words, file=file, flush=True)
        to = {"stdout": file, "stderr": file, "env": os.environ | ONE_THREAD}
        try:
            return subprocess.run(words, check=False, cwd=folder, timeout=seconds, **to).returncode
        except subprocess.TimeoutExpired:
            return "timeout"


def drop_checkpoints(folder, model, seed, algorithm):
    """Delete a run's unlearned checkpoints before the last; their rows are in the results."""
    for path in folder.rglob(f"model_{model}_seed_{seed}_*_unlearning_algorithm_{algorithm}_*_unlearn_epoch_*"):
        if f"_to_match_{LAST}" not in path.name and path.suffix in (".pth", ".json"):
            path.unlink(missing_ok=True)


def trained(args, cell, seed):
    """Train what is missing of a cell and seed; return whether base and retrained model are there."""
    return all(run(args, cell, seed, step) == 0 for step in (BASE, RETRAINED))


def forget(args, cell, seed):
    """Run the algorithms that are missing of a cell and seed."""
    for algorithm in args.algorithms[cell]:
        run(args, cell, seed, algorithm)


def run_all(args):
    """Run the grid, cell by cell: the models of all seeds, then, where none is missing, the algorithms."""
    (args.work / "cells").mkdir(parents=True, exist_ok=True)
    args.deadline = time.monotonic() + 60 * args.minutes
    with ThreadPoolExecutor(args.jobs) as pool:
        for cell in args.models:
            if all(pool.map(partial(trained, args, cell), args.seeds)):
                list(pool.map(partial(forget, args, cell), args.seeds))


def scores(record, kind):
    """Return the columns of one kind of model at the last checkpoint, by name."""
    return values_of(matching(own_rows(record), {"checkpoint": LAST, "model": kind}), COLUMNS)


def kinds(record):
    """Return the kinds of models that a record has rows of."""
    return {row["model"] for row in record["metrics"]}


def lines_of(args, model):
    """Yield ``(name, one dictionary a seed, note)`` for base, null row, retrained and every algorithm of a model."""
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
    """Return the requests by outcome, summed over the seeds, and what is missing."""
    parts = outcomes([record for record in records.values() if record])
    for seed, record in records.items():
        status = result_path(args, model, seed, algorithm, args.preset).with_suffix(".status")
        if record is None:
            parts.append(f"seed {seed} " + (f"exit {status.read_text().strip()}" if status.exists() else "not run"))
    if all(part.endswith("not run") for part in parts):
        return "not run"
    return ", ".join(parts)


def cell(values, column):
    """Return a column's mean and standard deviation over the seeds as text, of a cost the mean; empty without any."""
    if column in CPU_COSTS:
        return mean_and_deviation([values.mean()], ".3g")
    return mean_and_deviation(values, ".2f" if column in TWO_DIGITS else ".4f")


def table(args):
    """Return the table: means and standard deviations over the seeds that are there."""
    lines = []
    for model in args.models:
        for name, values, about in lines_of(args, model):
            frame = pd.DataFrame(values, columns=[*COLUMNS, *CPU_COSTS], dtype=float)
            cells = {column: cell(frame[column], column) for column in frame}
            lines.append({"model": model, "": name, "seeds": len(frame)} | cells | {"requests": about})
    return pd.DataFrame(lines)


def records_of(args):
    """Return the records that are there, one a seed, by cell and name of the run."""
    found = {}
    for of in args.models:
        for algorithm in args.algorithms[of]:
            paths = [result_path(args, of, seed, algorithm, args.preset) for seed in args.seeds]
            records = [record for record in map(read_if_there, paths) if record]
            if records:
                found[of, f"{algorithm}, {args.preset}" if args.preset else algorithm] = records
    return found


def show(shown, path):
    """Print a table, and write it as Markdown and as .csv."""
    write_markdown(shown, path)
    write_csv(shown, path.with_suffix(".csv"))
    print(as_text(shown))


def main():
    """Run the grid, or show it."""
    args = parse_args()
    if args.table is None:
        run_all(args)
    else:
        show(table(args), args.table)
        found = records_of(args)
        show(seeds_table(found, LAST), args.table.with_stem(f"{args.table.stem}_over_seeds"))
        show(judged_table(found, LAST), args.table.with_stem(f"{args.table.stem}_judged"))


if __name__ == "__main__":
    main()
