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
        counts: int64 [n_items], the number of training interactions of each item.
        tail: bool [n_items], whether the item is in the long tail, that is, among the rarest items (``tail_ratio``).
    """

    counts: Ids
    tail: Mask


class Places(NamedTuple):
    """The ranks of n relevant items, each among the irrelevant candidates of the same row (ranking).

    Attributes:
        better: int64 [n], how many irrelevant candidates have a higher score than the relevant item.
        equal: int64 [n], how many irrelevant candidates have the same score as the relevant item.
        wrong: int64 [n], how many irrelevant candidates there are, at least 1.
    """

    better: Ids
    equal: Ids
    wrong: Ids


@dataclass(frozen=True)
class Metric:
    """A metric: a function and its name.

    Attributes:
        name: a Python identifier, such as Recall. In settings, capital and small letters are not distinguished; rows of
            the result table have the name in lower case.
        function: computes the values; each subclass documents the arguments and the shape of the result.
        smaller: whether a smaller value is better.
        bounded: whether every value lies between 0 and 1.
        cut: True if the metric has a value for each list length k (NDCG@10), False if it has a single value (AUC).
        of_values: True if scores are compared with labels (LogLoss), False if they are used to rank candidates.

    Raises:
        ValueError: the name is not an identifier.
    """

    name: str
    function: Callable[..., Any]
    smaller: bool = False
    bounded: bool = True
    cut: ClassVar[bool] = True
    of_values: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"a metric's name should be a Python identifier such as Recall, not {self.name!r}")

    def _computed(self, shape: tuple[int, ...], *of: Any) -> Floats:
        """Call the metric's function with the arguments ``of`` and return the result as a float64 array.

        Raises:
            UserError: the result does not have the given shape.
        """
        found = np.asarray(self.function(*of), dtype=np.float64)
        if found.shape != shape:
            raise UserError(f"metric {self.name} should return values of shape {shape}, but returns {found.shape}")
        return found


class PerRow(Metric):
    """A metric computed from hits and averaged over rows (Recall, NDCG). A row is one ranking.

    The function receives ``hits``, bool [rows, k], whether each recommended item (best first) is relevant, and
    ``n_right``, int64 [rows], the number of relevant items of each row (at least 1). It returns the values [rows, k]:
    column j, counted from 0, is the metric at list length j + 1.
    """

    def __call__(self, hits: Mask, n_right: Ids) -> Floats:
        """Return the values at list lengths 1 to k, float64 [rows, k]."""
        return self._computed(hits.shape, hits, n_right)


class OfItems(Metric):
    """A metric computed from the popularity of the recommended items and averaged over rows (AveragePopularity).

    The function receives ``best``, int64 [rows, k], the recommended item ids, best first, 0 where a list has ended, and
    ``popularity``, the :class:`Popularity` of all items. It returns the values [rows, k]: column j, counted from 0, is
    the metric at list length j + 1.
    """

    def __call__(self, best: Ids, popularity: Popularity) -> Floats:
        """Return the values at list lengths 1 to k, float64 [rows, k]."""
        return self._computed(best.shape, best, popularity)


class OfLists(Metric):
    """A metric computed from the recommended lists of all rows together (ItemCoverage, GiniIndex).

    The function receives ``best``, int64 [rows, k], the recommended item ids, best first, 0 where a list has ended,
    with at least one row, and ``n_items``, the number of item ids including the padding. It returns the values [k]:
    entry j, counted from 0, is the metric at list length j + 1.
    """

    def __call__(self, best: Ids, n_items: int) -> Floats:
        """Return the values at list lengths 1 to k, float64 [k]; NaN if there is no row."""
        return self._computed(best.shape[1:], best, n_items) if len(best) else np.full(best.shape[1], np.nan)


class OfScores(Metric):
    """A metric computed from all scores of a row and averaged over rows, such as an AUC per user.

    The function receives ``scores``, float32 [rows, n_items], minus infinity for items that are no candidates, and
    ``labels``, bool [rows, n_items], whether an item is a candidate and relevant. It returns one value per row, [rows].
    It is called once per batch of rows, so the value of a row must not depend on other rows.
    """

    cut = False

    def __call__(self, scores: Scores, labels: Mask) -> Floats:
        """Return one value per row, float64 [rows]."""
        return self._computed(labels.shape[:1], scores, labels)


class OfPlaces(Metric):
    """A metric computed from the ranks of relevant items and averaged over relevant items (GAUC, ExpectedRank).

    The function receives ``places``, the ranks of n relevant items (:class:`Places`), and returns one value per
    relevant item, [n].
    """

    cut = False

    def __call__(self, places: Places) -> Floats:
        """Return one value per relevant item, float64 [n]."""
        return self._computed(places.wrong.shape, places)


class OfPlacesAt(Metric):
    """A metric at list length k, computed from the ranks of relevant items and averaged over them (HitExpected).

    The function receives ``places``, the ranks of n relevant items (:class:`Places`), and the list length ``k``. It
    returns one value per relevant item, [n]. It is called once per list length.
    """

    def __call__(self, places: Places, k: int) -> Floats:
        """Return one value per relevant item, float64 [n]."""
        return self._computed(places.wrong.shape, places, k)


@dataclass(frozen=True)
class OfPairs(Metric):
    """A loss: a metric that compares scores with labels, averaged over (row, item) pairs (LogLoss, MAE).

    The function receives ``scores``, float64 [pairs], and ``labels``, bool [pairs]. It returns one value per pair,
    [pairs].

    Attributes:
        root: whether the reported value is the square root of the mean (RMSE).
    """

    bounded: bool = False
    root: bool = False
    cut = False
    of_values = True

    def __call__(self, scores: Floats, labels: Mask) -> Floats:
        """Return one value per pair, float64 [pairs]."""
        return self._computed(labels.shape, scores, labels)


class OfAllPairs(Metric):
    """A metric computed from the scores and labels of all (row, item) pairs together, which is not a mean (AUC).

    The function receives ``scores``, float64 [pairs], and ``labels``, bool [pairs], with at least one pair of each
    label. It returns a number.
    """

    cut = False
    of_values = True

    def __call__(self, scores: Floats, labels: Mask) -> float:
        """Return the value; NaN if all labels are equal or there is no pair."""
        return float(self._computed((), scores, labels)) if labels.any() and not labels.all() else float("nan")


KINDS = (PerRow, OfItems, OfLists, OfScores, OfPlaces, OfPlacesAt, OfPairs, OfAllPairs)

Kind = TypeVar("Kind", bound=Metric)


def _of(kind: type[Kind], name: str, **about: bool) -> Callable[[Callable[..., Any]], Kind]:
    """Return a decorator that makes a function a metric of class ``kind`` with this name and attributes."""
    return lambda function: kind(name, function, **about)


def per_row(name: str, smaller: bool = False) -> Callable[[Callable[[Mask, Ids], Any]], PerRow]:
    """Return a decorator that makes a function a :class:`PerRow` metric; arguments: see :class:`Metric`."""
    return _of(PerRow, name, smaller=smaller)


def of_items(
    name: str, smaller: bool = False, bounded: bool = True
) -> Callable[[Callable[[Ids, Popularity], Any]], OfItems]:
    """Return a decorator that makes a function an :class:`OfItems` metric; arguments: see :class:`Metric`."""
    return _of(OfItems, name, smaller=smaller, bounded=bounded)


def of_lists(name: str, smaller: bool = False) -> Callable[[Callable[[Ids, int], Any]], OfLists]:
    """Return a decorator that makes a function an :class:`OfLists` metric; arguments: see :class:`Metric`."""
    return _of(OfLists, name, smaller=smaller)


def of_scores(name: str, smaller: bool = False) -> Callable[[Callable[[Scores, Mask], Any]], OfScores]:
    """Return a decorator that makes a function an :class:`OfScores` metric; arguments: see :class:`Metric`."""
    return _of(OfScores, name, smaller=smaller)


def of_places(name: str, smaller: bool = False, bounded: bool = True) -> Callable[[Callable[[Places], Any]], OfPlaces]:
    """Return a decorator that makes a function an :class:`OfPlaces` metric; arguments: see :class:`Metric`."""
    return _of(OfPlaces, name, smaller=smaller, bounded=bounded)


def of_places_at(name: str, smaller: bool = False) -> Callable[[Callable[[Places, int], Any]], OfPlacesAt]:
    """Return a decorator that makes a function an :class:`OfPlacesAt` metric; arguments: see :class:`Metric`."""
    return _of(OfPlacesAt, name, smaller=smaller)


def of_pairs(name: str, smaller: bool = True, root: bool = False) -> Callable[[Callable[..., Any]], OfPairs]:
    """Return a decorator that makes a function an :class:`OfPairs` metric; arguments: see that class."""
    return _of(OfPairs, name, smaller=smaller, root=root)


def of_all_pairs(name: str, smaller: bool = False) -> Callable[[Callable[[Floats, Mask], Any]], OfAllPairs]:
    """Return a decorator that makes a function an :class:`OfAllPairs` metric; arguments: see :class:`Metric`."""
    return _of(OfAllPairs, name, smaller=smaller)
