r"""What do attackers read of people's gender and age in a model, before and after attribute unlearning?

    python benchmarks/attribute.py --data dataset --work results/attribute
    python benchmarks/attribute.py --data dataset --work results/attribute --parts share null
    python benchmarks/attribute.py --work results/attribute --table results/attribute.md

A cell is a model on a data set; the cells and methods stand in `attribute.yaml`. Its parts are, for each seed:

- `inside`: the base and, for each attribute, each method, every one attacked by each attacker on each view, by folds of
  all people: the released protocol;
- `share`, one seed: the methods again, for 60 % of the people, attacked in all protocols, and the base on the same
  people: from outside, by insiders, by who chooses attacker and sign, and who is protected;
- `null`, one seed: what attackers come to with shuffled groups on the base and d2d, and with the base's training rows
  and untrained model.

Every step is the documented command in a process of its own: `run_recbole.py`, `unlearn.py`, `erase-bench attack`. What
is done is skipped, so that it can be run in parts and goes on after a kill; `--minutes` stops starting steps.
"""

import argparse
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import yaml
from attribute_tables import tables
from grid import ROOT, once

from recbole.report.records import read_if_there
from recbole.utils import UserError

BASE, PARTS = "base", ("inside", "share", "null")
SHARE = 0.6
"""Of the people, who are protected in the part of that name."""

_ATTACK = (
    f"import sys; sys.path.insert(0, {str(ROOT)!r}); from recbole.quick_start.attack import main; sys.exit(main())"
)
_NULL_OF = (BASE, "d2d")
_ALL_AT_ONCE = {"protect_batches": 1, "attack_seeds": 0}
"""Of `unlearn.py`: everybody asks in one request; the attacks are steps of their own."""


@dataclass(frozen=True)
class Cell:
    """A model on a data set.

    Attributes:
        name: what it is called.
        seeds: of the models; the first is that of the parts of one seed.
        settings: of training and evaluation.
        named: run only where it is asked for by name.
    """

    name: str
    seeds: list
    settings: dict
    named: bool = False


@dataclass(frozen=True)
class Step:
    """A command, and what it needs.

    Attributes:
        name: of the result, without the cell and seed.
        kind: ``base``, ``unlearn`` or ``attack``.
        settings: of `unlearn.py`, or the words of the attack.
        of: of an attack, the step that made what is attacked.
        protected_of: of an attack, the step whose protected people are read.
    """

    name: str
    kind: str
    settings: dict = field(default_factory=dict)
    of: str | None = None
    protected_of: str | None = None


def cells_of(plan):
    """Return the cells of a plan, name to :class:`Cell`."""
    cells = {}
    for name, told in plan["cells"].items():
        first = cells[told["like"]].settings if "like" in told else plan["settings"]
        settings = first | told.get("settings", {})
        cells[name] = Cell(name, told.get("seeds", plan["seeds"]), settings, told.get("named", False))
    return cells


def parse_args(argv):
    """Return the arguments, ``cells`` those that are wanted by name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, type=Path, help="folder for results, checkpoints and logs")
    parser.add_argument("--data", type=Path, help="folder of the prepared data sets; not needed with --table")
    parser.add_argument("--cells", type=Path, default=Path(__file__).with_suffix(".yaml"), help="what is tried")
    parser.add_argument("--only", nargs="+", help="only these cells")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help=f"of {', '.join(PARTS)}")
    parser.add_argument("--attributes", nargs="+", help="instead of the cells file's")
    parser.add_argument("--methods", nargs="*", help="only these; none attacks the base alone")
    parser.add_argument("--seeds", type=int, nargs="+", help="instead of the cells file's")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start nothing after so long")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds for one step (default: 3600)")
    parser.add_argument("--table", type=Path, help="run nothing; write what is there as Markdown, and as .csv")
    args = parser.parse_args(argv)
    plan = yaml.safe_load(args.cells.read_text(encoding="utf-8"))
    cells = cells_of(plan)
    for flag, wanted, known in (("only", args.only, cells), ("methods", args.methods, plan["methods"])):
        if set(wanted or ()) - set(known):
            parser.error(f"--{flag}: not in {args.cells.name}: {', '.join(sorted(set(wanted) - set(known)))}")
    if not (args.table or args.data):
        parser.error("--data says where the data is")
    args.cells = {n: c for n, c in cells.items() if (n in args.only if args.only else args.table or not c.named)}
    args.methods = {m: s for m, s in plan["methods"].items() if args.methods is None or m in args.methods}
    args.attributes = args.attributes or plan["attributes"]
    args.work = args.work.resolve()
    return args


# --- the steps -------------------------------------------------------------------------------------------------------
def steps_of(args, part, attribute):
    """Return the steps of a part, in order; the base's own comes first, as the first of all parts."""
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
    """Return where the result of a step is."""
    return args.work / "steps" / f"{cell.name}_{seed}_{name.replace(' ', '_')}.json"


def folder_of(args, cell, seed, name):
    """Return the folder of a method's checkpoints, or of the base's."""
    return args.work / "saved" / f"{cell.name} {seed}" / name


def checkpoint_of(args, cell, seed, name):
    """Return the checkpoint that a step made: the base, or the last one of an unlearning run.

    Raises:
        UserError: it is not there, or there are several.
    """
    which = "*_best.pth" if name == BASE else "*_to_match_3.pth"
    folder = folder_of(args, cell, seed, name)
    found = [path for path in folder.rglob(which) if name == BASE or "unlearn_epoch" in path.name]
    if len(found) != 1:
        raise UserError(f"{folder}: {len(found)} checkpoints {which}, and there should be one")
    return found[0]


def command(args, cell, seed, step):
    """Return the command line of a step."""
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
    """Return a setting as a command line takes it."""
    if isinstance(value, (dict, list)):
        return yaml.safe_dump(value, default_flow_style=True, width=1000).strip()
    return "null" if value is None else str(value)


def seeds_of(args, cell, part):
    """Return the seeds of a part of a cell: of all parts but ``inside`` one."""
    seeds = args.seeds or cell.seeds
    return seeds if part == "inside" else seeds[:1]


def wanted(args):
    """Yield ``(part, cell, seed, attribute, step)``: of each part the first seed of all cells, then the next one."""
    for part in args.parts:
        every = {name: seeds_of(args, cell, part) for name, cell in args.cells.items()}
        for at in range(max(map(len, every.values()))):
            for attribute in args.attributes:
                for name, cell in args.cells.items():
                    for step in steps_of(args, part, attribute) if at < len(every[name]) else ():
                        yield part, cell, every[name][at], attribute, step


def run_all(args):
    """Run what is missing; what needs something that failed, or that was not run, is left out."""
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
    """Return what is there: (part, cell, attribute, seed, name of the step) to its record, None where it is not."""
    return {
        (part, cell.name, attribute, seed, step.name): read_if_there(result_path(args, cell, seed, step.name))
        for part, cell, seed, attribute, step in wanted(args)
    }


def main(argv):
    """Run what is missing, or show what is there; return the exit status."""
    args = parse_args(argv)
    try:
        if args.table is None:
            run_all(args)
        else:
            print(tables(records_of(args), args.table))
    except UserError as error:
        print(f"attribute.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
