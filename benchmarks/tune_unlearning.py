r"""Select the hyper-parameters of unlearning algorithms for `--preset tuned`, on validation data.

    python benchmarks/tune_unlearning.py --data dataset --work results/tune_unlearning
    python benchmarks/tune_unlearning.py --work results/tune_unlearning --table results/tune_unlearning.md
    python benchmarks/tune_unlearning.py --work results/tune_unlearning --write

For each model, seed and sensitive category in `tune_unlearning.yaml`, a base model and a model retrained without the
forget set are trained once for all algorithms. Each algorithm then unlearns from the base with each of its six
candidate values, in this process and with a limit of CPU seconds. The unlearned model, including the noise that an
algorithm adds before saving, is evaluated by

* the log-odds of the forgotten pairs that were trained on, compared with those of the retrained model;
* NDCG@10 of all users on the remaining validation rows;
* the Jensen-Shannon divergence from the retrained model, for users without a request.

The test split is not scored. The model input of a requesting user is the user's remaining history, as in the reported
results. `tune_unlearning_choice.py` describes the selection rule. **The rule uses retrained models, so it is an
oracle:** without retrained models it cannot be applied. The table reports the cost of these models.

Models and trials (JSON files) are stored in `--work`. Those that exist with the same settings are reused, so that a
killed run can be continued. A trial that exceeds its limit ends and is recorded as such; it is repeated if the limit is
raised.
"""

import argparse
import hashlib
import logging
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from grid import ROOT, tried_on
from tune_unlearning_choice import Run, preset_text, tables
from tune_unlearning_subject import Subject

import recbole
from recbole.config.identity import canonical
from recbole.config.layers import PROPERTIES
from recbole.config.reader import read_yaml
from recbole.quick_start.command_line import unlearn_arguments
from recbole.quick_start.main import configured
from recbole.report.records import read_if_there
from recbole.unlearning.registry import ERASE_ALGORITHMS, hyper_parameters
from recbole.utils import UserError
from recbole.utils.files import atomic_write, write_json


def parse_args(argv):
    """Return the command-line arguments, with the candidates and the cells of `grid.yaml`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, type=Path, help="folder for models and trials")
    parser.add_argument("--data", type=Path, help="folder of the prepared data sets; only needed to run trials")
    parser.add_argument("--space", type=Path, default=Path(__file__).with_suffix(".yaml"), help="file of candidates")
    parser.add_argument("--models", nargs="+", help="only these models")
    parser.add_argument("--algorithms", nargs="+", choices=ERASE_ALGORITHMS, help="only these algorithms")
    parser.add_argument("--jobs", type=int, default=1, help="parallel processes, each for a model and seed")
    parser.add_argument("--limit", type=float, help="CPU seconds of every trial (default: those in the file)")
    parser.add_argument("--table", type=Path, help="run nothing; print existing results, and write them as Markdown")
    parser.add_argument(
        "--write", type=Path, nargs="?", const=PROPERTIES / "preset" / "tuned.yaml",
        help="run nothing; write the selected values into this preset (default: tuned.yaml of the package)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    args.space = read_yaml(args.space)[0]
    unknown = set(args.models or ()) - set(args.space["models"])
    if unknown or not (args.data or args.table or args.write):
        message = f"--models: not in the file of candidates: {', '.join(sorted(unknown))}"
        parser.error(message if unknown else "give --data, the folder of the prepared data sets, or --table or --write")
    args.models = args.models or list(args.space["models"])
    args.algorithms = args.algorithms or list(args.space["candidates"])
    args.cells = read_yaml(ROOT / "benchmarks" / "grid.yaml")[0]["models"]
    args.work = args.work.resolve()
    return args


# --- what is tried ---------------------------------------------------------------------------------------------------
def entry_of(args, model):
    """Return the entry of a model in the file of candidates."""
    return args.space["models"][model]


def candidates(args, model, algorithm):
    """Return an algorithm's candidates for a model, a list of dictionaries of hyper-parameters with equal keys."""
    points = entry_of(args, model).get("candidates", {}).get(algorithm, args.space["candidates"][algorithm])
    keys = dict.fromkeys(key for point in points for key in point)
    defaults = {one.name: one.default for one in hyper_parameters([algorithm])}
    return [{key: point.get(key, defaults[key]) for key in keys} for point in points]


def limit_of(args, model):
    """Return the limit of a trial in CPU seconds."""
    return entry_of(args, model)["limit"] if args.limit is None else args.limit


def settings_of(args, model, seed, category):
    """Return the settings of data, training and forget set, without paths."""
    cell = dict(args.cells[model])
    tried_on(cell)
    return {"model": model, **cell, **entry_of(args, model)["settings"], "seed": seed, "sensitive_category": category}


def place(args, folder, model, seed, category, what, about=None):
    """Return the path of a JSON file, whose name has a digest of all settings that its content depends on.

    Args:
        args: command-line arguments.
        folder: subfolder of ``--work``.
        model, seed, category: the run.
        what: the last part of the name, such as an algorithm.
        about: further values for the digest.
    """
    of = [settings_of(args, model, seed, category), entry_of(args, model)["requests"], recbole.RESULTS_VERSION, about]
    digest = hashlib.sha256(canonical(of).encode()).hexdigest()[:8]
    return args.work / folder / f"{model}_{seed}_{category}_{what}_{digest}.json"


def trial_path(args, run, algorithm, values):
    """Return the path of a trial's result; the digest in its name includes all hyper-parameters of the algorithm."""
    full = {one.name: one.default for one in hyper_parameters([algorithm])} | values
    return place(args, "trials", *run, algorithm, full)


def is_there(path, limit):
    """Return whether a trial has a result: complete, or ended at a limit that was at least as high."""
    found = read_if_there(path)
    return found is not None and (found["complete"] or found["limit"] >= limit)


def opened(args, model, seed, category):
    """Return the :class:`~tune_unlearning_subject.Subject` of a model, seed and category."""
    settings = settings_of(args, model, seed, category) | {"data_path": args.data.resolve(), "show_progress": False}
    config = ROOT / "configs" / f"config_{model.lower()}.yaml"
    words = ["--config_files", config, *(f"--{key}={value}" for key, value in settings.items())]
    config = configured(*unlearn_arguments(list(map(str, words)), program="tune_unlearning.py"))
    base = args.work / "models" / f"{model}_{seed}_base.pth"  # shared by all categories
    retrained = place(args, "models", model, seed, category, "retrained").with_suffix(".pth")
    return Subject(config, entry_of(args, model)["requests"], base, retrained)


# --- the program -----------------------------------------------------------------------------------------------------
def run_model(args, model, seed):
    """Run all missing trials of a model and seed, category by category."""
    logging.getLogger("recbole").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    limit = limit_of(args, model)
    for category in entry_of(args, model)["categories"]:
        run = model, seed, category
        missing = [
            (algorithm, values, path)
            for algorithm in args.algorithms
            for values in candidates(args, model, algorithm)
            if not is_there(path := trial_path(args, run, algorithm, values), limit)
        ]
        if not missing:
            continue
        subject, about = opened(args, *run), place(args, "trials", *run, "references")
        about.parent.mkdir(parents=True, exist_ok=True)
        if not about.exists():
            write_json(about, subject.references())
        for algorithm, values, path in missing:
            found = subject.tried(algorithm, values, limit)
            write_json(path, found)
            ended = ", ".join(f"{count} {kind}" for kind, count in found["outcomes"].items())
            over = "" if found["complete"] else f" of {found['requests']}, over the limit of {limit:g} s"
            print(
                f"{found['cpu_seconds']:6.1f} s  {' '.join(map(str, run))} {algorithm} {values}: {ended}{over}",
                flush=True,
            )


def runs_of(args, model, algorithm):
    """Return the existing results of an algorithm on a model, a list of :class:`tune_unlearning_choice.Run`.

    It has one for each seed and category for which the results of the base and the retrained model exist.
    """
    entry, found = entry_of(args, model), []
    for seed in entry["seeds"]:
        for category in entry["categories"]:
            run = model, seed, category
            references = read_if_there(place(args, "trials", *run, "references"))
            paths = [trial_path(args, run, algorithm, values) for values in candidates(args, model, algorithm)]
            if references is not None:
                found.append(Run(references["base"], references["retrained"], [read_if_there(path) for path in paths]))
    return found


def everything(args):
    """Return ``(algorithm, model)`` to its candidates and runs, for all pairs with at least one trial."""
    pairs = [(algorithm, model) for model in args.models for algorithm in args.algorithms]
    found = {pair: (candidates(args, *reversed(pair)), runs_of(args, *reversed(pair))) for pair in pairs}
    return {pair: of for pair, of in found.items() if any(trial for run in of[1] for trial in run.trials)}


def trainings(args):
    """Return the CPU seconds of all trainings, a dictionary of ``base`` and ``retrained`` to a list."""
    costs = {"base": [], "retrained": []}
    for path in sorted((args.work / "models").glob("*.json")):
        record = read_if_there(path)
        costs[record["kind"]].append(record["cpu_seconds"])
    return costs


def preset_before(path):
    """Return the text of an existing preset.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def main(argv):
    """Run all missing trials, or show or write the results; return the exit status."""
    try:
        args = parse_args(argv)
        if args.table:
            text = tables(everything(args), args.space["max_loss"], trainings(args))
            print(text)
            with atomic_write(args.table) as file:
                file.write(text)
        if args.write:
            text = preset_text(preset_before(args.write), everything(args), args.space["max_loss"])
            with atomic_write(args.write) as file:
                file.write(text)
        if args.table or args.write:
            return 0
        work = [(model, seed) for model in args.models for seed in entry_of(args, model)["seeds"]]
        if args.jobs == 1:
            for of in work:
                run_model(args, *of)
        else:
            with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
                list(pool.map(partial(run_model, args), *zip(*work, strict=True)))
    except UserError as error:
        print(f"tune_unlearning.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
