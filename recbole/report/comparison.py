"""The comparison that people read: base, unlearned and retrained side by side, from result files."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from recbole.evaluator.kinds import Row
from recbole.report.columns import FORGETTING, SPAM, values_of
from recbole.report.costs import wall_costs
from recbole.report.records import Record, read_unlearned

_ORDER = {"clean": -1, "base": 0, "unlearned": 1, "retrained": 2}
_LEGEND = """\
Recall, NDCG: all users, test rows that are still there. sensitive@10, forgotten@10: sensitive items, and a user's own
forgotten items, in the top 10 of the average requesting user. JS: divergence from the retrained model's scores (nats).
s/request: mean seconds of a request that had something to do. speed-up: seconds of retraining over that."""
_SPAM_LEGEND = """\
All of genuine users: Recall, NDCG; target HR: the share of their test rows with a promoted item in the top k; target
exposure: the share of the top k that promoted items take; target rank, log p: means over the promoted items that may be
recommended. JS others: divergence from the retrained model's scores (nats). clean: trained without the spam. base:
trained with it. s/request: mean seconds of a request that had something to do. speed-up: seconds of retraining over
that."""


def summary(record: Record, name: str) -> pd.DataFrame:
    """Return one row a (checkpoint, model): what it scores, what it shows, what it cost.

    Args:
        record: what ``unlearn.py --result_file`` wrote.
        name: what the unlearned model is called in the table.

    Returns:
        DataFrame with columns checkpoint, model, order (among the models of a checkpoint) and those of the legend. The
        clean model of a spam run, which is of no checkpoint, stands at each.
    """
    columns = SPAM if record.get("spam") else FORGETTING
    table = []
    for (checkpoint, kind), rows in sorted(_by_model(record["metrics"]).items()):
        about = {"checkpoint": checkpoint, "model": name if kind == "unlearned" else kind, "order": _ORDER[kind]}
        costs = wall_costs(record) if kind == "unlearned" else {}
        table.append(about | values_of(rows, columns) | costs)
    return pd.DataFrame(table)


def _by_model(rows: list[Row]) -> dict[tuple[int, str], list[Row]]:
    """Return the rows of each model of each checkpoint, by the checkpoint's number and the model's kind."""
    checkpoints = {row["checkpoint"] for row in rows} - {None}
    found: dict[tuple[int, str], list[Row]] = {}
    for row in rows:
        for at in checkpoints if row["model"] == "clean" else {row["checkpoint"]} - {None}:
            found.setdefault((at, row["model"]), []).append(row)
    return found


def comparison(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Return the summaries of several runs of one base model as one table, each model of a checkpoint once.

    Raises:
        UserError: when a file is no record of an unlearning run.
    """
    parts = [summary(read_unlearned(path), Path(path).stem) for path in paths]
    table = pd.concat(parts).sort_values(["checkpoint", "order"], kind="stable")
    return table.drop_duplicates(["checkpoint", "model"]).drop(columns="order").reset_index(drop=True)


def legend(table: pd.DataFrame) -> str:
    """Return what the columns of a comparison mean."""
    return _SPAM_LEGEND if "target rank" in table else _LEGEND
