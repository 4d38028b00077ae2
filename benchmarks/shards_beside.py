r"""Compare exact unlearning with shards and the approximate algorithms on the same requests.

    python benchmarks/shards_beside.py --data dataset --work results/shards_beside --grid results/grid
    python benchmarks/shards_beside.py --work results/shards_beside --grid results/grid --table results/beside.md

A cell is a model, a data set and a forget set; `shards_beside.yaml` lists the cells. In each cell, approximate
algorithms unlearn from a single model trained on all data, and the algorithm `shards` unlearns from ensembles. The
steps are: train the base, retrain for the last checkpoint (for an ensemble: the *twin*, all shards trained from scratch
without the forgotten rows), and unlearn. Every step is a command in a process of its own. Steps with a result file are
skipped and interrupted steps are resumed, so that the script can run in parts; after `--minutes` no new step starts. A
cell with `grid` has the settings of that cell of `grid.yaml`; with `--grid`, the results of its approximate algorithms
are taken from the work folder of `grid.py`.

The first table gives utility, visibility of the forgotten items, distances from the twin and from the single retrained
model, and the cost of a request. The second table gives the number of dirty shards (those that a request has changed)
after some numbers of requests, next to the expected number. `--set epochs=5 num_shards=4` overrides settings of all
steps, for a quick test.
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
    """A model, a data set and a forget set.

    Attributes:
        name: name of the cell.
        seeds: training seeds.
        settings: settings of all steps.
        asked: settings of the forget set, which the base model does not get.
        ensembles: name of an ensemble to its settings.
        algorithms: approximate algorithms that unlearn from the single model.
        configs: names of files in `configs/`; None: the file of the model.
        grid: name of the cell in `grid.yaml` whose results can be reused; None: no such cell.
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
        """The pairs ``(ONE or name of an ensemble, step)`` in running order: training before unlearning."""
        found = [(ONE, BASE), (ONE, RETRAINED)]
        for ensemble in self.ensembles:
            found += [(ensemble, BASE), (ensemble, RETRAINED), (ensemble, SHARDS)]
        return found + [(ONE, algorithm) for algorithm in self.algorithms]


def cells_of(plan, known):
    """Return a dictionary of name to :class:`Cell`.

    Args:
        plan: content of `shards_beside.yaml`.
        known: content of `grid.yaml` under ``models``.
    """
    cells = {}
    for name, told_of in plan["cells"].items():
        about = {"ensembles": {one: plan["ensembles"][one] for one in told_of["ensembles"]}}
        if "grid" in told_of:
            settings = {"model": told_of["grid"], **known[told_of["grid"]]}
            tried_on(settings)
            about["asked"] = {key: settings.pop(key) for key in OF_FORGETTING}
            about["settings"] = settings | told_of.get("settings", {})
            about["grid"] = None if "settings" in told_of else told_of["grid"]  # other settings, other results
        cells[name] = Cell(name, **{"seeds": plan["seeds"], **told_of, **about})
    return cells


def parse_args(argv):
    """Return the command-line arguments; ``cells`` is a dictionary of name to :class:`Cell`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, type=Path, help="folder for results, checkpoints and logs")
    parser.add_argument("--data", type=Path, help="folder of the prepared data sets; not needed with --table")
    parser.add_argument("--grid", type=Path, help="work folder of grid.py, for the results of approximate algorithms")
    parser.add_argument("--cells", type=Path, default=Path(__file__).with_suffix(".yaml"), help="YAML file of cells")
    parser.add_argument("--only", nargs="+", help="only these cells")
    parser.add_argument("--ensembles", nargs="+", help="only these ensembles")
    parser.add_argument("--algorithms", nargs="*", help="only these approximate algorithms")
    parser.add_argument("--seeds", type=int, nargs="+", help="training seeds (default: those of the file of cells)")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="settings that override all steps'")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no new step after this time")
    parser.add_argument("--timeout", type=float, default=3600, help="limit of one step in seconds (default: 3600)")
    parser.add_argument("--table", type=Path, help="run nothing; write the tables of existing results as Markdown")
    args = parser.parse_args(argv)
    known = yaml.safe_load((ROOT / "benchmarks" / "grid.yaml").read_text(encoding="utf-8"))["models"]
    cells = cells_of(yaml.safe_load(args.cells.read_text(encoding="utf-8")), known)
    if set(args.only or ()) - set(cells):
        parser.error(f"--only: not in {args.cells.name}: {', '.join(sorted(set(args.only) - set(cells)))}")
    if not (args.table or args.data):
        parser.error("give --data, the folder of the prepared data sets, or --table")
    if args.set and args.grid:
        parser.error("--set cannot be used with --grid, because the results of grid.py have other settings")
    args.set = dict(one.partition("=")[::2] for one in args.set)
    args.cells = {name: cell for name, cell in cells.items() if args.only is None or name in args.only}
    args.work, args.grid = args.work.resolve(), args.grid and args.grid.resolve()
    return args


def is_wanted(args, of, step):
    """Return whether a step is selected by ``--ensembles`` and ``--algorithms``."""
    if of != ONE:
        return args.ensembles is None or of in args.ensembles
    return step in (BASE, RETRAINED) or args.algorithms is None or step in args.algorithms


def result_path(args, cell, seed, of, step):
    """Return the path of a step's result file: in ``--work``, or in ``--grid`` if the result of `grid.py` is reused."""
    if args.grid and cell.grid and of == ONE and step not in (BASE, RETRAINED):
        return args.grid / "cells" / f"{cell.grid}_{seed}_{step}.json"
    return args.work / "steps" / f"{cell.name}_{of}_{seed}_{step}.json"


def command(args, cell, seed, of, step):
    """Return the command line of a step, a list of words.

    Args:
        args: command-line arguments of this script.
        cell: the :class:`Cell`.
        seed: training seed.
        of: ONE, or the name of an ensemble.
        step: BASE, RETRAINED or the name of an algorithm.
    """
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
    """Run all missing steps, cell by cell and seed by seed; skip the other steps of a model whose training failed."""
    (args.work / "steps").mkdir(parents=True, exist_ok=True)
    args.deadline = time.monotonic() + 60 * args.minutes
    for cell in args.cells.values():
        for seed in args.seeds or cell.seeds:
            untrained = set()
            for of, step in cell.steps:
                if of not in untrained and is_wanted(args, of, step) and run(args, cell, seed, of, step) not in (0, 3):
                    untrained |= {of} if step in (BASE, RETRAINED) else set()


def run(args, cell, seed, of, step):
    """Run a step unless its result file exists.

    Returns:
        The exit status, 0 if the result file exists, or None if the step was not run.
    """
    result = result_path(args, cell, seed, of, step)
    if result.exists() or args.work not in result.parents:
        return 0 if result.exists() else None
    status = once(args, command(args, cell, seed, of, step), result)
    if result.exists():
        drop_checkpoints(args.work / "saved" / cell.name, cell.settings["model"], seed, step)
    return status


def records_of(args):
    """Return all results as ``{cell: {seed: {ONE or ensemble: {step: record}}}}``; a missing record is None."""
    found = {}
    for name, cell in args.cells.items():
        for seed in args.seeds or cell.seeds:
            for of, step in cell.steps:
                if is_wanted(args, of, step):
                    record = read_if_there(result_path(args, cell, seed, of, step))
                    found.setdefault(name, {}).setdefault(seed, {}).setdefault(of, {})[step] = record
    return found


def main(argv):
    """Run all missing steps, or with ``--table`` write the tables; return the exit status."""
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
