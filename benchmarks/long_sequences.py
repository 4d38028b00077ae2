r"""What becomes of an unlearning algorithm, and of the model, when requests keep coming?

    python benchmarks/long_sequences.py --data dataset --work results/long --orders 3 --batch_sizes 1 5 25 --models BPR
    python benchmarks/long_sequences.py --data dataset --work results/long --models GRU4Rec
    python benchmarks/long_sequences.py --work results/long --table results/long.md

Everybody who has an item of the cell's category asks; the first 500 (BPR) or 100 (GRU4Rec) of them whom the data know,
in the fixed order, are put to each algorithm one after another, by its default values. Data and training are those of
`grid.yaml`, and so are the algorithms: the seven, and the baselines that the model can have. After 1, 10, 50, 100 and
500 requests it is noted how requests ended, the CPU seconds so far, NDCG@10 of everybody on the test rows that are
left, and the mean log-odds of the trained pairs that were forgotten so far. What is asked is the model that would be
saved (`UnlearningAlgorithm.release`, whose cost is told apart), not the one that the requests after it start from.
Base, and a model retrained without exactly those rows, are asked the same: forgotten items can be recommended to them
again, so that the base's NDCG falls too. What the retrainings cost in the mean is the cost of one. Where a sequence
ends before its requests have cost that, `~` and the number that follows from their mean stand.

`--orders 3` puts the same requests in three shuffled orders too, one at a time, and `--batch_sizes` in the fixed order,
so many together. These are asked at the end alone, where everything is forgotten and one retrained model serves all.

Each sequence has a JSON file in `--work`, and so has each retrained model; what is there is not made again. A sequence
that takes longer than `--limit` (by the clock) ends between two requests, and its record and the tables say after how
many; with a higher limit it is made anew. `--saved` names a folder with base models, such as the `saved` of `grid.py`;
one that is not there is trained.
"""

import argparse
import logging
import sys
import time
from functools import cache, cached_property
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
import yaml
from grid import OF_FORGETTING, ROOT, tried_on
from long_sequences_tables import CPU_SECONDS, LOG_ODDS, NDCG_10, RELEASE_SECONDS, write_tables

import recbole
from recbole.evaluator import Asked, EvalSettings, evaluate, find_metric, get_probe
from recbole.generators.raw_log import RawInteractions
from recbole.generators.sensitive_lists import read_sensitive_items
from recbole.quick_start.command_line import unlearn_arguments
from recbole.quick_start.main import configured
from recbole.quick_start.setup import begin
from recbole.report.columns import FORGOTTEN_PAIRS, NDCG, values_of
from recbole.report.records import read_if_there
from recbole.scenario.known_scenarios import scenario_of
from recbole.trainer.learn import learn, load
from recbole.trainer.state import Done, State
from recbole.trainer.stored import Stored
from recbole.unlearning.pipeline import Pipeline
from recbole.unlearning.registry import get_algorithm
from recbole.utils import UserError, stream, write_json
from recbole.utils.deadline import Deadline

REQUESTS = {"BPR": 500, "GRU4Rec": 100}
STOPS = (1, 10, 50, 100, 500)
WANTED = {NDCG_10: NDCG, LOG_ODDS: FORGOTTEN_PAIRS["forgotten log-odds"]}


def parse_args(argv):
    """Return the arguments, with the settings of the cells and what is tried on each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, type=Path, help="folder of records and of base models")
    parser.add_argument("--data", type=Path, help="folder of the prepared data sets; not needed with --table")
    parser.add_argument("--cells", type=Path, default=ROOT / "benchmarks/grid.yaml", help="settings of the models")
    parser.add_argument("--models", nargs="+", default=list(REQUESTS), help="only these cells")
    parser.add_argument("--algorithms", nargs="+", help="only these")
    parser.add_argument("--requests", type=int, help="how many (default: 500 for BPR, 100 for GRU4Rec)")
    parser.add_argument("--orders", type=int, default=0, help="shuffled orders, beside the fixed one (default: 0)")
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[1], help="requests forgotten together")
    parser.add_argument("--seed", type=int, default=2, help="of the models, and of the orders (default: 2)")
    parser.add_argument("--saved", type=Path, help="folder with base models")
    parser.add_argument("--limit", type=float, default=3600, help="seconds for one sequence (default: 3600)")
    parser.add_argument("--table", type=Path, help="run nothing; write the tables of what is there, as Markdown")
    args = parser.parse_args(argv)
    known = yaml.safe_load(args.cells.read_text(encoding="utf-8"))["models"]
    unknown = [cell for cell in args.models if cell not in known or not (args.requests or cell in REQUESTS)]
    if unknown or not (args.table or args.data):
        parser.error(f"no cell with a number of requests: {', '.join(unknown)}" if unknown else "--data is missing")
    args.known = {cell: dict(known[cell]) for cell in args.models}
    args.tried = {cell: tried_on(settings) for cell, settings in args.known.items()}
    return args


class Subject:
    """A cell's base model, the requests to it in their fixed order, and what models are asked after some of them.

    Args:
        args: the arguments.
        cell: of them.

    Raises:
        UserError: the base model is of other settings, or too few people can ask.
    """

    def __init__(self, args, cell):
        self.args, self.cell = args, cell
        settings = {"model": cell, **args.known[cell]}
        category = settings["sensitive_category"]
        everybody = args.work.resolve() / f"{settings['dataset']}_{category}_everybody.inter"
        settings = {key: value for key, value in settings.items() if key not in OF_FORGETTING}
        settings |= {"data_path": args.data.resolve(), "checkpoint_dir": args.work.resolve() / "saved"}
        settings |= {"forget_set": everybody, "seed": args.seed, "show_progress": False, "tensorboard": False}
        file = ROOT / "configs" / f"config_{settings['model'].lower()}.yaml"
        words = ["--config_files", file, *(f"--{key}={value}" for key, value in settings.items())]
        words += ["--unlearning_algorithm", args.tried[cell][0]]
        self.config = configured(*unlearn_arguments(list(map(str, words))))
        write_everybody(self.config, category, everybody)
        self.setup = begin(self.config, scenario_of(self.config), forgetting=True)
        wanted, every = args.requests or REQUESTS[cell], self.setup.asked
        known = np.flatnonzero(np.diff(every.offsets))
        if len(known) < wanted:
            raise UserError(f"{cell}: {len(known)} people of the data can ask for {category}, not {wanted}")
        self.requests = every.chosen(known[:wanted])
        self.stops = [*(stop for stop in STOPS if stop < wanted), wanted]

    @cached_property
    def stored(self):
        """The base model's checkpoint; trained now if it is neither in ``--saved`` nor in the work folder."""
        state = self.setup.base()
        path = state.file if self.args.saved is None else self.args.saved / state.file.name
        if not path.exists():
            path = state.file
        if not path.exists():
            learn(self.setup, state)
        stored = Stored.read(path)
        differing = stored.differences(self.setup.identity(state))
        if differing:
            raise UserError(f"{stored.path} was made by other settings: {differing[0]}")
        return stored

    def base(self):
        """Return a fresh copy of the base model."""
        return load(self.setup, self.setup.base(), self.stored)

    def state(self, kind, count):
        """Return the state of a model that has forgotten so many requests of the fixed order; it has no file."""
        mask = self.requests.mask(count, len(self.setup.dataset.log))
        return State(kind, self.setup.dataset, mask, Done(self.requests.sha256, count))

    @cache  # noqa: B019 - as long as the subject
    def view(self, count):
        """Return the questions after so many requests."""
        return self.setup.scenario.view(self.state("retrained", count).forgotten, count)

    def told(self, model, count):
        """Return what a model is worth after so many requests, by the headings of ``WANTED``; NaN of what has none."""
        probes = [get_probe(name)() for name in ("utility", "forgotten")]
        settings = EvalSettings((find_metric("NDCG"),), (10,), self.config["eval_batch_size"])
        return values_of(evaluate(Asked.of(model), self.view(count), settings, probes), WANTED)

    def about(self, **more):
        """Return what a record is of, besides ``more``."""
        base = self.setup.identity(self.setup.base())
        return {
            "cell": self.cell, "seed": self.args.seed, "base": base.digest, "requests": len(self.requests),
            "forget_set_sha256": self.requests.sha256, "results_version": recbole.RESULTS_VERSION, **more,
        }  # fmt: skip


def write_everybody(config, category, path):
    """Write the forget set of everybody who has an item of a category, unless it is there."""
    if path.exists():
        return
    folder, fields = Path(config["data_path"]), ("USER_ID_FIELD", "ITEM_ID_FIELD", "RATING_FIELD", "field_separator")
    log = RawInteractions(folder / f"{config['dataset']}.inter", *(config[key] for key in fields))
    path.parent.mkdir(parents=True, exist_ok=True)
    log.write(path, np.flatnonzero(log.sensitive(read_sensitive_items(folder, category))))


def there(path, about):
    """Return the record of a path, None where there is none.

    Raises:
        UserError: it is of something else.
    """
    record = read_if_there(path)
    if record is not None and record["about"] != about:
        others = [key for key in about if record["about"].get(key) != about[key]]
        raise UserError(f"{path} is of another {', '.join(others)}: move it away, or take another --work")
    return record


def reference(subject, count):
    """Retrain without the first ``count`` requests, and note what that cost and what it and the base are worth."""
    path = subject.args.work / f"{subject.cell}_reference_{count}.json"
    about = subject.about(count=count)
    if there(path, about) is not None:
        return
    learned = learn(subject.setup, subject.state("retrained", count))
    timing = learned.timing
    told = {"base": subject.told(subject.base(), count), "retrained": subject.told(learned.model, count)}
    costs = {CPU_SECONDS: timing["fit_cpu_seconds"], "epoch": timing["best_epoch"]}
    write_json(path, {"about": about, **costs, **told})
    print(f"{path.stem}: {timing['fit_cpu_seconds']:.1f} CPU s", flush=True)


class OutOfTime(Exception):
    """Raised to end a sequence before its end."""


class Watched:
    """Stands before ``algorithm.forget``, notes the CPU seconds of each call, and ends the sequence at its limit.

    Args:
        forget: the algorithm's.
        limit: seconds by the clock, from now on. What is cut off by it does not count as answered.
    """

    def __init__(self, forget, limit):
        self.forget, self.until, self.cpu = forget, Deadline(limit), []

    def __call__(self, requests, _):
        began = time.process_time()
        outcome = self.forget(requests, self.until)
        if self.until.passed():
            raise OutOfTime
        self.cpu.append(time.process_time() - began)
        return outcome


def released(algorithm, checkpoint):
    """Return what would be saved of the model now, as a checkpoint's content; requests after this do not change it."""
    told = algorithm.release(checkpoint)
    weights = {name: value.detach().clone() for name, value in told["state_dict"].items()}
    return {"state_dict": weights, "other_parameter": told["other_parameter"]}


def run_sequence(subject, name, order, batch_size):
    """Put the requests to an algorithm, in the fixed order (0) or in a shuffled one, and return the record.

    Models are asked when the sequence has ended: building one draws random numbers.
    """
    setup, n, limit = subject.setup, len(subject.requests), subject.args.limit
    places = stream(subject.args.seed, "order", order).permutation(n) if order else range(n)
    algorithm = get_algorithm(name)(setup.config, subject.base(), setup.base().data)
    algorithm.forget = watched = Watched(algorithm.forget, limit)
    sizes = subject.stops if (order, batch_size) == (0, 1) else [n]
    pipeline = Pipeline(algorithm, subject.requests.chosen(places), batch_size, show_progress=False, sizes=sizes)
    stops = []

    def save(_, n_done, summary):
        cpu, began = sum(watched.cpu), time.process_time()
        content = released(algorithm, subject.stops.index(n_done))
        costs = {CPU_SECONDS: cpu, RELEASE_SECONDS: time.process_time() - began}
        stops.append((n_done, content, {"requests": summary, **costs}))

    try:
        pipeline.run(save)
    except OutOfTime:
        print(f"{subject.cell} {name}: the limit of {limit:g} s has passed", flush=True)
    told = []
    for count, content, costs in stops:
        of = Stored(subject.args.work / f"{name} after {count}", content, None, None)
        model = load(setup, subject.state("unlearned", count), of)
        told.append({"count": count, **costs, **subject.told(model, count)})
    summary = pipeline.summary()
    return {"done": summary["done"], "limit": limit, "requests": summary, "cpu": watched.cpu, "stops": told}


def sequence(subject, name, order, batch_size):
    """Run a sequence, unless its record is there, and write it; one that a lower limit ended is run anew."""
    path = subject.args.work / f"{subject.cell}_{name}_order_{order}_batch_{batch_size}.json"
    about = subject.about(algorithm=name, order=order, batch_size=batch_size)
    record = there(path, about)
    if record is not None and (record["done"] == about["requests"] or record["limit"] >= subject.args.limit):
        return
    subject.config["unlearning_algorithm"], subject.config["unlearning_batchsize"] = name, batch_size
    record = run_sequence(subject, name, order, batch_size)
    write_json(path, {"about": about, **record})
    print(f"{path.stem}: {record['done']} requests, {sum(record['cpu']):.1f} CPU s", flush=True)


def run_all(args):
    """Make what is missing of every cell: retrained models, then sequences."""
    for cell in args.models:
        subject = Subject(args, cell)
        for count in subject.stops:
            reference(subject, count)
        variants = [(0, size) for size in args.batch_sizes] + [(order + 1, 1) for order in range(args.orders)]
        for name in args.tried[cell]:
            for order, batch_size in variants if args.algorithms is None or name in args.algorithms else ():
                sequence(subject, name, order, batch_size)


def main(argv):
    """Run what is missing, or write and print the tables; return the exit status."""
    args = parse_args(argv)
    logging.getLogger("recbole").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    try:
        if args.table is None:
            run_all(args)
        else:
            write_tables(args.work, args.tried, args.table)
    except UserError as error:
        print(f"long_sequences.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
