r"""Choose an unlearning algorithm's hyper-parameters for a model on validation data.

    python benchmarks/unlearning_preset.py --data dataset --work results/preset --model BPR --algorithm scif

For each seed and category of sensitive items a base model and one retrained without the whole forget set (index 3) are
trained, unless their checkpoints are in `--work` already; then the algorithm unlearns the forget set from the base
model, once with each candidate of `unlearning_preset.yaml`, and is held against the retrained model. Data and training
are those of `grid.yaml`. No model is scored on the test split, and neither the seeds nor, where a data set has several,
the categories are those that results are reported for: what is shown there was not tuned on.

How the choice is made. Two things are wanted of an unlearned model: that it shows people what they asked to forget as
often as the retrained model does, and that its scores are the retrained model's.

* exposure gap: |avg_forgotten_per_user@10, unlearned - retrained|, of the requesting users;
* divergence: Jensen-Shannon divergence of their scores from the retrained model's, over the whole catalogue.

The first is the purpose, but is counted in the top ten of a few people and so noisy; the second is smooth, but hardly
notices single items. Hence a one-standard-error rule (after L. Breiman et al., "Classification and Regression Trees",
1984), on paired runs: a candidate whose gaps exceed those of the candidate with the smallest mean gap by no more, in
the mean, than one standard error of that same difference counts as equally good at the first; of these the one of least
mean divergence is chosen. The differences are taken run by run because runs differ far more than candidates do. Utility
has a veto: a candidate that costs more than `--max_loss` of the model's validation metric, relative to the base model,
is out, and so is one with which a request diverged.
"""

import argparse
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import yaml

from recbole.config import Config
from recbole.evaluator import EvalSettings, evaluate, get_probe, mean_utility
from recbole.quick_start.setup import begin
from recbole.quick_start.train import run_recbole
from recbole.report.columns import FORGOTTEN, JS_REQUESTING, only_value
from recbole.scenario.known_scenarios import scenario_of
from recbole.trainer.learn import load
from recbole.unlearning.pipeline import Pipeline
from recbole.unlearning.registry import get_algorithm, hyper_parameters
from recbole.unlearning.schedule import LAST
from recbole.utils import UserError, write_json

ROOT = Path(__file__).resolve().parents[1]


def parse_args():
    """Return the arguments, with what `grid.yaml` says of the model and the algorithm's candidates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="folder of the prepared data sets")
    parser.add_argument("--work", required=True, type=Path, help="folder for checkpoints, logs and what was found")
    parser.add_argument("--model", required=True)
    parser.add_argument("--algorithm", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 11], help="of model and forget set")
    parser.add_argument("--categories", nargs="+", help="default: crime and horror on ml-100k, else the grid's")
    parser.add_argument("--max_loss", type=float, default=0.02, help="of the validation metric (default: 0.02)")
    args = parser.parse_args()
    args.data, args.work = args.data.resolve(), args.work.resolve()
    cells, candidates = (yaml.safe_load((ROOT / "benchmarks" / name).read_text(encoding="utf-8"))
                         for name in ("grid.yaml", "unlearning_preset.yaml"))  # fmt: skip
    if args.model not in cells["models"] or args.algorithm not in candidates:
        parser.error("grid.yaml knows the models, unlearning_preset.yaml the algorithms")
    args.cell, args.candidates = dict(cells["models"][args.model]), candidates[args.algorithm]
    category, _ = args.cell.pop("sensitive_category"), args.cell.pop("baselines", None)
    args.categories = args.categories or (["crime", "horror"] if args.cell["dataset"] == "ml-100k" else [category])
    return args


def configure(args, seed, category, index=None):
    """Return the configuration of a base model, or of the model retrained to match checkpoint ``index``."""
    settings = {
        **args.cell,
        "data_path": str(args.data),
        "checkpoint_dir": str(args.work / "saved"),
        "seed": seed,
        "sensitive_category": category,
        "retrain_checkpoint_idx_to_match": index,
        "show_progress": False,
        "tensorboard": False,
        "state": "WARNING",
    }
    defaults = {parameter.name: parameter.default for parameter in hyper_parameters()}
    file = ROOT / "configs" / f"config_{args.model.lower()}.yaml"
    return Config(args.model, settings.pop("dataset"), [str(file)], config_dict=settings, extra_defaults=defaults)


def trained(config):
    """Return the checkpoint's path of a base or retrained model; it is trained if it is not there."""
    index = config["retrain_checkpoint_idx_to_match"]
    scenario = scenario_of(config)
    path = scenario.path(scenario.names.base() if index is None else scenario.names.retrained(index))
    if not path.exists():
        print(f"training {path.name}", flush=True)
        run_recbole(config)
    return path


def one_run(args, seed, category):
    """Train what is missing, unlearn with each damping, and return what each model scores, by its name."""
    base_path = trained(configure(args, seed, category))
    retrained_path = trained(configure(args, seed, category, LAST))
    config = configure(args, seed, category)
    setup = begin(config, scenario_of(config), forgetting=True)
    state = setup.retrained(LAST)
    retrained, views = load(setup, state, retrained_path), setup.view(state)
    valid = state.data.eval_rows("valid")

    metric = setup.config["valid_metric"].lower()

    def scores(model):
        probes = [get_probe(name)() for name in ("exposure", "distance")]
        settings = EvalSettings.from_config(setup.config)
        rows = evaluate(model, views, settings, probes, (retrained, retrained_path.name))
        return {
            "forgotten": only_value(rows, FORGOTTEN),
            "divergence": only_value(rows, JS_REQUESTING),
            "utility": mean_utility(model, valid, setup.config)[metric],
        }

    found = {"retrained": scores(retrained), "base": scores(load(setup, setup.base(), base_path))}
    for candidate in args.candidates:
        model, summary = unlearned(args, setup, base_path, candidate)
        counts = {key: summary[key] for key in ("total", "applied", "diverged", "timeout")}
        found[json.dumps(candidate)] = scores(model) | counts
    return found


def unlearned(args, setup, base_path, candidate):
    """Return the base model after all of the requests with a candidate's values, and the pipeline's summary."""
    chosen = get_algorithm(args.algorithm)
    for parameter in hyper_parameters():
        if args.algorithm in parameter.algorithms:
            setup.config[parameter.name] = candidate.get(parameter.name, parameter.default)
    algorithm = chosen(setup.config, load(setup, setup.base(), base_path), setup.base().data)
    summary = Pipeline(algorithm, setup.requests, show_progress=False).run(lambda *_: None)
    return algorithm.model, summary


def summarise(runs, max_loss):
    """Return what the rule looks at, for the base model and each candidate.

    Args:
        runs: a list of :func:`one_run` results.
        max_loss: the veto's.

    Returns:
        A row by name: means over runs, and ``excess`` and ``excess_error``, by how much the gap exceeds the best
        admissible candidate's, and the standard error of that. And whether the row is ``admissible``.
    """
    names = [name for name in runs[0] if name != "retrained"]
    values = {key: np.array([[run[name][key] for run in runs] for name in names])
              for key in ("forgotten", "divergence", "utility")}  # fmt: skip
    gaps = np.abs(values["forgotten"] - [run["retrained"]["forgotten"] for run in runs])
    utility = values["utility"].mean(axis=1)
    failed = np.array([sum(run[name].get("diverged", 0) for run in runs) for name in names])
    admissible = (utility >= (1 - max_loss) * utility[0]) & (failed == 0)
    admissible[0] = False  # to do nothing is no candidate
    best = np.argmin(np.where(admissible, gaps.mean(axis=1), np.inf))
    excess = gaps - gaps[best]
    errors = excess.std(axis=1, ddof=1) / len(runs) ** 0.5 if len(runs) > 1 else np.zeros(len(names))
    columns = {key: value.mean(axis=1) for key, value in values.items()}
    columns |= {"gap": gaps.mean(axis=1), "excess": excess.mean(axis=1), "excess_error": errors}
    columns |= {"diverged": failed, "admissible": admissible}
    return {name: {key: column[at].item() for key, column in columns.items()} for at, name in enumerate(names)}


def choose(table):
    """Return the name of the row that the rule in the module's docstring chooses, or None if the veto leaves none."""
    good = [name for name, row in table.items() if row["admissible"] and row["excess"] <= row["excess_error"]]
    return min(good, key=lambda name: table[name]["divergence"], default=None)


def print_table(args, table, chosen, runs):
    """Print the rows and the choice."""
    shown = np.mean([run["retrained"]["forgotten"] for run in runs])
    print(f"{args.algorithm} on {args.model}, {len(runs)} runs; the retrained models show {shown:.3f} forgotten items")
    print(f"{'forgotten@10':>14}{'gap':>8}{'excess':>9}{'+-':>8}{'JS':>10}{'valid':>9}{'diverged':>10}")
    for name, row in table.items():
        print(
            f"{row['forgotten']:>14.3f}{row['gap']:>8.3f}{row['excess']:>9.3f}{row['excess_error']:>8.3f}"
            f"{row['divergence']:>10.5f}{row['utility']:>9.4f}{row['diverged']:>10}  {name}"
            f"{'' if row['admissible'] else '  (not a candidate)'}"
        )
    print(f"chosen: {chosen or 'none'}\n", flush=True)


def main():
    """Run everything, print the table and the choice, and write both."""
    args = parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    os.chdir(args.work)  # runs write log/ where they stand
    names = [(seed, category) for seed in args.seeds for category in args.categories]
    runs = [one_run(args, *name) for name in names]
    table = summarise(runs, args.max_loss)
    chosen = choose(table)
    print_table(args, table, chosen, runs)
    write_json(f"{args.model}_{args.algorithm}.json", {
        "chosen": chosen,
        "table": table,
        "settings": {key: str(value) if isinstance(value, Path) else value for key, value in vars(args).items()},
        "runs": [{"seed": name[0], "category": name[1], "scores": run} for name, run in zip(names, runs, strict=True)],
    })  # fmt: skip


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"unlearning_preset.py: {error}", file=sys.stderr)
        sys.exit(2)
