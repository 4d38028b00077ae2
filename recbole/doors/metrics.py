"""RecBole's metric classes, such as ``NDCG``, with RecBole's methods.

They are created from the metric functions in :mod:`recbole.evaluator.metrics` and stored in :data:`metrics_dict`.
"""

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
        config: the settings, or a dictionary; stored, but not used.

    Attributes:
        name: the metric's name in lower case.
    """

    name = ""

    def __init__(self, config: Mapping[str, Any] | Any) -> None:
        self.config = config

    def values(self, *of: Any) -> Any:
        """Call the metric's function in :mod:`recbole.evaluator.metrics` with the arguments ``of``."""
        metric: Any = find_metric(self.name)
        return metric(*of)


class TopkMetric(AbstractMetric):
    """A metric, such as NDCG, that depends only on which positions of a recommended list have relevant items."""

    def metric_info(self, pos_index: np.ndarray, pos_len: np.ndarray | None = None) -> Floats:
        """Return the metric of each recommended list, cut off after 1, 2, ..., k items.

        Args:
            pos_index: bool [rows, k], whether each item of a recommended list is relevant, best item first.
            pos_len: int [rows], how many items are relevant in all; None means those in the list of k items.

        Returns:
            float64 [rows, k]; column j has the metric at list length j + 1.
        """
        hits = np.asarray(pos_index, dtype=bool)
        n_right = hits.sum(axis=1) if pos_len is None else np.asarray(pos_len)
        return self.values(hits, np.maximum(n_right, 1))


class LossMetric(AbstractMetric):
    """A metric, such as AUC or MAE, that compares the scores of (user, item) pairs with their labels."""

    def metric_info(self, preds: np.ndarray, trues: np.ndarray) -> float:
        """Return the metric of n (user, item) pairs, given their scores (float [n]) and labels (bool [n])."""
        found = self.values(np.asarray(preds, dtype=np.float64), np.asarray(trues, dtype=bool))
        return float(np.mean(found))


class _Root(LossMetric):
    def metric_info(self, preds: np.ndarray, trues: np.ndarray) -> float:
        """Return the root mean squared error, given the scores (float [n]) and labels (bool [n]) of n pairs."""
        return float(np.sqrt(super().metric_info(preds, trues)))


class _Gauc(AbstractMetric):
    def metric_info(self, pos_rank_sum: np.ndarray, user_len_list: np.ndarray, pos_len_list: np.ndarray) -> float:
        """Return the GAUC: the mean of the users' AUCs, weighted by each user's number of relevant items.

        Users for whom no candidate item or every candidate item is relevant are left out.

        Args:
            pos_rank_sum: number [users], the sum of the ranks of the user's relevant items; the best rank is 1.
            user_len_list: int [users], the number of candidate items.
            pos_len_list: int [users], the number of relevant candidate items.
        """
        right, wrong = np.asarray(pos_len_list), np.asarray(user_len_list) - np.asarray(pos_len_list)
        some = (right > 0) & (wrong > 0)
        right, wrong, ranks = right[some], wrong[some], np.asarray(pos_rank_sum)[some]
        above = wrong + right - (right - 1) / 2 - ranks / right
        return float((above / wrong * right).sum() / right.sum())


class _OfLists(AbstractMetric):
    def _whole(self, item_matrix: Ids, num_items: int | None = None) -> float:
        """Return the metric of all recommended lists together.

        Args:
            item_matrix: int64 [rows, k], the ids of the recommended items.
            num_items: the number of item ids, including padding; None means the largest id in the lists plus one.
        """
        items = np.asarray(item_matrix)
        return float(self.values(items, int(items.max()) + 1 if num_items is None else num_items)[-1])


class _Coverage(_OfLists):
    def get_coverage(self, item_matrix: Ids, num_items: int) -> float:
        """Return the number of different items in all lists, divided by ``num_items``.

        Args:
            item_matrix: int64 [rows, k], the ids of the recommended items.
            num_items: the number of item ids, including padding.
        """
        return self._whole(item_matrix, num_items)


class _Gini(_OfLists):
    def get_gini(self, item_matrix: Ids, num_items: int) -> float:
        """Return the Gini index of how often items are recommended: 0 if all equally often, at most 1.

        Args:
            item_matrix: int64 [rows, k], the ids of the recommended items.
            num_items: the number of item ids, including padding.
        """
        return self._whole(item_matrix, num_items)


class _Entropy(_OfLists):
    def get_entropy(self, item_matrix: Ids) -> float:
        """Return the mean of ``-p log p`` over the different items in the lists; p is an item's share of all entries.

        This is the Shannon entropy divided by the number of different items.

        Args:
            item_matrix: int64 [rows, k], the ids of the recommended items.
        """
        return self._whole(item_matrix)


class _OfPlaces(AbstractMetric):
    def metric_info(self, values: np.ndarray) -> Floats:
        """Average a value of the recommended items over lists of length 1, 2, ..., k.

        Args:
            values: number [rows, k], the value of each item of the recommended lists, best item first.

        Returns:
            float64 [rows, k]; column j has the mean over the first j + 1 items of the row.
        """
        return np.cumsum(values, axis=1) / np.arange(1, values.shape[1] + 1)


class _Popularity(_OfPlaces):
    def get_pop(self, item_matrix: Ids, item_count: Mapping[int, int]) -> Ids:
        """Return the popularity of each recommended item, int64 [rows, k].

        Args:
            item_matrix: int64 [rows, k], the ids of the recommended items.
            item_count: dict from item id to its popularity, the number of its interactions; 0 for items that are
                missing.
        """
        counts = Counter(item_count)
        return np.array([[counts[item] for item in row] for row in np.asarray(item_matrix).tolist()])


class _Tail(_OfPlaces):
    def get_tail(self, item_matrix: Ids, count_items: Mapping[int, int]) -> Ids:
        """Return for each recommended item 1 if it is a long-tail item, else 0, int64 [rows, k].

        Long-tail items are the tenth of the items in ``count_items`` with the fewest interactions, at least one item.

        Args:
            item_matrix: int64 [rows, k], the ids of the recommended items.
            count_items: dict from item id to the number of its interactions.
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
