r"""Does every measure that is printed order models whose order is known?

    python benchmarks/controls.py --data dataset --work results/grid --docs docs/results.md

For some cells of `grid.yaml` a ladder of controls is held against retrained models:

- base: trained on everything;
- half: retrained without the rows of half of the requests;
- retrained: without those of all requests;
- over-forgotten: the retrained model, with what a person asked to forget at the very bottom of this person's scores;
- untrained: initial values.

The seeds of the ladder are others than those of the references (`--references`), so that no model shares random numbers
with its yardstick. Of each measure some pairs of rungs have a known order (`ORDERS`): log-odds of forgotten pairs fall
from base to over-forgotten, distances are least for the retrained model, utility tells the untrained model from all
others. The table says in how many of the seeds a pair has it, values being means over the references. What fails is
marked: it is no measure of that.

Models are trained by the documented commands; what `grid.py` has left in the same work folder is not trained again.
"""

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd
import torch
import yaml
from grid import LAST, OF_FORGETTING, ROOT, attempt
from measuring import told_in_docs

from recbole.evaluator import Asked, EvalSettings, Reference, evaluate, find_metric, get_probe
from recbole.quick_start.command_line import train_arguments
from recbole.quick_start.main import _configured
from recbole.quick_start.setup import begin
from recbole.report.columns import JS_OTHERS, JS_REQUESTING, forgetting, values_of
from recbole.report.tables import as_markdown
from recbole.scenario.known_scenarios import scenario_of
from recbole.trainer.learn import load, new_model
from recbole.trainer.stored import Stored
from recbole.utils import UserError

LADDER = BASE, HALF, RETRAINED, OVER, UNTRAINED = "base", "half", "retrained", "over-forgotten", "untrained"
INDEX = {BASE: None, HALF: 1, RETRAINED: LAST}
"""What is trained, and the checkpoint that it is retrained for."""

_SHOWN = forgetting(10)
_HELD_OUT = {name: wanted | {"split": "held_out"} for name, wanted in _SHOWN.items() if name.startswith("forgotten l")}
_OTHER = {"metric": "jaccard", "k": 10}, {"metric": "rank_biased_overlap", "k": None}
COLUMNS = {
    "log-odds": _SHOWN["forgotten log-odds"],
    "log2 rank": _SHOWN["forgotten log2 rank"],
    "log-odds, held out": _HELD_OUT["forgotten log-odds"],
    "log2 rank, held out": _HELD_OUT["forgotten log2 rank"],
    "forgotten@10": _SHOWN["forgotten@10 requesting"],
    "sensitive@10": _SHOWN["sensitive@10 requesting"],
    "JS requesting": JS_REQUESTING,
    "JS others": JS_OTHERS,
    **{
        f"{name} {population}": JS_REQUESTING | wanted | {"population": population}
        for name, wanted in zip(("Jaccard@10", "RBO"), _OTHER, strict=True)
        for population in ("requesting", "others")
    },
    "rank change": JS_REQUESTING | {"metric": "rank_change"},
    "NDCG@10": _SHOWN["NDCG@10"],
    "Recall@10": _SHOWN["Recall@10"],
}

_FALLING = ((BASE, HALF), (HALF, RETRAINED), (RETRAINED, OVER))
_APART = ((UNTRAINED, BASE), (BASE, HALF), (HALF, RETRAINED), (OVER, RETRAINED))
_OTHERS_APART = ((UNTRAINED, BASE), (BASE, RETRAINED))
_USEFUL = tuple((rung, UNTRAINED) for rung in (BASE, HALF, RETRAINED, OVER))
ORDERS = {
    "log-odds": _FALLING,
    "log2 rank": tuple((low, high) for high, low in _FALLING),
    "log-odds, held out": _FALLING[2:],
    "log2 rank, held out": ((OVER, RETRAINED),),
    "forgotten@10": _FALLING,
    "sensitive@10": _FALLING,
    "JS requesting": _APART,
    "JS others": _OTHERS_APART,
    "Jaccard@10 requesting": tuple((low, high) for high, low in _APART),
    "Jaccard@10 others": tuple((low, high) for high, low in _OTHERS_APART),
    "RBO requesting": tuple((low, high) for high, low in _APART),
    "RBO others": tuple((low, high) for high, low in _OTHERS_APART),
    "rank change": _APART[1:],
    "NDCG@10": _USEFUL,
    "Recall@10": _USEFUL,
}
"""Of each measure the pairs of rungs of which the first has to have the larger value."""


class OverForgotten:
    """A model that ranks what people asked to forget below everything else, for them alone.

    Args:
        model: the recommender.
        field: of the ids that say whose a question is.
        forgotten: id to int64 items.
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
        """Return the scores of all items, [rows, n_items], forgotten ones a unit below the row's smallest."""
        scores = self.model.full_sort_predict(interaction).view(-1, self.n_items).clone()
        for row, entity in enumerate(interaction[self.field].tolist()):
            if len(self.forgotten.get(entity, ())):
                scores[row, self.forgotten[entity]] = scores[row, 1:].min() - 1
        return scores


def parse_args(argv=None):
    """Return the arguments, with the settings of the cells."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="folder of the prepared data sets")
    parser.add_argument("--work", required=True, type=Path, help="folder for checkpoints and logs; grid.py's will do")
    parser.add_argument("--cells", nargs="+", default=["BPR", "GRU4Rec"], help="of grid.yaml (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 5], help="of the ladder (default: %(default)s)")
    parser.add_argument("--references", type=int, nargs="+", default=[7, 11], help="their seeds (default: %(default)s)")
    parser.add_argument("--docs", type=Path, help="write the tables into this page")
    args = parser.parse_args(argv)
    if set(args.seeds) & set(args.references):
        parser.error("--references: other seeds than the ladder's, or they share random numbers with it")
    known = yaml.safe_load((ROOT / "benchmarks" / "grid.yaml").read_text(encoding="utf-8"))["models"]
    args.cells = {cell: {"model": cell, **known[cell]} for cell in args.cells}
    args.data, args.work = args.data.resolve(), args.work.resolve()
    return args


def words_of(args, cell, kind, seed):
    """Return the words of `run_recbole.py` for a rung that is trained."""
    settings = args.cells[cell] | {"data_path": args.data, "seed": seed, "checkpoint_dir": args.work / "saved"}
    settings = {key: value for key, value in settings.items() if key != "algorithms"}
    if INDEX[kind] is None:
        settings = {key: value for key, value in settings.items() if key not in OF_FORGETTING}
    else:
        settings["retrain_checkpoint_idx_to_match"] = INDEX[kind]
    config = ROOT / "configs" / f"config_{settings['model'].lower()}.yaml"
    return list(map(str, ["--config_files", config, *(f"--{key}={value}" for key, value in settings.items())]))


def setup_of(args, cell, seed):
    """Return the :class:`~recbole.quick_start.setup.Setup` of a cell and seed, as its retraining has it."""
    config = _configured(*train_arguments(words_of(args, cell, RETRAINED, seed), "controls.py"))
    return begin(config, scenario_of(config), forgetting=True)


def state_of(setup, kind):
    """Return the state of a rung that is trained."""
    return setup.base() if INDEX[kind] is None else setup.retrained(INDEX[kind])


def train(args, cell, kind, seed):
    """Train a rung, unless it is there.

    Raises:
        UserError: it did not come to its end.
    """
    path = state_of(setup_of(args, cell, seed), kind).file
    if path.exists() and path.with_suffix(".json").exists():
        return
    log = args.work / f"controls {cell} {kind} {seed}.log"
    status = attempt([sys.executable, str(ROOT / "run_recbole.py"), *words_of(args, cell, kind, seed)], args.work, log,
                     None)  # fmt: skip
    print(f"{cell} {kind} {seed}: exit {status}", flush=True)
    if status:
        raise UserError(f"{cell}, {kind}, seed {seed}: exit status {status}; look at {log}")


def loaded(setup, kind):
    """Return a rung that was trained.

    Raises:
        UserError: the file is of other settings.
    """
    state = state_of(setup, kind)
    stored = Stored.read(state.file)
    differing = stored.differences(setup.identity(state), ())
    if differing:
        raise UserError(f"{stored.path} was made by other settings: {differing[0]}")
    return load(setup, state, stored)


def ladder_of(setup, view):
    """Return the rungs of a seed by name, each to be asked."""
    rungs = {kind: loaded(setup, kind) for kind in INDEX}
    pieces = np.split(view.forgotten.values, view.forgotten.offsets[1:-1])
    items = {entity: torch.from_numpy(some) for entity, some in zip(view.shown.entity.tolist(), pieces, strict=True)}
    rungs[OVER] = OverForgotten(loaded(setup, RETRAINED), setup.dataset.uid_field, items)
    rungs[UNTRAINED] = new_model(setup, setup.retrained(LAST))
    return {name: Asked(rung) for name, rung in rungs.items()}


def measured(args, cell):
    """Return the values of a cell: measure to float64 [seeds, rungs], means over the references."""
    setups = {seed: setup_of(args, cell, seed) for seed in (*args.seeds, *args.references)}
    first = setups[args.seeds[0]]
    view = first.view(first.retrained(LAST))
    references = [Reference(Asked(loaded(setups[seed], RETRAINED)), f"seed {seed}", False) for seed in args.references]
    settings = EvalSettings((find_metric("NDCG"), find_metric("Recall")), (10,), first.config["eval_batch_size"])
    probes = [get_probe(name)() for name in ("utility", "exposure", "forgotten", "distance")]
    found = {name: np.empty((len(args.seeds), len(LADDER))) for name in COLUMNS}
    for at, seed in enumerate(args.seeds):
        for rung, model in ladder_of(setups[seed], view).items():
            answers = [
                values_of(evaluate(model, view, settings, probes, reference, checkpoint=LAST), COLUMNS)
                for reference in references
            ]
            for name in COLUMNS:
                found[name][at, LADDER.index(rung)] = np.mean([answer[name] for answer in answers])
    return found


def in_order(values, pairs):
    """Return in how many seeds each pair of rungs has its order.

    Args:
        values: float64 [seeds, rungs].
        pairs: of rungs, of which the first has to be larger; a tie or a NaN has no order.
    """
    place = {rung: at for at, rung in enumerate(LADDER)}
    return [int((values[:, place[high]] > values[:, place[low]]).sum()) for high, low in pairs]


def table_of(found):
    """Return the table of a cell, a row a measure: means over the seeds, and which orders hold in how many seeds."""
    lines = []
    for name, values in found.items():
        seeds, pairs = len(values), ORDERS[name]
        counts = in_order(values, pairs)
        failing = [
            f"{high} > {low} in {count} of {seeds}"
            for (high, low), count in zip(pairs, counts, strict=True)
            if count < seeds
        ]
        means = [f"{mean:.4g}" for mean in values.mean(axis=0)]
        lines.append([name, *means, "fails: " + "; ".join(failing) if failing else "all"])
    return pd.DataFrame(lines, columns=["measure", *LADDER, "order"])


def main(argv=None):
    """Train what is missing, measure, and print the tables; return the exit status."""
    args = parse_args(argv)
    logging.getLogger("recbole").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    texts = []
    try:
        args.work.mkdir(parents=True, exist_ok=True)
        for cell in args.cells:
            for seed in args.seeds:
                for kind in INDEX:
                    train(args, cell, kind, seed)
            for seed in args.references:
                train(args, cell, RETRAINED, seed)
            texts.append(f"**{cell}**, seeds {args.seeds}, references {args.references}\n\n"
                         + as_markdown(table_of(measured(args, cell))))  # fmt: skip
    except UserError as error:
        print(f"controls.py: {error}", file=sys.stderr)
        return 2
    print("\n\n".join(texts))
    if args.docs:
        told_in_docs(args.docs, "controls", "\n\n".join(texts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
