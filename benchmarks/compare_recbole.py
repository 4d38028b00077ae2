r"""Hold a model against RecBole 1.2.1: the same data, split and settings, several seeds, whole processes.

    python benchmarks/compare_recbole.py --peer-python peer/bin/python --model BPR --data dataset/ml-100k \
        --config configs/config_bpr.yaml --seeds 2 3 5 7 11 --out results/compare_bpr.json

`recbole_peer.py` says how the peer's environment is made. The two run one after the other, seed by seed, each as a
process of its own with one thread, on the CPU, in a temporary folder. The peer's YAML file is written from our
effective settings. Interactions are ordered by float32 timestamps on both sides (`time_precision: single`).

Are the split's examples the same ones (for the first seed: a split by time does not depend on it)? Are the metrics
the same but for seed noise (Welch's t-test; the random numbers differ, so equal bits are not to be expected)? What do
loading, an epoch, a validation and the whole process cost? Exit status 1: the splits differ; 2: a side failed.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd
import yaml

from recbole.config import Config
from recbole.data import create_dataset
from recbole.data.split import SPLITS
from recbole.model import get_model
from recbole.report.columns import WHOLE_TEST, matching
from recbole.utils import UserError, write_json

ROOT = Path(__file__).resolve().parents[1]
TOLD_TO_PEER = ("topk", "train_neg_sample_args")
"""Settings that the peer is told even where they are our defaults, since its own differ or follow another rule."""
COSTS = {
    "load_seconds": "load, s",
    "epoch": "epoch, s",
    "validation": "validation, s",
    "cpu_seconds": "whole process, CPU s",
    "cpu_per_epoch": "whole process, CPU s / epoch",
    "peak_rss_mib": "peak memory, MiB",
    "epochs": "epochs",
}


def parse_args():
    """Return the arguments, with paths that hold from any folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True, type=Path, help="interpreter that has RecBole 1.2.1")
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True, type=Path, help="folder NAME with NAME.inter in it")
    parser.add_argument("--config", required=True, type=Path, nargs="+", help="our YAML files, the last one wins")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 5, 7, 11])
    parser.add_argument("--out", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--peer-config", type=Path, help="YAML file of settings for the peer alone")
    parser.add_argument("--peer-cache", type=Path, help="folder that keeps the peer's results, for later comparisons")
    args = parser.parse_args()
    for name in ("data", "out", "peer_config", "peer_cache"):
        path = getattr(args, name)
        setattr(args, name, path and path.resolve())
    args.config = [path.resolve() for path in args.config]
    args.peer_python = args.peer_python.absolute()  # a virtual environment's link must not be followed
    return args


# --- running ---------------------------------------------------------------------------------------------------------


def our_config(args, seed):
    """Return our configuration, as our runs have it."""
    settings = {"data_path": str(args.data.parent), "time_precision": "single", "use_gpu": False, "seed": seed}
    config = Config(args.model, args.data.name, list(map(str, args.config)), command_line=settings)
    config.bind_model(get_model(args.model))
    return config


def write_peer_config(args, config, path):
    """Write what the model's and the data set's properties and the configuration files say, for RecBole to read."""
    ours_alone = ("default: overall.yaml", "command line", "program", "derived")
    keys = {key for key in config if config.source(key) not in ours_alone}.union(TOLD_TO_PEER)
    settings = {key: value for key, value in config.as_dict().items() if key in keys}
    if args.peer_config:
        settings |= yaml.safe_load(args.peer_config.read_text(encoding="utf-8")) or {}
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def run(command, folder):
    """Run a command to its end, in ``folder`` with one thread; return its resource usage.

    Raises:
        UserError: when it fails, with its last line.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(list(map(str, command)), cwd=folder, env=environment, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        lines = said.read().strip().splitlines()
    if process.returncode:
        last = lines[-1] if lines else "no output"
        raise UserError(f"exit status {process.returncode} of {' '.join(map(str, command))}: {last}")
    return usage


def run_peer(args, seed, peer_config, folder):
    """Return the peer's report for a seed, from the cache if it is there."""
    path = (args.peer_cache or folder) / f"{args.model}_{args.data.name}_seed_{seed}.json"
    if not path.exists():
        run([*peer_command(args, seed, peer_config), "--out", path], folder)
    report = json.loads(path.read_text())
    if report["config_sha256"] != hashlib.sha256(peer_config.read_bytes()).hexdigest():
        raise UserError(f"{path}: was measured with other settings; delete it or choose another --peer-cache")
    return report


def peer_command(args, seed, peer_config):
    """Return the peer's command line, without what it is to write."""
    options = {"--model": args.model, "--data": args.data, "--config": peer_config, "--seed": seed}
    return [args.peer_python, ROOT / "benchmarks" / "recbole_peer.py", *words(options)]


def words(options):
    """Return a dictionary of options as words of a command line."""
    return [word for pair in options.items() for word in pair]


def run_ours(args, seed, folder):
    """Return our report for a seed, in the peer's form."""
    path = folder / f"ours_seed_{seed}.json"
    options = {
        "--model": args.model,
        "--dataset": args.data.name,
        "--data_path": args.data.parent,
        "--seed": seed,
        "--time_precision": "single",
        "--use_gpu": False,
        "--show_progress": False,
        "--result_file": path,
    }
    command = [sys.executable, ROOT / "run_recbole.py", *words(options), "--config_files", *args.config]
    usage = run(command, folder)
    record = json.loads(path.read_text())
    timing = record["timing"]
    rows = matching(record["metrics"], {"model": "base", **WHOLE_TEST})
    wanted = {metric.lower() for metric in record["config"]["metrics"]}
    return {
        **{key: timing[key] for key in ("load_seconds", "epochs", "best_epoch", "epoch_seconds", "valid_seconds")},
        "best_valid": timing["best_valid"],
        "test": {f"{row['metric']}@{row['k']}": row["value"] for row in rows if row["metric"] in wanted},
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_rss_mib": usage.ru_maxrss / 1024,
        "versions": record["versions"],
    }


# --- comparing -------------------------------------------------------------------------------------------------------


def compare_data(args, counts, peer_config, folder):
    """Compare counts, ids and the examples of each part; return both counts and how many things differ."""
    path = folder / "split.npz"
    run([*peer_command(args, args.seeds[0], peer_config), "--split-out", path], folder)
    config = our_config(args, seed=args.seeds[0])
    dataset, theirs = create_dataset(config, get_model(args.model).type), np.load(path)
    log = dataset.log
    ours = {"users": dataset.n_users, "items": dataset.n_items, "rows": len(log)}
    differing = {}
    for side in ("user", "item"):
        tokens = dataset.id2token(side, np.arange(len(log.vocabulary[side])))
        differing[f"{side} ids"] = int(not np.array_equal(tokens.astype(str), theirs[f"{side}_tokens"]))
    for part in ("train", "valid", "test"):
        rows = np.flatnonzero(log.split == SPLITS[part])
        ours[part] = len(rows)
        examples = {side: dataset.id2token(side, getattr(log, side)[rows]) for side in ("user", "item")}
        if f"{part}_length" in theirs:
            examples["length"] = dataset.windows(rows)[1]
        differing[f"{part} examples"] = one_sided(examples, {name: theirs[f"{part}_{name}"] for name in examples})
    differing["counts"] = sum(ours[key] != counts[key] for key in ours)
    return {"counts": {"peer": counts, "ours": ours}, "differing": differing}


def one_sided(ours, theirs):
    """Return how many rows of two tables (dictionaries of columns) have no equal in the other one."""
    tables = [pd.DataFrame(table).astype(str).assign(side=side) for table, side in ((ours, 1), (theirs, -1))]
    return int(pd.concat(tables).groupby(list(ours))["side"].sum().abs().sum())


def compare_metrics(pairs):
    """Return for each metric, of test and of the best validation, mean and deviation per side and Welch's p."""
    from scipy.stats import ttest_ind

    table = {}
    for where in ("test", "best_valid"):
        for metric in pairs[0][0][where]:
            peer, ours = ([report[where][metric] for report in side] for side in zip(*pairs, strict=True))
            many = len(pairs) > 1
            table[f"{where} {metric}"] = {
                "peer": statistics.mean(peer),
                "ours": statistics.mean(ours),
                "difference": statistics.mean(ours) - statistics.mean(peer),
                "peer_std": statistics.stdev(peer) if many else None,
                "ours_std": statistics.stdev(ours) if many else None,
                "p": float(ttest_ind(peer, ours, equal_var=False).pvalue) if many else None,
            }
    return table


def compare_costs(pairs):
    """Return for each cost the median over seeds per side, and of the ratio peer / ours with its range."""
    table = {}
    known = [cost for cost in COSTS if all(cost in costs(report) for pair in pairs for report in pair)]
    for cost in known:
        peer, ours = ([costs(report)[cost] for report in side] for side in zip(*pairs, strict=True))
        ratios = [a / b for a, b in zip(peer, ours, strict=True)]
        table[cost] = {
            "peer": statistics.median(peer),
            "ours": statistics.median(ours),
            "ratio": statistics.median(ratios),
            "ratio_range": [min(ratios), max(ratios)],
        }
    return table


def costs(report):
    """Return what a run cost: of its epochs and validations the median one, nothing of these if there were none."""
    known = {key: report[key] for key in ("load_seconds", "cpu_seconds", "peak_rss_mib")}
    if not report["epoch_seconds"] or not report["valid_seconds"]:
        return known
    return known | {
        "epoch": statistics.median(report["epoch_seconds"]),
        "validation": statistics.median(report["valid_seconds"]),
        "cpu_per_epoch": report["cpu_seconds"] / report["epochs"],
        "epochs": report["epochs"],
    }


def print_tables(report):
    """Print what the JSON file holds, without single runs."""
    counts = report["data"]["counts"]
    print(f"{report['model']} on {report['dataset']}, seeds {report['seeds']}\n")
    print(f"{'':<32}{'RecBole':>12}{'ours':>12}")
    for key, value in counts["peer"].items():
        print(f"{key:<32}{value:>12}{counts['ours'][key]:>12}")
    print("differing: " + ", ".join(f"{key} {value}" for key, value in report["data"]["differing"].items()))
    print(f"\n{'metric':<32}{'RecBole':>18}{'ours':>18}{'difference':>12}{'p':>8}")
    for name, row in report["metrics"].items():
        sides = "".join(f"{row[side]:.4f} +- {row[f'{side}_std'] or 0:.4f}".rjust(18) for side in ("peer", "ours"))
        p = "" if row["p"] is None else f"{row['p']:.2f}"
        print(f"{name:<32}{sides}{row['difference']:>+12.4f}{p:>8}")
    print(f"\n{'cost (median over seeds)':<32}{'RecBole':>12}{'ours':>12}{'RecBole/ours':>14}{'range':>16}")
    for cost, row in report["costs"].items():
        low, high = row["ratio_range"]
        print(
            f"{COSTS[cost]:<32}{row['peer']:>12.4g}{row['ours']:>12.4g}{row['ratio']:>14.2f}{low:>9.2f} -{high:>5.2f}"
        )


def main():
    """Run both, compare, print and write; return the exit status."""
    args = parse_args()
    pairs = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peer_config = write_peer_config(args, our_config(args, args.seeds[0]), folder / "peer.yaml")
        if args.peer_cache:
            args.peer_cache.mkdir(parents=True, exist_ok=True)
        for seed in args.seeds:
            print(f"seed {seed}", file=sys.stderr, flush=True)
            pairs.append((run_peer(args, seed, peer_config, folder), run_ours(args, seed, folder)))
        data = compare_data(args, pairs[0][0]["counts"], peer_config, folder)
        settings = yaml.safe_load(peer_config.read_text(encoding="utf-8"))
    report = {
        "model": args.model,
        "dataset": args.data.name,
        "seeds": args.seeds,
        "data": data,
        "metrics": compare_metrics(pairs),
        "costs": compare_costs(pairs),
        "peer_settings": settings,
        "runs": [{"peer": peer, "ours": ours} for peer, ours in pairs],
    }
    write_json(args.out, report)
    print_tables(report)
    return int(any(data["differing"].values()))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        print(f"compare_recbole.py: {error}", file=sys.stderr)
        sys.exit(2)
