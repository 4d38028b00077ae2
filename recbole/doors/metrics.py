"""RecBole's metric classes. Each calls the metric with the same name in :mod:`recbole.evaluator.metrics`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from recbole.evaluator.kinds import Floats, Ids
from recbole.evaluator.metrics import METRICS, PerRow, find_metric


class AbstractMetric:
    """Base class of RecBole's metric classes.

    Args:
        config: the settings, or a dictionary with ``topk`` and ``metric_decimal_place``; only stored.

    Attributes:
        name: the metric's name in lower case.
    """

    name = ""

    def __init__(self, config: Mapping[str, Any] | Any) -> None:
        self.config = config

    def values(self, *of: Any) -> Any:
        """Return the result of the function with the metric's name in :mod:`recbole.evaluator.metrics`."""
        metric: Any = find_metric(self.name)
        return metric(*of)


class TopkMetric(AbstractMetric):
    """A metric computed from which items of each recommended list are relevant (hits)."""

    def metric_info(self, pos_index: np.ndarray, pos_len: np.ndarray | None = None) -> Floats:
        """Return the values at list lengths 1 to k, float64 [rows, k].

        Args:
            pos_index: bool [rows, k], whether each recommended item is relevant.
            pos_len: int [rows], the number of relevant items of each row; None counts those in the list.
        """
        hits = np.asarray(pos_index, dtype=bool)
        n_right = hits.sum(axis=1) if pos_len is None else np.asarray(pos_len)
        return self.values(hits, np.maximum(n_right, 1))


class LossMetric(AbstractMetric):
    """A metric that compares scores with labels."""

    def metric_info(self, preds: np.ndarray, trues: np.ndarray) -> float:
        """Return the metric for scores (float [n]) and binary labels (bool [n])."""
        found = self.values(np.asarray(preds, dtype=np.float64), np.asarray(trues, dtype=bool))
        return float(np.mean(found))


class _Root(LossMetric):
    def metric_info(self, preds: np.ndarray, trues: np.ndarray) -> float:
        """Return the square root of the mean error for scores (float [n]) and binary labels (bool [n])."""
        return float(np.sqrt(super().metric_info(preds, trues)))


class _Gauc(AbstractMetric):
    def metric_info(self, pos_rank_sum: np.ndarray, user_len_list: np.ndarray, pos_len_list: np.ndarray) -> float:
        """Return the mean of the users' AUCs, weighted by each user's number of relevant items.

        Args:
            pos_rank_sum: int [users], the sum of the ranks of the user's relevant items; the best rank is 1.
            user_len_list: int [users], the number of candidates.
            pos_len_list: int [users], the number of relevant candidates. Users without relevant candidates, or without
                others, are left out.
        """
        right, wrong = np.asarray(pos_len_list), np.asarray(user_len_list) - np.asarray(pos_len_list)
        some = (right > 0) & (wrong > 0)
        right, wrong, ranks = right[some], wrong[some], np.asarray(pos_rank_sum)[some]
        above = wrong + right - (right - 1) / 2 - ranks / right
        return float((above / wrong * right).sum() / right.sum())


class _OfLists(AbstractMetric):
    def _whole(self, item_matrix: Ids, num_items: int | None = None) -> float:
        """Return the metric of lists, int64 [rows, k]; ``num_items`` None means one more than the largest id."""
        items = np.asarray(item_matrix)
        return float(self.values(items, int(items.max()) + 1 if num_items is None else num_items)[-1])


class _Coverage(_OfLists):
    def get_coverage(self, item_matrix: Ids, num_items: int) -> float:
        """Return the item coverage of recommended lists, int64 [rows, k], given the number of item ids."""
        return self._whole(item_matrix, num_items)


class _Gini(_OfLists):
    def get_gini(self, item_matrix: Ids, num_items: int) -> float:
        """Return the Gini index of recommended lists, int64 [rows, k], given the number of item ids."""
        return self._whole(item_matrix, num_items)


class _Entropy(_OfLists):
    def get_entropy(self, item_matrix: Ids) -> float:
        """Return the Shannon entropy of recommended lists, int64 [rows, k], as this package's metric defines it."""
        return self._whole(item_matrix)


class _OfPlaces(AbstractMetric):
    def metric_info(self, values: np.ndarray) -> Floats:
        """Return for values [rows, k] the means over the first 1, 2, ... k columns, float64 [rows, k]."""
        return np.cumsum(values, axis=1) / np.arange(1, values.shape[1] + 1)


class _Popularity(_OfPlaces):
    def get_pop(self, item_matrix: Ids, item_count: Mapping[int, int]) -> Ids:
        """Return how often each recommended item occurs, int64 [rows, k], given a dictionary from item id to count."""
        counts = Counter(item_count)
        return np.array([[counts[item] for item in row] for row in np.asarray(item_matrix).tolist()])


class _Tail(_OfPlaces):
    def get_tail(self, item_matrix: Ids, count_items: Mapping[int, int]) -> Ids:
        """Return 1 if a recommended item is among the rarest tenth, else 0, int64 [rows, k].

        Args:
            item_matrix: int64 [rows, k], recommended item ids.
            count_items: item id to number of interactions.
        """
        rarest = sorted(count_items, key=lambda item: count_items[item])[: max(len(count_items) // 10, 1)]
        return np.isin(item_matrix, rarest).astype(np.int64)


_OTHERS = {
    **{"auc": LossMetric, "mae": LossMetric, "logloss": LossMetric, "rmse": _Root, "gauc": _Gauc},
    **{"itemcoverage": _Coverage, "giniindex": _Gini, "shannonentropy": _Entropy},
    **{"averagepopularity": _Popularity, "tailpercentage": _Tail},
}
_KINDS = {name: TopkMetric if isinstance(metric, PerRow) else _OTHERS.get(name) for name, metric in METRICS.items()}

metrics_dict: dict[str, type[AbstractMetric]] = {
    name: type(METRICS[name].name, (kind,), {"name": name, "__doc__": METRICS[name].function.__doc__})
    for name, kind in _KINDS.items()
    if kind is not None
}
"""Dict from the lower-case name of a metric to its class."""
