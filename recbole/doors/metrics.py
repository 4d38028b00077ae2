"""RecBole's metric classes: each asks the metric of that name in :mod:`recbole.evaluator.metrics`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from recbole.evaluator.kinds import Floats, Ids
from recbole.evaluator.metrics import METRICS, PerRow, find_metric


class AbstractMetric:
    """A metric under RecBole's name.

    Args:
        config: the settings, or a dictionary; reads ``topk`` and ``metric_decimal_place``.

    Attributes:
        name: of the metric, in lower case.
    """

    name = ""

    def __init__(self, config: Mapping[str, Any] | Any) -> None:
        self.config = config

    def values(self, *of: Any) -> Any:
        """Return what the metric computes."""
        metric: Any = find_metric(self.name)
        return metric(*of)


class TopkMetric(AbstractMetric):
    """A metric of the hits of each list."""

    def metric_info(self, pos_index: np.ndarray, pos_len: np.ndarray | None = None) -> Floats:
        """Return the values of the lists of length 1 to k, float64 [rows, k].

        Args:
            pos_index: [rows, k], whether each recommendation is right.
            pos_len: [rows], how many items would be right; by default those in the list.
        """
        hits = np.asarray(pos_index, dtype=bool)
        n_right = hits.sum(axis=1) if pos_len is None else np.asarray(pos_len)
        return self.values(hits, np.maximum(n_right, 1))


class LossMetric(AbstractMetric):
    """A metric of scores held against labels."""

    def metric_info(self, preds: np.ndarray, trues: np.ndarray) -> float:
        """Return the value of scores [n] and labels [n]."""
        found = self.values(np.asarray(preds, dtype=np.float64), np.asarray(trues, dtype=bool))
        return float(np.mean(found))


class _Root(LossMetric):
    def metric_info(self, preds: np.ndarray, trues: np.ndarray) -> float:
        """Return the root of the mean."""
        return float(np.sqrt(super().metric_info(preds, trues)))


class _Gauc(AbstractMetric):
    def metric_info(self, pos_rank_sum: np.ndarray, user_len_list: np.ndarray, pos_len_list: np.ndarray) -> float:
        """Return the mean of the people's areas under the curve, by how many items would be right.

        Args:
            pos_rank_sum: [people], the sum of the right items' places, from 1.
            user_len_list: [people], how many candidates there are.
            pos_len_list: [people], how many of them are right; who has none, or nothing else, does not count.
        """
        right, wrong = np.asarray(pos_len_list), np.asarray(user_len_list) - np.asarray(pos_len_list)
        some = (right > 0) & (wrong > 0)
        right, wrong, ranks = right[some], wrong[some], np.asarray(pos_rank_sum)[some]
        above = wrong + right - (right - 1) / 2 - ranks / right
        return float((above / wrong * right).sum() / right.sum())


class _OfLists(AbstractMetric):
    def _whole(self, item_matrix: Ids, num_items: int | None = None) -> float:
        items = np.asarray(item_matrix)
        return float(self.values(items, int(items.max()) + 1 if num_items is None else num_items)[-1])


class _Coverage(_OfLists):
    def get_coverage(self, item_matrix: Ids, num_items: int) -> float:
        """Return the value of lists, int64 [rows, k], of ``num_items`` ids."""
        return self._whole(item_matrix, num_items)


class _Gini(_OfLists):
    def get_gini(self, item_matrix: Ids, num_items: int) -> float:
        """Return the value of lists, int64 [rows, k], of ``num_items`` ids."""
        return self._whole(item_matrix, num_items)


class _Entropy(_OfLists):
    def get_entropy(self, item_matrix: Ids) -> float:
        """Return the value of lists, int64 [rows, k]."""
        return self._whole(item_matrix)


class _OfPlaces(AbstractMetric):
    def metric_info(self, values: np.ndarray) -> Floats:
        """Return the means of the lists of length 1 to k of values [rows, k], one for each place."""
        return np.cumsum(values, axis=1) / np.arange(1, values.shape[1] + 1)


class _Popularity(_OfPlaces):
    def get_pop(self, item_matrix: Ids, item_count: Mapping[int, int]) -> Ids:
        """Return how often each recommended item occurs, int64 [rows, k], by a dictionary of counts."""
        counts = Counter(item_count)
        return np.array([[counts[item] for item in row] for row in np.asarray(item_matrix).tolist()])


class _Tail(_OfPlaces):
    def get_tail(self, item_matrix: Ids, count_items: Mapping[int, int]) -> Ids:
        """Return 1 where a recommended item is among the rarest tenth, int64 [rows, k], by a dictionary of counts."""
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
"""Lower-case name to class."""
