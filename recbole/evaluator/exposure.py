"""What a model still shows of the things that were to be forgotten."""

import numpy as np

from recbole.evaluator.scores import member


def sensitive_exposure(best, sensitive, k):
    """Count sensitive items in the top ``k``: ERASE's sensitive-item metrics.

    Args:
        best: int64 [rows, >= k], recommended items; 0 is none.
        sensitive: bool [n_items].
        k: list length.

    Returns:
        ``pct_users_with_sensitive`` (per cent of rows with one or more; the headline),
        ``avg_sensitive_per_user``, ``min_...``, ``max_...``, and ``total_sensitive_in_topk``; NaN without any row.
    """
    shown = (sensitive[best[:, :k]] & (best[:, :k] > 0)).sum(axis=1)
    return _summary(shown, "sensitive") | {"total_sensitive_in_topk": float(shown.sum())}


def forgotten_exposure(best, forgotten, n_items, k):
    """Count, in each requesting user's top ``k``, the very items that this user asked to forget.

    Args:
        best: int64 [rows, >= k].
        forgotten: :class:`~recbole.data.Ragged`, each row's forgotten items.
        n_items: the catalogue's size.
        k: list length.

    Returns:
        ``pct_users_with_forgotten``, ``avg_forgotten_per_user``, ``min_...``, ``max_...``, and
        ``recall_of_forgotten`` (the mean share of the forgotten items that is shown).
    """
    shown = member(best[:, :k], forgotten, n_items).sum(axis=1)
    asked = np.maximum(forgotten.sizes(), 1)
    recall = float(np.mean(shown / asked)) if len(shown) else float("nan")
    return _summary(shown, "forgotten") | {"recall_of_forgotten": recall}


def _summary(shown, what):
    some = len(shown) > 0
    return {
        f"pct_users_with_{what}": 100.0 * float(np.mean(shown > 0)) if some else float("nan"),
        f"avg_{what}_per_user": float(np.mean(shown)) if some else float("nan"),
        f"min_{what}_per_user": float(shown.min()) if some else float("nan"),
        f"max_{what}_per_user": float(shown.max()) if some else float("nan"),
    }
