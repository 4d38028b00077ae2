r"""Measure how the cost of a request grows with the log, the catalogue, the model and the number of earlier requests.

    python benchmarks/request_scaling.py --out results/request_scaling.json
    python benchmarks/request_scaling.py --requests 10000 --sizes 1000000x10000 --out results/many_requests.json
    python benchmarks/request_scaling.py --sizes 1000000x10000 --profile
    python benchmarks/request_scaling.py --algorithms kookmin gif ceu --sizes 100000x10000x64 100000x10000x256

An untrained model on synthetic interactions (ten per user on average; items follow Zipf's law) receives one request
after another through the pipeline that `unlearn.py` uses. Each request is from a user who wants one or two interactions
forgotten. Times are CPU times of one thread, so that other load on the machine has little effect. Every size runs in
its own process, so that peak memory is measured separately. The damping is divided by the size of the log, because a
user's share of the mean loss shrinks in the same way; the solver then has the same system to solve at every size.
"""

import argparse
import contextlib
import cProfile
import itertools
import multiprocessing
import pstats
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

from recbole.config import Config
from recbole.data import create_dataset
from recbole.data.atomic import write_atomic
from recbole.model import get_model
from recbole.unlearning.pipeline import Pipeline
from recbole.unlearning.registry import get_algorithm, hyper_parameters
from recbole.unlearning.request import find_requests
from recbole.utils import UserError, init_seed, stream, write_json

NAME = "synthetic"
ROWS_PER_USER = 10
SIZES = ("100000x10000", "300000x10000", "1000000x10000", "1000000x30000", "1000000x100000")


def parse_args():
    """Return the command-line arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--sizes", nargs="+", type=size, default=[size(text) for text in SIZES],
        help="interactions x items [x embedding size], such as 100000x10000x64",
    )  # fmt: skip
    parser.add_argument("--requests", type=int, default=200, help="requests per size (default: 200)")
    parser.add_argument("--model", default="BPR", help="name of the model (default: BPR)")
    parser.add_argument("--algorithms", nargs="+", default=["scif"], help="run with their default hyper-parameters")
    parser.add_argument("--damping", type=float, default=1e-6, help="at 100,000 interactions (default: 1e-6)")
    parser.add_argument("--seed", type=int, default=2, help="random seed (default: 2)")
    parser.add_argument("--profile", action="store_true", help="print a CPU profile of the requests of each size")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args()


def size(text):
    """Parse a text such as ``100000x10000`` or ``100000x10000x128`` to (interactions, items, embedding size)."""
    rows, items, *width = map(int, text.split("x"))
    return rows, items, width[0] if width else 64


def write_log(folder, n_rows, n_items, seed):
    """Write a synthetic .inter file in which every user occurs; the items follow Zipf's law."""
    generator = stream(seed, "synthetic log", n_rows, n_items)
    users = np.arange(n_rows) % max(n_rows // ROWS_PER_USER, 1)
    weights = np.cumsum(1 / np.arange(1, n_items + 1))
    items = np.searchsorted(weights, generator.random(n_rows) * weights[-1])
    columns = {"user_id": users, "item_id": items, "timestamp": generator.permutation(n_rows)}
    kinds = {"user_id": "token", "item_id": "token", "timestamp": "float"}
    write_atomic(folder / NAME / f"{NAME}.inter", columns, kinds)


def prepare(args, algorithm, n_rows, n_items, width, folder):
    """Generate a log and return an unlearning algorithm on an untrained model, and the requests."""
    write_log(folder, n_rows, n_items, args.seed)
    settings = {
        "data_path": str(folder),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "eval_args": {"order": "TO"},
        "seed": args.seed,
        "use_gpu": False,
        "embedding_size": width,
        "damping": args.damping * 100_000 / n_rows,
    }
    defaults = {parameter.name: parameter.default for parameter in hyper_parameters()}
    model_class = get_model(args.model)
    config = Config(model_class, NAME, config_dict=settings, extra_defaults=defaults)
    dataset = create_dataset(config, model_class.type)
    init_seed(config["seed"], config["reproducibility"])
    model = model_class(config, dataset)
    return get_algorithm(algorithm)(config, model, dataset), draw_requests(dataset, args.requests, args.seed)


def draw_requests(dataset, n, seed):
    """Return requests of ``n`` users (at most all), sampled uniformly, for one or two interactions each."""
    log, generator = dataset.log, stream(seed, "requests")
    n = min(n, dataset.n_users - 1)
    users = 1 + generator.permutation(dataset.n_users - 1)[:n]
    first = log.offsets[users]
    rows = np.concatenate([first, first + generator.integers(0, 2, n)])
    people = dataset.id2token("user", log.user[rows]).tolist()
    items = dataset.id2token("item", log.item[rows]).tolist()
    return find_requests(dataset, people, items, dataset.id2token("user", users).tolist(), sha256="")


class Observer:
    """Wraps ``algorithm.forget`` and records the CPU seconds and Hessian-vector products of each request.

    Args:
        forget: the method to wrap.
        profile: a `cProfile.Profile` that is enabled during requests, or None. The first request is not profiled, since
            it includes late imports of PyTorch.

    Attributes:
        seconds, products: lists with one number per request.
    """

    def __init__(self, forget, profile=None):
        self.forget, self.profile = forget, profile
        self.seconds, self.products = [], []

    def __call__(self, *args):
        with self.profile if self.profile and self.seconds else contextlib.nullcontext():
            started = time.process_time()
            outcome = self.forget(*args)
            self.seconds.append(time.process_time() - started)
        self.products.append(outcome.work.get("n_hvp", 0))
        return outcome


def measure(args, name, n_rows, n_items, width):
    """Run the requests of one algorithm and size in this process, and return the costs as a dictionary.

    With ``--profile`` the profile is printed. ``median`` and ``p95`` are CPU seconds; memory is in MiB.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        algorithm, requests = prepare(args, name, n_rows, n_items, width, Path(folder))
    profile = cProfile.Profile(time.process_time) if args.profile else None
    algorithm.forget = observer = Observer(algorithm.forget, profile)
    before = peak_mib()
    summary = Pipeline(algorithm, requests, show_progress=False).run(lambda *_: None)
    if profile:
        print(f"{name}, {n_rows} interactions, {n_items} items, {width} factors, after the first request", flush=True)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
    seconds, tenth = np.array(observer.seconds), max(len(requests) // 10, 1)
    return {
        "algorithm": name,
        "interactions": n_rows,
        "items": n_items,
        "embedding_size": width,
        "requests": len(requests),
        "applied": summary["applied"],
        "products": np.mean(observer.products),
        "median": np.median(seconds),
        "p95": np.quantile(seconds, 0.95),
        "last_to_first_tenth": np.median(seconds[-tenth:]) / np.median(seconds[:tenth]),
        "rss_before_mib": before,
        "peak_rss_mib": peak_mib(),
    }


def peak_mib():
    """Return the peak resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def print_table(rows):
    """Print one line per algorithm and size, with ratios to the first size of the same algorithm."""
    columns = "algorithm", "interactions", "items", "width", "requests", "Hv", "median ms", "ratio", "p95 ms", "ratio"
    columns += "last/first tenth", "peak MiB", "by requests"
    print("".join(f"{column:>{max(len(column) + 2, 9)}}" for column in columns))
    for row in rows:
        first = next(other for other in rows if other["algorithm"] == row["algorithm"])
        print(
            f"{row['algorithm']:>11}{row['interactions']:>14}{row['items']:>9}{row['embedding_size']:>9}{row['requests']:>10}{row['products']:>9.1f}"
            f"{1000 * row['median']:>11.2f}{row['median'] / first['median']:>9.2f}"
            f"{1000 * row['p95']:>9.2f}{row['p95'] / first['p95']:>9.2f}{row['last_to_first_tenth']:>18.2f}"
            f"{row['peak_rss_mib']:>10.0f}{row['peak_rss_mib'] - row['rss_before_mib']:>13.0f}"
        )


def main():
    """Measure every size, print the table and write the JSON file."""
    args = parse_args()
    fresh = multiprocessing.get_context("spawn")
    rows = []
    for algorithm, numbers in itertools.product(args.algorithms, args.sizes):
        with ProcessPoolExecutor(1, fresh) as executor:
            rows.append(executor.submit(measure, args, algorithm, *numbers).result())
    print_table(rows)
    if args.out:
        settings = {key: getattr(args, key) for key in ("model", "damping", "seed")}
        write_json(args.out, {"settings": settings, "rows": rows})


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"request_scaling.py: {error}", file=sys.stderr)
        sys.exit(2)
