"""The end of a run: log lines about its results, and ERASE's .csv table of recommendations of sensitive items."""

import csv
import logging
import math
from pathlib import Path
from typing import Any

from recbole.config import Config
from recbole.evaluator import result_name
from recbole.quick_start.setup import Setup
from recbole.utils import UserError, atomic_write

logger = logging.getLogger("recbole")

_CSV = (
    *("dataset", "model", "seed", "sensitive_category", "checkpoint_idx", "eval_type", "unlearning_algorithm"),
    *("unlearning_fraction", "topk", "users_with_sensitive", "total_users", "pct_users_with_sensitive"),
    *("avg_sensitive_per_user", "min_sensitive_per_user", "max_sensitive_per_user", "total_sensitive_in_topk"),
)

_OF_LISTS = ("_with_sensitive", "_sensitive_per_user", "_sensitive_in_topk")
"""Suffixes of the names of metrics that count sensitive items in recommended lists."""


def rounded(result: dict[str, float], config: Config) -> dict[str, float]:
    """Round metric values for printing.

    Args:
        result: dict from the name of a metric to its value.
        config: the settings; ``metric_decimal_place`` is the number of decimal places.
    """
    return {name: round(value, config["metric_decimal_place"]) for name, value in result.items()}


def report(setup: Setup, rows: list[dict[str, Any]], kind: str, what: str = "test result") -> None:
    """Log the main results of a model.

    These are its metrics (such as NDCG@10) over all users' test interactions, how many users are recommended sensitive
    items, and what the scenario adds, such as how often the items promoted by spam are recommended.

    Args:
        setup: the run's settings and data.
        rows: rows of the result table, which may belong to several models.
        kind: the model to report, as in the column ``model``, such as ``unlearned``.
        what: the beginning of the log line with the metrics.
    """
    config = setup.config
    mine = [row for row in rows if row["model"] == kind and row["split"] == "test" and row["minus"] is None]
    plain = [r for r in mine if r["view"] == "all" and r["population"] == "all" and r["masking"] == "retained"]
    asked = list(map(str.lower, config["metrics"]))
    utility = {result_name(row["metric"], row["k"]): row["value"] for row in plain if row["metric"] in asked}
    if utility:
        logger.info("%s: %s", what, rounded(utility, config))
    population = "all" if setup.requests is None else "requesting"
    for row in mine:
        told = (row["metric"], row["masking"], row["population"])
        if told == ("pct_users_with_sensitive", "all", population) and not math.isnan(row["value"]):
            some = round(row["value"] * row["n_rows"] / 100)
            logger.info(
                "[Top-%d] Users with sensitive items: %d/%d (%.1f%%)", row["k"], some, row["n_rows"], row["value"]
            )
    setup.scenario.tell(mine)


def sensitive_csv(
    setup: Setup, folder: Path, rows: list[dict[str, Any]], kind: str, suffix: str, algorithm: str | None = None
) -> None:
    """Write a .csv table, in ERASE's format, of how often a model recommends sensitive items.

    Args:
        setup: the run's settings and data.
        folder: the folder to write the table to.
        rows: rows of the result table, which may belong to several models.
        kind: the model to write about, as in the column ``model``, such as ``unlearned``.
        suffix: the end of the file name, before ``.csv``.
        algorithm: the name of the unlearning algorithm; None if the model is not an unlearned one.

    Raises:
        UserError: the rows contain no counts of sensitive items, because no sensitive category is set.
    """
    config = setup.config
    stem = f"sensitive_eval_{config['dataset']}_{config['model']}_seed_{config['seed']}"
    path = folder / f"{stem}_category_{config['sensitive_category']}_{suffix}.csv"
    if not _write_exposure(path, setup, rows, kind, algorithm):
        raise UserError("--sensitive_eval_only needs --sensitive_category, which lists the items to count")
    logger.info("sensitive items: %s", path)


def _write_exposure(path: Path, setup: Setup, rows: list[dict[str, Any]], kind: str, algorithm: str | None) -> bool:
    """Write the table of :func:`sensitive_csv` to ``path``; return False, and write nothing, if there are no counts.

    As in ERASE, the counts refer to lists that rank all items, including the items of the user's history. If the run
    has deletion requests, only users with a request are counted. Unlike in ERASE's tables of unlearned models, the
    columns ``eval_type`` and ``unlearning_algorithm`` say which model was evaluated.
    """
    config = setup.config
    population = "all" if setup.requests is None else "requesting"
    found: dict[tuple[Any, Any], dict[str, Any]] = {}
    for row in rows:
        own = row["model"] == kind and row["minus"] is None and row["metric"].endswith(_OF_LISTS)
        if own and row["masking"] == "all" and row["population"] == population:
            found.setdefault((row["checkpoint"], row["k"]), {"n": row["n_rows"]})[row["metric"]] = row["value"]
    found = {key: values for key, values in found.items() if "pct_users_with_sensitive" in values}
    if not found:
        return False
    with atomic_write(path) as file:
        table = csv.DictWriter(file, _CSV, extrasaction="ignore", lineterminator="\n")
        table.writeheader()
        for (checkpoint, k), values in found.items():
            table.writerow(values | {
                "dataset": config["dataset"],
                "model": config["model"],
                "seed": config["seed"],
                "sensitive_category": config["sensitive_category"],
                "checkpoint_idx": checkpoint,
                "eval_type": kind,
                "unlearning_algorithm": algorithm,
                "unlearning_fraction": config["unlearning_fraction"],
                "topk": k,
                "users_with_sensitive": _users(values["pct_users_with_sensitive"], values["n"]),
                "total_users": values["n"],
            })  # fmt: skip
    return True


def _users(percentage: float, total: int) -> int | None:
    return None if math.isnan(percentage) else round(percentage * total / 100)


def all_finite(rows: list[dict[str, Any]]) -> bool:
    """Return whether all metrics of recommended lists are numbers, and log a warning that names the models otherwise.

    A metric is NaN if the model's scores are NaN or infinite. Rows that compare two models, and rows computed from no
    user, do not count.

    Args:
        rows: rows of the result table, of any models.
    """
    broken: dict[str, None] = {}
    for row in rows:
        own = row["k"] is not None and row["minus"] is None and row["reference"] is None  # no comparison
        if own and row["n_rows"] and math.isnan(row["value"]):
            at = "" if row["checkpoint"] is None else f" (checkpoint {row['checkpoint']})"
            broken[f"{row['model']}{at}"] = None
    if broken:
        logger.warning("scores are not finite, so metrics are null: %s", ", ".join(broken))
    return not broken
