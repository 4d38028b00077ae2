"""How well a model recommends: full ranking over the catalogue."""

import numpy as np

from recbole.evaluator.metrics import row_metrics
from recbole.evaluator.scores import member, top_items
from recbole.utils.distributed import interleaved, rank, world_size


def utility(model, rows, config):
    """Return ``{(metric, k): float64 [rows]}`` for the metrics and list lengths of the config.

    Of several processes each scores its share of the rows, and all get the whole result.
    """
    ks = config["topk"]
    if world_size() > 1:
        rows = rows.take(np.arange(rank(), len(rows.inputs), world_size()))
    best = top_items(model, rows, max(ks), batch_rows=config["eval_batch_size"])
    return {name: interleaved(part) for name, part in utility_of(best, rows, model.n_items, config).items()}


def utility_of(best, rows, n_items, config):
    """Return what :func:`utility` does, from the best items of each row (int64 [rows, max(topk)])."""
    hits = member(best, rows.positives, n_items)
    return row_metrics(hits, rows.positives.sizes(), config["metrics"], config["topk"])


def mean_utility(model, rows, config):
    """Return RecBole's result dictionary, ``{"recall@10": float, ...}``, over all rows; NaN without any."""
    return {
        f"{metric}@{k}": float(np.mean(values)) if len(values) else float("nan")
        for (metric, k), values in utility(model, rows, config).items()
    }
