"""Hand-made records in the format of result files."""

from recbole.report.columns import JS_OTHERS, NDCG, RECALL

OLD = ("model", "algorithm", "checkpoint", "split", "view", "population", "masking", "metric", "k", "value", "n_rows",
       "n_skipped", "reference")  # fmt: skip
"""Columns of a result row in older versions, whose rows did not name their run."""

COUNTS = {"total": 12, "done": 12, "applied": 10, "reinitialised": 0, "skipped": 2, "timeout": 0, "diverged": 0,
          "worked": 10}  # fmt: skip
TIMING = {
    "seconds_mean": 0.5,
    "seconds_total": 8.0,
    "cpu_seconds_mean": 1.0,
    "retraining_seconds": 40.0,
    "retraining_cpu_seconds": 60.0,
}


def row(wanted, value, model, checkpoint=3, **about):
    """Return a result row with the given columns; by default for seed 2 of BPR on ml-100k."""
    usual = {
        "dataset": "ml-100k",
        "model_class": "BPR",
        "seed": 2,
        "scenario": "fraction_0.001_horror",
        "settings": {"unlearned": "cccc0000", "retrained": "bbbb0000"}.get(model, "aaaa0000"),
        "algorithm": "scif" if model == "unlearned" else None,
        "low": None,
        "high": None,
        "n_people": 30,
        "n_rows": 40,
        "n_skipped": 0,
        "reference": "retrained.pth sha256:00" if wanted["metric"] == "js_divergence" else None,
        "reference_twin": True if wanted["metric"] == "js_divergence" else None,
    }
    return usual | {"k": None} | wanted | {"value": value, "model": model, "checkpoint": checkpoint} | about


def record(values=None, requests=COUNTS, timing=TIMING, rows=(), **about):
    """Return the record of a run.

    Args:
        values: (recall, NDCG, JS of others) at checkpoint 3 by kind of model.
        requests, timing: of the record.
        rows: more rows.
        about: columns of all rows.
    """
    if values is None:
        values = {"base": (0.5, 0.4, 0.02), "unlearned": (0.45, 0.39, 0.01), "retrained": (0.4, 0.38, None)}
    made = [
        row(wanted, value, kind, **about)
        for kind, three in values.items()
        for wanted, value in zip((RECALL, NDCG, JS_OTHERS), three, strict=True)
        if value is not None
    ]
    seed = about.get("seed", 2)
    return {
        "kind": "unlearned",
        "config": {"model": "BPR", "topk": [10, 20], "seed": seed},
        "seed": seed,
        "dataset": {"name": "ml-100k"},
        "mask": {"forget_set_sha256": "f" * 64, "requests_done": 12},
        "requests": dict(requests),
        "timing": dict(timing),
        "metrics": [*made, *rows],
    }


def of_old_version(made):
    """Return a record in the format of older versions, whose rows do not name their run."""
    return made | {"metrics": [{column: row[column] for column in OLD} for row in made["metrics"]]}
