"""The kinds of metrics: what each is computed of, and what it returns."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from recbole.evaluator.kinds import Floats, Ids, Mask
from recbole.utils import UserError

Scores = NDArray[np.float32]


class Popularity(NamedTuple):
    """How often items stand in the training data.

    Attributes:
        counts: int64 [n_items], interactions of each item.
        tail: bool [n_items], whether it is one of the rare ones.
    """

    counts: Ids
    tail: Mask


class Places(NamedTuple):
    """Where right items stand among the wrong candidates of their rows; one entry a right item.

    Attributes:
        better: int64 [n], how many wrong candidates score more.
        equal: int64 [n], how many score the same.
        wrong: int64 [n], how many there are, at least 1.
    """

    better: Ids
    equal: Ids
    wrong: Ids


@dataclass(frozen=True)
class Metric:
    """A function with the name that settings have for it, in any case; result rows have it in lower case.

    Attributes:
        name: a word of letters, digits and underscores.
        function: what it computes; see the subclasses.
        smaller: whether a smaller value is the better one.
        cut: whether it has a value for each list length.
        of_values: whether it looks at scores as predictions of labels, and not at their order among candidates.
    """

    name: str
    function: Callable[..., Any]
    smaller: bool = False
    cut: ClassVar[bool] = True
    of_values: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"a metric's name is a word of letters, digits and underscores, not {self.name!r}")

    def _computed(self, shape: tuple[int, ...], *of: Any) -> Floats:
        found = np.asarray(self.function(*of), dtype=np.float64)
        if found.shape != shape:
            raise UserError(f"metric {self.name} should return values of shape {shape}, and returns {found.shape}")
        return found


class PerRow(Metric):
    """A function of hits that averages over any rows.

    It gets hits, bool [rows, k], whether the j-th recommendation is right, and int64 [rows], how many items would be
    right, at least 1; it returns [rows, k], the values of the lists of length 1 to k.
    """

    def __call__(self, hits: Mask, n_right: Ids) -> Floats:
        """Return the values, float64 [rows, k]."""
        return self._computed(hits.shape, hits, n_right)


class OfItems(Metric):
    """A function of the recommended items and of how popular they are that averages over any rows.

    It gets the items, int64 [rows, k], best first, 0 where a list has ended, and their :class:`Popularity`; it returns
    [rows, k], the values of the lists of length 1 to k.
    """

    def __call__(self, best: Ids, popularity: Popularity) -> Floats:
        """Return the values, float64 [rows, k]."""
        return self._computed(best.shape, best, popularity)


class OfLists(Metric):
    """A function of the lists of all rows together, such as the share of the catalogue that they cover.

    It gets the recommended items, int64 [rows, k], best first, 0 where a list has ended, at least one row; and the
    number of ids, padding included. It returns [k], the values of the lists of length 1 to k.
    """

    def __call__(self, best: Ids, n_items: int) -> Floats:
        """Return the values, float64 [k]; NaN without any row."""
        return self._computed(best.shape[1:], best, n_items) if len(best) else np.full(best.shape[1], np.nan)


class OfScores(Metric):
    """A function of scores and labels that averages over any rows, such as the area under each person's ROC curve.

    It gets the scores of some rows, float32 [rows, n_items], minus infinity for what is no candidate, and whether each
    item is a candidate that is right, bool [rows, n_items]; it returns [rows]. How rows are cut is not its business.
    """

    cut = False

    def __call__(self, scores: Scores, labels: Mask) -> Floats:
        """Return the values, float64 [rows]."""
        return self._computed(labels.shape[:1], scores, labels)


class OfPlaces(Metric):
    """A function of the places of right items that averages over right items, such as GAUC.

    It gets :class:`Places`; it returns [n].
    """

    cut = False

    def __call__(self, places: Places) -> Floats:
        """Return the values, float64 [n]."""
        return self._computed(places.wrong.shape, places)


class OfPlacesAt(Metric):
    """The same, cut at a list length: it also gets the length, and is called for each."""

    def __call__(self, places: Places, k: int) -> Floats:
        """Return the values, float64 [n]."""
        return self._computed(places.wrong.shape, places, k)


@dataclass(frozen=True)
class OfPairs(Metric):
    """A loss: a function of scores and labels that averages over pairs of a row and an item.

    It gets float64 [pairs] and bool [pairs]; it returns [pairs].

    Attributes:
        root: whether the metric is the square root of the mean.
    """

    root: bool = False
    cut = False
    of_values = True

    def __call__(self, scores: Floats, labels: Mask) -> Floats:
        """Return the values, float64 [pairs]."""
        return self._computed(labels.shape, scores, labels)


class OfAllPairs(Metric):
    """A function of the scores and labels of all pairs together, which is no mean: the area under their ROC curve.

    It gets float64 [pairs] and bool [pairs], at least one of either label; it returns a number.
    """

    cut = False
    of_values = True

    def __call__(self, scores: Floats, labels: Mask) -> float:
        """Return the value; NaN where one of the labels is missing."""
        return float(self._computed((), scores, labels)) if labels.any() and not labels.all() else float("nan")


KINDS = (PerRow, OfItems, OfLists, OfScores, OfPlaces, OfPlacesAt, OfPairs, OfAllPairs)

Kind = TypeVar("Kind", bound=Metric)


def _of(kind: type[Kind], name: str, **about: bool) -> Callable[[Callable[..., Any]], Kind]:
    return lambda function: kind(name, function, **about)


def per_row(name: str, smaller: bool = False) -> Callable[[Callable[[Mask, Ids], Any]], PerRow]:
    """Make a :class:`PerRow` metric of a function."""
    return _of(PerRow, name, smaller=smaller)


def of_items(name: str, smaller: bool = False) -> Callable[[Callable[[Ids, Popularity], Any]], OfItems]:
    """Make an :class:`OfItems` metric of a function."""
    return _of(OfItems, name, smaller=smaller)


def of_lists(name: str, smaller: bool = False) -> Callable[[Callable[[Ids, int], Any]], OfLists]:
    """Make an :class:`OfLists` metric of a function."""
    return _of(OfLists, name, smaller=smaller)


def of_scores(name: str, smaller: bool = False) -> Callable[[Callable[[Scores, Mask], Any]], OfScores]:
    """Make an :class:`OfScores` metric of a function."""
    return _of(OfScores, name, smaller=smaller)


def of_places(name: str, smaller: bool = False) -> Callable[[Callable[[Places], Any]], OfPlaces]:
    """Make an :class:`OfPlaces` metric of a function."""
    return _of(OfPlaces, name, smaller=smaller)


def of_places_at(name: str, smaller: bool = False) -> Callable[[Callable[[Places, int], Any]], OfPlacesAt]:
    """Make an :class:`OfPlacesAt` metric of a function."""
    return _of(OfPlacesAt, name, smaller=smaller)


def of_pairs(name: str, smaller: bool = True, root: bool = False) -> Callable[[Callable[..., Any]], OfPairs]:
    """Make an :class:`OfPairs` metric of a function of scores and labels."""
    return _of(OfPairs, name, smaller=smaller, root=root)


def of_all_pairs(name: str, smaller: bool = False) -> Callable[[Callable[[Floats, Mask], Any]], OfAllPairs]:
    """Make an :class:`OfAllPairs` metric of a function."""
    return _of(OfAllPairs, name, smaller=smaller)
