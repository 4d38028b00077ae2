"""How forgetting changes the losses of retained examples through the negatives that training draws for them.

Training draws negatives from the items that a user has not interacted with. A forgotten item is one of these from then
on, so it becomes a possible negative for the user's other examples. With popularity sampling, it is also drawn less
often for all other users.

Let an item ``i`` be proposed with weight ``w_i`` (uniform: 1; popularity: its training count to the power ``alpha``),
and rejected if the user has interacted with it. Let ``w`` be the weights before forgetting and ``w'`` those after it.
Let ``a_f`` be the increase in weight of an item ``f`` among a user's possible negatives: ``w'_f`` if it has just become
one, ``w'_f - w_f`` if it was one before, and 0 if it is none. Let ``Z`` and ``Z' = Z + sum_f a_f`` be the total weights
of the user's possible negatives before and after, ``l_i`` the loss of an example with the negative ``i``, including its
regulariser, and ``mean_old l`` and ``mean_new l`` its expectations before and after. Then the example's expected loss
changes by::

    sum_f a_f (l_f - mean_old l) / Z'  =  sum_f a_f (l_f - mean_new l) / Z

The right-hand side is what is computed; for ``mean_new l``, negatives are drawn as they are after forgetting. Averaging
over several negatives per positive has the same expectation. A pointwise loss, which is the mean over a positive and
its ``k`` negatives, changes by ``k / (1 + k)`` times this amount.

There is no such change for a sampler that rejects only the target, as in session-based recommendation, nor for a model
that draws no negatives (a softmax over the catalogue, all pairs, closed forms). The contrastive losses within a batch
of SGL and DCCF, and negatives that a model draws by itself, as in SimRec, do not follow this formula and are not
included.
"""

import numpy as np

from recbole.data import Interaction
from recbole.data.ids import distinct, held, without
from recbole.data.interaction import cat_interactions
from recbole.data.split import TRAIN
from recbole.unlearning.case import Case
from recbole.utils import InputType

MOST_SCORES = 2**22
"""Largest number of (example, item) scores for an exact mean over all possible negatives of some examples.

With more, :data:`DRAWN` draws per example estimate the mean.
"""

DRAWN = 64
"""Number of negatives drawn per example to estimate the mean over all possible ones, if these are too many."""

FEW = 8
"""Number of negatives drawn per example of the requesting users to estimate ``mean_new l`` in the module's formula.

Few are enough, because this term is a small part of the change.
"""

MOST_ROWS = 2**18
"""Largest number of (example, negative) rows in a sum of losses; a longer sum is estimated from this many drawn rows.

Exact means over all possible negatives (:data:`MOST_SCORES`) are never estimated in this way.
"""

PIECE = 2**16
"""Number of rows per batch, which limits the memory that computing their losses takes."""

MOST_WEIGHTS = 64
"""Largest number of distinct row weights in a sum of losses, other than an exact mean over all possible negatives.

With more, the sum is estimated from rows drawn in proportion to the size of their weights. The drawn rows then share
one weight for each sign.
"""

Weighted = list[tuple[Interaction, float]]
"""Batches, each with the weight of its loss sum."""


class NegativesChange:
    """Computes how requests change the expected training losses of examples through the negatives that can be drawn.

    Methods return a change as weighted batches: the batches' loss sums, times their weights, add up to it. The formula
    is in the module's docstring.

    Args:
        case: the requests, whose rows (interactions) are already marked as forgotten.

    Attributes:
        rows: int64, the newly forgotten training interactions, as row indices of the log.
        items: int64, ascending, ids of the items in ``rows``.
        old, new: float64 [n_items], the weights ``w`` before forgetting and ``w'`` after it with which items are
            proposed as negatives. Set only if the negatives depend on the user.
        applies: whether there is any change: the negatives depend on the user, and a training interaction was
            forgotten.
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
        """Return the change of the expected losses of the requesting users' examples.

        These are the examples that contained a forgotten interaction, as they were before, and a sample of these users'
        other retained examples. The former are included because the gradient before forgetting
        (:meth:`InfluenceAlgorithm.observe <recbole.unlearning.influence.InfluenceAlgorithm.observe>`) uses negatives
        that are drawn as they are after forgetting. Subtracting the change turns it into the gradient for the negatives
        before forgetting.

        Args:
            times: number of negatives drawn per example to estimate ``mean_new l``; 0 uses all possible negatives.

        Returns:
            Weighted batches; an empty list if there is no change.
        """
        if not self.applies:
            return []
        change = self.case.change
        own = without(self.data.examples_of(change.entities), change.left)
        own, share = self.case.some(own, 4096, "change of negatives")
        batch = cat_interactions([change.before, self.data.collate(own)])
        return self._change(batch, np.repeat([1.0, 1 / share], [len(change.before), len(own)]), times)

    def of_others(self, n: int, times: int = 1) -> Weighted:
        """Return the change of the expected losses of all other users' examples, estimated from a sample of them.

        Args:
            n: the largest number of examples in the sample.
            times: number of negatives drawn per example to estimate ``mean_new l``; 0 uses all possible negatives.

        Returns:
            Weighted batches; an empty list if negatives are drawn uniformly, because these losses then do not change.
        """
        if not self.applies or np.array_equal(self.old, self.new):
            return []
        own = self.data.examples_of(self.case.change.entities)
        others = without(self.case.retained_examples(n, "negatives of others"), own)
        scale = (self.case.bench.n_train - len(own)) / max(len(others), 1)
        return self._change(self.data.collate(others), np.full(len(others), scale), times)

    def expected(self, batch: Interaction, scale: float = 1.0) -> Weighted:
        """Return weighted batches whose loss is each example's expected loss over its negatives, summed over examples.

        Negatives are as possible and as likely as after forgetting. The expectation is exact up to :data:`MOST_SCORES`
        scores, otherwise estimated from :data:`DRAWN` drawn negatives per example.

        Args:
            batch: positives, for a model with a pairwise loss.
            scale: weight of the loss of each example.
        """
        return self._mean(batch, np.full(len(batch), scale), 0, "expected")

    def cheap(self, batch: Interaction) -> bool:
        """Return whether :meth:`expected` computes at most :data:`MOST_ROWS` scores for a batch.

        Always False unless negatives are drawn uniformly from the items that the user does not have.
        """
        uniform = self.negatives.by_person and self.negatives.sampler.popularity is None
        return uniform and len(batch) * self.data.n_items <= MOST_ROWS

    # --- weights -------------------------------------------------------------------------------------------------

    def _keys(self, rows: np.ndarray) -> np.ndarray:
        """Return the number ``user * n_items + item`` of each given row of the log (int64 indices), int64 [rows]."""
        return self.data.log.user[rows] * self.data.n_items + self.data.log.item[rows]

    def _held(self, people: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the (user, item) pairs of some users' training interactions, as numbers like those of :meth:`_keys`.

        Args:
            people: int64, user ids.

        Returns:
            Two int64 arrays, ascending: the pairs after forgetting (of retained interactions), and the pairs before
            forgetting (of retained and newly forgotten ones).
        """
        rows = self.data.log.rows_of(people)
        keys, left = self._keys(rows), self.data.in_training(rows)
        return distinct(keys[left]), distinct(keys[left | held(rows, self.rows)])

    def _shift(self, people: np.ndarray) -> np.ndarray:
        """Return ``a_f / Z`` of the module's formula for each given user and each item of ``self.items``.

        Args:
            people: int64, ascending, user ids.

        Returns:
            float64 [users, items], the increase in the weight of the item among the user's possible negatives, divided
            by the total weight of these negatives before forgetting.
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
        """Return the probability of each item as a user's negative after forgetting, float64 [users, n_items].

        Args:
            people: int64, ascending, user ids.
        """
        held_now = self._held(people)[0]
        share = np.tile(self.new, (len(people), 1))
        share[np.searchsorted(people, held_now // self.data.n_items), held_now % self.data.n_items] = 0.0
        return share / share.sum(axis=1, keepdims=True)

    def _people(self, batch: Interaction) -> tuple[np.ndarray, np.ndarray]:
        """Return a batch's distinct user ids (int64, ascending), and for each example the position of its user's id."""
        users = batch[self.negatives.given].cpu().numpy()
        people = distinct(users)
        return people, np.searchsorted(people, users)

    # --- batches -------------------------------------------------------------------------------------------------

    def _change(self, batch: Interaction, scale: np.ndarray, times: int) -> Weighted:
        """Return weighted batches whose losses add up to the change of the expected losses of examples.

        Args:
            batch: the examples, without negatives.
            scale: float64 [batch], a factor for the change of each example's loss.
            times: number of negatives drawn per example to estimate ``mean_new l``; 0 uses all possible negatives.
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
        """Return weighted batches whose losses add up to the examples' expected losses after forgetting, weighted.

        Args:
            batch: the examples, without negatives.
            weights: float64 [batch], the factor of each example's expected loss.
            times: number of negatives drawn per example to estimate the expectation. 0 uses all possible negatives, or
                :data:`DRAWN` draws if there are more than :data:`MOST_SCORES` (example, item) pairs.
            name: part of the name of the random generator that draws the negatives.
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
        """Group rows that have individual weights into batches whose rows share one weight.

        A row is an example with one negative. If there are more than ``most`` rows, or more than :data:`MOST_WEIGHTS`
        distinct weights, rows with positive weights and rows with negative weights are each sampled (at most ``most``),
        so that the weighted sum of losses is an unbiased estimate.

        Args:
            batch: the examples, without negatives.
            example: int64 [rows], the index in ``batch`` of each row's example.
            items: int64 [rows], the item id of each row's negative.
            weights: float64 [rows], the weight of each row's loss.
            most: see above; ``None`` never samples.
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
        """Return rows with the same weight as batches of at most :data:`PIECE` rows.

        ``batch``, ``example`` and ``items`` are as in :meth:`_batches`.
        """
        parts = [slice(at, at + PIECE) for at in range(0, len(example), PIECE)]
        return [(self.negatives.alone(batch[example[part]], items[part]), weight) for part in parts]


def _systematic(weights: np.ndarray, n: int, generator: np.random.Generator) -> np.ndarray:
    """Draw ``n`` positions in ``weights`` by systematic sampling, with probabilities in proportion to the weights.

    Args:
        weights: float64, all above 0.
        n: number of positions.
        generator: random generator, from which one number is taken.

    Returns:
        int64 [n], ascending. A position whose weight exceeds ``1 / n`` of the total can occur several times.
    """
    ends = np.cumsum(weights)
    at = np.searchsorted(ends, (np.arange(n) + generator.random()) / n * ends[-1], side="right")
    return np.minimum(at, len(weights) - 1)
