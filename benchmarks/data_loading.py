r"""How much CPU time and memory does data loading take, compared with RecBole 1.2.1?

    python benchmarks/data_loading.py --peer-python peer/bin/python --tafeng dataset/tafeng --out results/loading.json

Sessions: for each of ``--sizes`` a log with this number of interactions is generated (session lengths are 2 plus a
geometric number, with mean 8; items follow Zipf's law). From the same file both programs build their data set for
SASRec, split into train, valid and test, with windows of at most 50 items. Then they build the first validation batch,
and all training batches of an epoch; no model is built. Each program runs in its own process with one thread, one after
the other. RecBole is called the peer; `recbole_peer.py` explains how to create its environment. Baskets: this program
alone loads Ta-Feng, since RecBole has no next-basket data.

Seconds are CPU seconds. Memory is the peak of the process, reported as a whole and minus the memory after the imports
(about 300 MiB for both programs). Before the measurement both load a log of 80 interactions, which is not counted.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {
    "USER_ID_FIELD": "session_id",
    "load_col": {"inter": ["session_id", "item_id", "timestamp"]},
    "MAX_ITEM_LIST_LENGTH": 50,
    "eval_args": {"split": {"RS": [0.8, 0.1, 0.1]}, "order": "TO", "group_by": "user", "mode": "full"},
    "train_neg_sample_args": None,
    "train_batch_size": 2048,
    "eval_batch_size": 2048,
    "use_gpu": False,
    "show_progress": False,
    "seed": 2,
}


class Meter:
    """Records CPU seconds and peak memory of consecutive stages. Create it when all imports are done."""

    def __init__(self):
        self.stages, self.imports = {}, peak_mib()

    def start(self):
        """Start the clock for the first stage."""
        self.last = time.process_time()

    def note(self, stage):
        """End a stage, record its costs under a name, and start the clock for the next stage."""
        now, peak = time.process_time(), peak_mib()
        self.stages[stage] = {"cpu_seconds": now - self.last, "peak_mib": peak, "over_imports_mib": peak - self.imports}
        self.last = time.process_time()


def peak_mib():
    """Return the peak memory of this process in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


# --- one side, in its own process ------------------------------------------------------------------------------------


def our_side(model, **settings):
    """Return a function that builds our data set from a folder and returns ``(dataset, batches, config)``."""
    sys.path.insert(0, str(ROOT))
    from recbole.config import Config
    from recbole.data import TrainBatches, create_dataset
    from recbole.model import get_model

    cls = get_model(model)

    def build(folder):
        config = Config(model, folder.name, config_dict=settings | {"data_path": str(folder.parent)})
        config.bind_model(cls)
        dataset = create_dataset(config, cls.type)
        return dataset, TrainBatches(config, dataset, cls.input_type), config

    return build


def our_sessions(folder, first):
    """Build our data set and its batches; return the :class:`Meter`. The log in `first` is for warming up."""
    build, meter = our_side("SASRec", **SETTINGS), Meter()
    build(first)
    meter.start()
    dataset, batches, config = build(folder)
    valid, test = map(dataset.eval_rows, ("valid", "test"))
    meter.note("build")
    valid.inputs[: config["eval_batch_size"]]
    meter.note("first evaluation batch")
    rows = sum(len(batch) for batch in batches.epoch(0))
    meter.note("epoch of batches")
    meter.examples = rows, len(valid.inputs), len(test.inputs)
    return meter


def peer_sessions(folder, first):
    """Build RecBole's data set and its batches; return the :class:`Meter`. The log in `first` is for warming up."""
    os.environ.setdefault("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.utils import init_logger, init_seed

    sys.argv = sys.argv[:1]  # otherwise RecBole would parse this script's flags

    def build(folder):
        settings = SETTINGS | {"data_path": str(folder.parent), "state": "WARNING"}
        config = Config("SASRec", folder.name, config_dict=settings)
        init_seed(config["seed"], config["reproducibility"])
        init_logger(config)
        return data_preparation(config, create_dataset(config))

    meter = Meter()
    build(first)
    meter.start()
    train, valid, test = build(folder)
    meter.note("build")
    next(iter(valid))
    meter.note("first evaluation batch")
    rows = sum(len(batch) for batch in train)
    meter.note("epoch of batches")
    meter.examples = rows, *(len(part._dataset) for part in (valid, test))
    return meter


def our_baskets(folder, first):
    """Load a data set of baskets; return the :class:`Meter`. The data in `first` are for warming up."""
    build, meter = our_side("DNNTSP", MIN_NBR_BASKET_COUNT=4, use_gpu=False), Meter()
    build(first)
    meter.start()
    dataset, _, _ = build(folder)
    meter.note("build")
    meter.examples = len(dataset.train_examples()), *(len(dataset.eval_rows(part).inputs) for part in ("valid", "test"))
    return meter


SIDES = {"ours": our_sessions, "peer": peer_sessions, "baskets": our_baskets}


# --- both sides ------------------------------------------------------------------------------------------------------


def draw_sessions(folder, size, seed=2):
    """Generate a log of ``size`` interactions and write it to the folder as ``<folder name>.inter``."""
    import numpy as np

    draw = np.random.default_rng(seed)
    lengths = 2 + draw.geometric(1 / 6, size // 4)
    session = np.repeat(np.arange(len(lengths)), lengths)[:size]
    item = draw.zipf(1.2, 4 * size)
    item = item[item <= 50_000][:size]
    rows = zip(session.tolist(), item.tolist(), range(size), strict=True)
    folder.mkdir(parents=True)
    with open(folder / f"{folder.name}.inter", "w") as file:
        file.write("session_id:token\titem_id:token\ttimestamp:float\n")
        file.writelines(f"s{s}\ti{i}\t{t}\n" for s, i, t in rows)


def measure(python, side, folder):
    """Measure one side in its own process, in a temporary folder; return its results as a dictionary.

    Args:
        python: the interpreter.
        side: a key of `SIDES`.
        folder: the folder of the data set to load.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as work:
        first = Path(work) / "ten"
        draw_sessions(first, 80)
        (first / "ten_merged.json").write_text('{"a": [[1], [2], [3], [4]]}')
        command = [python, Path(__file__).resolve(), "--side", side, folder.resolve(), first]
        done = subprocess.run(
            list(map(str, command)), cwd=work, env=environment, capture_output=True, text=True, check=False
        )
    if done.returncode:
        sys.exit(f"{side}: {(done.stderr.strip().splitlines() or ['no output'])[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


UNITS = {"cpu_seconds": "CPU s", "peak_mib": "peak, MiB", "over_imports_mib": "peak over imports, MiB"}


def compare(args, size):
    """Measure both programs on a generated log of ``size`` interactions; print and return the results."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "sessions"
        draw_sessions(folder, size)
        found = {"size": size, "ours": measure(sys.executable, "ours", folder)}
        found["peer"] = measure(args.peer_python.absolute(), "peer", folder)
    if found["ours"]["examples"] != found["peer"]["examples"]:
        sys.exit(f"the examples differ: ours {found['ours']['examples']}, RecBole's {found['peer']['examples']}")
    print(f"\n{size} interactions, examples {found['ours']['examples']}")
    print(f"{'':<50}{'RecBole':>10}{'ours':>10}{'ratio':>8}")
    for stage in found["ours"]["stages"]:
        for key, unit in UNITS.items():
            peer, ours = (found[side]["stages"][stage][key] for side in ("peer", "ours"))
            print(f"{stage:<26}{unit:<24}{peer:>10.2f}{ours:>10.2f}{peer / max(ours, 1e-3):>8.1f}")
    return found


def parse_args():
    """Return the command-line arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", type=Path, help="interpreter with RecBole 1.2.1; without it no session data")
    parser.add_argument("--sizes", type=int, nargs="*", default=[100_000, 1_000_000], help="interactions in the logs")
    parser.add_argument("--tafeng", type=Path, help="folder that contains tafeng_merged.json")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--side", nargs=3, help="internal: measure one side, given its name, its data and warm-up data")
    return parser.parse_args()


def main():
    """Measure one side (``--side``), or start the processes that measure all sides, and print and write the results."""
    args = parse_args()
    if args.side:
        side, *folders = args.side
        meter = SIDES[side](*map(Path, folders))
        print(json.dumps({"imports_mib": meter.imports, "examples": meter.examples, "stages": meter.stages}))
        return
    found = {"sessions": [compare(args, size) for size in args.sizes] if args.peer_python else []}
    if args.tafeng:
        found["baskets"] = baskets = measure(sys.executable, "baskets", args.tafeng)
        build = baskets["stages"]["build"]
        over, imports = build["over_imports_mib"], baskets["imports_mib"]
        print(f"\n{args.tafeng.name}: {build['cpu_seconds']:.2f} CPU s, {over:.0f} MiB over the imports' {imports:.0f}")
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
