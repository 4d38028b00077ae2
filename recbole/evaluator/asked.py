"""A model that is asked many questions: nothing is scored or ranked twice."""

from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch

from recbole.data import EvalRows
from recbole.evaluator.kinds import Ids, Recommender
from recbole.evaluator.scores import of_candidates, ranked, rows_at_once, score_batches, top_items, without_nan

Batches = Callable[[int, torch.Tensor], None]
"""What is given each batch of scores, with the number of its first row."""

SCORES_KEPT = 2**24
"""How many scores of a model are kept for the next question about the same rows: 64 MiB of float32."""

SHORTEST, DEEPEST = 10, 100
"""Lists are at least so long, for those who ask for other lengths of the same rows; the second of the whole catalogue,
where distances look at a hundred places."""


Found = TypeVar("Found")


class Asked:
    """A model that stays as it is while it is asked, and what it has answered; a recommender like the model itself.

    The lists of rows are kept as long as the rows are; of rows that resemble others (:attr:`EvalRows.like`) those alone
    are ranked that differ. Of the rows that were last asked about with the whole catalogue as candidates the scores are
    kept too, unless they are more than :data:`SCORES_KEPT`.

    Args:
        model: any recommender; its parameters stay as they are from now on.

    Attributes:
        tied: the largest share of rows in which the last place of a list was shared, and that place.
        told: whether that has been told.
    """

    def __init__(self, model: Recommender) -> None:
        self.model, self.n_items = model, model.n_items
        self.tied, self.told = (0.0, 0), False
        self._lists: WeakKeyDictionary[EvalRows, dict[bool, Ids]] = WeakKeyDictionary()
        self._known: WeakKeyDictionary[EvalRows, dict[Hashable, Any]] = WeakKeyDictionary()
        self._scored: tuple[EvalRows, torch.Tensor] | None = None

    @classmethod
    def of(cls, model: "Recommender | Asked") -> "Asked":
        """Return the model with what it has answered, nothing if it was not asked yet."""
        return model if isinstance(model, cls) else cls(model)

    def eval(self) -> Any:
        """Put the model in evaluation mode."""
        return self.model.eval()

    def parameters(self) -> Iterator[Any]:
        """Return the model's parameters."""
        return self.model.parameters()

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Return the model's scores of all items."""
        return self.model.full_sort_predict(interaction)

    def once(self, rows: EvalRows, question: Hashable, find: Callable[[], Found]) -> Found:
        """Return what ``find`` returns for a question about rows: it is called the first time alone.

        Args:
            rows: the answer is kept as long as they are.
            question: what is asked, with all that the answer depends on beside model and rows.
            find: computes the answer, which nobody writes to.
        """
        known = self._known.setdefault(rows, {})
        if question not in known:
            known[question] = find()
        return known[question]

    def lists(
        self, rows: EvalRows, k: int, masked: bool = True, batch_rows: int = 4096, each: Batches | None = None
    ) -> Ids:
        """Return the ``k`` best items of each row: see :func:`~recbole.evaluator.scores.best_of`.

        Args:
            rows: the questions.
            k: length of the lists.
            masked: leave out each row's history, or let the whole catalogue compete.
            batch_rows: at most so many rows are scored at a time.
            each: also gets every batch of scores, with the number of its first row: [batch, n_items] on the model's
                device, minus infinity for what is no candidate or no number. All rows are scored for it.

        Returns:
            int64 [rows, k], best first, 0 where a list has ended, -1 throughout where a score of the row is no number;
            not to be written to.
        """
        different = rows.restricted  # else both lists are those of utility, too
        known, masked = self._lists.setdefault(rows, {}), masked and different
        if each is not None or masked not in known or known[masked].shape[1] < k:
            length = max(k, SHORTEST if masked or not different else DEEPEST)
            known[masked] = self._listed(rows, length, masked, batch_rows, each)
        return known[masked][:, :k]

    def scores(
        self, rows: EvalRows, masked: bool = False, batch_rows: int = 4096
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield what :func:`~recbole.evaluator.scores.score_batches` does, of scores that are kept where they are.

        Args:
            rows: the questions.
            masked: leave out each row's history, or let the whole catalogue compete.
            batch_rows: at most so many rows are scored at a time.

        Yields:
            The number of the first row, and float scores [batch, n_items], not to be written to.
        """
        kept = self._kept(rows, batch_rows)
        if kept is None:
            yield from self._keeping(rows, masked, batch_rows)
            return
        step, _ = rows_at_once(self, batch_rows)
        for start in range(0, len(rows.inputs), step):
            scores = kept(slice(start, start + step))
            yield start, of_candidates(scores.clone(), rows, start) if masked else scores

    def _kept(self, rows: EvalRows, batch_rows: int) -> Callable[[slice], torch.Tensor] | None:
        """Return what gives the scores of a batch of the rows from those that are kept; None if they are of others."""
        if self._scored is None or (self._scored[0] is not rows and self._scored[0] is not rows.like):
            return None
        of, scores = self._scored
        if of is rows or rows.place is None:
            return lambda batch: scores[batch]
        place = torch.from_numpy(rows.place).to(scores.device)
        new = np.flatnonzero(rows.place < 0)
        others = [part for _, part in score_batches(self.model, rows.take(new), False, batch_rows)]
        fresh = torch.cat([scores[:0], *others])

        def batch_of(batch: slice) -> torch.Tensor:
            """Return the scores of a batch, those of the new rows put among the others."""
            found = scores[place[batch]]
            first, stop = np.searchsorted(new, (batch.start, batch.stop))
            found[place[batch] < 0] = fresh[first:stop]
            return found

        return batch_of

    def _keeping(self, rows: EvalRows, masked: bool, batch_rows: int) -> Iterator[tuple[int, torch.Tensor]]:
        """Score the rows, and keep the scores if they are of the whole catalogue and not too many."""
        n_rows, kept = len(rows.inputs), None
        for start, scores in score_batches(self.model, rows, masked, batch_rows):
            if not masked and n_rows * self.n_items <= SCORES_KEPT:
                kept = scores.new_empty(n_rows, scores.shape[1]) if kept is None else kept
                kept[start : start + len(scores)] = scores
            yield start, scores
        if kept is not None:
            self._scored = rows, kept

    def _listed(self, rows: EvalRows, k: int, masked: bool, batch_rows: int, each: Batches | None) -> Ids:
        other = None if rows.like is None else self._lists.get(rows.like, {}).get(masked)
        if each is None and rows.place is not None and other is not None and other.shape[1] >= k:
            best, new = other[rows.place, :k], np.flatnonzero(rows.place < 0)
            best[new] = top_items(self.model, rows.take(new), k, masked, batch_rows)
            return best
        best, tied = np.zeros((len(rows.inputs), k), dtype=np.int64), 0
        for start, scores in self.scores(rows, masked, batch_rows):
            best[start : start + len(scores)], shared = ranked(scores, k, rows, start)
            tied += shared
            if each is not None:
                each(start, without_nan(scores))
        self.tied = max(self.tied, (tied / max(len(best), 1), k))
        return best
