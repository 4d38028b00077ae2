r"""How well do inference attacks predict users' gender and age from a model, before and after attribute unlearning?

    python benchmarks/attribute.py --data dataset --work results/attribute
    python benchmarks/attribute.py --data dataset --work results/attribute --parts share null
    python benchmarks/attribute.py --work results/attribute --table results/attribute.md

A cell is a model on a data set. `attribute.yaml` defines the cells and the unlearning methods (with `--cells`, another
file such as `attribute_baskets.yaml`). A cell has three parts:

- `inside`, all seeds: the base model is trained and, for each attribute, unlearned with each method. Every attacker
  attacks each of these models on each view (user embeddings, recommended lists), by cross-validation over all users.
  This is the protocol of the authors' program.
- `share`, first seed only: the methods unlearn the attribute for only 60 % of the users. These models, and the base
  with the same users marked as protected, are attacked under all protocols of `erase-bench attack`.
- `null`, first seed only: reference values for the AUC. The groups are randomly shuffled (on base and d2d), or the
  attack uses base's training rows or its initial, untrained parameters instead of the trained model.

Every step runs a documented command in its own process: `run_recbole.py`, `unlearn.py` or `erase-bench attack`. Steps
with a result file are skipped, so the benchmark can be run in parts and resumed after a kill. No step starts after
`--minutes`.

`--table` also writes the numbers behind the tables as .csv, one row per metric, seed and step. Those of the tables in
`docs/results.md` are in `docs/attribute.csv`; with `--earlier docs/attribute.csv` new results are added to them.
"""

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import yaml
from attribute_tables import UTILITY, read_long, tables
from grid import ROOT, once

from recbole.report.records import read_if_there
from recbole.utils import UserError

BASE, PARTS = "base", ("inside", "share", "null")
SHARE = 0.6
"""Fraction of the users whose attribute is unlearned in the part ``share``."""

_ATTACK = (
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); from recbole.quick_start.attack import main; sys.exit(main())"
)
_NULL_OF = (BASE, "d2d")
_ALL_AT_ONCE = {"protect_batches": 1, "attack_seeds": 0}
"""Settings of `unlearn.py`: one request protects all users, and no attacks, which are separate steps here."""


@dataclass(frozen=True)
class Cell:
    """A model on a data set.

    Attributes:
        name: the name in the cells file.
        seeds: seeds of the models. The parts ``share`` and ``null`` use only the first.
        settings: settings for training and evaluation, name to value.
        named: whether the cell is run only if ``--only`` names it.
    """

    name: str
    seeds: list
    settings: dict
    named: bool = False


@dataclass(frozen=True)
class Step:
    """A command and the steps whose checkpoints it needs.

    Attributes:
        name: the name of the result, without cell and seed.
        kind: ``base``, ``unlearn`` or ``attack``.
        settings: settings for `unlearn.py` (name to value), or flags of the attack (name to list of values).
        of: for an attack, the name of the step whose model is attacked.
        protected_of: for an attack, the name of the step that tells which users are protected. None: the users that the
            attacked model protects, or all users for the base.
    """

    name: str
    kind: str
    settings: dict = field(default_factory=dict)
    of: str | None = None
    protected_of: str | None = None


def cells_of(plan):
    """Return the cells that a cells file (parsed YAML) defines, name to :class:`Cell`."""
    cells = {}
    for name, given in plan["cells"].items():
        first = cells[given["like"]].settings if "like" in given else plan["settings"]
        settings = first | given.get("settings", {})
        cells[name] = Cell(name, given.get("seeds", plan["seeds"]), settings, given.get("named", False))
    return cells


def parse_args(argv):
    """Return the arguments, with the selected ``cells`` (name to :class:`Cell`) and ``methods`` (name to settings)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, type=Path, help="folder for results, checkpoints and logs")
    parser.add_argument("--data", type=Path, help="folder of the prepared data sets; not needed with --table")
    cells_file = Path(__file__).with_suffix(".yaml")
    parser.add_argument("--cells", type=Path, default=cells_file, help="file of cells and methods (attribute.yaml)")
    parser.add_argument("--only", nargs="+", help="run only these cells")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="only these parts (default: all)")
    parser.add_argument("--attributes", nargs="+", help="attributes to unlearn, instead of those in the cells file")
    parser.add_argument("--methods", nargs="*", help="run only these methods; without a name, attack only the base")
    parser.add_argument("--seeds", type=int, nargs="+", help="model seeds, instead of those in the cells file")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start no step after this many minutes")
    parser.add_argument("--timeout", type=float, default=3600, help="time limit of one step in s (default: 3600)")
    parser.add_argument("--table", type=Path, help="run nothing; write existing results to this .md file and as .csv")
    parser.add_argument("--earlier", type=Path, help="with --table: earlier results (.csv), used where --work has none")
    args = parser.parse_args(argv)
    plan = yaml.safe_load(args.cells.read_text(encoding="utf-8"))
    cells = cells_of(plan)
    for flag, wanted, known in (("only", args.only, cells), ("methods", args.methods, plan["methods"])):
        if set(wanted or ()) - set(known):
            parser.error(f"--{flag}: not in {args.cells.name}: {', '.join(sorted(set(wanted) - set(known)))}")
    if not (args.table or args.data):
        parser.error("--data is needed: the folder of the prepared data sets")
    args.cells = {n: c for n, c in cells.items() if (n in args.only if args.only else args.table or not c.named)}
    args.methods = {m: s for m, s in plan["methods"].items() if args.methods is None or m in args.methods}
    args.attributes = args.attributes or plan["attributes"]
    args.utility = plan.get("utility", UTILITY)
    args.work = args.work.resolve()
    return args


# --- the steps -------------------------------------------------------------------------------------------------------
def steps_of(args, part, attribute):
    """Return the steps of a part for one attribute, in order. Training the base is the first step of every part."""
    made = {m: {"attribute": attribute} | settings for m, settings in args.methods.items()}
    steps = [Step(BASE, BASE)]
    if part == "inside":
        words = {"protocols": ["inside"], "references": [], "attack_seeds": [1], "no_chosen": []}
        steps.append(Step(f"{attribute} {BASE} attack", "attack", words, BASE))
        for method, settings in made.items():
            name = f"{attribute} {method}"
            steps += [Step(name, "unlearn", settings), Step(f"{name} attack", "attack", words, name)]
    elif part == "share":
        words, some = {"protocols": ["all"], "references": [], "attack_seeds": [1]}, {"protect_fraction": SHARE}
        for method, settings in made.items():
            name = f"{attribute} {method} share"
            steps += [Step(name, "unlearn", settings | some), Step(f"{name} attack", "attack", words, name)]
        if made:
            other = f"{attribute} {next(iter(made))} share"
            steps.insert(2, Step(f"{attribute} {BASE} share attack", "attack", words, BASE, other))
    else:
        words = {"protocols": ["inside"], "attack_seeds": [1], "no_chosen": []}
        for method in (one for one in _NULL_OF if one == BASE or one in made):
            name, of = f"{attribute} {method}", BASE if method == BASE else f"{attribute} {method}"
            more = {"references": ["shuffled", *(["history", "untrained"] if method == BASE else [])]}
            steps += [Step(name, "unlearn", made[method])] if method != BASE else []
            steps.append(Step(f"{name} null attack", "attack", words | more, of))
    return steps


def result_path(args, cell, seed, name):
    """Return the path of a step's result file."""
    return args.work / "steps" / f"{cell.name}_{seed}_{name.replace(' ', '_')}.json"


def folder_of(args, cell, seed, name):
    """Return the folder for the checkpoints of a step, given its name."""
    return args.work / "saved" / f"{cell.name} {seed}" / name


def checkpoint_of(args, cell, seed, name):
    """Return the path of the checkpoint that a step wrote: the base, or the last checkpoint of an unlearning run.

    Raises:
        UserError: the step's folder holds no such file, or several.
    """
    which = "*_best.pth" if name == BASE else "*_to_match_3.pth"
    folder = folder_of(args, cell, seed, name)
    found = [path for path in folder.rglob(which) if name == BASE or "unlearn_epoch" in path.name]
    if len(found) != 1:
        raise UserError(f"{folder} contains {len(found)} checkpoints {which}, but exactly one is expected")
    return found[0]


def command(args, cell, seed, step):
    """Return the command line of a step, a list of strings."""
    result = result_path(args, cell, seed, step.name)
    if step.kind == "attack":
        words = [sys.executable, "-c", _ATTACK, checkpoint_of(args, cell, seed, step.of)]
        words += ["--attribute", step.name.split()[0], "--data_path", args.data.resolve(), "--result_file", result]
        if step.protected_of:
            words += ["--protected_of", checkpoint_of(args, cell, seed, step.protected_of)]
        for flag, values in step.settings.items():
            words += [f"--{flag}", *values]
        return list(map(str, words))
    settings = {
        "data_path": args.data.resolve(),
        "checkpoint_dir": folder_of(args, cell, seed, step.name),
        "tensorboard": False,
        "show_progress": False,
        "seed": seed,
        "stopping_step": cell.settings["epochs"],
        **cell.settings,
    }
    if step.kind == "unlearn":
        settings |= _ALL_AT_ONCE | step.settings
        settings["base_checkpoint"] = checkpoint_of(args, cell, seed, BASE)
    settings["result_file"] = result
    script = ROOT / ("unlearn.py" if step.kind == "unlearn" else "run_recbole.py")
    return [sys.executable, str(script), *(f"--{key}={_yaml(value)}" for key, value in settings.items())]


def _yaml(value):
    """Return the value of a setting as command-line text: YAML, with ``null`` for None."""
    if isinstance(value, (dict, list)):
        return yaml.safe_dump(value, default_flow_style=True, width=1000).strip()
    return "null" if value is None else str(value)


def seeds_of(args, cell, part):
    """Return the seeds with which a part of a cell is run: all for ``inside``, only the first for other parts."""
    seeds = args.seeds or cell.seeds
    return seeds if part == "inside" else seeds[:1]


def wanted(args):
    """Yield ``(part, cell, seed, attribute, step)`` in running order.

    Within a part all cells are run with their first seed, then all cells with their next seed, and so on.
    """
    for part in args.parts:
        every = {name: seeds_of(args, cell, part) for name, cell in args.cells.items()}
        for at in range(max(map(len, every.values()))):
            for attribute in args.attributes:
                for name, cell in args.cells.items():
                    for step in steps_of(args, part, attribute) if at < len(every[name]) else ():
                        yield part, cell, every[name][at], attribute, step


def run_all(args):
    """Run the steps without a result, except those that need the checkpoint of a failed step."""
    (args.work / "steps").mkdir(parents=True, exist_ok=True)
    args.deadline = time.monotonic() + 60 * args.minutes
    failed = set()
    for _, cell, seed, _, step in wanted(args):
        result = result_path(args, cell, seed, step.name)
        needed = {result_path(args, cell, seed, one) for one in (BASE, step.of, step.protected_of) if one}
        if result.exists() or result in failed or failed & needed:
            continue
        if once(args, command(args, cell, seed, step), result):
            failed.add(result)
        elif not result.exists():
            return


def records_of(args):
    """Return (part, cell, attribute, seed, step name) to the record of the step, None if it has no result.

    A record is the content of the step's result file in ``--work``, or else the step's ``metrics`` in ``--earlier``.
    """
    earlier = read_long(args.earlier) if args.earlier else {}
    return {
        (part, cell.name, attribute, seed, step.name): read_if_there(result_path(args, cell, seed, step.name))
        or earlier.get((cell.name, seed, step.name))
        for part, cell, seed, attribute, step in wanted(args)
    }


def main(argv):
    """Run the missing steps, or with ``--table`` show the existing results. Return the exit status."""
    args = parse_args(argv)
    try:
        if args.table is None:
            run_all(args)
        else:
            print(tables(records_of(args), args.table, args.utility))
    except UserError as error:
        print(f"attribute.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
