"""The kinds of metrics. Each class is one kind and documents what its metric functions receive and return."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from recbole.evaluator.kinds import Floats, Ids, Mask
from recbole.utils import UserError

Scores = NDArray[np.float32]


class Popularity(NamedTuple):
    """How often each item occurs in the training data.

    Attributes:
        counts: int64 [n_items], the number of each item's interactions.
        tail: bool [n_items], whether the item is in the long tail (the rarest items).
    """

    counts: Ids
    tail: Mask


class Places(NamedTuple):
    """The ranks of relevant items among the irrelevant candidates of the same row, one entry per relevant item.

    Attributes:
        better: int64 [n], the number of irrelevant candidates with a higher score.
        equal: int64 [n], the number of irrelevant candidates with the same score.
        wrong: int64 [n], the number of irrelevant candidates, at least 1.
    """

    better: Ids
    equal: Ids
    wrong: Ids


@dataclass(frozen=True)
class Metric:
    """A metric: a function and its name. Settings may write the name in any case; result rows have it in lower case.

    Attributes:
        name: a Python identifier, such as Recall.
        function: computes the values; each subclass documents the arguments and the shape of the result.
        smaller: whether a smaller value is better.
        cut: whether the metric has a value for each list length k.
        of_values: whether scores are compared with labels, rather than used to rank candidates.

    Raises:
        ValueError: the name is not an identifier.
    """

    name: str
    function: Callable[..., Any]
    smaller: bool = False
    cut: ClassVar[bool] = True
    of_values: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"a metric's name should be a Python identifier such as Recall, not {self.name!r}")

    def _computed(self, shape: tuple[int, ...], *of: Any) -> Floats:
        """Return the function's result for the arguments ``of``; raise a UserError if it does not have this shape."""
        found = np.asarray(self.function(*of), dtype=np.float64)
        if found.shape != shape:
            raise UserError(f"metric {self.name} should return values of shape {shape}, but returns {found.shape}")
        return found


class PerRow(Metric):
    """A metric computed from hits, averaged over rows (Recall, NDCG).

    The function receives hits, bool [rows, k], whether each recommended item is relevant, and n_right, int64 [rows],
    the number of relevant items (at least 1). It returns [rows, k]: column j is the metric at list length j + 1.
    """

    def __call__(self, hits: Mask, n_right: Ids) -> Floats:
        """Return the values at list lengths 1 to k, float64 [rows, k]."""
        return self._computed(hits.shape, hits, n_right)


class OfItems(Metric):
    """A metric computed from the popularity of the recommended items, averaged over rows (AveragePopularity).

    The function receives the recommended item ids, int64 [rows, k], best first, 0 where a list has ended, and the
    :class:`Popularity` of all items. It returns [rows, k]: column j is the metric at list length j + 1.
    """

    def __call__(self, best: Ids, popularity: Popularity) -> Floats:
        """Return the values at list lengths 1 to k, float64 [rows, k]."""
        return self._computed(best.shape, best, popularity)


class OfLists(Metric):
    """A metric computed from the lists of all rows together (ItemCoverage, GiniIndex).

    The function receives the recommended item ids, int64 [rows, k], best first, 0 where a list has ended, with at least
    one row, and the number of item ids including padding. It returns [k]: entry j is the metric at list length j + 1.
    """

    def __call__(self, best: Ids, n_items: int) -> Floats:
        """Return the values at list lengths 1 to k, float64 [k]; NaN if there is no row."""
        return self._computed(best.shape[1:], best, n_items) if len(best) else np.full(best.shape[1], np.nan)


class OfScores(Metric):
    """A metric computed from scores and labels row by row, averaged over rows, such as an AUC per user.

    The function receives the scores of some rows, float32 [rows, n_items], minus infinity for non-candidates, and
    labels, bool [rows, n_items], whether an item is a candidate and relevant. It returns [rows]. It is called once per
    batch and must treat each row independently.
    """

    cut = False

    def __call__(self, scores: Scores, labels: Mask) -> Floats:
        """Return one value per row, float64 [rows]."""
        return self._computed(labels.shape[:1], scores, labels)


class OfPlaces(Metric):
    """A metric computed from the ranks of relevant items, averaged over relevant items (GAUC, ExpectedRank).

    The function receives the ranks of n relevant items as :class:`Places` and returns [n].
    """

    cut = False

    def __call__(self, places: Places) -> Floats:
        """Return one value per relevant item, float64 [n]."""
        return self._computed(places.wrong.shape, places)


class OfPlacesAt(Metric):
    """A metric computed from the ranks of relevant items at a list length k, averaged over these items (HitExpected).

    The function receives the ranks of n relevant items as :class:`Places`, and k. It returns [n]. It is called once per
    list length.
    """

    def __call__(self, places: Places, k: int) -> Floats:
        """Return one value per relevant item, float64 [n]."""
        return self._computed(places.wrong.shape, places, k)


@dataclass(frozen=True)
class OfPairs(Metric):
    """A loss: a metric computed from scores and labels, averaged over (row, item) pairs (LogLoss, MAE).

    The function receives scores, float64 [pairs], and labels, bool [pairs]. It returns [pairs].

    Attributes:
        root: whether the reported value is the square root of the mean (RMSE).
    """

    root: bool = False
    cut = False
    of_values = True

    def __call__(self, scores: Floats, labels: Mask) -> Floats:
        """Return one value per pair, float64 [pairs]."""
        return self._computed(labels.shape, scores, labels)


class OfAllPairs(Metric):
    """A metric computed from the scores and labels of all pairs together, which is not a mean (AUC).

    The function receives scores, float64 [pairs], and labels, bool [pairs], with at least one pair of each label. It
    returns a number.
    """

    cut = False
    of_values = True

    def __call__(self, scores: Floats, labels: Mask) -> float:
        """Return the value; NaN if all labels are equal or there is no pair."""
        return float(self._computed((), scores, labels)) if labels.any() and not labels.all() else float("nan")


KINDS = (PerRow, OfItems, OfLists, OfScores, OfPlaces, OfPlacesAt, OfPairs, OfAllPairs)

Kind = TypeVar("Kind", bound=Metric)


def _of(kind: type[Kind], name: str, **about: bool) -> Callable[[Callable[..., Any]], Kind]:
    """Return a decorator that makes a function a metric of the given kind and name, with the given attributes."""
    return lambda function: kind(name, function, **about)


def per_row(name: str, smaller: bool = False) -> Callable[[Callable[[Mask, Ids], Any]], PerRow]:
    """Decorate a function of (hits, n_right) to make it a :class:`PerRow` metric."""
    return _of(PerRow, name, smaller=smaller)


def of_items(name: str, smaller: bool = False) -> Callable[[Callable[[Ids, Popularity], Any]], OfItems]:
    """Decorate a function of (item ids, popularity) to make it an :class:`OfItems` metric."""
    return _of(OfItems, name, smaller=smaller)


def of_lists(name: str, smaller: bool = False) -> Callable[[Callable[[Ids, int], Any]], OfLists]:
    """Decorate a function of (item ids, n_items) to make it an :class:`OfLists` metric."""
    return _of(OfLists, name, smaller=smaller)


def of_scores(name: str, smaller: bool = False) -> Callable[[Callable[[Scores, Mask], Any]], OfScores]:
    """Decorate a function of (scores, labels) to make it an :class:`OfScores` metric."""
    return _of(OfScores, name, smaller=smaller)


def of_places(name: str, smaller: bool = False) -> Callable[[Callable[[Places], Any]], OfPlaces]:
    """Decorate a function of :class:`Places` to make it an :class:`OfPlaces` metric."""
    return _of(OfPlaces, name, smaller=smaller)


def of_places_at(name: str, smaller: bool = False) -> Callable[[Callable[[Places, int], Any]], OfPlacesAt]:
    """Decorate a function of (:class:`Places`, k) to make it an :class:`OfPlacesAt` metric."""
    return _of(OfPlacesAt, name, smaller=smaller)


def of_pairs(name: str, smaller: bool = True, root: bool = False) -> Callable[[Callable[..., Any]], OfPairs]:
    """Decorate a function of (scores, labels) to make it an :class:`OfPairs` metric."""
    return _of(OfPairs, name, smaller=smaller, root=root)


def of_all_pairs(name: str, smaller: bool = False) -> Callable[[Callable[[Floats, Mask], Any]], OfAllPairs]:
    """Decorate a function of (scores, labels) to make it an :class:`OfAllPairs` metric."""
    return _of(OfAllPairs, name, smaller=smaller)
