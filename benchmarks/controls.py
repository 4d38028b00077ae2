r"""Does every measure in the result tables rank models correctly whose true order is known?

    python benchmarks/controls.py --data dataset --work results/controls --table results/controls.md

A ladder of five models, from no forgetting to too much of it, is evaluated on the test rows of the last checkpoint:

- base: has forgotten nothing;
- half: retrained without the first half of the requests (`--retrain_checkpoint_idx_to_match 1`);
- retrained: retrained without all requests (`--retrain_checkpoint_idx_to_match 3`);
- over-forgotten: the retrained model, where the scores of each requesting user's forgotten items are set to one less
  than the lowest score of all other items. Other users get the retrained model's scores;
- untrained: the model with its initial parameters.

Distances are means over reference models, which are retrained without all requests. Their seeds differ from those of
the ladder, so that no model shares random numbers with its reference. `controls_order.py` defines the expected order
for each measure. The table reports in how many seeds the five models of that seed have this order, and which relations
fail.

Each model is taken from the epoch that its own validation selected. With `--same_epoch` half and retrained are taken
from the epoch that was selected for the base model of the same seed, so that only the training rows differ.

Existing models in the work folder are not trained again, and `controls_<cell>.json` is not rewritten for the same
seeds. Models of `grid.py` can be copied into `saved` in the work folder, each .pth file with its .json file. The
settings are those of the cells in `grid.yaml`.
"""

import argparse
import copy
import logging
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
import yaml
from controls_order import BASE, HALF, MEASURES, OVER, RETRAINED, STEPS, UNTRAINED, K, table
from grid import LAST, OF_FORGETTING, ROOT, attempt
from measuring import told_in_docs

from recbole.evaluator import Asked, EvalSettings, Reference, evaluate, find_metric, get_probe
from recbole.quick_start.command_line import train_arguments
from recbole.quick_start.main import configured
from recbole.quick_start.setup import begin
from recbole.report.columns import values_of
from recbole.report.records import read_if_there
from recbole.report.tables import as_markdown
from recbole.scenario.known_scenarios import scenario_of
from recbole.trainer.learn import load, new_model
from recbole.trainer.stored import Stored
from recbole.utils import UserError
from recbole.utils.files import atomic_write, write_json

AT = {BASE: None, HALF: 1, RETRAINED: LAST}
"""Trained step of the ladder to the index of the checkpoint that it is retrained for; None for the base model."""


def parse_args(argv):
    """Return the command-line arguments; ``known`` holds the settings of the selected cells, name to dictionary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="folder of the prepared data sets")
    parser.add_argument("--work", required=True, type=Path, help="folder for checkpoints, logs and results")
    parser.add_argument(
        "--cells", nargs="+", default=["BPR", "GRU4Rec"], help="cells of grid.yaml (default: BPR GRU4Rec)"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 5, 13, 17, 19], help="seeds of the ladder")
    parser.add_argument("--references", type=int, nargs="+", default=[7, 11], help="seeds of the reference models")
    parser.add_argument("--same_epoch", action="store_true", help="take half and retrained from base's selected epoch")
    parser.add_argument("--table", type=Path, help="write the tables to this Markdown file")
    parser.add_argument("--docs", type=Path, help="also write the tables into this page, between the cell's markers")
    args = parser.parse_args(argv)
    if len({*args.seeds, *args.references}) < len(args.seeds) + len(args.references):
        parser.error(
            "--seeds, --references: a seed is given twice, so a reference shares its random numbers with the ladder"
        )
    known = yaml.safe_load((ROOT / "benchmarks" / "grid.yaml").read_text(encoding="utf-8"))["models"]
    if set(args.cells) - set(known):
        parser.error(f"--cells: not in grid.yaml: {', '.join(sorted(set(args.cells) - set(known)))}")
    args.known = {cell: {"model": cell, **known[cell]} for cell in args.cells}
    args.data, args.work = args.data.resolve(), args.work.resolve()
    return args


# --- the models ------------------------------------------------------------------------------------------------------
def words_of(args, cell, seed, index):
    """Return the arguments of `run_recbole.py` that train the base (index None), or retrain for a checkpoint."""
    settings = {key: value for key, value in args.known[cell].items() if key != "algorithms"}
    settings |= {"seed": seed, "data_path": args.data, "checkpoint_dir": args.work / "saved", "tensorboard": False}
    if index is None:
        settings = {key: value for key, value in settings.items() if key not in OF_FORGETTING}
    else:
        settings["retrain_checkpoint_idx_to_match"] = index
    config = ROOT / "configs" / f"config_{settings['model'].lower()}.yaml"
    return list(map(str, ["--config_files", config, *(f"--{key}={value}" for key, value in settings.items())]))


def opened(args, cell):
    """Return the :class:`~recbole.quick_start.setup.Setup` of a cell, with the first seed of the ladder."""
    config = configured(*train_arguments(words_of(args, cell, args.seeds[0], LAST), "controls.py"))
    return begin(config, scenario_of(config), forgetting=True)


def seeded(setup, seed):
    """Return a copy of a setup with another model seed, for the same data and requests."""
    scenario = copy.copy(setup.scenario)
    scenario.config = copy.deepcopy(setup.config)
    scenario.config["seed"] = seed
    return replace(setup, config=scenario.config, scenario=scenario)


def state_of(setup, index):
    """Return the state of the base model (index None), or of the model retrained for a checkpoint."""
    return setup.base() if index is None else setup.retrained(index)


def train(args, cell, setup, index):
    """Train a model in its own process, unless its files exist.

    Raises:
        UserError: the training failed.
    """
    path, seed = state_of(setup, index).file, setup.config["seed"]
    if path.exists() and path.with_suffix(".json").exists():
        return
    log = args.work / f"{cell}_{seed}_{'base' if index is None else index}.log"
    words = words_of(args, cell, seed, index)
    status = attempt([sys.executable, str(ROOT / "run_recbole.py"), *words], args.work, log, None)
    print(f"{log.stem}: exit {status}", flush=True)
    if status:
        raise UserError(f"the training of {log.stem} failed with exit status {status}; see {log}")


def trained(setup, index, same_epoch=False):
    """Load a trained model.

    Args:
        setup: the setup with the model's seed.
        index: the checkpoint that it is retrained for; None for the base.
        same_epoch: load a retrained model from the epoch that was selected for the base.

    Raises:
        UserError: the file was trained with other settings, data or rows, or does not exist. With `same_epoch` it does
            not exist if the retraining ended before this epoch.
    """
    state = setup.retrained_same_epoch(index) if same_epoch and index is not None else state_of(setup, index)
    stored = Stored.read(state.file)
    differing = stored.differences(setup.identity(state), ())
    if differing:
        raise UserError(f"{stored.path} was trained with other settings: {differing[0]}")
    return load(setup, state, stored)


class OverForgotten:
    """Wraps a model; the scores of a user's forgotten items become one less than the lowest score of all other items.

    Args:
        model: the recommender.
        field: the column of a batch that contains the user ids.
        forgotten: user id to the ids of the forgotten items (int64 tensor). Scores of other users do not change.
    """

    def __init__(self, model, field, forgotten):
        self.model, self.field, self.forgotten, self.n_items = model, field, forgotten, model.n_items

    def eval(self):
        """Put the model in evaluation mode."""
        return self.model.eval()

    def parameters(self):
        """Return the model's parameters."""
        return self.model.parameters()

    def full_sort_predict(self, interaction):
        """Return the scores of all items, float [rows, n_items]."""
        scores = self.model.full_sort_predict(interaction).view(-1, self.n_items).clone()
        for row, user in enumerate(interaction[self.field].tolist()):
            if user in self.forgotten:
                scores[row, self.forgotten[user]] = torch.inf
                scores[row, self.forgotten[user]] = scores[row, 1:].min() - 1
        return scores


def forgotten_items(dataset, mask):
    """Return the id of each requesting user to the distinct item ids in the user's forgotten rows (int64 tensor)."""
    users = dataset.log.user[mask]
    items = dataset.log.item[mask]
    return {int(user): torch.from_numpy(items[users == user]).unique() for user in set(users.tolist())}


def ladder(setup, same_epoch=False):
    """Return the five models of a seed, step of the ladder to :class:`~recbole.evaluator.Asked`."""
    last = setup.retrained(LAST)
    models = {step: trained(setup, index, same_epoch) for step, index in AT.items()}
    forgotten = forgotten_items(last.dataset, last.forgotten)
    models[OVER] = OverForgotten(models[RETRAINED], last.dataset.uid_field, forgotten)
    models[UNTRAINED] = new_model(setup, setup.base())
    return {step: Asked(models[step]) for step in STEPS}


# --- the comparison --------------------------------------------------------------------------------------------------
def measured(model, view, settings, references):
    """Return the value of every measure for a model, by heading; distances are means over the reference models."""
    probes = [get_probe(name)() for name in ("utility", "exposure", "forgotten")]
    wanted = {name: measure.wanted for name, measure in MEASURES.items()}
    found = values_of(evaluate(model, view, settings, probes), wanted)
    apart = [
        values_of(evaluate(model, view, settings, [get_probe("distance")()], Reference(other, "")), wanted)
        for other in references
    ]
    return found | {
        name: sum(one[name] for one in apart) / len(apart) for name in MEASURES if MEASURES[name].of_reference
    }


def compared(args, cell):
    """Train the missing models of a cell and evaluate all. Returns heading to step to a list with a value per seed."""
    setup = opened(args, cell)
    for seed in args.references:
        train(args, cell, seeded(setup, seed), LAST)
    for seed in args.seeds:
        for index in AT.values():
            train(args, cell, seeded(setup, seed), index)
    view = setup.view(setup.retrained(LAST))
    settings = EvalSettings((find_metric("NDCG"), find_metric("Recall")), (K,), setup.config["eval_batch_size"])
    references = [Asked(trained(seeded(setup, seed), LAST)) for seed in args.references]
    values = {name: {step: [] for step in STEPS} for name in MEASURES}
    for seed in args.seeds:
        for step, model in ladder(seeded(setup, seed), args.same_epoch).items():
            for name, value in measured(model, view, settings, references).items():
                values[name][step].append(value)
    return values


def result(args, cell):
    """Return the values of a cell, as :func:`compared` does; read from its JSON file if seeds and settings match."""
    path = args.work / f"controls_{cell}.json"
    about = {"seeds": args.seeds, "references": args.references, "same_epoch": args.same_epoch}
    there = read_if_there(path)
    if there is not None and {key: there.get(key) for key in about} == about and set(there["values"]) == set(MEASURES):
        return there["values"]
    values = compared(args, cell)
    write_json(path, about | {"values": values})
    return values


def main(argv):
    """Train the missing models, evaluate all, and write and print the tables. Return the exit status."""
    args = parse_args(argv)
    logging.getLogger("recbole").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    epoch, texts = ", all of a seed at the base's epoch" if args.same_epoch else "", {}
    try:
        args.work.mkdir(parents=True, exist_ok=True)
        for cell in args.cells:
            about = f"{cell}, seeds {args.seeds}, references {args.references}{epoch}:"
            texts[cell] = f"{about}\n\n{as_markdown(table(result(args, cell)))}"
            print(texts[cell], end="\n\n", flush=True)
            if args.docs:
                told_in_docs(args.docs, f"controls {cell}", texts[cell])
    except UserError as error:
        print(f"controls.py: {error}", file=sys.stderr)
        return 2
    if args.table:
        with atomic_write(args.table) as file:
            file.write("\n\n".join(texts.values()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
