"""Evaluation rows. Each row is one ranking: the model's input, the candidate items, and which items are relevant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from recbole.data.candidates import Sampled
from recbole.data.interaction import Interaction, Rows
from recbole.data.log import ranges
from recbole.data.vocabulary import Vocabulary
from recbole.utils import UserError

if TYPE_CHECKING:
    from recbole.data.dataset import Dataset
    from recbole.data.ragged import Ragged


DRAWS_KEPT = 2**21
"""Up to this number, the sampled candidates of an evaluation stay in memory (32 MiB) to evaluate several models.

If an evaluation has more, they are drawn again for each batch and model, with the same result.
"""


@dataclass(frozen=True)
class Labelled:
    """Items with binary labels from the data, grouped by evaluation row (for the evaluation mode ``labeled``).

    Attributes:
        items: the item ids of each evaluation row.
        labels: bool [number of items], the label of each element of ``items.values``.
    """

    items: Ragged
    labels: np.ndarray

    @classmethod
    def of(cls, dataset: Dataset, rows: np.ndarray, items: Ragged) -> Labelled:
        """Return items with their labels from the log.

        Args:
            dataset: the data set. With the setting ``threshold`` (a column and a number), the label is whether the
                column's value reaches the number. Otherwise it is whether the column ``LABEL_FIELD`` is above 0.
            rows: int64, the log row of each element of ``items.values``.
            items: the item ids of each evaluation row.

        Raises:
            UserError: the column is not loaded or holds tokens.
        """
        threshold, field = dataset.config["threshold"], dataset.config["LABEL_FIELD"]
        column, least = next(iter(threshold.items())) if threshold else (field, None)
        values = dataset.log.columns.get(column)
        if values is None or column in dataset.log.vocabulary:
            raise UserError(
                f"eval_args mode labeled: no numeric column {column!r} is loaded; load it with load_col, or derive "
                "labels from another column with threshold, like {rating: 4}"
            )
        labels = values[rows] > 0 if least is None else values[rows] >= least
        return cls(items, labels)

    def take(self, rows: np.ndarray) -> Labelled:
        """Return the items and labels of the rows with the given indices (int64), in that order."""
        starts, ends = self.items.offsets[rows], self.items.offsets[rows + 1]
        return Labelled(self.items.take(rows), self.labels[ranges(starts, ends)])


@dataclass(frozen=True, eq=False)
class EvalRows:
    """The rows of an evaluation: for each row a model ranks candidate items, some of which are relevant.

    Attributes:
        inputs: the inputs of the model's ``full_sort_predict``, one row per ranking.
        entity: int64 [rows], the user (or session) id of each row.
        positives: the relevant item ids of each row.
        history: for each row, the ids of items that are not candidates because the user already has them.
        n_skipped: number of users or targets without a row, because forgetting left no relevant item or no input.
        like: an evaluation of the data with other forgotten rows, many of whose rows equal rows of this one, so that
            their scores can be reused (see :meth:`resembling`); None if there is none.
        place: int64 [rows], index of the equal row in ``like``, -1 if there is none; None without ``like``.
        vocabulary: dict with the tokens of ``"user"`` and ``"item"``. Items with equal scores are ordered by a hash of
            the tokens, or of the ids if this is None.
        sampled: draws the candidates; None if all items are candidates.
        labelled: items with labels, in the mode ``labeled``; None in other modes.
        training: the data set whose training rows determine how popular items are; None if popularity is not needed.
    """

    inputs: Interaction | Questions
    entity: np.ndarray
    positives: Ragged
    history: Ragged
    n_skipped: int
    like: EvalRows | None = None
    place: np.ndarray | None = None
    vocabulary: Mapping[str, Vocabulary] | None = None
    sampled: Sampled | None = None
    labelled: Labelled | None = None
    training: Dataset | None = None

    def take(self, rows: np.ndarray) -> EvalRows:
        """Return the rows with the given indices (int64), in that order."""
        return replace(
            self,
            inputs=self.inputs[rows],
            entity=self.entity[rows],
            positives=self.positives.take(rows),
            history=self.history.take(rows),
            like=None,
            place=None,
            labelled=None if self.labelled is None else self.labelled.take(rows),
        )

    @property
    def restricted(self) -> bool:
        """Whether any item besides the padding is excluded from the candidates."""
        return self.sampled is not None or len(self.history.values) > 0

    def drawn(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the sampled irrelevant candidates of rows ``start`` to ``stop - 1``.

        If an evaluation has at most :data:`DRAWS_KEPT` of them, they are drawn once and kept for further models.

        Returns:
            Two int64 arrays ordered by row: the row of each candidate, counted from ``start``, and its item id.

        Raises:
            ValueError: all items are candidates, so none are drawn.
        """
        if self.sampled is None:
            raise ValueError("all items are candidates, so none are drawn")
        if self._kept is None:
            return self.sampled.draw(self, start, stop)
        row, item = self._kept
        some = slice(*np.searchsorted(row, (start, stop)))
        return row[some] - start, item[some]

    @cached_property
    def _kept(self) -> tuple[np.ndarray, np.ndarray] | None:
        """The result of :meth:`drawn` for all rows; None if it has too many candidates to be kept in memory."""
        if self.sampled is None or len(self.positives.values) * self.sampled.count > DRAWS_KEPT:
            return None
        return self.sampled.draw(self, 0, len(self.entity))

    def pairs(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Return items of rows ``start`` to ``stop - 1`` with labels, for metrics such as AUC that need labels.

        In the mode ``labeled`` these are the items that have a label in the log. With drawn candidates they are the
        relevant items (label True) and the drawn ones (label False; an item drawn twice is listed twice).

        Returns:
            Three arrays [n], ordered by row: the row (int64, counted from ``start``), the item id (int64) and the label
            (bool). None in the mode ``full``.
        """
        chosen = np.arange(start, stop)
        if self.labelled is not None:
            some = self.labelled.take(chosen)
            return np.repeat(chosen - start, some.items.sizes()), some.items.values, some.labels
        if self.sampled is None:
            return None
        right = self.positives.take(chosen)
        row, item = self.drawn(start, stop)
        rows = np.concatenate([np.repeat(chosen - start, right.sizes()), row])
        order = np.argsort(rows, kind="stable")  # the result is then independent of how rows are cut into batches
        return rows[order], np.concatenate([right.values, item])[order], order < len(right.values)

    @cached_property
    def training_counts(self) -> np.ndarray:
        """Number of training interactions of each item that are not forgotten, int64 [n_items].

        Raises:
            ValueError: the attribute ``training`` is None.
        """
        if self.training is None:
            raise ValueError("these evaluation rows were made without training data")
        return np.bincount(self.training.log.item[self.training.train_rows], minlength=self.training.n_items)

    def hashes(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return 64-bit hashes of tokens: of the users (or sessions) of chosen rows, and of all items.

        Args:
            rows: int64 [n], indices of rows.

        Returns:
            int64 [n] and int64 [n_items]. If there is no vocabulary: the ids of the users (or sessions), and None.
        """
        if self.vocabulary is None:
            return self.entity[rows], None
        return self.vocabulary["user"].hashes[self.entity[rows]], self.vocabulary["item"].hashes

    @property
    def number(self) -> np.ndarray:
        """Identifier of each row, int64 [rows], unchanged by forgetting: that of its example, or in CF the user id."""
        return self.inputs.targets if isinstance(self.inputs, Questions) else self.entity

    def resembling(self, other: EvalRows, changed: np.ndarray) -> EvalRows:
        """Return a copy that refers to equal rows of another evaluation, whose scores can then be reused.

        In the copy, :attr:`like` is the other evaluation, and :attr:`place` has the position of the equal row in it.

        Args:
            other: evaluation rows of the same kind, ascending by :attr:`number`: from the same log with other forgotten
                rows, or, if this log contains spam, from the log without the spam.
            changed: int64, ids of the users (or sessions) whose rows may differ. For all others, rows with the same
                number must have the same inputs and histories in both evaluations.
        """
        place = np.searchsorted(other.number, self.number).clip(max=max(len(other.number) - 1, 0))
        if len(other.number):
            there = (other.number[place] == self.number) & ~np.isin(self.entity, changed)
        else:
            there = np.zeros(len(place), dtype=bool)
        return replace(self, like=other, place=np.where(there, place, -1))


class Questions:
    """The inputs of evaluation rows in SBR and NBR, built only when they are indexed, because all take too much memory.

    Indexing, such as with a slice, returns the batch of the chosen rows.

    Args:
        dataset: a data set in which no further row may be forgotten.
        targets: int64 [n], identifiers of the examples to evaluate.
    """

    def __init__(self, dataset: Dataset, targets: np.ndarray) -> None:
        self.dataset, self.targets = dataset, targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: Rows) -> Interaction:
        return self.dataset.collate(self.targets[index])
