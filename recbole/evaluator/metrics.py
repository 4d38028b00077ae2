"""The metrics. A new metric is a function with a decorator that says what the function is computed from.

One value per row: ``per_row`` (from hits), ``of_items`` (from the recommended items' popularity), ``of_scores`` (from
the scores of the row's candidates). One value per relevant item: ``of_places`` and ``of_places_at`` (from ranks). One
value per (row, item) pair whose score is compared with a label: ``of_pairs``. One value in total: ``of_lists`` (from
all lists), ``of_all_pairs`` (from all pairs). Another installed distribution adds a metric through an entry point in
the group ``erase_bench.metrics`` that has the metric's name.
"""

from collections.abc import Iterator
from importlib.metadata import EntryPoint

import numpy as np

from recbole.evaluator.kinds import Floats, Ids, Mask
from recbole.evaluator.metric_kinds import (
    KINDS,
    Metric,
    OfAllPairs,
    OfItems,
    OfLists,
    OfPairs,
    OfPlaces,
    OfPlacesAt,
    OfScores,
    PerRow,
    Places,
    Popularity,
    of_all_pairs,
    of_items,
    of_lists,
    of_pairs,
    of_places,
    of_places_at,
    of_scores,
    per_row,
)
from recbole.utils import UserError, plugins, suggest

__all__ = [
    "METRICS",
    "Metric",
    "OfAllPairs",
    "OfItems",
    "OfLists",
    "OfPairs",
    "OfPlaces",
    "OfPlacesAt",
    "OfScores",
    "PerRow",
    "Places",
    "Popularity",
    "find_metric",
    "metric_names",
    "of_all_pairs",
    "of_items",
    "of_lists",
    "of_pairs",
    "of_places",
    "of_places_at",
    "of_scores",
    "per_row",
]

_SURE = 1e-15
"""Probabilities are clipped to [_SURE, 1 - _SURE] before their logarithm is taken."""


@per_row("Recall")
def recall(hits: Mask, n_right: Ids) -> Floats:
    """Return the share of the relevant items that are in the list."""
    return np.cumsum(hits, axis=1) / n_right[:, None]


@per_row("MRR")
def mrr(hits: Mask, n_right: Ids) -> Floats:
    """Return the reciprocal rank of the first hit, 0 without a hit."""
    rank = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.inf)[:, None]
    return np.where(rank <= np.arange(1, hits.shape[1] + 1), 1.0 / rank, 0.0)


@per_row("NDCG")
def ndcg(hits: Mask, n_right: Ids) -> Floats:
    """Return the DCG divided by that of an ideal list of the same length (K. Jaervelin, J. Kekaelaeinen, TOIS 2002)."""
    gain = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.cumsum(gain)[np.minimum(n_right[:, None], np.arange(1, hits.shape[1] + 1)) - 1]
    return np.cumsum(hits * gain, axis=1) / ideal


@per_row("Hit")
def hit(hits: Mask, n_right: Ids) -> Floats:
    """Return 1 if the list has a hit, else 0."""
    return (np.cumsum(hits, axis=1) > 0).astype(np.float64)


@per_row("Precision")
def precision(hits: Mask, n_right: Ids) -> Floats:
    """Return the share of the list's k ranks that hold a relevant item."""
    return np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)


@per_row("MAP")
def average_precision(hits: Mask, n_right: Ids) -> Floats:
    """Return the sum of the precisions at each hit, divided by the most hits that a list of length k could have."""
    length = np.arange(1, hits.shape[1] + 1)
    return np.cumsum(np.cumsum(hits, axis=1) / length * hits, axis=1) / np.minimum(n_right[:, None], length)


@of_places("GAUC")
def gauc(places: Places) -> Floats:
    """Return the share of irrelevant candidates that score lower than the relevant item; equal scores count half."""
    return 1.0 - (places.better + places.equal / 2) / places.wrong


@of_places_at("HitAgainst")
def hit_against(places: Places, k: int) -> Floats:
    """Return 1 if the item is among the first ``k`` when ranked after all items with the same score, else 0."""
    return (places.better + places.equal < k).astype(np.float64)


@of_places_at("NDCGAgainst")
def ndcg_against(places: Places, k: int) -> Floats:
    """Return the DCG discount at the item's rank, placed after all items with the same score; 0 beyond rank ``k``."""
    return _discount(places.better + places.equal, k)


@of_places_at("HitExpected")
def hit_expected(places: Places, k: int) -> Floats:
    """Return the probability of being among the first ``k`` if items with equal scores are shuffled."""
    return np.clip((k - places.better) / (places.equal + 1), 0.0, 1.0)


@of_places_at("NDCGExpected")
def ndcg_expected(places: Places, k: int) -> Floats:
    """Return the expected DCG discount at cut-off ``k`` if items with equal scores are shuffled."""
    summed = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))])
    first, last = np.minimum(places.better, k), np.minimum(places.better + places.equal + 1, k)
    return (summed[last] - summed[first]) / (places.equal + 1)


def _discount(before: Ids, k: int) -> Floats:
    """Return the DCG discount 1 / log2(rank + 1) of items at rank ``before`` + 1; 0 beyond rank ``k``."""
    return np.where(before < k, 1.0 / np.log2(before + 2.0), 0.0)


@of_places("ExpectedRank", smaller=True)
def expected_rank(places: Places) -> Floats:
    """Return the item's rank among the irrelevant candidates, from 1; equal scores share their mean rank."""
    return 1.0 + places.better + places.equal / 2


@of_items("AveragePopularity", smaller=True)
def average_popularity(best: Ids, popularity: Popularity) -> Floats:
    """Return the mean number of training interactions of the list's items."""
    return np.cumsum(popularity.counts[best], axis=1) / np.arange(1, best.shape[1] + 1)


@of_items("TailPercentage")
def tail_percentage(best: Ids, popularity: Popularity) -> Floats:
    """Return the share (0 to 1) of the list's k ranks that hold long-tail items."""
    return np.cumsum(popularity.tail[best], axis=1) / np.arange(1, best.shape[1] + 1)


@of_lists("ItemCoverage")
def item_coverage(best: Ids, n_items: int) -> Floats:
    """Return the number of distinct items in all lists, divided by the number of item ids (including padding)."""
    first = np.full(n_items, best.shape[1])
    np.minimum.at(first, best, np.broadcast_to(np.arange(best.shape[1]), best.shape))
    new = np.bincount(first[1:], minlength=best.shape[1] + 1)[: best.shape[1]]
    return np.cumsum(new) / n_items


@of_lists("ShannonEntropy")
def shannon_entropy(best: Ids, n_items: int) -> Floats:
    """Return the mean of ``-p log p`` over the recommended items, where p is the item's share of all list entries."""
    found = []
    for counts in _recommended(best, n_items):
        share = counts[counts > 0] / max(counts.sum(), 1)
        found.append(-(share * np.log(share)).sum() / max(len(share), 1))
    return np.array(found)


@of_lists("GiniIndex", smaller=True)
def gini_index(best: Ids, n_items: int) -> Floats:
    """Return the Gini coefficient of the recommendations per item id: 0 if all are equally frequent, at most 1."""
    weight = 2 * np.arange(1, n_items + 1) - n_items - 1
    return np.array(
        [weight @ np.sort(counts) / (n_items * max(counts.sum(), 1)) for counts in _recommended(best, n_items)]
    )


def _recommended(best: Ids, n_items: int) -> Iterator[Ids]:
    """Yield, for the list lengths 1, 2, ..., how often each item id is recommended, int64 [n_items] each.

    All yielded arrays are the same object, which the next step changes.
    """
    counts = np.zeros(n_items, dtype=np.int64)
    for place in best.T:
        counts += np.bincount(place[place > 0], minlength=n_items)
        yield counts


@of_pairs("MAE")
def absolute_error(scores: Floats, labels: Mask) -> Floats:
    """Return the absolute difference between score and label."""
    return np.abs(scores - labels)


@of_pairs("RMSE", root=True)
def squared_error(scores: Floats, labels: Mask) -> Floats:
    """Return the squared difference between score and label; the reported RMSE is the square root of the mean."""
    return (scores - labels) ** 2


@of_pairs("LogLoss")
def log_loss(scores: Floats, labels: Mask) -> Floats:
    """Return the binary cross-entropy of the label, with the score, clipped to (0, 1), as its probability."""
    sure = np.clip(scores, _SURE, 1 - _SURE)
    return -np.log(np.where(labels, sure, 1 - sure))


@of_all_pairs("AUC")
def auc(scores: Floats, labels: Mask) -> float:
    """Return the share of (relevant, irrelevant) pairs in which the relevant item scores higher; ties count half."""
    wrong = np.sort(scores[~labels])
    less, not_more = (np.searchsorted(wrong, scores[labels], side) for side in ("left", "right"))
    return float((less + not_more).sum() / (2.0 * len(wrong) * (len(labels) - len(wrong))))


METRICS: dict[str, Metric] = {
    metric.name.lower(): metric for metric in list(globals().values()) if isinstance(metric, Metric)
}
"""This package's own metrics, by lower-case name."""


def _offered() -> dict[str, EntryPoint]:
    """Return the metrics that other installed distributions offer, by lower-case name."""
    own = {*METRICS, *(metric.name for metric in METRICS.values())}
    return {name.lower(): point for name, point in plugins.offered(plugins.METRICS, own).items()}


def find_metric(name: str, told: str = "metrics") -> Metric:
    """Return a metric by its name, in any case. If this package has none, installed entry points are searched.

    Args:
        name: the metric's name.
        told: which setting names the metric; error messages begin with it.

    Raises:
        UserError: there is no such metric (the message suggests the nearest name), or the entry point's object is not
            a metric with that name.
    """
    if name.lower() in METRICS:
        return METRICS[name.lower()]
    offered = _offered()
    if name.lower() not in offered:
        known = metric_names()
        raise UserError(f"{told}: there is no metric {name!r}{suggest(name, known)}; known: {', '.join(known)}")
    point = offered[name.lower()]
    found = plugins.load(point)
    if not isinstance(found, KINDS) or found.name.lower() != name.lower():
        raise UserError(
            f"{told}: {point.value} is not a metric named {point.name!r}; decorate its function with @per_row, "
            f"@of_lists, @of_scores or another decorator from recbole.evaluator.metrics, giving that name"
        )
    return found


def metric_names() -> list[str]:
    """Return the names of all metrics, this package's own first."""
    return [*(metric.name for metric in METRICS.values()), *(point.name for point in _offered().values())]
