"""How forgetting changes the losses of retained examples through the negatives that training draws for them.

Training draws negatives from the items that a user has not interacted with. A forgotten item is one of these from then
on, so it becomes a possible negative for the user's other examples. With popularity sampling, it is also drawn less
often for all other users.

Let an item ``i`` be proposed with weight ``w_i`` (uniform: 1; popularity: its training count to the power ``alpha``),
and rejected if the user has interacted with it. With old weights ``w`` and new weights ``w'``, let ``a_f`` be the
increase in weight of an item ``f`` among a user's possible negatives: ``w'_f`` if it has just become one, ``w'_f -
w_f`` if it was one before, and 0 if it is none. Let ``Z`` and ``Z' = Z + sum_f a_f`` be the total weights before and
after, and ``l_i`` the loss of an example with the negative ``i``, including its regulariser. Then the example's
expected loss changes by::

    sum_f a_f (l_f - mean_old l) / Z'  =  sum_f a_f (l_f - mean_new l) / Z

The right-hand side is what is computed, with draws under the new mask for ``mean_new``. Averaging over several
negatives has the same expectation. A pointwise loss, the mean over a positive and its ``k`` negatives, changes by
``k / (1 + k)`` times that.

There is no such change for a sampler that rejects only the target, as in session-based recommendation, nor for a model
that draws no negatives (a softmax over the catalogue, all pairs, closed forms). Contrasts within a batch, as in SGL and
DCCF, and negatives that a model draws by itself, as in SimRec, do not follow this rule and are not included.
"""

import numpy as np

from recbole.data import Interaction
from recbole.data.ids import distinct, held, without
from recbole.data.interaction import cat_interactions
from recbole.data.split import TRAIN
from recbole.unlearning.case import Case
from recbole.utils import InputType

MOST_SCORES = 2**22
"""Largest number of scores for a mean over all possible negatives; above it, :data:`DRAWN` draws estimate the mean."""

DRAWN = 64
"""Number of draws that estimate the mean over all possible negatives if there are too many of them."""

FEW = 8
"""Number of draws per example of the requesting users that estimate ``mean_new l``, a small part of the change."""

MOST_ROWS = 2**18
"""Largest number of rows in a sum that may be estimated; of a longer sum, this many rows are drawn."""

PIECE = 2**16
"""Number of rows per batch, which limits the memory that computing their losses takes."""

MOST_WEIGHTS = 64
"""Largest number of distinct weights in a sum that may be estimated; above it, rows are drawn in proportion to them."""

Weighted = list[tuple[Interaction, float]]
"""Batches, each with the weight of its loss sum."""


class NegativesChange:
    """The change in expected training losses that requests cause because other negatives can be drawn afterwards.

    It is returned as weighted batches: their losses, times the weights, add up to the change.

    Args:
        case: the requests, whose rows are already marked as forgotten.

    Attributes:
        items: int64, ascending, ids of the items in forgotten training rows.
        applies: whether there is any change, which requires that negatives are drawn per user and that a training row
            was forgotten.
        count: number of (user, item) pairs whose item has become a possible negative for the user.
    """

    def __init__(self, case: Case) -> None:
        self.case, self.data, self.negatives = case, case.bench.dataset, case.bench.negatives
        log, rows = self.data.log, case.change.rows
        self.rows = rows[log.split[rows] == TRAIN]
        self.items = distinct(log.item[self.rows])
        self.applies, self.count = self.negatives.by_person and len(self.rows) > 0, 0
        if self.negatives.by_person:
            self.old, self.new = (self.negatives.sampler.weights(rows) for rows in (self.rows, self.rows[:0]))
            pairs = distinct(self._keys(self.rows))
            self.count = len(without(pairs, self._held(case.change.entities)[0]))

    def of_requesters(self, times: int = FEW) -> Weighted:
        """Return the change of the requesting users' losses.

        It covers their retained examples and the examples with a forgotten row, as they were before. The gradient
        before forgetting should average the latter over the old negatives, but its negatives are drawn under the new
        mask. Subtracting this change corrects for that.

        Args:
            times: number of draws per example that estimate ``mean_new l``; 0 uses all possible negatives.
        """
        if not self.applies:
            return []
        change = self.case.change
        own = without(self.data.examples_of(change.entities), change.left)
        own, share = self.case.some(own, 4096, "change of negatives")
        batch = cat_interactions([change.before, self.data.collate(own)])
        return self._change(batch, np.repeat([1.0, 1 / share], [len(change.before), len(own)]), times)

    def of_others(self, n: int, times: int = 1) -> Weighted:
        """Return the change of all other users' losses, estimated from a sample.

        The list is empty if negatives are drawn uniformly, because other users' losses do not change then.

        Args:
            n: the largest number of examples in the sample.
            times: number of draws per example that estimate ``mean_new l``; 0 uses all possible negatives.
        """
        if not self.applies or np.array_equal(self.old, self.new):
            return []
        own = self.data.examples_of(self.case.change.entities)
        others = without(self.case.retained_examples(n, "negatives of others"), own)
        scale = (self.case.bench.n_train - len(own)) / max(len(others), 1)
        return self._change(self.data.collate(others), np.full(len(others), scale), times)

    def expected(self, batch: Interaction, scale: float = 1.0) -> Weighted:
        """Return weighted batches for a batch's loss, averaged over each example's possible negatives after forgetting.

        Args:
            batch: positives for a pairwise model.
            scale: weight of the loss of each example.
        """
        return self._mean(batch, np.full(len(batch), scale), 0, "expected")

    def cheap(self, batch: Interaction) -> bool:
        """Return whether :meth:`expected` takes at most :data:`MOST_ROWS` scores for a batch.

        Always False unless negatives are drawn uniformly.
        """
        uniform = self.negatives.by_person and self.negatives.sampler.popularity is None
        return uniform and len(batch) * self.data.n_items <= MOST_ROWS

    # --- weights -------------------------------------------------------------------------------------------------

    def _keys(self, rows: np.ndarray) -> np.ndarray:
        """Return the key ``user * n_items + item`` of log rows (int64 indices), int64 [rows]."""
        return self.data.log.user[rows] * self.data.n_items + self.data.log.item[rows]

    def _held(self, people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the (user, item) pairs of some users' training rows, as the keys of :meth:`_keys`.

        Args:
            people: int64, user ids.

        Returns:
            Two int64 arrays, ascending: the pairs of retained rows, and those of retained and newly forgotten rows.
        """
        rows = self.data.log.rows_of(people)
        keys, left = self._keys(rows), self.data.in_training(rows)
        return distinct(keys[left]), distinct(keys[left | held(rows, self.rows)])

    def _shift(self, people: np.ndarray) -> np.ndarray:
        """Return ``a_f / Z`` (see the module's formula) for users and forgotten items, float64 [users, items].

        Args:
            people: int64, ascending, user ids.
        """
        n_items = self.data.n_items
        now, before = self._held(people)
        total = self.old.sum() - np.bincount(
            np.searchsorted(people, before // n_items), self.old[before % n_items], len(people)
        )
        grid = people[:, None] * n_items + self.items
        grown = self.new[self.items] * ~held(grid, now) - self.old[self.items] * ~held(grid, before)
        return grown / total[:, None]

    def _share(self, people: np.ndarray) -> np.ndarray:
        """Return each item's probability of being drawn as a user's negative now, float64 [users, n_items].

        Args:
            people: int64, ascending, user ids.
        """
        held_now = self._held(people)[0]
        share = np.tile(self.new, (len(people), 1))
        share[np.searchsorted(people, held_now // self.data.n_items), held_now % self.data.n_items] = 0.0
        return share / share.sum(axis=1, keepdims=True)

    def _people(self, batch: Interaction) -> tuple[np.ndarray, np.ndarray]:
        """Return a batch's distinct user ids (int64, ascending), and each example's position in them (int64)."""
        users = batch[self.negatives.given].cpu().numpy()
        people = distinct(users)
        return people, np.searchsorted(people, users)

    # --- batches -------------------------------------------------------------------------------------------------

    def _change(self, batch: Interaction, scale: np.ndarray, times: int) -> Weighted:
        """Return weighted batches for the change of examples' expected losses.

        Args:
            batch: the examples.
            scale: float64 [batch], a factor for each example.
            times: number of draws per example that estimate ``mean_new l``; 0 uses all possible negatives.
        """
        if not len(batch):
            return []
        if self.negatives.input_type is InputType.POINTWISE:
            scale = scale * (self.negatives.times / (1 + self.negatives.times))
        people, place = self._people(batch)
        shift = scale[:, None] * self._shift(people)[place]
        example, item = np.nonzero(shift)
        listed = self._batches(batch, example, self.items[item], shift[example, item], MOST_ROWS)
        return listed + self._mean(batch, -shift.sum(axis=1), times, "mean")

    def _mean(self, batch: Interaction, weights: np.ndarray, times: int, name: str) -> Weighted:
        """Return weighted batches for each example's mean loss over its negatives after forgetting, times a weight.

        Args:
            batch: positives.
            weights: float64 [batch].
            times: number of draws per example that estimate the mean; 0 uses all possible negatives, if not too many.
            name: part of the random stream's name.
        """
        some = np.flatnonzero(weights)
        batch, weights = batch[some], weights[some]
        if not times and len(some) * self.data.n_items <= MOST_SCORES:
            people, place = self._people(batch)
            share = self._share(people)[place]
            example, item = np.nonzero(share)
            return self._batches(batch, example, item, weights[example] * share[example, item], None)
        times = times or DRAWN
        uniforms = self.case.uniforms("change of negatives", name)
        drawn = self.negatives.draw(batch[self.negatives.given].cpu().numpy(), uniforms, times).reshape(-1)
        example = np.tile(np.arange(len(batch)), times)
        return self._batches(batch, example, drawn, np.tile(weights / times, times), MOST_ROWS)

    def _batches(
        self, batch: Interaction, example: np.ndarray, items: np.ndarray, weights: np.ndarray, most: int | None
    ) -> Weighted:
        """Group rows with individual weights into batches whose rows share one weight.

        Args:
            batch: the examples.
            example: int64 [rows], the index in ``batch`` of each row's example.
            items: int64 [rows], each row's negative.
            weights: float64 [rows].
            most: number of rows with which the sum may be estimated; ``None`` computes the exact sum.
        """
        found: Weighted = []
        values, which = np.unique(weights, return_inverse=True)
        if most is not None and (len(values) > MOST_WEIGHTS or len(weights) > most):
            for name, side in (("up", weights > 0), ("down", weights < 0)):
                rows = np.flatnonzero(side)
                if len(rows):
                    n = min(len(rows), most)
                    chosen = rows[_systematic(np.abs(weights[rows]), n, self.case.stream("change of negatives", name))]
                    found += self._pieces(batch, example[chosen], items[chosen], float(weights[rows].sum() / n))
            return found
        order = np.argsort(which, kind="stable")
        ends = np.cumsum(np.bincount(which, minlength=len(values)))
        for value, end, size in zip(values, ends, np.diff(ends, prepend=0), strict=True):
            rows = order[end - size : end]
            found += self._pieces(batch, example[rows], items[rows], float(value))
        return found

    def _pieces(self, batch: Interaction, example: np.ndarray, items: np.ndarray, weight: float) -> Weighted:
        """Return rows of one weight as batches of at most :data:`PIECE` rows; arguments as in :meth:`_batches`."""
        parts = [slice(at, at + PIECE) for at in range(0, len(example), PIECE)]
        return [(self.negatives.alone(batch[example[part]], items[part]), weight) for part in parts]


def _systematic(weights: np.ndarray, n: int, generator: np.random.Generator) -> np.ndarray:
    """Return ``n`` positions (int64, ascending), by systematic sampling in proportion to positive weights."""
    ends = np.cumsum(weights)
    at = np.searchsorted(ends, (np.arange(n) + generator.random()) / n * ends[-1], side="right")
    return np.minimum(at, len(weights) - 1)
