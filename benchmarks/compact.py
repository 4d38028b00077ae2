r"""How far is a model retrained with masked rows from a fresh run on a file without the forgotten rows?

    python benchmarks/compact.py --data dataset --work results/compact --table results/compact.md

A retrained model keeps the ids, the row numbers and the number of rows of the whole log, and leaves the forgotten rows
out of its batches. If the rows are deleted from the file and training starts from scratch, then ids, row numbers,
orders and negatives differ, and so does the split, because the size of a user's test part depends on the number of the
user's rows. Four kinds of model are trained with the documented command, for several model seeds and one forget set:

- base: trained on the whole file;
- masked: retrained without the requested rows (`--retrain_checkpoint_idx_to_match 3`);
- compact: trained on a file without those rows, where every other row keeps the split label that it has in the whole
  log. Only ids and random numbers therefore differ from masked. `run_recbole.py` does not accept given split labels for
  such a file, so this script calls it (`compact.py given-split ...`) with a rule that reads them from a column;
- anew: trained on the same file, with a new split.

All models are evaluated for the same users, candidates and test rows, which are those of masked; ids are mapped through
tokens. The script stops with an error if the filters drop more users or items from the compact file, because the models
would then have different catalogues.

Distances between models are means over pairs of different seeds. The excess is the mean distance between two kinds
minus the mean of the distances within each kind; it is zero if both kinds follow one distribution. Intervals are 95 %,
Student's t over seeds (for the excess by the jackknife). A model that is already in the work folder is not trained
again. Models of `grid.py` can be copied there, each .pth file with its .json file.
"""

import argparse
import csv
import logging
import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
import yaml
from compact_tables import ANEW, COLUMNS, COMPACT, KINDS, MASKED, PAIRS, distance_table, value_table
from grid import LAST, OF_FORGETTING, ROOT, attempt
from measuring import told_in_docs

from recbole.data.cf import GeneralDataset
from recbole.data.interaction import Interaction
from recbole.evaluator import Asked, EvalSettings, evaluate, find_metric, get_probe
from recbole.evaluator.probes.distance import distances
from recbole.quick_start.command_line import train_arguments
from recbole.quick_start.main import configured, train_main
from recbole.quick_start.setup import begin
from recbole.report.columns import values_of
from recbole.report.tables import as_markdown
from recbole.scenario.known_scenarios import scenario_of
from recbole.trainer.learn import load
from recbole.trainer.stored import Stored
from recbole.utils import UserError
from recbole.utils.files import atomic_write

GIVEN_SPLIT, SPLIT = "given-split", "split"
POPULATIONS = ("requesting", "others")
DISTANCES = {"JS": ("js_divergence", None), "1 - Jaccard@10": ("jaccard", 10)}


def parse_args(argv):
    """Return the arguments; ``settings`` (name to value) are those of the cell in `grid.yaml`, ``model`` its model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, type=Path, help="folder of the prepared data sets")
    parser.add_argument("--work", required=True, type=Path, help="folder for files, checkpoints and logs")
    parser.add_argument("--cell", default="BPR", help="a cell of grid.yaml with a CF model (default: BPR)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 5, 7, 11, 13, 17, 19], help="model seeds")
    parser.add_argument("--table", type=Path, help="write the tables to this Markdown file")
    parser.add_argument("--docs", type=Path, help="also write the tables into this page, between its two markers")
    args = parser.parse_args(argv)
    if len(set(args.seeds)) < max(len(args.seeds), 3):
        parser.error("--seeds: intervals over seeds need at least three seeds, all different")
    args.settings = yaml.safe_load((ROOT / "benchmarks" / "grid.yaml").read_text(encoding="utf-8"))["models"][args.cell]
    args.settings.pop("algorithms", None)
    args.model = args.settings.pop("model", args.cell)
    args.data, args.work = args.data.resolve(), args.work.resolve()
    return args


# --- the models ------------------------------------------------------------------------------------------------------
@contextmanager
def given_split():
    """Within the ``with`` block, data sets read the split label of each pair from a column of the data file."""
    rule = GeneralDataset.label
    GeneralDataset.label = staticmethod(lambda config, log: log.columns[SPLIT].astype(np.int8))
    try:
        yield
    finally:
        GeneralDataset.label = staticmethod(rule)


def words_of(args, kind, seed):
    """Return the arguments of `run_recbole.py` that train a model of a kind with a seed, a list of strings."""
    settings = {"model": args.model, "seed": seed, "checkpoint_dir": args.work / kind, "tensorboard": False}
    settings |= args.settings | {"data_path": args.work / "data" if kind in (COMPACT, ANEW) else args.data}
    if kind == MASKED:
        settings |= {"retrain_checkpoint_idx_to_match": LAST}
    else:
        settings = {key: value for key, value in settings.items() if key not in OF_FORGETTING}
    config = [ROOT / "configs" / f"config_{args.model.lower()}.yaml"]
    config += [args.work / "data" / "split.yaml"] if kind == COMPACT else []
    return list(map(str, ["--config_files", *config, *(f"--{key}={value}" for key, value in settings.items())]))


def scenario_and_config(args, kind, seed):
    """Return the scenario and the configuration of the run that trains a model of a kind with a seed."""
    config = configured(*train_arguments(words_of(args, kind, seed), "compact.py"))
    return scenario_of(config), config


def opened(args, kind):
    """Return the :class:`~recbole.quick_start.setup.Setup` for the models of a kind (first seed), and their state."""
    scenario, config = scenario_and_config(args, kind, args.seeds[0])
    with given_split() if kind == COMPACT else nullcontext():
        setup = begin(config, scenario, forgetting=kind == MASKED)
    return setup, setup.retrained(LAST) if kind == MASKED else setup.base()


def path_of(args, kind, seed):
    """Return the path of a model's checkpoint."""
    scenario, _ = scenario_and_config(args, kind, seed)
    return scenario.path(scenario.names.retrained(LAST) if kind == MASKED else scenario.names.base())


def train(args, kind, seed):
    """Train a model in a process of its own, unless its files exist.

    Raises:
        UserError: the training failed.
    """
    path = path_of(args, kind, seed)
    if path.exists() and path.with_suffix(".json").exists():
        return
    script = [Path(__file__), GIVEN_SPLIT] if kind == COMPACT else [ROOT / "run_recbole.py"]
    log = args.work / f"{kind}_{seed}.log"
    status = attempt([sys.executable, *map(str, script), *words_of(args, kind, seed)], args.work, log, None)
    print(f"{kind} {seed}: exit {status}", flush=True)
    if status:
        raise UserError(f"the training of {kind}, seed {seed}, failed with exit status {status}; see {log}")


def models_of(args, kind, setup, state):
    """Load the models of a kind, a list with one model per seed; `setup` and `state` are those of :func:`opened`.

    Raises:
        UserError: a checkpoint was trained with other settings, data or rows.
    """
    found = []
    for seed in args.seeds:
        stored = Stored.read(path_of(args, kind, seed))
        differing = stored.differences(setup.identity(state), ("seed",))
        if differing:
            raise UserError(f"{stored.path} was trained with other settings: {differing[0]}")
        found.append(load(setup, state, stored))
    return found


# --- the compact file ------------------------------------------------------------------------------------------------
def write_compact(dataset, source, path):
    """Write the retained lines of a data file to a new file, each with the split label of its pair in the whole log.

    Lines keep their order. Lines that are forgotten or that the data set's filters drop are left out.

    Args:
        dataset: the data set read from the whole file, with the forgotten rows masked.
        source: path of the whole file.
        path: path of the new file, which has the further column ``split``.

    Raises:
        UserError: the log contains a (user, item) pair more than once.
    """
    log, (user, item) = dataset.log, (dataset.uid_field, dataset.iid_field)
    pairs = list(zip(*(log.vocabulary[s].tokens(getattr(log, s)).tolist() for s in ("user", "item")), strict=True))
    label = dict(zip(pairs, np.where(dataset.forgotten, -1, log.split).tolist(), strict=True))
    if len(label) < len(pairs):
        raise UserError(f"{source}: contains a pair more than once, but split labels are assigned to pairs")
    with open(source, newline="", encoding="utf-8") as lines, atomic_write(path) as file:
        reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        header = next(reader)
        at = [[name.split(":")[0] for name in header].index(name) for name in (user, item)]
        file.write("\t".join([*header, f"{SPLIT}:float"]) + "\n")
        for line in reader:
            own = label.get((line[at[0]], line[at[1]]), -1)
            if own >= 0:
                file.write("\t".join([*line, str(own)]) + "\n")


def make_file(args, setup, state):
    """Write the compact file, unless it exists, and a settings file that tells RecBole to load its column ``split``."""
    name, columns = setup.config["dataset"], setup.config["load_col"]["inter"]
    folder = args.work / "data" / name
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / f"{name}.inter").exists():
        write_compact(state.data, Path(setup.config["data_path"]) / f"{name}.inter", folder / f"{name}.inter")
    with atomic_write(folder.parent / "split.yaml") as file:
        yaml.safe_dump({"load_col": {"inter": [*columns, SPLIT]}}, file)


def new_ids(whole, dataset):
    """Return two arrays, int64 [n_users] and [n_items]: position is an id in the whole log, value the id in `dataset`.

    Raises:
        UserError: the two data sets do not have the same users and items.
    """
    found = []
    for side in ("user", "item"):
        tokens = whole.log.vocabulary[side]
        other = dataset.log.vocabulary[side]
        ids = other.ids(tokens.tokens(np.arange(len(tokens))))
        if (ids < 0).any() or len(other) != len(tokens):
            raise UserError(f"the {side}s of the compact file differ from those of the whole log: nothing to compare")
        found.append(ids)
    return found


def labels_moved(whole, dataset):
    """Return (number of pairs, number of their users) whose split label in `dataset` differs from the whole log's.

    Raises:
        UserError: `dataset` does not contain exactly the retained pairs of the whole log.
    """
    (users, items), mask = new_ids(whole, dataset), ~whole.forgotten
    keys = [users[whole.log.user[mask]] * len(items) + items[whole.log.item[mask]]]
    keys.append(dataset.log.user * len(items) + dataset.log.item)
    orders = [np.argsort(key) for key in keys]
    if not np.array_equal(keys[0][orders[0]], keys[1][orders[1]]):
        raise UserError("the compact file has other pairs than the retained ones; delete it so that it is rewritten")
    moved = whole.log.split[mask][orders[0]] != dataset.log.split[orders[1]]
    return int(moved.sum()), len(np.unique(dataset.log.user[orders[1]][moved]))


class Renumbered:
    """Wraps a model trained on other data so that its inputs and outputs use the ids of the whole log.

    Args:
        model: the recommender.
        whole: the data set of the whole log.
        dataset: the data set that the model was trained on.
    """

    def __init__(self, model, whole, dataset):
        self.model, self.field, self.n_items = model, whole.uid_field, model.n_items
        self.users, self.items = map(torch.from_numpy, new_ids(whole, dataset))

    def eval(self):
        """Put the model in evaluation mode."""
        return self.model.eval()

    def parameters(self):
        """Return the model's parameters."""
        return self.model.parameters()

    def full_sort_predict(self, interaction):
        """Return the scores of all items, float [rows, n_items], with columns ordered by the whole log's item ids."""
        renumbered = Interaction({self.field: self.users[interaction[self.field]]})
        return self.model.full_sort_predict(renumbered).view(-1, self.n_items)[:, self.items]


# --- the comparison --------------------------------------------------------------------------------------------------
def all_models(args, setup, state):
    """Load all models; `setup` and `state` are those of the kind ``masked``.

    Returns:
        ``(models, lines)``: kind to a list of models (one per seed) that use the ids of the whole log, and lines of
        text that say how many ids and split labels differ from the whole log.
    """
    whole, models, lines = state.data, {}, []
    for kind in KINDS:
        own, at = (setup, state) if kind == MASKED else opened(args, kind)
        found = models_of(args, kind, own, at)
        if kind in (COMPACT, ANEW):
            (users, items), (rows, movers) = new_ids(whole, at.data), labels_moved(whole, at.data)
            same = [int((ids == np.arange(len(ids))).sum()) - 1 for ids in (users, items)]
            lines.append(
                f"{kind}: {len(at.data.log)} interactions; {same[0]} of {len(users) - 1} users and {same[1]} of "
                f"{len(items) - 1} items keep their ids; {rows} split labels of {movers} users differ"
            )
            found = [Renumbered(model, whole, at.data) for model in found]
        models[kind] = [Asked(model) for model in found]
    return models, lines


def compared(models, view, settings):
    """Return two tables (data frames): distances between the models, and their utility and forgetting.

    Args:
        models: kind to a list of models, one per seed.
        view: the evaluation view of the kind ``masked``.
        settings: metrics, list lengths and batch size of the evaluation.
    """
    probes = [get_probe(name)() for name in ("utility", "forgotten")]
    values = {}
    for kind, some in models.items():
        rows = [values_of(evaluate(one, view, settings, probes, checkpoint=LAST), COLUMNS) for one in some]
        values[kind] = {key: np.array([row[key] for row in rows]) for key in COLUMNS}
    populations = dict(view.populations(view.shown))
    found = {f"{name} {population}": {} for name in DISTANCES for population in POPULATIONS}
    for pair in [*((kind, kind) for kind in KINDS), *PAIRS]:
        n = len(models[pair[0]])
        for of in found.values():
            of[pair] = np.zeros((n, n))
        for s, t in np.ndindex(n, n):
            if s >= t and pair[0] == pair[1]:
                continue  # distances are symmetric, so one half of the matrix is enough
            between = distances(models[pair[0]][s], models[pair[1]][t], view.shown, (10,), settings.batch_size)
            for name, key in DISTANCES.items():
                each = 1 - between[key] if name.startswith("1 - ") else between[key]
                for population in POPULATIONS:
                    found[f"{name} {population}"][pair][s, t] = each[populations[population]].mean()
        if pair[0] == pair[1]:
            for of in found.values():
                of[pair] += of[pair].T
    return distance_table(found), value_table(values)


def main(argv):
    """Train the missing models, compare all, and print the tables. Return the exit status."""
    if argv[:1] == [GIVEN_SPLIT]:
        with given_split():
            return train_main(argv[1:])
    args = parse_args(argv)
    logging.getLogger("recbole").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    try:
        args.work.mkdir(parents=True, exist_ok=True)
        setup, state = opened(args, MASKED)
        make_file(args, setup, state)
        for kind in KINDS:
            for seed in args.seeds:
                train(args, kind, seed)
        models, lines = all_models(args, setup, state)
    except UserError as error:
        print(f"compact.py: {error}", file=sys.stderr)
        return 2
    settings = EvalSettings((find_metric("NDCG"),), (10,), setup.config["eval_batch_size"])
    tables = compared(models, setup.view(state), settings)
    text = "\n\n".join(["; ".join(lines) + f"; seeds {args.seeds}.", *(as_markdown(table) for table in tables)])
    print(text)
    if args.table:
        with atomic_write(args.table) as file:
            file.write(text + "\n")
    if args.docs:
        told_in_docs(args.docs, "compact", text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
