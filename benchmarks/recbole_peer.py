r"""Measure RecBole 1.2.1 on one model, data set and seed.

This script imports nothing from this repository. It needs RecBole 1.2.1, in an environment of its own::

    python3.11 -m venv peer
    peer/bin/pip install torch "setuptools<80" "numpy<2" "pandas<3" "scipy<1.13" recbole==1.2.1
    TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 peer/bin/python benchmarks/recbole_peer.py --model BPR \
        --data dataset/ml-100k --config bpr.yaml --seed 2 --out bpr.json

The variable lets torch >= 2.6 load RecBole's checkpoints, which are pickles that contain a Config object; the script
sets it if it is not set. The YAML file must also set the column names (``load_col``); `compare_recbole.py` converts our
configuration files.

Random generators are seeded in the same places as in RecBole's own `run_recbole`, so that the metrics are those that
RecBole prints. The JSON file contains:

    load_seconds                 wall-clock seconds of reading, filtering, splitting and creating the data loaders
    epoch_seconds, valid_seconds lists of wall-clock seconds: each training epoch, and the validation after it
    cpu_seconds, peak_rss_mib    CPU seconds and peak memory of the whole process, including imports
    epochs, best_epoch, best_valid, test, counts, versions, config_sha256

`--split-out FILE.npz` writes the split instead of training: `{train,valid,test}_{user,item}` as tokens, for sequential
models also `*_length` (number of items before the target), and the token of each id (`user_tokens`, `item_tokens`;
id 0 is the padding).

Nothing is written to the data folder; logs, event files and checkpoints go to a temporary folder.
"""

import argparse
import hashlib
import json
import os
import platform
import resource
import sys
import tempfile
import time
from pathlib import Path

PHASES = ("train", "valid", "test")


def parse_args():
    """Return the command-line arguments, with absolute paths."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="name of a model of RecBole")
    parser.add_argument("--data", required=True, type=Path, help="folder NAME that contains NAME.inter")
    parser.add_argument("--config", required=True, type=Path, help="YAML file for RecBole")
    parser.add_argument("--seed", required=True, type=int, help="random seed")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--split-out", type=Path, help="npz file to write the split to, without training")
    args = parser.parse_args()
    if (args.out is None) == (args.split_out is None):
        parser.error("give either --out or --split-out")
    for name in ("data", "config", "out", "split_out"):
        path = getattr(args, name)
        setattr(args, name, path and path.resolve())
    return args


class Stopwatch:
    """Wraps a function and records the wall-clock seconds of each call in the list ``seconds``."""

    def __init__(self, function):
        self.function, self.seconds = function, []

    def __call__(self, *args, **kwargs):
        started = time.perf_counter()
        result = self.function(*args, **kwargs)
        self.seconds.append(time.perf_counter() - started)
        return result


def versions():
    """Return the versions of Python and the packages; exit with a message if RecBole is not version 1.2.1."""
    import numpy
    import pandas
    import scipy
    import torch

    import recbole

    if recbole.__version__ != "1.2.1":
        sys.exit(f"recbole_peer.py: {sys.executable} imports recbole {recbole.__version__}, not RecBole 1.2.1")
    found = {module.__name__: module.__version__ for module in (recbole, torch, numpy, scipy, pandas)}
    return {"python": platform.python_version(), **found}


def configure(args, work):
    """Return RecBole's configuration; set up the seed and the logger as `run_recbole` does.

    Args:
        args: command-line arguments.
        work: folder for checkpoints.
    """
    from recbole.config import Config
    from recbole.utils import init_logger, init_seed

    overrides = {
        "seed": args.seed,
        "data_path": str(args.data.parent),
        "checkpoint_dir": work,
        "use_gpu": False,
        "show_progress": False,
        "state": "WARNING",
        "metric_decimal_place": 10,
    }
    config = Config(args.model, args.data.name, [str(args.config)], overrides)
    init_seed(config["seed"], config["reproducibility"])
    init_logger(config)
    return config


def load(config, report):
    """Return the data set, its train, validation and test parts as RecBole split them, and the three data loaders.

    ``load_seconds`` and ``counts`` are added to the dictionary `report`.
    """
    from recbole.data import create_dataset, data_preparation

    read, prepare = Stopwatch(create_dataset), Stopwatch(data_preparation)
    dataset = read(config)
    report["counts"] = {"users": dataset.user_num, "items": dataset.item_num, "rows": len(dataset.inter_feat)}
    build, parts = dataset.build, []

    def build_and_keep():
        parts.extend(build())
        return list(parts)

    dataset.build = build_and_keep
    loaders = prepare(config, dataset)
    report["load_seconds"] = read.seconds[0] + prepare.seconds[0]
    report["counts"] |= {phase: len(part) for phase, part in zip(PHASES, parts, strict=True)}
    return dataset, parts, loaders


def train(config, args, loaders, report):
    """Train and test in the same order as `run_recbole`; add times and metrics to the dictionary `report`."""
    from recbole.utils import get_model, get_trainer, init_seed

    train_data, valid_data, test_data = loaders
    init_seed(config["seed"], config["reproducibility"])
    model = get_model(args.model)(config, train_data._dataset).to(config["device"])
    trainer = get_trainer(config["MODEL_TYPE"], args.model)(config, model)
    trainer._train_epoch = epoch = Stopwatch(trainer._train_epoch)
    trainer._valid_epoch = validation = Stopwatch(trainer._valid_epoch)
    curve = []
    _, best_valid = trainer.fit(
        train_data, valid_data, show_progress=False, callback_fn=lambda number, score: curve.append((score, number))
    )
    test = trainer.evaluate(test_data, load_best_model=True, show_progress=False)
    report.update(
        epochs=len(epoch.seconds),
        best_epoch=max(curve)[1],  # the last one in a tie, as in early stopping
        epoch_seconds=epoch.seconds,
        valid_seconds=validation.seconds,
        best_valid={name: float(value) for name, value in best_valid.items()},
        test={name: float(value) for name, value in test.items()},
    )


def write_split(path, dataset, parts):
    """Write the user and item tokens of the three parts, in the order before the data loaders sort them."""
    import numpy as np

    tokens = {
        "user": np.asarray(dataset.field2id_token[dataset.uid_field]).astype(str),
        "item": np.asarray(dataset.field2id_token[dataset.iid_field]).astype(str),
    }
    arrays = {f"{side}_tokens": values for side, values in tokens.items()}
    for phase, part in zip(PHASES, parts, strict=True):
        columns = part.inter_feat.numpy()
        arrays[f"{phase}_user"] = tokens["user"][columns[dataset.uid_field]]
        arrays[f"{phase}_item"] = tokens["item"][columns[dataset.iid_field]]
        lengths = columns.get(getattr(dataset, "item_list_length_field", None))
        if lengths is not None:
            arrays[f"{phase}_length"] = lengths
    np.savez_compressed(path, **arrays)


def main():
    """Train and write the JSON file, or write the split."""
    args = parse_args()
    os.environ.setdefault("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.argv = sys.argv[:1]  # RecBole would parse our options
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)  # RecBole writes log/ and log_tensorboard/ into the working directory
        report = {
            "model": args.model,
            "dataset": args.data.name,
            "seed": args.seed,
            "config_sha256": hashlib.sha256(args.config.read_bytes()).hexdigest(),
            "versions": versions(),
        }
        config = configure(args, work)
        dataset, parts, loaders = load(config, report)
        if args.split_out:
            write_split(args.split_out, dataset, parts)
            return
        train(config, args, loaders, report)
        os.chdir(args.out.parent)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    report |= {"cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_rss_mib": usage.ru_maxrss / 1024}
    args.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
