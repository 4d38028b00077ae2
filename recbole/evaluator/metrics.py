"""Metrics of three kinds, found by name; a new one is a function with a decorator.

``per_row``: from hits, a value for each row and list length; ``of_lists``: from the recommended lists of all rows, a
value for each list length; ``of_scores``: from the scores of each row's candidates, a value for each row.
Another installed distribution adds one by an entry point in the group ``erase_bench.metrics`` of the metric's name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recbole.evaluator.kinds import Floats, Ids, Mask
from recbole.utils import UserError, plugins, suggest


@dataclass(frozen=True)
class Metric:
    """A function with the name that settings have for it, in any case; result rows have it in lower case.

    Attributes:
        name: a word of letters, digits and underscores.
        function: what it computes; see the subclasses.
    """

    name: str
    function: Callable[..., Any]

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


class OfLists(Metric):
    """A function of the lists of all rows together, such as the share of the catalogue that they cover.

    It gets the recommended items, int64 [rows, k], best first, 0 where a list has ended, at least one row; and the
    number of ids, padding included. It returns [k], the values of the lists of length 1 to k.
    """

    def __call__(self, best: Ids, n_items: int) -> Floats:
        """Return the values, float64 [k]; NaN without any row."""
        return self._computed(best.shape[1:], best, n_items) if len(best) else np.full(best.shape[1], np.nan)


class OfScores(Metric):
    """A function of scores and labels that averages over any rows, such as the area under the ROC curve.

    It gets the scores of some rows, float32 [rows, n_items], minus infinity for what is no candidate, and whether each
    item is a candidate that is right, bool [rows, n_items]; it returns [rows]. How rows are cut is not its business.
    """

    def __call__(self, scores: NDArray[np.float32], labels: Mask) -> Floats:
        """Return the values, float64 [rows]."""
        return self._computed(labels.shape[:1], scores, labels)


def per_row(name: str) -> Callable[[Callable[[Mask, Ids], Any]], PerRow]:
    """Make a :class:`PerRow` metric of a function."""
    return lambda function: PerRow(name, function)


def of_lists(name: str) -> Callable[[Callable[[Ids, int], Any]], OfLists]:
    """Make an :class:`OfLists` metric of a function."""
    return lambda function: OfLists(name, function)


def of_scores(name: str) -> Callable[[Callable[[NDArray[np.float32], Mask], Any]], OfScores]:
    """Make an :class:`OfScores` metric of a function."""
    return lambda function: OfScores(name, function)


@per_row("Recall")
def recall(hits: Mask, n_right: Ids) -> Floats:
    """Return the share of the right items that is in the list."""
    return np.cumsum(hits, axis=1) / n_right[:, None]


@per_row("MRR")
def mrr(hits: Mask, n_right: Ids) -> Floats:
    """Return one over the rank of the first hit, 0 without any."""
    rank = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.inf)[:, None]
    return np.where(rank <= np.arange(1, hits.shape[1] + 1), 1.0 / rank, 0.0)


@per_row("NDCG")
def ndcg(hits: Mask, n_right: Ids) -> Floats:
    """Return DCG over the DCG of the best possible list of that length (K. Jaervelin, J. Kekaelaeinen, TOIS 2002)."""
    gain = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.cumsum(gain)[np.minimum(n_right[:, None], np.arange(1, hits.shape[1] + 1)) - 1]
    return np.cumsum(hits * gain, axis=1) / ideal


@per_row("Hit")
def hit(hits: Mask, n_right: Ids) -> Floats:
    """Return whether there is any hit in the list."""
    return (np.cumsum(hits, axis=1) > 0).astype(np.float64)


@per_row("Precision")
def precision(hits: Mask, n_right: Ids) -> Floats:
    """Return the share of the list that is right."""
    return np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)


METRICS: dict[str, Metric] = {
    metric.name.lower(): metric for metric in list(globals().values()) if isinstance(metric, Metric)
}
"""The metrics that this package has, by lower-case name."""


def _offered() -> dict[str, EntryPoint]:
    own = {*METRICS, *(metric.name for metric in METRICS.values())}
    return {name.lower(): point for name, point in plugins.offered(plugins.METRICS, own).items()}


def find_metric(name: str, told: str = "metrics") -> Metric:
    """Return a metric by its name, in any case; other distributions are looked at for what is not ours.

    Args:
        name: the metric's name.
        told: what asks for it, for the message.

    Raises:
        UserError: when there is none of that name, naming the nearest, or what is offered is no metric.
    """
    if name.lower() in METRICS:
        return METRICS[name.lower()]
    offered = _offered()
    if name.lower() not in offered:
        known = metric_names()
        raise UserError(f"{told}: there is no metric {name!r}{suggest(name, known)}; known: {', '.join(known)}")
    point = offered[name.lower()]
    found = plugins.load(point)
    if not isinstance(found, PerRow | OfLists | OfScores) or found.name.lower() != name.lower():
        raise UserError(
            f"{told}: {point.value} is no metric of the name {point.name!r}; put @per_row, @of_lists or @of_scores of "
            f"recbole.evaluator.metrics, with that name, before its function"
        )
    return found


def metric_names() -> list[str]:
    """Return the names of all metrics, this package's own first."""
    return [*(metric.name for metric in METRICS.values()), *(point.name for point in _offered().values())]
