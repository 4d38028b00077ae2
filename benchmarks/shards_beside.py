r"""Exact unlearning by shards and the approximate algorithms, beside each other on the same requests.

    python benchmarks/shards_beside.py --data dataset --work results/shards_beside --grid results/grid
    python benchmarks/shards_beside.py --work results/shards_beside --grid results/grid --table results/beside.md

A cell is a model on a data set and what is to be forgotten of it; the cells stand in `shards_beside.yaml`. Each is run
with one model of all data, to which the approximate algorithms are put, and with ensembles, to which `shards` is: base,
retrained for the last checkpoint (of an ensemble: the twin, all shards from scratch), and unlearned. Every step is the
documented command in a process of its own. What is done is skipped, so that it can be run in parts and goes on after a
kill, inside a step too; `--minutes` stops starting steps. A cell that says `grid` has the settings of that cell of
`grid.yaml`; with `--grid` the approximate algorithms' results are taken from `grid.py`'s work folder.

The tables: utility, what is seen of the forgotten, distances from the own twin and from the one retrained model of all
data, and what a request costs; and how many shards were dirty after so many requests, beside what was expected.
`--set epochs=5 num_shards=4` changes settings of all steps, for a quick look.
"""

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import yaml
from grid import ALGORITHMS, BASE, LAST, OF_FORGETTING, RETRAINED, ROOT, drop_checkpoints, once, tried_on
from shards_beside_tables import ONE, SHARDS, told

from recbole.report.records import read_if_there
from recbole.utils import UserError
from recbole.utils.files import atomic_write


@dataclass(frozen=True)
class Cell:
    """A model, data, and what is to be forgotten.

    Attributes:
        name: what it is called.
        seeds: of the models.
        settings: of all steps.
        asked: what is to be forgotten, which a base does not know.
        ensembles: name to the settings of an ensemble.
        algorithms: that are put to the one model of all data.
        configs: files in `configs/`.
        grid: the name of the cell of `grid.yaml` that it is.
    """

    name: str
    seeds: list
    settings: dict
    ensembles: dict
    asked: dict = field(default_factory=dict)
    algorithms: list = field(default_factory=lambda: list(ALGORITHMS))
    configs: list | None = None
    grid: str | None = None

    @property
    def steps(self):
        """Who is run and how, ``(one model or an ensemble, step)``, in order: what is retrained comes before."""
        found = [(ONE, BASE), (ONE, RETRAINED)]
        for ensemble in self.ensembles:
            found += [(ensemble, BASE), (ensemble, RETRAINED), (ensemble, SHARDS)]
        return found + [(ONE, algorithm) for algorithm in self.algorithms]


def cells_of(plan, known):
    """Return the cells of a plan, name to :class:`Cell`.

    Args:
        plan: what the cells file holds.
        known: the cells of `grid.yaml`.
    """
    cells = {}
    for name, told_of in plan["cells"].items():
        about = {"ensembles": {one: plan["ensembles"][one] for one in told_of["ensembles"]}}
        if "grid" in told_of:
            settings = {"model": told_of["grid"], **known[told_of["grid"]]}
            tried_on(settings)
            about["asked"] = {key: settings.pop(key) for key in OF_FORGETTING}
            about["settings"] = settings | told_of.get("settings", {})
            about["grid"] = None if "settings" in told_of else told_of["grid"]  # results of others are not this one's
        cells[name] = Cell(name, **{"seeds": plan["seeds"], **told_of, **about})
    return cells


def parse_args(argv):
    """Return the arguments, ``cells`` those that are wanted by name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, type=Path, help="folder for results, checkpoints and logs")
    parser.add_argument("--data", type=Path, help="folder of the prepared data sets; not needed with --table")
    parser.add_argument("--grid", type=Path, help="work folder of grid.py, for the results of approximate algorithms")
    parser.add_argument("--cells", type=Path, default=Path(__file__).with_suffix(".yaml"), help="what is tried")
    parser.add_argument("--only", nargs="+", help="only these cells")
    parser.add_argument("--ensembles", nargs="+", help="only these ensembles")
    parser.add_argument("--algorithms", nargs="*", help="only these approximate algorithms")
    parser.add_argument("--seeds", type=int, nargs="+", help="instead of the cells file's")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings of all steps")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start nothing after so long")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for one step (default: 3600)")
    parser.add_argument("--table", type=Path, help="run nothing; write what is there as Markdown")
    args = parser.parse_args(argv)
    known = yaml.safe_load((ROOT / "benchmarks" / "grid.yaml").read_text(encoding="utf-8"))["models"]
    cells = cells_of(yaml.safe_load(args.cells.read_text(encoding="utf-8")), known)
    if set(args.only or ()) - set(cells):
        parser.error(f"--only: not in {args.cells.name}: {', '.join(sorted(set(args.only) - set(cells)))}")
    if not (args.table or args.data):
        parser.error("--data says where the data is")
    if args.set and args.grid:
        parser.error("--set: results of grid.py are of its own settings; leave --grid away")
    args.set = dict(one.partition("=")[::2] for one in args.set)
    args.cells = {name: cell for name, cell in cells.items() if args.only is None or name in args.only}
    args.work, args.grid = args.work.resolve(), args.grid and args.grid.resolve()
    return args


def is_wanted(args, of, step):
    """Return whether the arguments ask for a step."""
    if of != ONE:
        return args.ensembles is None or of in args.ensembles
    return step in (BASE, RETRAINED) or args.algorithms is None or step in args.algorithms


def result_path(args, cell, seed, of, step):
    """Return where the result of a step is: in the work folder of `grid.py`, if it is that one's."""
    if args.grid and cell.grid and of == ONE and step not in (BASE, RETRAINED):
        return args.grid / "cells" / f"{cell.grid}_{seed}_{step}.json"
    return args.work / "steps" / f"{cell.name}_{of}_{seed}_{step}.json"


def command(args, cell, seed, of, step):
    """Return the command line of a step."""
    model = cell.settings["model"]
    settings = {
        "data_path": args.data.resolve(),
        "checkpoint_dir": args.work / "saved" / cell.name,
        "tensorboard": False,
        "show_progress": False,
        "seed": seed,
        **cell.settings,
        **cell.ensembles.get(of, {}),
        **args.set,
        "result_file": result_path(args, cell, seed, of, step),
    }
    if step != BASE:
        settings |= cell.asked
    if step == RETRAINED:
        settings["retrain_checkpoint_idx_to_match"] = LAST
    elif step != BASE:
        settings["unlearning_algorithm"] = step
    script = "run_recbole.py" if step in (BASE, RETRAINED) else "unlearn.py"
    configs = [ROOT / "configs" / name for name in cell.configs or [f"config_{model.lower()}.yaml"]]
    words = [sys.executable, ROOT / script, "--config_files", *configs]
    return [str(word) for word in words] + [f"--{key}={value}" for key, value in settings.items()]


def run_all(args):
    """Run what is missing, cell by cell and seed by seed; after a model that was not trained, nothing of it."""
    (args.work / "steps").mkdir(parents=True, exist_ok=True)
    args.deadline = time.monotonic() + 60 * args.minutes
    for cell in args.cells.values():
        for seed in args.seeds or cell.seeds:
            untrained = set()
            for of, step in cell.steps:
                if of not in untrained and is_wanted(args, of, step) and run(args, cell, seed, of, step) not in (0, 3):
                    untrained |= {of} if step in (BASE, RETRAINED) else set()


def run(args, cell, seed, of, step):
    """Run a step unless its result is there; return its exit status, or None if it was not run."""
    result = result_path(args, cell, seed, of, step)
    if result.exists() or args.work not in result.parents:
        return 0 if result.exists() else None
    status = once(args, command(args, cell, seed, of, step), result)
    if result.exists():
        drop_checkpoints(args.work / "saved" / cell.name, cell.settings["model"], seed, step)
    return status


def records_of(args):
    """Return what is there: cell to seed to one model or ensemble to step to its record."""
    found = {}
    for name, cell in args.cells.items():
        for seed in args.seeds or cell.seeds:
            for of, step in cell.steps:
                if is_wanted(args, of, step):
                    record = read_if_there(result_path(args, cell, seed, of, step))
                    found.setdefault(name, {}).setdefault(seed, {}).setdefault(of, {})[step] = record
    return found


def main(argv):
    """Run what is missing, or show what is there; return the exit status."""
    args = parse_args(argv)
    if args.table is None:
        run_all(args)
        return 0
    try:
        text = told(records_of(args))
    except UserError as error:
        print(f"shards_beside.py: {error}", file=sys.stderr)
        return 2
    print(text)
    with atomic_write(args.table) as file:
        file.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
