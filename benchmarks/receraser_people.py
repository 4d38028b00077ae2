"""Each user's Recall@10 and NDCG@10 of a saved model, and by how much one model has more than another, user by user."""

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
    """Return where the users' values of a cell are, beside its result."""
    return result.with_suffix(".npz")


def keep(result, record, saved, data):
    """Put a cell's saved model to the test rows again, and keep each user's values beside the cell's result.

    Args:
        result: path of the result file.
        record: what it holds.
        saved: folder of the cells' checkpoints.
        data: folder of the data sets.

    Raises:
        UserError: the model is gone, or does not have the metrics of the result.
    """
    users, values = evaluated(checkpoint_of(record, saved), data)
    told = {row["metric"]: row["value"] for row in record["metrics"] if _is_mean(row)}
    for metric, column in values.items():
        if not np.isclose(column.mean(), told[metric], rtol=1e-4):
            raise UserError(f"{result}: {metric}@{K} of the saved model is {column.mean():.6f}, not {told[metric]:.6f}")
    with atomic_write(path_of(result), "wb") as file:
        np.savez_compressed(file, users=users, **values)


def _is_mean(row):
    return (row["split"], row["population"], row["k"], row["minus"]) == ("test", "all", K, None)


def checkpoint_of(record, saved):
    """Return the path of the model that a record is of: that beside the record with the same digest.

    Raises:
        UserError: there is none.
    """
    for beside in sorted(saved.rglob("*_best.json")):
        if json.loads(beside.read_text(encoding="utf-8"))["digest"] == record["digest"]:
            return beside.with_suffix(".pth")
    raise UserError(f"there is no model of digest {record['digest']} in {saved}; run its cell again")


def evaluated(path, data):
    """Return the users, int64 [rows], of the test rows, and a saved model's values, metric to float64 [rows]."""
    stored = Stored.read(path)
    config = Config.restored(stored.content["config"], data_path=str(data), show_progress=False)
    setup = begin(config, scenario_of(config), forgetting=False)
    model, rows = load(setup, setup.base(), stored), setup.scenario.test_rows
    settings = EvalSettings(tuple(map(find_metric, METRICS)), (K,), config["eval_batch_size"])
    values = utility(model, rows, settings).per_row()
    return rows.entity, {metric: values[metric, K] for metric in METRICS}


def read(result):
    """Return the users and values that were kept of a cell, name to array, or None."""
    path = path_of(result)
    if not path.exists():
        return None
    with np.load(path) as kept:
        return dict(kept)


def difference(ones, others):
    """Return by how much one model has more than another, with a 95 % interval over users.

    Args:
        ones, others: seed to what :func:`read` returns, of the two models. Seeds that one of them lacks are left out;
            of several seeds a user has a row of each, and users are drawn again with all of them.

    Returns:
        ``(seeds, users, metric to (mean, low, high))``: how many there are of each; None without a seed of both.
    """
    seeds = [seed for seed, one in ones.items() if one is not None and others.get(seed) is not None]
    if not seeds:
        return None
    users = np.concatenate([ones[seed]["users"] for seed in seeds])
    if not np.array_equal(users, np.concatenate([others[seed]["users"] for seed in seeds])):
        raise UserError("two models were asked about different users: their data differ")
    columns = [np.concatenate([ones[seed][metric] - others[seed][metric] for seed in seeds]) for metric in METRICS]
    ends = mean_intervals(np.stack(columns, axis=1), users)
    found = zip(METRICS, columns, *ends, strict=True)
    return len(seeds), len(np.unique(users)), {name: (float(c.mean()), low, high) for name, c, low, high in found}
