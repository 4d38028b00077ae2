r"""Compare a model with its counterpart in RecBole 1.2.1, on the same data and split, with several seeds.

    python benchmarks/compare_recbole.py --peer-python peer/bin/python --model BPR --data dataset/ml-100k \
        --config configs/config_bpr.yaml --seeds 2 3 5 7 11 --out results/compare_bpr.json

RecBole is called the peer below; `recbole_peer.py` explains how to create its environment. For each seed the peer and
this program run one after the other, each in its own process with one thread, on the CPU, in a temporary folder. The
peer's YAML file is written from the effective settings of this program. Both sides order interactions by float32
timestamps (`time_precision: single`). The script compares

- the examples of each split (only for the first seed, because a split by time does not depend on the seed);
- the metrics, by Welch's t-test over seeds; equal values are not expected, since the random numbers differ;
- the cost of loading, of an epoch, of a validation and of the whole process.

Exit status: 0 if the splits are equal, 1 if they differ, 2 if a side failed.
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
"""Settings written to the peer's file even where they have our default value, because RecBole's defaults differ."""
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
    """Return the command-line arguments, with absolute paths."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True, type=Path, help="interpreter with RecBole 1.2.1 installed")
    parser.add_argument("--model", required=True, help="name of a model that both programs have")
    parser.add_argument("--data", required=True, type=Path, help="folder NAME that contains NAME.inter")
    parser.add_argument("--config", required=True, type=Path, nargs="+", help="YAML files; later ones take precedence")
    parser.add_argument("--seeds", type=int, nargs="+", default=[2, 3, 5, 7, 11], help="model seeds")
    parser.add_argument("--out", required=True, type=Path, help="JSON file to write")
    parser.add_argument("--peer-config", type=Path, help="YAML file with settings only for the peer")
    parser.add_argument("--peer-cache", type=Path, help="folder that keeps the peer's results, for later comparisons")
    args = parser.parse_args()
    for name in ("data", "out", "peer_config", "peer_cache"):
        path = getattr(args, name)
        setattr(args, name, path and path.resolve())
    args.config = [path.resolve() for path in args.config]
    args.peer_python = args.peer_python.absolute()  # resolve() would follow the link out of the virtual environment
    return args


# --- running ---------------------------------------------------------------------------------------------------------


def our_config(args, seed):
    """Return the configuration with which this program runs for a seed."""
    settings = {"data_path": str(args.data.parent), "time_precision": "single", "use_gpu": False, "seed": seed}
    config = Config(args.model, args.data.name, list(map(str, args.config)), command_line=settings)
    config.bind_model(get_model(args.model))
    return config


def write_peer_config(args, config, path):
    """Write the peer's YAML file and return its path.

    It holds the settings from the properties of model and data set and from the configuration files, `TOLD_TO_PEER`,
    and the contents of ``--peer-config``.
    """
    ours_alone = ("default: overall.yaml", "command line", "program", "derived")
    keys = {key for key in config if config.source(key) not in ours_alone}.union(TOLD_TO_PEER)
    settings = {key: value for key, value in config.as_dict().items() if key in keys}
    if args.peer_config:
        settings |= yaml.safe_load(args.peer_config.read_text(encoding="utf-8")) or {}
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


def run(command, folder):
    """Run a command in ``folder`` with one thread, wait for its end, and return its resource usage (``os.wait4``).

    Raises:
        UserError: the command fails; the message contains its last line of output.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(list(map(str, command)), cwd=folder, env=environment, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        lines = output.read().strip().splitlines()
    if process.returncode:
        last = lines[-1] if lines else "no output"
        raise UserError(f"exit status {process.returncode} from the command {' '.join(map(str, command))}: {last}")
    return usage


def run_peer(args, seed, peer_config, folder):
    """Return the peer's report for a seed, as a dictionary. It is read from the cache if it is stored there.

    Raises:
        UserError: the peer fails, or the cached report was measured with other settings.
    """
    path = (args.peer_cache or folder) / f"{args.model}_{args.data.name}_seed_{seed}.json"
    if not path.exists():
        run([*peer_command(args, seed, peer_config), "--out", path], folder)
    report = json.loads(path.read_text())
    if report["config_sha256"] != hashlib.sha256(peer_config.read_bytes()).hexdigest():
        raise UserError(f"{path} was measured with other settings; delete it or choose another --peer-cache")
    return report


def peer_command(args, seed, peer_config):
    """Return the peer's command line, without the flag for its output file."""
    options = {"--model": args.model, "--data": args.data, "--config": peer_config, "--seed": seed}
    return [args.peer_python, ROOT / "benchmarks" / "recbole_peer.py", *words(options)]


def words(options):
    """Return options (flag to value) as a flat list for a command line."""
    return [word for pair in options.items() for word in pair]


def run_ours(args, seed, folder):
    """Train and evaluate with this program; return the report for a seed, with the keys of the peer's report."""
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
    """Compare counts, ids and the examples of each split.

    Returns:
        A dictionary with ``counts``, the counts (users, items, rows, examples of each split) of both sides, and
        ``differing``, the number of differences by kind.
    """
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
    """Return how many rows of two tables (column name to array) have no equal row in the other table."""
    tables = [pd.DataFrame(table).astype(str).assign(side=side) for table, side in ((ours, 1), (theirs, -1))]
    return int(pd.concat(tables).groupby(list(ours))["side"].sum().abs().sum())


def compare_metrics(pairs):
    """Compare the metrics on the test split and those of the best validation.

    Args:
        pairs: (the peer's report, our report) for each seed.

    Returns:
        Name of the metric to a dictionary with mean and standard deviation of each side over seeds, the difference of
        the means, and the p-value of Welch's t-test (None with a single seed).
    """
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
    """Return for each cost the median over seeds of each side, and the median and range of the ratio peer / ours.

    Args:
        pairs: (the peer's report, our report) for each seed.
    """
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
    """Return the costs of a run, key of `COSTS` to value; epochs and validations are left out if there were none.

    The costs of an epoch and of a validation are medians over the run, in seconds.
    """
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
    """Print the contents of the JSON file as tables, without the single runs."""
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
    """Run both programs, compare them, and print and write the results. Return the exit status."""
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
