r"""Measure RecBole 1.2.1 on one model, data set and seed.

Nothing of ours is imported: run it with an interpreter that has RecBole 1.2.1, which needs an environment of its own::

    python3.11 -m venv peer
    peer/bin/pip install torch "setuptools<80" "numpy<2" "pandas<3" "scipy<1.13" recbole==1.2.1
    TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1 peer/bin/python benchmarks/recbole_peer.py --model BPR \
        --data dataset/ml-100k --config bpr.yaml --seed 2 --out bpr.json

(The variable, which is set here if it is not, lets torch >= 2.6 load RecBole's checkpoints, pickles with a Config
inside.) The YAML file has to name the columns too; `compare_recbole.py` writes one from ours.

The generators are seeded where RecBole's own `run_recbole` seeds them, so the metrics are those that RecBole prints.
The JSON file holds:

    load_seconds                 reading, filtering, splitting, making the loaders; wall clock
    epoch_seconds, valid_seconds lists, wall clock: training epochs, and the validation after each
    cpu_seconds, peak_rss_mib    of the whole process, imports included
    epochs, best_epoch, best_valid, test, counts, versions, config_sha256

`--split-out FILE.npz` stores the split instead of training: `{train,valid,test}_{user,item}` as tokens, for sequential
models `*_length` (items before the target), and the tokens by id (`user_tokens`, `item_tokens`; 0 is the padding).

The data folder is only read; logs, event files and checkpoints go to a temporary folder.
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
    """Return the arguments, with paths that hold from any folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, type=Path, help="folder NAME with NAME.inter in it")
    parser.add_argument("--config", required=True, type=Path, help="YAML file for RecBole")
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--split-out", type=Path, help="npz file to write the split to, without training")
    args = parser.parse_args()
    if (args.out is None) == (args.split_out is None):
        parser.error("give one of --out and --split-out")
    for name in ("data", "config", "out", "split_out"):
        path = getattr(args, name)
        setattr(args, name, path and path.resolve())
    return args


class Stopwatch:
    """Wraps a function and keeps the wall seconds of each call."""

    def __init__(self, function):
        self.function, self.seconds = function, []

    def __call__(self, *args, **kwargs):
        started = time.perf_counter()
        result = self.function(*args, **kwargs)
        self.seconds.append(time.perf_counter() - started)
        return result


def versions():
    """Return the versions of what was measured, and refuse anything but RecBole 1.2.1."""
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
    """Return RecBole's configuration, seeded and logging as `run_recbole` has it."""
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
    """Return the data set, its three parts as RecBole split them, and the three loaders."""
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
    """Train and test, in the order of `run_recbole`, and note times and metrics."""
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
        best_epoch=max(curve)[1],  # the last of equal ones, as in early stopping
        epoch_seconds=epoch.seconds,
        valid_seconds=validation.seconds,
        best_valid={name: float(value) for name, value in best_valid.items()},
        test={name: float(value) for name, value in test.items()},
    )


def write_split(path, dataset, parts):
    """Write the tokens of every part's rows, before the loaders sort them."""
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
    """Measure, and write the JSON file or the split."""
    args = parse_args()
    os.environ.setdefault("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.argv = sys.argv[:1]  # RecBole would read our options as its own
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)  # RecBole writes log/ and log_tensorboard/ where it stands
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
