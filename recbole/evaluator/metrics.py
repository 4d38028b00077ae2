"""The metrics. A new metric is a function with a decorator that says what the function is computed from.

A row is one ranking: of a user's or session's candidates. The decorators are

- for one value per row: ``per_row`` (computed from which recommended items are hits, that is, relevant), ``of_items``
  (from the popularity of the recommended items) and ``of_scores`` (from the scores of the candidates);
- for one value per relevant item: ``of_places`` and ``of_places_at`` (from the item's rank);
- for one value per (row, item) pair whose score is compared with a label: ``of_pairs``;
- for a single value: ``of_lists`` (from all recommended lists) and ``of_all_pairs`` (from all scores and labels).

Another installed distribution adds a metric through an entry point in the group ``erase_bench.metrics`` that has the
metric's name.
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
    """Return Recall@1 to Recall@k of each row, [rows, k]: the share of the relevant items that are in the list.

    Arguments: see :class:`PerRow`.
    """
    return np.cumsum(hits, axis=1) / n_right[:, None]


@per_row("MRR")
def mrr(hits: Mask, n_right: Ids) -> Floats:
    """Return MRR@1 to MRR@k of each row, [rows, k]: 1 / rank of the first hit, 0 if the list has no hit.

    Arguments: see :class:`PerRow`.
    """
    rank = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.inf)[:, None]
    return np.where(rank <= np.arange(1, hits.shape[1] + 1), 1.0 / rank, 0.0)


@per_row("NDCG")
def ndcg(hits: Mask, n_right: Ids) -> Floats:
    """Return NDCG@1 to NDCG@k of each row, [rows, k]: the list's DCG / the DCG of an ideal list of the same length.

    A hit at rank r adds 1 / log2(r + 1) to the DCG (K. Jaervelin, J. Kekaelaeinen, TOIS 2002). Arguments: see
    :class:`PerRow`.
    """
    gain = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.cumsum(gain)[np.minimum(n_right[:, None], np.arange(1, hits.shape[1] + 1)) - 1]
    return np.cumsum(hits * gain, axis=1) / ideal


@per_row("Hit")
def hit(hits: Mask, n_right: Ids) -> Floats:
    """Return Hit@1 to Hit@k of each row, [rows, k]: 1 if the list has a hit, else 0.

    Arguments: see :class:`PerRow`.
    """
    return (np.cumsum(hits, axis=1) > 0).astype(np.float64)


@per_row("Precision")
def precision(hits: Mask, n_right: Ids) -> Floats:
    """Return Precision@1 to Precision@k of each row, [rows, k]: hits in the list / list length.

    Arguments: see :class:`PerRow`.
    """
    return np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)


@per_row("MAP")
def average_precision(hits: Mask, n_right: Ids) -> Floats:
    """Return MAP@1 to MAP@k of each row, [rows, k].

    MAP@j is the sum of Precision@r over the ranks r of all hits in a list of length j, divided by min(number of
    relevant items, j). Arguments: see :class:`PerRow`.
    """
    length = np.arange(1, hits.shape[1] + 1)
    return np.cumsum(np.cumsum(hits, axis=1) / length * hits, axis=1) / np.minimum(n_right[:, None], length)


@of_places("GAUC")
def gauc(places: Places) -> Floats:
    """Return for each relevant item, [n], the share of irrelevant candidates with a lower score; ties count half."""
    return 1.0 - (places.better + places.equal / 2) / places.wrong


@of_places_at("HitAgainst")
def hit_against(places: Places, k: int) -> Floats:
    """Return for each relevant item, [n]: 1 if the item is in the top ``k`` when ranked after its ties, else 0.

    Ties are the irrelevant candidates with the same score.
    """
    return (places.better + places.equal < k).astype(np.float64)


@of_places_at("NDCGAgainst")
def ndcg_against(places: Places, k: int) -> Floats:
    """Return for each relevant item, [n]: 1 / log2(rank + 1) when ranked after its ties; 0 beyond rank ``k``.

    Ties are the irrelevant candidates with the same score.
    """
    return _discount(places.better + places.equal, k)


@of_places_at("HitExpected")
def hit_expected(places: Places, k: int) -> Floats:
    """Return for each relevant item, [n], the probability of being in the top ``k`` if ties are shuffled."""
    return np.clip((k - places.better) / (places.equal + 1), 0.0, 1.0)


@of_places_at("NDCGExpected")
def ndcg_expected(places: Places, k: int) -> Floats:
    """Return for each relevant item, [n], the expected DCG discount if ties are ordered at random.

    The discount is 1 / log2(rank + 1), or 0 beyond rank ``k``.
    """
    summed = np.concatenate([[0.0], np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))])
    first, last = np.minimum(places.better, k), np.minimum(places.better + places.equal + 1, k)
    return (summed[last] - summed[first]) / (places.equal + 1)


def _discount(before: Ids, k: int) -> Floats:
    """Return the DCG discount of items at rank ``before`` + 1, [n]: 1 / log2(rank + 1), or 0 beyond rank ``k``."""
    return np.where(before < k, 1.0 / np.log2(before + 2.0), 0.0)


@of_places("ExpectedRank", smaller=True, bounded=False)
def expected_rank(places: Places) -> Floats:
    """Return each relevant item's rank among the irrelevant candidates, [n], from 1; equal scores share a mean rank."""
    return 1.0 + places.better + places.equal / 2


@of_items("AveragePopularity", smaller=True, bounded=False)
def average_popularity(best: Ids, popularity: Popularity) -> Floats:
    """Return AveragePopularity@1 to @k of each row, [rows, k]: the items' mean number of interactions.

    Interactions in the training data are counted. Their sum over the list's items is divided by the list length, also
    if the list has fewer items. Arguments: see :class:`OfItems`.
    """
    return np.cumsum(popularity.counts[best], axis=1) / np.arange(1, best.shape[1] + 1)


@of_items("TailPercentage")
def tail_percentage(best: Ids, popularity: Popularity) -> Floats:
    """Return TailPercentage@1 to @k of each row, [rows, k]: long-tail items in the list / list length (0 to 1).

    Arguments: see :class:`OfItems`.
    """
    return np.cumsum(popularity.tail[best], axis=1) / np.arange(1, best.shape[1] + 1)


@of_lists("ItemCoverage")
def item_coverage(best: Ids, n_items: int) -> Floats:
    """Return ItemCoverage@1 to @k, [k]: the number of different items in all lists / the number of item ids.

    The padding counts as an item id. Arguments: see :class:`OfLists`.
    """
    first = np.full(n_items, best.shape[1])
    np.minimum.at(first, best, np.broadcast_to(np.arange(best.shape[1]), best.shape))
    new = np.bincount(first[1:], minlength=best.shape[1] + 1)[: best.shape[1]]
    return np.cumsum(new) / n_items


@of_lists("ShannonEntropy")
def shannon_entropy(best: Ids, n_items: int) -> Floats:
    """Return ShannonEntropy@1 to @k, [k]: the mean of ``-p log p`` over the different recommended items.

    Here p is the item's share of all places in all lists. Arguments: see :class:`OfLists`.
    """
    found = []
    for counts in _recommended(best, n_items):
        share = counts[counts > 0] / max(counts.sum(), 1)
        found.append(-(share * np.log(share)).sum() / max(len(share), 1))
    return np.array(found)


@of_lists("GiniIndex", smaller=True)
def gini_index(best: Ids, n_items: int) -> Floats:
    """Return GiniIndex@1 to @k, [k]: the Gini coefficient of how often each item id is recommended.

    It is 0 if all ids are recommended equally often, and at most 1. Arguments: see :class:`OfLists`.
    """
    weight = 2 * np.arange(1, n_items + 1) - n_items - 1
    return np.array(
        [weight @ np.sort(counts) / (n_items * max(counts.sum(), 1)) for counts in _recommended(best, n_items)]
    )


def _recommended(best: Ids, n_items: int) -> Iterator[Ids]:
    """Yield, for each list length 1 to k, how often each item id is in a list of this length, int64 [n_items].

    Every step changes and yields the same array, so use it before the next step.

    Args:
        best: int64 [rows, k], the recommended item ids; 0 where a list has ended.
        n_items: the number of item ids, including the padding.
    """
    counts = np.zeros(n_items, dtype=np.int64)
    for place in best.T:
        counts += np.bincount(place[place > 0], minlength=n_items)
        yield counts


@of_pairs("MAE")
def absolute_error(scores: Floats, labels: Mask) -> Floats:
    """Return the absolute difference between score and label of each (row, item) pair, [pairs]."""
    return np.abs(scores - labels)


@of_pairs("RMSE", root=True)
def squared_error(scores: Floats, labels: Mask) -> Floats:
    """Return the squared difference between score and label of each (row, item) pair, [pairs].

    The reported metric RMSE is the square root of their mean.
    """
    return (scores - labels) ** 2


@of_pairs("LogLoss")
def log_loss(scores: Floats, labels: Mask) -> Floats:
    """Return the binary cross-entropy of each (row, item) pair, [pairs].

    The score, clipped to (0, 1), is used as the probability that the label is True.
    """
    sure = np.clip(scores, _SURE, 1 - _SURE)
    return -np.log(np.where(labels, sure, 1 - sure))


@of_all_pairs("AUC")
def auc(scores: Floats, labels: Mask) -> float:
    """Return the area under the ROC curve over all scored items of all users.

    This is the share of (relevant item, irrelevant item) pairs in which the relevant item has the higher score; equal
    scores count half. Arguments: see :class:`OfAllPairs`.
    """
    wrong = np.sort(scores[~labels])
    less, not_more = (np.searchsorted(wrong, scores[labels], side) for side in ("left", "right"))
    return float((less + not_more).sum() / (2.0 * len(wrong) * (len(labels) - len(wrong))))


METRICS: dict[str, Metric] = {
    metric.name.lower(): metric for metric in list(globals().values()) if isinstance(metric, Metric)
}
"""This package's own metrics, by lower-case name."""


def _offered() -> dict[str, EntryPoint]:
    """Return the entry points by which other installed distributions offer metrics, by lower-case name."""
    own = {*METRICS, *(metric.name for metric in METRICS.values())}
    return {name.lower(): point for name, point in plugins.offered(plugins.METRICS, own).items()}


def find_metric(name: str, told: str = "metrics") -> Metric:
    """Return the metric with a given name, of this package or offered by another one through an entry point.

    Args:
        name: the metric's name, in any mixture of capital and small letters.
        told: the setting that contains the name, such as ``metrics``; error messages begin with this text.

    Raises:
        UserError: there is no metric with this name (the message suggests the nearest name), or the entry point's
            object is not a metric with this name.
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
