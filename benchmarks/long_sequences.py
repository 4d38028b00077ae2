r"""How do unlearned models, and the costs of unlearning, develop over a long sequence of requests?

    python benchmarks/long_sequences.py --data dataset --work results/long --orders 3 --batch_sizes 1 5 25 --models BPR
    python benchmarks/long_sequences.py --data dataset --work results/long --models GRU4Rec
    python benchmarks/long_sequences.py --work results/long --table results/long.md

Every user (or session) with an item of the cell's category submits a request to forget these items. The first 500 (BPR)
or 100 (GRU4Rec) requests that concern rows of the log, in the fixed order, are processed by each algorithm one after
another, with default hyper-parameters. `grid.yaml` defines data, training and algorithms: the seven algorithms of
ERASE, and the baselines that apply to the model.

After 1, 10, 50, 100 and 500 requests the script records the outcomes of the requests, the CPU seconds so far, NDCG@10
over all users on the retained test rows, and the mean log-odds of the training pairs forgotten so far. It evaluates the
model that would be saved (`UnlearningAlgorithm.release`; its cost is reported separately), while later requests
continue from the model itself. The base model and a model retrained without exactly those rows are evaluated in the
same way. Forgotten items count as candidates again, so the base model's NDCG falls too. The cost of a retraining is the
mean over these retrainings. The tables give the number of requests that cost as much as one retraining; if a sequence
ends before, this number is extrapolated from the mean cost and marked with `~`.

`--orders 3` also processes the same requests in three shuffled orders, one at a time. `--batch_sizes` processes them in
the fixed order in batches of these sizes. These sequences are evaluated only at their end, where all of them have
forgotten the same rows, so that one retrained model is the reference for all.

Each sequence and each retrained model has a JSON file in `--work`; existing ones are not computed again. A sequence
stops between two requests when it has taken longer than `--limit` (wall time). Its record and the tables then give the
number of processed requests, and it is repeated if the script is run with a higher limit. `--saved` names a folder with
base models, such as the folder `saved` of `grid.py`; a missing base model is trained.
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
    """Return the command-line arguments, with ``known`` (cell to settings) and ``tried`` (cell to algorithm names)."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", required=True, type=Path, help="folder for records and base models")
    parser.add_argument("--data", type=Path, help="folder of the prepared data sets; not needed with --table")
    parser.add_argument("--cells", type=Path, default=ROOT / "benchmarks/grid.yaml", help="default: grid.yaml")
    parser.add_argument("--models", nargs="+", default=list(REQUESTS), help="run only these cells")
    parser.add_argument("--algorithms", nargs="+", help="run only these algorithms")
    parser.add_argument("--requests", type=int, help="number of requests (default: 500 for BPR, 100 for GRU4Rec)")
    parser.add_argument("--orders", type=int, default=0, help="shuffled orders, besides the fixed one (default: 0)")
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[1], help="requests per batch (default: 1)")
    parser.add_argument("--seed", type=int, default=2, help="seed of the models and of the orders (default: 2)")
    parser.add_argument("--saved", type=Path, help="folder with trained base models (default: saved in --work)")
    parser.add_argument("--limit", type=float, default=3600, help="time limit of a sequence in seconds (default: 3600)")
    parser.add_argument("--table", type=Path, help="run nothing; write tables of the existing records to this .md file")
    args = parser.parse_args(argv)
    known = yaml.safe_load(args.cells.read_text(encoding="utf-8"))["models"]
    unknown = [cell for cell in args.models if cell not in known or not (args.requests or cell in REQUESTS)]
    if unknown or not (args.table or args.data):
        parser.error(f"no cell with a number of requests: {', '.join(unknown)}" if unknown else "--data is missing")
    args.known = {cell: dict(known[cell]) for cell in args.models}
    args.tried = {cell: tried_on(settings) for cell, settings in args.known.items()}
    return args


class Subject:
    """A cell's base model, its requests in their fixed order, and the evaluation after some number of requests.

    Args:
        args: the command-line arguments.
        cell: the name of the cell.

    Raises:
        UserError: fewer users than requests have items of the category.
    """

    def __init__(self, args, cell):
        self.args, self.cell = args, cell
        settings = {"model": cell, **args.known[cell]}
        category = settings["sensitive_category"]
        forget_set = args.work.resolve() / f"{settings['dataset']}_{category}_everybody.inter"
        settings = {key: value for key, value in settings.items() if key not in OF_FORGETTING}
        settings |= {"data_path": args.data.resolve(), "checkpoint_dir": args.work.resolve() / "saved"}
        settings |= {"forget_set": forget_set, "seed": args.seed, "show_progress": False, "tensorboard": False}
        file = ROOT / "configs" / f"config_{settings['model'].lower()}.yaml"
        words = ["--config_files", file, *(f"--{key}={value}" for key, value in settings.items())]
        words += ["--unlearning_algorithm", args.tried[cell][0]]
        self.config = configured(*unlearn_arguments(list(map(str, words))))
        write_all_users(self.config, category, forget_set)
        self.setup = begin(self.config, scenario_of(self.config), forgetting=True)
        n_requests, every = args.requests or REQUESTS[cell], self.setup.asked
        known = np.flatnonzero(np.diff(every.offsets))
        if len(known) < n_requests:
            raise UserError(f"{cell}: {len(known)} users have items of category {category}, fewer than {n_requests}")
        self.requests = every.chosen(known[:n_requests])
        self.stops = [*(stop for stop in STOPS if stop < n_requests), n_requests]

    @cached_property
    def stored(self):
        """The base model's checkpoint. The model is trained if it is neither in ``--saved`` nor in the work folder.

        Raises:
            UserError: the checkpoint was trained with other settings.
        """
        state = self.setup.base()
        path = state.file if self.args.saved is None else self.args.saved / state.file.name
        if not path.exists():
            path = state.file
        if not path.exists():
            learn(self.setup, state)
        stored = Stored.read(path)
        differing = stored.differences(self.setup.identity(state))
        if differing:
            raise UserError(f"{stored.path} was trained with other settings: {differing[0]}")
        return stored

    def base(self):
        """Return a new copy of the base model, loaded from its checkpoint."""
        return load(self.setup, self.setup.base(), self.stored)

    def state(self, kind, count):
        """Return the state (without a file) of a model that has forgotten the first ``count`` requests.

        Args:
            kind: the kind of model, such as ``retrained`` or ``unlearned``.
            count: the number of requests.
        """
        mask = self.requests.mask(count, len(self.setup.dataset.log))
        return State(kind, self.setup.dataset, mask, Done(self.requests.sha256, count))

    @cache  # noqa: B019 - the cache may live as long as the subject
    def view(self, count):
        """Return the evaluation view (users, candidates, test rows) after the first ``count`` requests."""
        return self.setup.scenario.view(self.state("retrained", count).forgotten, count)

    def evaluated(self, model, count):
        """Evaluate a model after ``count`` requests; return the values by heading of ``WANTED``, NaN if undefined."""
        probes = [get_probe(name)() for name in ("utility", "forgotten")]
        settings = EvalSettings((find_metric("NDCG"),), (10,), self.config["eval_batch_size"])
        return values_of(evaluate(Asked.of(model), self.view(count), settings, probes), WANTED)

    def about(self, **more):
        """Return a dictionary that identifies a record: cell, seed, base model, requests, version, and ``more``."""
        base = self.setup.identity(self.setup.base())
        return {
            "cell": self.cell, "seed": self.args.seed, "base": base.digest, "requests": len(self.requests),
            "forget_set_sha256": self.requests.sha256, "results_version": recbole.RESULTS_VERSION, **more,
        }  # fmt: skip


def write_all_users(config, category, path):
    """Write a forget set with all interactions with items of a category to ``path``, unless the file exists."""
    if path.exists():
        return
    folder, fields = Path(config["data_path"]), ("USER_ID_FIELD", "ITEM_ID_FIELD", "RATING_FIELD", "field_separator")
    log = RawInteractions(folder / f"{config['dataset']}.inter", *(config[key] for key in fields))
    path.parent.mkdir(parents=True, exist_ok=True)
    log.write(path, np.flatnonzero(log.sensitive(read_sensitive_items(folder, category))))


def there(path, about):
    """Return the record in a file, or None if the file does not exist.

    Args:
        path: path of the file.
        about: what the record should be identified by, see :meth:`Subject.about`.

    Raises:
        UserError: the record is identified by other values.
    """
    record = read_if_there(path)
    if record is not None and record["about"] != about:
        others = [key for key in about if record["about"].get(key) != about[key]]
        raise UserError(f"{path} has another {', '.join(others)}: move it away, or use another --work")
    return record


def reference(subject, count):
    """Retrain without the first ``count`` requests, unless this was done, and write a record.

    The record contains the cost of the retraining, and the evaluation of the base and the retrained model.
    """
    path = subject.args.work / f"{subject.cell}_reference_{count}.json"
    about = subject.about(count=count)
    if there(path, about) is not None:
        return
    learned = learn(subject.setup, subject.state("retrained", count))
    timing = learned.timing
    found = {"base": subject.evaluated(subject.base(), count), "retrained": subject.evaluated(learned.model, count)}
    costs = {CPU_SECONDS: timing["fit_cpu_seconds"], "epoch": timing["best_epoch"]}
    write_json(path, {"about": about, **costs, **found})
    print(f"{path.stem}: {timing['fit_cpu_seconds']:.1f} CPU s", flush=True)


class OutOfTime(Exception):
    """Raised to stop a sequence at its time limit."""


class Watched:
    """Wraps ``algorithm.forget``: records the CPU seconds of each call, and stops the sequence at its time limit.

    Args:
        forget: the method of the algorithm.
        limit: wall seconds from now. A call that ends after the limit raises :class:`OutOfTime` and is not recorded.
    """

    def __init__(self, forget, limit):
        self.forget, self.until, self.cpu = forget, Deadline(limit), []

    def __call__(self, requests, _):
        """Process requests, measure the CPU seconds, and return the outcome; the pipeline's deadline is replaced."""
        began = time.process_time()
        outcome = self.forget(requests, self.until)
        if self.until.passed():
            raise OutOfTime
        self.cpu.append(time.process_time() - began)
        return outcome


def released(algorithm, checkpoint):
    """Return a copy of what would be saved of the model now: ``state_dict`` and ``other_parameter``.

    Later requests do not change the copied tensors of the ``state_dict``.
    """
    content = algorithm.release(checkpoint)
    weights = {name: value.detach().clone() for name, value in content["state_dict"].items()}
    return {"state_dict": weights, "other_parameter": content["other_parameter"]}


def run_sequence(subject, name, order, batch_size):
    """Process the requests with an algorithm, and evaluate the model at the stops.

    Models are evaluated after the whole sequence, because building a model draws random numbers.

    Args:
        subject: the :class:`Subject`.
        name: the name of the algorithm.
        order: 0 for the fixed order; another number is the index of a shuffled order.
        batch_size: the number of requests that are processed together.

    Returns:
        The record: a dictionary with the number of processed requests (``done``), the time limit, the outcomes, the CPU
        seconds of each call, and the evaluation at each stop.
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
        print(f"{subject.cell} {name}: stopped at the time limit of {limit:g} s", flush=True)
    evaluated = []
    for count, content, costs in stops:
        of = Stored(subject.args.work / f"{name} after {count}", content, None, None)
        model = load(setup, subject.state("unlearned", count), of)
        evaluated.append({"count": count, **costs, **subject.evaluated(model, count)})
    summary = pipeline.summary()
    return {"done": summary["done"], "limit": limit, "requests": summary, "cpu": watched.cpu, "stops": evaluated}


def sequence(subject, name, order, batch_size):
    """Run a sequence and write its record, unless the record exists. One that a lower limit stopped is run again."""
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
    """Compute the missing records of every selected cell: first the retrained models, then the sequences."""
    for cell in args.models:
        subject = Subject(args, cell)
        for count in subject.stops:
            reference(subject, count)
        variants = [(0, size) for size in args.batch_sizes] + [(order + 1, 1) for order in range(args.orders)]
        for name in args.tried[cell]:
            for order, batch_size in variants if args.algorithms is None or name in args.algorithms else ():
                sequence(subject, name, order, batch_size)


def main(argv):
    """Compute the missing records, or with ``--table`` write and print the tables. Return the exit status."""
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
