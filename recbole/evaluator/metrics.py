"""Ranking metrics from hits: one float64 value a row, so that any population can be averaged from them."""

import numpy as np

from recbole.utils import UserError, suggest


def _hit(hits, n_right):
    return (np.cumsum(hits, axis=1) > 0).astype(np.float64)


def _recall(hits, n_right):
    return np.cumsum(hits, axis=1) / n_right[:, None]


def _precision(hits, n_right):
    return np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)


def _mrr(hits, n_right):
    rank = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.inf)[:, None]
    return np.where(rank <= np.arange(1, hits.shape[1] + 1), 1.0 / rank, 0.0)


def _ndcg(hits, n_right):
    """DCG over the DCG of the best possible list of the same length (K. Jaervelin, J. Kekaelaeinen, TOIS 2002)."""
    gain = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.cumsum(gain)[np.minimum(n_right[:, None], np.arange(1, hits.shape[1] + 1)) - 1]
    return np.cumsum(hits * gain, axis=1) / ideal


METRICS = {"recall": _recall, "mrr": _mrr, "ndcg": _ndcg, "hit": _hit, "precision": _precision}
"""Name to a function of (hits bool [rows, k], number of right items [rows]) that returns values [rows, k] at 1..k."""


def row_metrics(hits, n_right, names, ks):
    """Return ``{(metric, k): float64 [rows]}``.

    Args:
        hits: bool [rows, max(ks)], whether the j-th recommendation is right.
        n_right: int [rows], how many items would be right; at least 1.
        names: metric names, in any case.
        ks: list lengths.

    Raises:
        UserError: for an unknown metric.
    """
    values = {}
    for name in map(str.lower, names):
        if name not in METRICS:
            raise UserError(
                f"metrics: there is no metric '{name}'{suggest(name, METRICS)}; known: {', '.join(METRICS)}"
            )
        at = METRICS[name](hits, n_right)
        values.update({(name, k): at[:, k - 1] for k in ks})
    return values
