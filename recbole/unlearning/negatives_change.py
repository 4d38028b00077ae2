"""How forgetting moves the losses of examples that stay: through the negatives that training draws for them.

Training draws negatives among what a person does not have. What they forget, they do not have any more, and it becomes
a negative of their other examples; with popularity, it is drawn less often for everybody.

Let an item ``i`` be proposed with weight ``w_i`` (uniform: 1; popularity: its training count to the power ``alpha``)
and refused if the person has it. With old weights ``w`` and new ones ``w'``, let ``a_f`` be what the weight of an item
``f`` among a person's possible negatives grows by: ``w'_f`` where it has just become one, ``w'_f - w_f`` where it was
one, nothing where it is none. With ``Z`` and ``Z' = Z + sum_f a_f`` the total weights before and after, and ``l_i`` the
loss of an example with the negative ``i``, its regulariser included, the example's expected loss changes by::

    sum_f a_f (l_f - mean_old l) / Z'  =  sum_f a_f (l_f - mean_new l) / Z

The right-hand form is what is computed: what is drawn under the new mask stands for ``mean_new``. Several averaged
negatives have the same expectation; a pointwise loss, the mean over a positive and its ``k`` negatives, changes by
``k / (1 + k)`` of that.

A sampler that refuses nothing but the target, as that of sessions, has no such change, and a model that draws no
negatives (a softmax over the catalogue, all pairs, closed forms) has none. What a model contrasts within a batch, as
SGL and DCCF do, or draws for itself, as SimRec does, does not follow this rule and is left out.
"""

import numpy as np

from recbole.data import Interaction
from recbole.data.ids import distinct, held, without
from recbole.data.interaction import cat_interactions
from recbole.data.split import TRAIN
from recbole.unlearning.case import Case
from recbole.utils import InputType

MOST_SCORES = 2**22
"""Of an expectation over all possible negatives; where there are more, :data:`DRAWN` negatives stand for them."""

DRAWN = 64
"""How many draws stand for all possible negatives where these are too many."""

FEW = 8
"""Draws of each of the requesters' examples that stand for ``mean_new``: it counts a hundredth of them or so."""

MOST_ROWS = 2**18
"""Of a sum that may be estimated; of more, so many are drawn."""

PIECE = 2**16
"""Rows of a batch of an expectation, so that the losses of few are computed at a time."""

MOST_WEIGHTS = 64
"""How many different weights rows of a sum that may be estimated have; with more, equal weights are drawn."""

Weighted = list[tuple[Interaction, float]]
"""Batches, and what the loss sum of each counts."""


class NegativesChange:
    """The change that a case makes to people's expected losses through their negatives, as batches with weights.

    Args:
        case: whose rows are forgotten.

    Attributes:
        items: int64, ascending: the forgotten items of training rows.
        applies: whether anything changes: there are negatives, and what they are drawn among follows from the rows.
        count: of how many (person, item) pairs the item has become a possible negative of the person.
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
        """Return the change of the requesters' examples: of those that stay and, as they were, of the touched ones.

        A touched example's loss was expected over the old negatives, while those beside it are drawn under the new
        mask: this change is the difference.

        Args:
            times: draws for each example that stand for ``mean_new``; 0 takes all possible negatives.
        """
        if not self.applies:
            return []
        change = self.case.change
        own = without(self.data.examples_of(change.entities), change.left)
        own, share = self.case.some(own, 4096, "change of negatives")
        batch = cat_interactions([change.before, self.data.collate(own)])
        return self._change(batch, np.repeat([1.0, 1 / share], [len(change.before), len(own)]), times)

    def of_others(self, n: int, times: int = 1) -> Weighted:
        """Return the change of everybody else's examples, estimated from at most ``n`` of them; none if uniform.

        Args:
            n: examples that are drawn.
            times: as of :meth:`of_requesters`.
        """
        if not self.applies or np.array_equal(self.old, self.new):
            return []
        own = self.data.examples_of(self.case.change.entities)
        others = without(self.case.retained_examples(n, "negatives of others"), own)
        scale = (self.case.bench.n_train - len(own)) / max(len(others), 1)
        return self._change(self.data.collate(others), np.full(len(others), scale), times)

    def expected(self, batch: Interaction, scale: float = 1.0) -> Weighted:
        """Return a batch's loss with each example's mean over its possible negatives, after the change.

        Args:
            batch: positives of a pairwise model.
            scale: what the batch counts.
        """
        return self._mean(batch, np.full(len(batch), scale), 0, "expected")

    def cheap(self, batch: Interaction) -> bool:
        """Return whether :meth:`expected` of a batch is one sum of at most :data:`MOST_ROWS` rows for each person."""
        uniform = self.negatives.by_person and self.negatives.sampler.popularity is None
        return uniform and len(batch) * self.data.n_items <= MOST_ROWS

    # --- weights -------------------------------------------------------------------------------------------------

    def _keys(self, rows: np.ndarray) -> np.ndarray:
        return self.data.log.user[rows] * self.data.n_items + self.data.log.item[rows]

    def _held(self, people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return keys of the (person, item) pairs of retained training rows, and of those and the forgotten ones."""
        rows = self.data.log.rows_of(people)
        keys, left = self._keys(rows), self.data.in_training(rows)
        return distinct(keys[left]), distinct(keys[left | held(rows, self.rows)])

    def _shift(self, people: np.ndarray) -> np.ndarray:
        """Return ``a_f / Z``, float64 [people, items], for people (int64, ascending) and the forgotten items."""
        n_items = self.data.n_items
        now, before = self._held(people)
        total = self.old.sum() - np.bincount(
            np.searchsorted(people, before // n_items), self.old[before % n_items], len(people)
        )
        grid = people[:, None] * n_items + self.items
        grown = self.new[self.items] * ~held(grid, now) - self.old[self.items] * ~held(grid, before)
        return grown / total[:, None]

    def _share(self, people: np.ndarray) -> np.ndarray:
        """Return the chance of each item as a negative of people (int64, ascending), float64 [people, n_items]."""
        held_now = self._held(people)[0]
        share = np.tile(self.new, (len(people), 1))
        share[np.searchsorted(people, held_now // self.data.n_items), held_now % self.data.n_items] = 0.0
        return share / share.sum(axis=1, keepdims=True)

    def _people(self, batch: Interaction) -> tuple[np.ndarray, np.ndarray]:
        """Return the people of a batch, ascending, and each example's place among them."""
        users = batch[self.negatives.given].cpu().numpy()
        people = distinct(users)
        return people, np.searchsorted(people, users)

    # --- batches -------------------------------------------------------------------------------------------------

    def _change(self, batch: Interaction, scale: np.ndarray, times: int) -> Weighted:
        """Return the change of examples' expected losses, each times a number (float64 [batch])."""
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
        """Return each example's mean loss over its negatives after the change, times a weight (float64 [batch])."""
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
        """Return rows with weights of their own as batches of rows with one weight.

        Args:
            batch: examples.
            example: int64 [rows], each row's example.
            items: int64 [rows], its negative.
            weights: float64 [rows].
            most: the sum may be estimated, by so many rows; None for the sum itself.
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
        parts = [slice(at, at + PIECE) for at in range(0, len(example), PIECE)]
        return [(self.negatives.alone(batch[example[part]], items[part]), weight) for part in parts]


def _systematic(weights: np.ndarray, n: int, generator: np.random.Generator) -> np.ndarray:
    """Return ``n`` places (int64, ascending), drawn in proportion to weights above 0, as evenly as that goes."""
    ends = np.cumsum(weights)
    at = np.searchsorted(ends, (np.arange(n) + generator.random()) / n * ends[-1], side="right")
    return np.minimum(at, len(weights) - 1)
