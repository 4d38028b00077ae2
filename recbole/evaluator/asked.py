"""A cache around a model under evaluation, so that no part of an evaluation repeats the work of another."""

from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch

from recbole.data import EvalRows
from recbole.evaluator.kinds import Ids, Recommender
from recbole.evaluator.scores import of_candidates, ranked, rows_at_once, score_batches, top_items, without_nan

Batches = Callable[[int, torch.Tensor], None]
"""A callback that receives each batch of scores together with the index of the batch's first row."""

SCORES_KEPT = 2**24
"""The most scores of a model that are cached, for the next evaluation on the same rows: 64 MiB of float32."""

SHORTEST, DEEPEST = 10, 100
"""The minimum length of a cached top-k list. Later calls with a larger k can then use the cached list.

``SHORTEST`` applies if the items of each row's history are excluded. ``DEEPEST`` applies if all items are candidates,
because the distances between models compare the first 100 ranks.
"""


Found = TypeVar("Found")
"""The type of a cached result."""


class Asked:
    """A model under evaluation together with its cached top-k lists and scores. It can be used in place of the model.

    Top-k lists are cached as long as the ``EvalRows`` object exists that they were computed for. If evaluation rows
    mostly repeat earlier ones (:attr:`EvalRows.like`), only rows that differ are ranked. The scores of the last rows
    are cached too, if all items were candidates and there are at most :data:`SCORES_KEPT` scores.

    Args:
        model: any recommender. Its parameters must not change from now on.

    Attributes:
        tied: ``(share, k)``: how often rank k was decided by tie-breaking. In this share of rows the item at rank k has
            the same score as an item that is not in the list; it is the largest share among all lists computed so far.
        told: whether the log line about these ties has been written.
    """

    def __init__(self, model: Recommender) -> None:
        self.model, self.n_items = model, model.n_items
        self.tied, self.told = (0.0, 0), False
        self._lists: WeakKeyDictionary[EvalRows, dict[bool, Ids]] = WeakKeyDictionary()
        self._known: WeakKeyDictionary[EvalRows, dict[Hashable, Any]] = WeakKeyDictionary()
        self._scored: tuple[EvalRows, torch.Tensor] | None = None

    @classmethod
    def of(cls, model: "Recommender | Asked") -> "Asked":
        """Return ``model`` itself if it is already an :class:`Asked`, else wrap it with an empty cache."""
        return model if isinstance(model, cls) else cls(model)

    def eval(self) -> Any:
        """Put the model in evaluation mode."""
        return self.model.eval()

    def parameters(self) -> Iterator[Any]:
        """Return an iterator over the model's parameters."""
        return self.model.parameters()

    def full_sort_predict(self, interaction: Any) -> torch.Tensor:
        """Return the model's scores for all items, shape [batch, n_items] or flattened."""
        return self.model.full_sort_predict(interaction)

    def once(self, rows: EvalRows, question: Hashable, find: Callable[[], Found]) -> Found:
        """Return the result of ``find()``, which is called only on the first call with these rows and this key.

        Args:
            rows: the evaluation rows. The result stays cached as long as the object ``rows`` exists.
            question: the key of the result in the cache. It must contain everything that the result depends on, except
                the model and the rows.
            find: function that computes the result. The result must not be modified afterwards.
        """
        known = self._known.setdefault(rows, {})
        if question not in known:
            known[question] = find()
        return known[question]

    def lists(
        self, rows: EvalRows, k: int, masked: bool = True, batch_rows: int = 4096, each: Batches | None = None
    ) -> Ids:
        """Return the item ids of the ``k`` best items of each row; see :func:`~recbole.evaluator.scores.best_of`.

        Args:
            rows: the evaluation rows.
            k: length of the lists.
            masked: True ranks only the candidates: all items except those in the row's history, or, if candidates are
                sampled, the sampled and the relevant items. False ranks the whole catalogue.
            batch_rows: the most rows that are scored at once.
            each: a callback that receives the index of each batch's first row, and the batch's scores. The scores have
                shape [batch, n_items], are on the model's device, and are minus infinity for items that are not ranked
                and where the model returned NaN. With a callback all rows are scored, even if their lists are cached.

        Returns:
            Item ids, int64 [rows, k], best first. A list with fewer than k ranked items ends with 0. If a row has a NaN
                score, its whole list is -1. The array is cached: do not modify it.
        """
        different = rows.restricted  # if False, all items are candidates: masked and unmasked lists are equal
        known, masked = self._lists.setdefault(rows, {}), masked and different
        if each is not None or masked not in known or known[masked].shape[1] < k:
            length = max(k, SHORTEST if masked or not different else DEEPEST)
            known[masked] = self._listed(rows, length, masked, batch_rows, each)
        return known[masked][:, :k]

    def scores(
        self, rows: EvalRows, masked: bool = False, batch_rows: int = 4096
    ) -> Iterator[tuple[int, torch.Tensor]]:
        """Compute a model's scores of all items, batch by batch, or take them from the cache.

        The cache is used if these rows, or those that they mostly repeat (:attr:`EvalRows.like`), were scored last.

        Args:
            rows: the evaluation rows.
            masked: True sets items that are no candidates (such as each row's history) to minus infinity, False keeps
                the scores of the whole catalogue.
            batch_rows: the most rows that are scored at once.

        Yields:
            ``(start, scores)``: the index of the batch's first row, and the scores, float [batch, n_items], which must
                not be modified. See :func:`~recbole.evaluator.scores.score_batches`.
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
        """Return a function from a slice of the rows to their scores, based on the cache.

        If the cache holds the scores of ``rows.like`` instead, the rows that differ are scored now. None if the cache
        holds neither.
        """
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
            """Return the scores of a batch, from the cache and, for rows that are not cached, from the new scores."""
            found = scores[place[batch]]
            first, stop = np.searchsorted(new, (batch.start, batch.stop))
            found[place[batch] < 0] = fresh[first:stop]
            return found

        return batch_of

    def _keeping(self, rows: EvalRows, masked: bool, batch_rows: int) -> Iterator[tuple[int, torch.Tensor]]:
        """Compute and yield scores as :meth:`scores` does; cache at most :data:`SCORES_KEPT` of unmasked scores."""
        n_rows, kept = len(rows.inputs), None
        for start, scores in score_batches(self.model, rows, masked, batch_rows):
            if not masked and n_rows * self.n_items <= SCORES_KEPT:
                kept = scores.new_empty(n_rows, scores.shape[1]) if kept is None else kept
                kept[start : start + len(scores)] = scores
            yield start, scores
        if kept is not None:
            self._scored = rows, kept

    def _listed(self, rows: EvalRows, k: int, masked: bool, batch_rows: int, each: Batches | None) -> Ids:
        """Compute the lists that :meth:`lists` returns; the lists of rows that ``rows.like`` also has are copied."""
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
