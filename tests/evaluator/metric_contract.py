"""Contracts of metrics: a metric is tested by a subclass of one of these classes that sets ``metric``."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import pytest
from contract_cover import uncovered
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recbole.evaluator.metrics import (
    Metric,
    OfItems,
    OfLists,
    OfPairs,
    OfPlaces,
    OfScores,
    PerRow,
    Places,
    Popularity,
    find_metric,
)

SEEDS = st.integers(0, 2**32 - 1)
N_ITEMS = 13
inherited = settings(deadline=None, suppress_health_check=[HealthCheck.differing_executors])


def without_contract(names):
    """Return those of the metrics (lower-case names) that no contract covers."""
    return uncovered(MetricContract, "metric", names)


class MetricContract(ABC):
    """For all kinds of metrics: values are in ``range`` and equal the definition; None in a range means no limit."""

    metric: ClassVar[str]
    kind: ClassVar[type[Metric]]
    low: ClassVar[float | None] = 0.0
    high: ClassVar[float | None] = 1.0

    @property
    def found(self):
        return find_metric(self.metric)

    def check_range(self, values):
        assert values.dtype == np.float64
        assert self.low is None or (values >= self.low - 1e-12).all()
        assert self.high is None or (values <= self.high + 1e-12).all()

    def test_the_metric_has_its_kind_and_is_found_in_any_case(self):
        assert type(self.found) is self.kind and self.found.name == self.metric
        assert find_metric(self.metric.upper()) == find_metric(self.metric.lower()) == self.found


@st.composite
def rankings(draw):
    """Draw hits, bool [rows, width], and the number of positive items of each row, at least the number of hits."""
    width = draw(st.integers(1, 12))
    hits = draw(st.lists(st.lists(st.booleans(), min_size=width, max_size=width), min_size=1, max_size=6))
    return np.array(hits), np.array([draw(st.integers(max(sum(row), 1), 20)) for row in hits])


class PerRowContract(MetricContract):
    """For metrics of hits.

    ``grows``: a longer list never has a smaller value. ``ideal``: the value at full length of lists that begin with all
    positive items, if it is the same for all rows; otherwise None.
    """

    kind = PerRow
    grows: ClassVar[bool]
    ideal: ClassVar[float | None] = 1.0

    @abstractmethod
    def by_definition(self, hits, n_right, k):
        """Return the value of one row at list length ``k``, given its hits as a list of bool."""

    @given(rankings())
    @inherited
    def test_it_is_its_definition_in_range_at_every_k(self, drawn):
        hits, n_right = drawn
        values = self.found(hits, n_right)
        self.check_range(values)
        for row, (right, n) in enumerate(zip(hits.tolist(), n_right.tolist(), strict=True)):
            expected = [self.by_definition(right, n, k) for k in range(1, len(right) + 1)]
            assert values[row].tolist() == pytest.approx(expected, abs=1e-12)

    @given(rankings())
    @inherited
    def test_ranks_below_k_and_other_rows_do_not_count(self, drawn):
        hits, n_right = drawn
        values = self.found(hits, n_right)
        for k in range(1, hits.shape[1] + 1):
            assert np.array_equal(self.found(hits[:, :k], n_right), values[:, :k])
        for row in range(len(hits)):
            assert np.array_equal(self.found(hits[row : row + 1], n_right[row : row + 1]), values[row : row + 1])
        assert not self.grows or (np.diff(values, axis=1) >= 0).all()

    @given(rankings())
    @inherited
    def test_an_ideal_list_has_the_best_value(self, drawn):
        hits, n_right = drawn
        ideal = self.found(np.arange(hits.shape[1]) < n_right[:, None], n_right)
        assert (ideal >= self.found(hits, n_right) - 1e-12).all()
        if self.ideal is not None:
            assert ideal[:, -1].tolist() == pytest.approx([self.ideal] * len(hits))

    def test_no_row_gives_no_value(self):
        assert self.found(np.empty((0, 5), dtype=bool), np.empty(0, dtype=np.int64)).shape == (0, 5)


class OfListsContract(MetricContract):
    """For metrics of all lists together, such as item coverage."""

    kind = OfLists

    @abstractmethod
    def by_definition(self, best, n_items, k):
        """Return the value of lists of items, without padding, at list length ``k``."""

    @given(SEEDS, st.integers(1, 6), st.integers(1, 8))
    @inherited
    def test_it_is_its_definition_in_range_at_every_k(self, seed, n_rows, width):
        draw = np.random.default_rng(seed)
        best = np.stack([draw.choice(np.arange(1, N_ITEMS), width, replace=False) for _ in range(n_rows)])
        best[np.arange(width) >= draw.integers(0, width + 1, n_rows)[:, None]] = 0
        values = self.found(best, N_ITEMS)
        self.check_range(values)
        lists = [[item for item in row if item] for row in best.tolist()]
        expected = [self.by_definition([row[:k] for row in lists], N_ITEMS, k) for k in range(1, width + 1)]
        assert values.tolist() == pytest.approx(expected, abs=1e-12)
        assert self.found(best[draw.permutation(n_rows)], N_ITEMS).tolist() == pytest.approx(expected, abs=1e-12)

    def test_without_rows_the_value_is_nan(self):
        assert np.isnan(self.found(np.empty((0, 5), dtype=np.int64), N_ITEMS)).tolist() == [True] * 5


class OfScoresContract(MetricContract):
    """For metrics of scores with labels."""

    kind = OfScores

    @abstractmethod
    def by_definition(self, scores, labels):
        """Return the value of one row, given its candidates' scores and whether they are positive."""

    @given(SEEDS, st.integers(1, 6))
    @inherited
    def test_it_equals_its_definition_for_any_batch_size(self, seed, n_rows):
        draw = np.random.default_rng(seed)
        scores = draw.normal(size=(n_rows, N_ITEMS)).round(draw.integers(0, 3)).astype(np.float32)
        scores[:, 0] = -np.inf
        scores[:, 3:][draw.random((n_rows, N_ITEMS - 3)) < 0.2] = -np.inf
        labels = (draw.random(scores.shape) < 0.3) & (scores > -np.inf)
        labels[:, 1:3] = [True, False]
        values = self.found(scores, labels)
        self.check_range(values)
        rows = [
            (row[row > -np.inf].tolist(), right[row > -np.inf].tolist())
            for row, right in zip(scores, labels, strict=True)
        ]
        assert values.tolist() == pytest.approx([self.by_definition(*row) for row in rows], abs=1e-6)
        pieces = [self.found(scores[at : at + 2], labels[at : at + 2]) for at in range(0, n_rows, 2)]
        assert np.array_equal(np.concatenate(pieces), values)


class OfItemsContract(MetricContract):
    """For metrics of the popularity of recommended items."""

    kind = OfItems
    high = None

    @abstractmethod
    def by_definition(self, items, counts, tail, k):
        """Return the value of one list of items at length ``k``, given each id's count and the set of rare ids."""

    @given(SEEDS, st.integers(1, 6), st.integers(1, 8))
    @inherited
    def test_it_is_its_definition_in_range_at_every_k(self, seed, n_rows, width):
        draw = np.random.default_rng(seed)
        best = np.stack([draw.choice(np.arange(1, N_ITEMS), width, replace=False) for _ in range(n_rows)])
        best[np.arange(width) >= draw.integers(0, width + 1, n_rows)[:, None]] = 0
        counts, tail = draw.integers(0, 9, N_ITEMS), draw.random(N_ITEMS) < 0.3
        counts[0], tail[0] = 0, False
        values = self.found(best, Popularity(counts, tail))
        self.check_range(values)
        for row, items in enumerate(best.tolist()):
            expected = [self.by_definition(items[:k], counts, tail, k) for k in range(1, width + 1)]
            assert values[row].tolist() == pytest.approx(expected, abs=1e-12)


@st.composite
def places(draw):
    """Draw the ranks of some positive items."""
    wrong = draw(st.lists(st.integers(1, 12), min_size=1, max_size=6))
    better = [draw(st.integers(0, n)) for n in wrong]
    equal = [draw(st.integers(0, n - b)) for n, b in zip(wrong, better, strict=True)]
    return Places(*(np.array(part) for part in (better, equal, wrong)))


class OfPlacesContract(MetricContract):
    """For metrics of the ranks of positive items, at a list length if the metric has one."""

    kind = OfPlaces

    @abstractmethod
    def by_definition(self, possible, n, k):
        """Return the value of one item, given the ranks (from 1) that it may have among ``n + 1`` candidates."""

    @given(places(), st.integers(1, 14))
    @inherited
    def test_it_is_its_definition_in_range(self, drawn, k):
        values = self.found(drawn, k) if self.found.cut else self.found(drawn)
        self.check_range(values)
        rows = zip(*(part.tolist() for part in drawn), strict=True)
        expected = [self.by_definition(list(range(b + 1, b + e + 2)), n, k) for b, e, n in rows]
        assert values.tolist() == pytest.approx(expected, abs=1e-12)


class OfPairsContract(MetricContract):
    """For metrics of scores and labels, with one value for each pair or one for all pairs."""

    kind = OfPairs
    high = None

    @abstractmethod
    def by_definition(self, scores, labels):
        """Return the value of lists of scores and labels, for one pair or for all."""

    @given(SEEDS, st.integers(2, 12))
    @inherited
    def test_it_is_its_definition_in_range(self, seed, n):
        draw = np.random.default_rng(seed)
        scores, labels = draw.normal(0.5, 0.6, n).round(draw.integers(0, 3)), draw.random(n) < 0.5
        labels[:2] = [True, False]
        values = np.asarray(self.found(scores, labels))
        self.check_range(values)
        each = [(scores.tolist(), labels.tolist())]
        if self.kind is OfPairs:
            each = [([score], [label]) for score, label in zip(*each[0], strict=True)]
        assert values.ravel().tolist() == pytest.approx([self.by_definition(*one) for one in each], abs=1e-9)
