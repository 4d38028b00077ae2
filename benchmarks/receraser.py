r"""What do ensembles of shards lose beside one model of all data, and what does a request cost? As RecEraser asked.

    python benchmarks/receraser.py --data dataset --work results/receraser
    python benchmarks/receraser.py --data dataset --work results/receraser --models WMF --figures
    python benchmarks/receraser.py --data dataset --work results/receraser --people
    python benchmarks/receraser.py --work results/receraser --table results/receraser.md

On MovieLens 1M in RecEraser's split, trained on all of its training rows for a number of epochs that the validation
tenth gave, and asked about its test rows. A cell is a model (WMF, BPR, LightGCN), one of all data or an ensemble, and a
seed: `run_recbole.py` in a process of its own. What is done is skipped, so that it can be run in parts and goes on
after a kill, inside a cell too; `--minutes` stops starting cells. With `--validation` cells are trained on the other
nine tenths, until the tenth says stop; printed is for how many epochs the parts were then best. Cells, epochs and the
numbers that are shown beside them stand in `receraser.yaml`.

The tables: Recall and NDCG beside those of RecEraser's Table 3; shares of the retrained model, beside the paper's and a
prototype's; minutes beside Table 4; and its figures again. What one request costs is the training of one shard, at the
mean over shards, and of the aggregation, in CPU time as the ensemble's own training took it: a request trains the same
again, on a row less.

With `--people` nothing is trained: the saved models are put to the test rows again, for each user's Recall@10 and
NDCG@10, which are kept beside the results. `--table` then shows by how much one has more than another, user by user,
with intervals over users, for the pairs that `receraser.yaml` names.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import yaml
from grid import ROOT, once
from receraser_people import keep, path_of, read
from receraser_tables import told

from recbole.report.records import read_if_there
from recbole.utils import UserError
from recbole.utils.files import atomic_write

FINAL, VALIDATION = "final", "validation"


def parse_args(argv):
    """Return the arguments, with the ``plan`` of the cells file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, type=Path, help="folder for results, checkpoints and logs")
    parser.add_argument("--data", type=Path, help="folder of the prepared data sets; not needed with --table")
    parser.add_argument("--cells", type=Path, default=Path(__file__).with_suffix(".yaml"), help="what is tried")
    parser.add_argument("--models", nargs="+", help="only these")
    parser.add_argument("--only", nargs="+", help="only these cells")
    parser.add_argument("--seeds", type=int, nargs="+", help="instead of the cells file's")
    parser.add_argument("--figures", action="store_true", help="the cells of figures that are in no table, too")
    parser.add_argument("--validation", action="store_true", help="find epochs on the validation tenth instead")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="start nothing after so long")
    parser.add_argument("--timeout", type=float, default=7200, help="seconds for one cell (default: 7200)")
    parser.add_argument("--people", action="store_true", help="train nothing; find each user's metrics of saved models")
    parser.add_argument("--table", type=Path, help="run nothing; write what is there as Markdown")
    args = parser.parse_args(argv)
    args.plan = yaml.safe_load(args.cells.read_text(encoding="utf-8"))
    known = {"models": args.plan["models"], "only": args.plan["ensembles"]}
    for name, those in known.items():
        unknown = set(getattr(args, name) or ()) - set(those)
        if unknown:
            parser.error(f"--{name}: not in {args.cells.name}: {', '.join(sorted(unknown))}")
    if not (args.table or args.data):
        parser.error("--data says where the data is")
    args.work = args.work.resolve()
    args.part = VALIDATION if args.validation else FINAL
    return args


def cells_of(plan, model, figures):
    """Return the names of a model's cells, and how many of its seeds each is tried with (None: all)."""
    found = dict.fromkeys(plan["models"][model]["cells"])
    if figures and model == next(iter(plan["models"])):
        for cells in plan["figures"].values():
            found |= {cell: 1 for cell in cells.values() if cell not in found}
    return found


def wanted(args):
    """Yield ``(model, cell, seed)``: all cells of the first seed before those of the second."""
    for model in args.models or args.plan["models"]:
        seeds = args.seeds or args.plan["models"][model]["seeds"]
        for at, seed in enumerate(seeds):
            for cell, most in cells_of(args.plan, model, args.figures or bool(args.only)).items():
                if (args.only is None or cell in args.only) and (most is None or at < most):
                    yield model, cell, seed


def result_path(work, part, model, cell, seed):
    """Return where the result of a cell is."""
    return work / part / f"{model}_{cell.replace(', ', '_').replace(' ', '_')}_{seed}.json"


def command(args, model, cell, seed):
    """Return the command line of a cell."""
    plan, ensemble = args.plan, args.plan["ensembles"][cell]
    epochs = plan["models"][model]["epochs"]
    settings = {
        "model": model,
        "dataset": plan["dataset"],
        "data_path": args.data.resolve(),
        "checkpoint_dir": args.work / "saved" / args.part,
        "tensorboard": False,
        "show_progress": False,
        "seed": seed,
        "epochs": epochs.get(cell, epochs["shard" if ensemble else "one"]),
        **plan["models"][model].get("settings", {}),
        **plan[args.part],
        **ensemble,
        "result_file": result_path(args.work, args.part, model, cell, seed),
    }
    words = [sys.executable, ROOT / "run_recbole.py"]
    words += ["--config_files", ROOT / "configs" / "receraser" / f"config_{model.lower()}.yaml"]
    return [str(word) for word in words] + [f"--{key}={value}" for key, value in settings.items()]


def best_epochs(record):
    """Return for how many epochs each part of a record was best by its validation, as far as patience tells."""
    config, timing = record["config"], record["timing"]
    patience = config["eval_step"] * (config["stopping_step"] + 1)
    parts = record.get("ensemble")
    return [max(n - patience, 0) for n in parts["shard_epochs"].values()] if parts else [timing["best_epoch"] + 1]


def found(args, reader):
    """Return what there is of each cell: model to cell to seed to what ``reader`` makes of the result's path."""
    return {
        model: {
            cell: {
                seed: reader(result_path(args.work, FINAL, model, cell, seed))
                for seed in args.seeds or args.plan["models"][model]["seeds"]
            }
            for cell in cells_of(args.plan, model, figures=True)
        }
        for model in args.models or args.plan["models"]
    }


def evaluate(args):
    """Find each user's metrics of the saved models of which they are not there."""
    for model, cell, seed in wanted(args):
        result = result_path(args.work, FINAL, model, cell, seed)
        record = read_if_there(result)
        if record and not path_of(result).exists():
            keep(result, record, args.work / "saved" / FINAL, args.data.resolve())
            print(f"users of {result.stem}", flush=True)


def main(argv):
    """Run the cells, or evaluate or show them."""
    args = parse_args(argv)
    if args.table:
        text = told(args.plan, found(args, read_if_there), found(args, read))
        print(text)
        with atomic_write(args.table) as file:
            file.write(text + "\n")
        return
    if args.people:
        evaluate(args)
        return
    (args.work / args.part).mkdir(parents=True, exist_ok=True)
    args.deadline = time.monotonic() + 60 * args.minutes
    for model, cell, seed in wanted(args):
        result = result_path(args.work, args.part, model, cell, seed)
        once(args, command(args, model, cell, seed), result)
        record = read_if_there(result)
        if args.validation and record:
            print(f"{model} {cell} {seed}: best after {', '.join(map(str, best_epochs(record)))} epochs", flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"receraser.py: {error}")
