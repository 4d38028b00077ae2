"""Recall@10 and NDCG@10 of a saved model for each user, and the paired difference between two models over users."""

import json

import numpy as np

from recbole.config import Config
from recbole.evaluator import EvalSettings, find_metric
from recbole.evaluator.intervals import mean_intervals
from recbole.evaluator.utility import utility
from recbole.quick_start.setup import begin
from recbole.scenario.known_scenarios import scenario_of
from recbole.trainer.learn import load
from recbole.trainer.stored import Stored
from recbole.utils import UserError
from recbole.utils.files import atomic_write

METRICS, K = ("recall", "ndcg"), 10


def path_of(result):
    """Return the path of the .npz file with the values of each user, next to a cell's result file."""
    return result.with_suffix(".npz")


def keep(result, record, saved, data):
    """Evaluate a cell's saved model on the test rows again, and write the values of each user next to the result file.

    Args:
        result: path of the cell's result file.
        record: content of the result file.
        saved: folder of all checkpoints.
        data: folder of the data sets.

    Raises:
        UserError: the checkpoint does not exist, or its mean metrics differ from those in the result file.
    """
    users, values = evaluated(checkpoint_of(record, saved), data)
    told = {row["metric"]: row["value"] for row in record["metrics"] if _is_mean(row)}
    for metric, column in values.items():
        if not np.isclose(column.mean(), told[metric], rtol=1e-4):
            raise UserError(
                f"{result}: {metric}@{K} is {told[metric]:.6f} in the result file, but {column.mean():.6f} if the "
                "saved model is evaluated again; delete the result file and run the cell again"
            )
    with atomic_write(path_of(result), "wb") as file:
        np.savez_compressed(file, users=users, **values)


def _is_mean(row):
    """Return whether a result row is a mean over all test rows at K."""
    return (row["split"], row["population"], row["k"], row["minus"]) == ("test", "all", K, None)


def checkpoint_of(record, saved):
    """Return the path of the checkpoint that belongs to a record: its own .json file has the same digest.

    Raises:
        UserError: no checkpoint in the folder `saved` has this digest.
    """
    for beside in sorted(saved.rglob("*_best.json")):
        if json.loads(beside.read_text(encoding="utf-8"))["digest"] == record["digest"]:
            return beside.with_suffix(".pth")
    raise UserError(f"no checkpoint in {saved} has the digest {record['digest']}; run the cell again")


def evaluated(path, data):
    """Evaluate the checkpoint at `path` on the test rows.

    Returns:
        The user id of each test row, int64 [rows], and a dictionary of metric name to values, float64 [rows].
    """
    stored = Stored.read(path)
    config = Config.restored(stored.content["config"], data_path=str(data), show_progress=False)
    setup = begin(config, scenario_of(config), forgetting=False)
    model, rows = load(setup, setup.base(), stored), setup.scenario.test_rows
    settings = EvalSettings(tuple(map(find_metric, METRICS)), (K,), config["eval_batch_size"])
    values = utility(model, rows, settings).per_row()
    return rows.entity, {metric: values[metric, K] for metric in METRICS}


def read(result):
    """Return what :func:`keep` wrote for a cell, ``users`` and metric names to arrays; None if there is no file."""
    path = path_of(result)
    if not path.exists():
        return None
    with np.load(path) as kept:
        return dict(kept)


def difference(ones, others):
    """Return the mean differences between the metrics of two models, with 95 % bootstrap intervals over users.

    Args:
        ones, others: dictionaries of seed to the result of :func:`read`, for the two models. Only seeds that both have
            are used. The bootstrap resamples users, each with the rows of all seeds.

    Returns:
        ``(seeds, users, differences)``: the number of seeds, the number of users, and a dictionary of metric to
        ``(mean, low, high)`` of first minus second model. None if no seed is in both.

    Raises:
        UserError: the two models were evaluated on different users.
    """
    seeds = [seed for seed, one in ones.items() if one is not None and others.get(seed) is not None]
    if not seeds:
        return None
    users = np.concatenate([ones[seed]["users"] for seed in seeds])
    if not np.array_equal(users, np.concatenate([others[seed]["users"] for seed in seeds])):
        raise UserError("two models were evaluated on different users: they come from different data, not comparable")
    columns = [np.concatenate([ones[seed][metric] - others[seed][metric] for seed in seeds]) for metric in METRICS]
    ends = mean_intervals(np.stack(columns, axis=1), users)
    found = zip(METRICS, columns, *ends, strict=True)
    return len(seeds), len(np.unique(users)), {name: (float(c.mean()), low, high) for name, c, low, high in found}
