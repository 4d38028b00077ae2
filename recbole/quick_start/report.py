"""The comparison that people read: base, unlearned and retrained side by side, from result files."""

import argparse
import json
import sys
from pathlib import Path

import pandas as pd

from recbole.utils import UserError, atomic_write

_ORDER = {"clean": -1, "base": 0, "unlearned": 1, "retrained": 2}
_METRICS = {
    "Recall@10": {"metric": "recall", "k": 10, "view": "current", "population": "all"},
    "NDCG@10": {"metric": "ndcg", "k": 10, "view": "current", "population": "all"},
    "sensitive@10": {"metric": "avg_sensitive_per_user", "k": 10, "population": "requesting", "masking": "retained"},
    "forgotten@10": {"metric": "avg_forgotten_per_user", "k": 10, "population": "requesting", "masking": "retained"},
    "JS requesting": {"metric": "js_divergence", "population": "requesting"},
    "JS others": {"metric": "js_divergence", "population": "others"},
}
_OF_GENUINE_USERS = {"view": "clean", "population": "all"}
_SPAM_METRICS = {
    "Recall@10": {"metric": "recall", "k": 10, **_OF_GENUINE_USERS},
    "NDCG@10": {"metric": "ndcg", "k": 10, **_OF_GENUINE_USERS},
    "target HR@10": {"metric": "target_hit_rate", "k": 10},
    "target HR@20": {"metric": "target_hit_rate", "k": 20},
    "target exposure@10": {"metric": "target_exposure", "k": 10},
    "target rank": {"metric": "target_rank"},
    "target log p": {"metric": "target_log_probability"},
    "JS others": {"metric": "js_divergence", "population": "others"},
}
LEGEND = """\
Recall, NDCG: all users, test rows that are still there. sensitive@10, forgotten@10: sensitive items, and a user's own
forgotten items, in the top 10 of the average requesting user. JS: divergence from the retrained model's scores (nats).
s/request: mean seconds of a request that had something to do. speed-up: seconds of retraining over that."""
SPAM_LEGEND = """\
All of genuine users: Recall, NDCG; target HR: the share of their test rows with a promoted item in the top k; target
exposure: the share of the top k that promoted items take; target rank, log p: means over the promoted items that may be
recommended. JS others: divergence from the retrained model's scores (nats). clean: trained without the spam. base:
trained with it. s/request: mean seconds of a request that had something to do. speed-up: seconds of retraining over
that."""


def read_record(path):
    """Return the record of an unlearning run.

    Raises:
        UserError: when the file is no such record.
    """
    try:
        record = json.loads(Path(path).read_text(encoding="utf-8"))
        if record["kind"] == "unlearned" and isinstance(record["metrics"], list):
            return record
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a result file of unlearn.py ({error})") from error
    raise UserError(f"{path}: a result file of a {record['kind']} model; give those of unlearn.py --result_file")


def summary(record, name):
    """Return one row a (checkpoint, model): what it scores, what it shows, what it cost.

    Args:
        record: what ``unlearn.py --result_file`` wrote.
        name: what the unlearned model is called in the table.

    Returns:
        DataFrame with columns checkpoint, model, requests and those of the legend. The clean model of a spam run, which
        is of no checkpoint, stands at each.
    """
    metrics = pd.DataFrame(record["metrics"])
    clean = metrics[metrics["model"] == "clean"]
    metrics = pd.concat([metrics, *(clean.assign(checkpoint=at) for at in metrics["checkpoint"].dropna().unique())])
    wanted_columns = _SPAM_METRICS if record.get("spam") else _METRICS
    table = []
    for (checkpoint, kind), rows in metrics.groupby(["checkpoint", "model"]):
        line = {"checkpoint": int(checkpoint), "model": name if kind == "unlearned" else kind, "order": _ORDER[kind]}
        for column, wanted in wanted_columns.items():
            found = rows[(rows[list(wanted)] == pd.Series(wanted)).all(axis=1)]
            line[column] = found["value"].iloc[0] if len(found) else float("nan")
        if kind == "unlearned":
            line["s/request"] = record["timing"].get("seconds_mean")
            line["speed-up"] = record["timing"].get("speedup_over_retraining")
        table.append(line)
    return pd.DataFrame(table)


def comparison(paths):
    """Return the summaries of several runs of one base model as one table, each model of a checkpoint once."""
    parts = [summary(read_record(path), Path(path).stem) for path in paths]
    table = pd.concat(parts).sort_values(["checkpoint", "order"], kind="stable")
    return table.drop_duplicates(["checkpoint", "model"]).drop(columns="order").reset_index(drop=True)


def main(argv=None):
    """Print the comparison of result files; return the exit status."""
    parser = argparse.ArgumentParser(prog="report", description="Compare unlearning runs of one base model.")
    parser.add_argument("files", nargs="+", help="result files of unlearn.py")
    parser.add_argument("--csv", help="also write the table here")
    arguments = parser.parse_args(argv)
    try:
        table = comparison(arguments.files)
        if arguments.csv:
            with atomic_write(arguments.csv) as file:
                table.to_csv(file, index=False)
    except UserError as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    print(table.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.4g}"))
    print(SPAM_LEGEND if "target rank" in table else LEGEND)
    return 0


if __name__ == "__main__":
    sys.exit(main())
