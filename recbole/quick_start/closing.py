"""What a run tells of its rows when it has ended: the log's lines, and ERASE's table of sensitive items."""

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
"""What the metrics of sensitive items end with."""


def rounded(result: dict[str, float], config: Config) -> dict[str, float]:
    """Return a result dictionary as it is printed."""
    return {name: round(value, config["metric_decimal_place"]) for name, value in result.items()}


def report(setup: Setup, rows: list[dict[str, Any]], kind: str, what: str = "test result") -> None:
    """Log a model's utility on all of the test rows, as ERASE does, and its exposure of sensitive or promoted items."""
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
    """Write ERASE's table of sensitive items into a folder of logs; ``suffix`` ends its name.

    Raises:
        UserError: when the rows tell of no sensitive item.
    """
    config = setup.config
    stem = f"sensitive_eval_{config['dataset']}_{config['model']}_seed_{config['seed']}"
    path = folder / f"{stem}_category_{config['sensitive_category']}_{suffix}.csv"
    if not _write_exposure(path, setup, rows, kind, algorithm):
        raise UserError("--sensitive_eval_only needs --sensitive_category: there is no sensitive item to count")
    logger.info("sensitive items: %s", path)


def _write_exposure(path: Path, setup: Setup, rows: list[dict[str, Any]], kind: str, algorithm: str | None) -> bool:
    """Write the table from result rows, and return whether there were any.

    Counted over the whole catalogue, as in ERASE. ``eval_type`` and ``unlearning_algorithm`` say what was evaluated;
    in ERASE's tables of unlearned models they do not.
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
    """Return whether every model's lists are known; those with scores that are no numbers are named in one line."""
    broken: dict[str, None] = {}
    for row in rows:
        own = row["k"] is not None and row["minus"] is None and row["reference"] is None  # lists of this model alone
        if own and row["n_rows"] and math.isnan(row["value"]):
            at = "" if row["checkpoint"] is None else f" (checkpoint {row['checkpoint']})"
            broken[f"{row['model']}{at}"] = None
    if broken:
        logger.warning("scores are not finite, and metrics are null: %s", ", ".join(broken))
    return not broken
