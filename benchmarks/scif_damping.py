r"""Choose SCIF's damping on validation data.

    python benchmarks/scif_damping.py --data dataset/ml-100k --config configs/config_bpr.yaml \
        --work results/scif_damping

For each seed and category of sensitive items a base model and one retrained without the whole forget set (index 3) are
trained, unless their checkpoints are in `--work` already; then SCIF unlearns the forget set from the base model, once
for each damping, and is held against the retrained model. No model is scored on the test split; and the demo's category
and seed are not among the defaults, so that what is shown there was not tuned on.

How the choice is made. Two things are wanted of an unlearned model: that it shows people what they asked to forget as
often as the retrained model does, and that its scores are the retrained model's.

* exposure gap: |avg_forgotten_per_user@10, unlearned - retrained|, of the requesting users;
* divergence: Jensen-Shannon divergence of their scores from the retrained model's, over the whole catalogue.

The first is the purpose, but is counted in the top ten of a few people and so noisy; the second is smooth, but hardly
notices single items. Hence a one-standard-error rule (after L. Breiman et al., "Classification and Regression Trees",
1984), on paired runs: a damping whose gaps exceed those of the damping with the smallest mean gap by no more, in the
mean, than one standard error of that same difference counts as equally good at the first; of these the one of least
mean divergence is chosen. The differences are taken run by run because runs differ far more than dampings do. Utility
has a veto: a damping that costs more than `--max_loss` of recall@20 on the validation split, relative to the base
model, is out.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from recbole.config import Config
from recbole.evaluator import build_views, evaluate
from recbole.evaluator.utility import mean_utility
from recbole.quick_start.setup import begin
from recbole.quick_start.train import run_recbole
from recbole.trainer import Naming
from recbole.unlearning.pipeline import Pipeline
from recbole.unlearning.registry import get_algorithm, hyper_parameters
from recbole.utils import UserError, write_json

DAMPINGS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
LAST = 3
"""The checkpoint after the last request."""


def parse_args():
    """Return the arguments, with paths that hold from any folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="folder NAME with NAME.inter and the forget sets")
    parser.add_argument("--config", required=True, type=Path, help="YAML file")
    parser.add_argument("--work", required=True, type=Path, help="folder for checkpoints, logs and damping.json")
    parser.add_argument("--model", default="BPR")
    parser.add_argument("--seeds", type=int, nargs="+", default=[3, 5, 7], help="of model and forget set")
    parser.add_argument("--categories", nargs="+", default=["crime", "war"])
    parser.add_argument("--fraction", type=float, default=0.001)
    parser.add_argument("--stopping_step", type=int, default=30)
    parser.add_argument("--dampings", type=float, nargs="+", default=DAMPINGS)
    parser.add_argument("--max_loss", type=float, default=0.02, help="of validation recall@20 (default: 0.02)")
    args = parser.parse_args()
    args.data, args.config, args.work = args.data.resolve(), args.config.resolve(), args.work.resolve()
    return args


def configure(args, seed, category, index=None):
    """Return the configuration of a base model, or of the model retrained to match checkpoint ``index``."""
    settings = {
        "data_path": str(args.data.parent),
        "checkpoint_dir": str(args.work / "saved"),
        "seed": seed,
        "sensitive_category": category,
        "unlearning_fraction": args.fraction,
        "stopping_step": args.stopping_step,
        "retrain_checkpoint_idx_to_match": index,
        "show_progress": False,
        "tensorboard": False,
        "state": "WARNING",
    }
    defaults = {parameter.name: parameter.default for parameter in hyper_parameters()}
    return Config(args.model, args.data.name, [str(args.config)], config_dict=settings, extra_defaults=defaults)


def trained(config):
    """Return the checkpoint's path of a base or retrained model; it is trained if it is not there."""
    index = config["retrain_checkpoint_idx_to_match"]
    names = Naming.from_config(config)
    path = Path(config["checkpoint_dir"]) / (names.base() if index is None else names.retrained(index))
    if not path.exists():
        print(f"training {path.name}", flush=True)
        run_recbole(config)
    return path


def one_run(args, seed, category):
    """Train what is missing, unlearn with each damping, and return what each model scores, by its name."""
    base_path = trained(configure(args, seed, category))
    retrained_path = trained(configure(args, seed, category, LAST))
    setup = begin(configure(args, seed, category), forgetting=True)
    retrained = setup.load_model(retrained_path, LAST)
    forgotten = setup.forgotten(LAST)
    views = build_views(setup.dataset, forgotten, LAST, setup.sensitive)
    valid = setup.dataset.masked(forgotten).eval_rows("valid")

    def scores(model):
        rows = evaluate(model, views, setup.config, (retrained, retrained_path.name), utility_too=False)
        return {
            "forgotten": value_of(rows, metric="avg_forgotten_per_user", k=10, masking="retained"),
            "divergence": value_of(rows, metric="js_divergence"),
            "recall": mean_utility(model, valid, setup.config)["recall@20"],
        }

    found = {"retrained": scores(retrained), "base": scores(setup.load_model(base_path, None))}
    for damping in args.dampings:
        setup.config["damping"] = damping
        model, summary = unlearned(setup, base_path)
        found[f"{damping:g}"] = scores(model) | {"applied": summary["applied"], "requests": summary["total"]}
    return found


def unlearned(setup, base_path):
    """Return the base model after all of the requests, and the pipeline's summary."""
    model = setup.load_model(base_path, None)
    dataset = setup.dataset.masked(setup.forgotten(None))
    algorithm = get_algorithm("scif")(setup.config, model, dataset)
    summary = Pipeline(algorithm, setup.requests, show_progress=False).run(lambda *_: None)
    return model, summary


def value_of(rows, **wanted):
    """Return the value of the one result row about the requesting users that is asked for."""
    wanted["population"] = "requesting"
    (row,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return row["value"]


def summarise(runs, dampings, max_loss):
    """Return what the rule looks at, for the base model and each damping.

    Args:
        runs: a list of :func:`one_run` results.
        dampings: the candidates.
        max_loss: the veto's.

    Returns:
        A row by name: means over runs, and ``excess`` and ``excess_error``, by how much the gap exceeds the best
        admissible damping's, and the standard error of that. And whether the row is ``admissible``.
    """
    names = ["base", *(f"{damping:g}" for damping in dampings)]
    values = {key: np.array([[run[name][key] for run in runs] for name in names])
              for key in ("forgotten", "divergence", "recall")}  # fmt: skip
    gaps = np.abs(values["forgotten"] - [run["retrained"]["forgotten"] for run in runs])
    recall = values["recall"].mean(axis=1)
    admissible = recall >= (1 - max_loss) * recall[0]
    admissible[0] = False  # to do nothing is no candidate
    best = np.argmin(np.where(admissible, gaps.mean(axis=1), np.inf))
    excess = gaps - gaps[best]
    errors = excess.std(axis=1, ddof=1) / len(runs) ** 0.5 if len(runs) > 1 else np.zeros(len(names))
    columns = {key: value.mean(axis=1) for key, value in values.items()}
    columns |= {"gap": gaps.mean(axis=1), "excess": excess.mean(axis=1), "excess_error": errors}
    columns["admissible"] = admissible
    return {name: {key: column[at].item() for key, column in columns.items()} for at, name in enumerate(names)}


def choose(table):
    """Return the name of the row that the rule in the module's docstring chooses, or None if the veto leaves none."""
    good = [name for name, row in table.items() if row["admissible"] and row["excess"] <= row["excess_error"]]
    return min(good, key=lambda name: table[name]["divergence"], default=None)


def print_table(table, chosen, runs):
    """Print the rows and the choice."""
    shown = np.mean([run["retrained"]["forgotten"] for run in runs])
    print(f"{len(runs)} runs; the retrained models show {shown:.3f} forgotten items in each requesting user's top 10\n")
    print(f"{'damping':<10}{'forgotten@10':>14}{'gap':>8}{'excess':>9}{'+-':>8}{'JS':>10}{'valid recall@20':>17}")
    for name, row in table.items():
        print(
            f"{name:<10}{row['forgotten']:>14.3f}{row['gap']:>8.3f}{row['excess']:>9.3f}{row['excess_error']:>8.3f}"
            f"{row['divergence']:>10.5f}{row['recall']:>17.4f}{'' if row['admissible'] else '  not a candidate'}"
        )
    print(f"\nchosen: {chosen or 'none, each costs too much recall'}")


def main():
    """Run everything, print the table and the choice, and write both."""
    args = parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    os.chdir(args.work)  # runs write log/ where they stand
    names = [(seed, category) for seed in args.seeds for category in args.categories]
    runs = [one_run(args, *name) for name in names]
    table = summarise(runs, args.dampings, args.max_loss)
    chosen = choose(table)
    print_table(table, chosen, runs)
    write_json("damping.json", {
        "chosen": chosen,
        "table": table,
        "settings": {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()},
        "runs": [{"seed": name[0], "category": name[1], "scores": run} for name, run in zip(names, runs, strict=True)],
    })  # fmt: skip


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"scif_damping.py: {error}", file=sys.stderr)
        sys.exit(2)
