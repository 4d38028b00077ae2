"""Evaluation rows: what a model is evaluated on, with the relevant items and the candidates."""

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
"""Up to this many drawn candidates are kept for the next model (32 MiB).

If an evaluation has more, they are drawn again for each batch.
"""


@dataclass(frozen=True)
class Labelled:
    """Items with binary labels, grouped by evaluation row.

    Attributes:
        items: the item ids of each row.
        labels: bool [number of items], the label of each element of ``items.values``.
    """

    items: Ragged
    labels: np.ndarray

    @classmethod
    def of(cls, dataset: Dataset, rows: np.ndarray, items: Ragged) -> Labelled:
        """Return items with the labels that the log gives them.

        Args:
            dataset: the data set of the log. Its setting ``threshold`` derives the labels from a column; without it the
                column ``LABEL_FIELD`` holds them.
            rows: int64, the log row of each element of ``items.values``.
            items: the item ids of each evaluation row.

        Raises:
            UserError: there is no such column of numbers.
        """
        threshold, field = dataset.config["threshold"], dataset.config["LABEL_FIELD"]
        column, least = next(iter(threshold.items())) if threshold else (field, None)
        values = dataset.log.columns.get(column)
        if values is None or column in dataset.log.vocabulary:
            raise UserError(
                f"eval_args mode labeled: no numeric column {column!r} is loaded; load it with load_col, or derive "
                "labels from another column by threshold, like {rating: 4}"
            )
        labels = values[rows] > 0 if least is None else values[rows] >= least
        return cls(items, labels)

    def take(self, rows: np.ndarray) -> Labelled:
        """Return the items and labels of the rows with the given indices (int64), in that order."""
        starts, ends = self.items.offsets[rows], self.items.offsets[rows + 1]
        return Labelled(self.items.take(rows), self.labels[ranges(starts, ends)])


@dataclass(frozen=True, eq=False)
class EvalRows:
    """The inputs of an evaluation and the relevant items; each row is one ranking.

    Attributes:
        inputs: what ``full_sort_predict`` reads, one row per ranking.
        entity: int64 [rows], the user (or session) id of each row.
        positives: the relevant item ids of each row.
        history: item ids that the ranking of each row leaves out, because the user already has them.
        n_skipped: number of rows that are missing because forgetting left them without a relevant item or an input.
        like: the rows under another mask that shares many rows with this one, see :meth:`resembling`; or None.
        place: int64 [rows], index of the same row in ``like``, -1 if it is not there; None without ``like``.
        vocabulary: the tokens of ``"user"`` and ``"item"``; ties in score are ordered by tokens, or by ids if None.
        sampled: draws the candidates; None if all items are candidates.
        labelled: items with labels, in the mode ``labeled``; None in other modes.
        training: the data set that says how popular items are; None if popularity is not needed.
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
        """Return the candidates of rows ``start`` to ``stop - 1``, as :meth:`Sampled.draw` does.

        Small sets of draws are kept for the next model (:data:`DRAWS_KEPT`).

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
        if self.sampled is None or len(self.positives.values) * self.sampled.count > DRAWS_KEPT:
            return None
        return self.sampled.draw(self, 0, len(self.entity))

    def pairs(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Return the labelled items of rows ``start`` to ``stop - 1``, to compare their scores with their labels.

        In the mode ``labeled`` these are the items with a label. With drawn candidates they are the relevant items
        (label 1) and the drawn ones (label 0), repeated as often as drawn. Otherwise return None.

        Returns:
            Arrays [n], ordered by row: the row, int64 counted from ``start``; the item id, int64; and the label, bool.
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
        """Number of retained training interactions of each item, int64 [n_items].

        Raises:
            ValueError: the rows were made without ``training``.
        """
        if self.training is None:
            raise ValueError("these evaluation rows were made without training data")
        return np.bincount(self.training.log.item[self.training.train_rows], minlength=self.training.n_items)

    def hashes(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return 64-bit hashes of tokens: the chosen rows' entities (int64 [n]) and all items (int64 [n_items]).

        Without a vocabulary, return the entities' ids and None.
        """
        if self.vocabulary is None:
            return self.entity[rows], None
        return self.vocabulary["user"].hashes[self.entity[rows]], self.vocabulary["item"].hashes

    @property
    def number(self) -> np.ndarray:
        """What identifies each row in the data of one log, int64 [rows]: its example, or in CF its user."""
        return self.inputs.targets if isinstance(self.inputs, Questions) else self.entity

    def resembling(self, other: EvalRows, changed: np.ndarray) -> EvalRows:
        """Return these rows with :attr:`like` and :attr:`place` set, so that equal rows need no second computation.

        Args:
            other: evaluation rows of the same kind, ascending by :attr:`number`, under another mask or from a log that
                is the beginning of this one (the clean log, if this one has injected rows).
            changed: int64, ids of the entities whose rows may differ. All other rows with the same number must have the
                same inputs and histories in both.
        """
        place = np.searchsorted(other.number, self.number).clip(max=max(len(other.number) - 1, 0))
        if len(other.number):
            there = (other.number[place] == self.number) & ~np.isin(self.entity, changed)
        else:
            there = np.zeros(len(place), dtype=bool)
        return replace(self, like=other, place=np.where(there, place, -1))


class Questions:
    """Inputs of evaluation rows that are collated when a slice is accessed; all at once would take too much memory.

    Args:
        dataset: a data set whose mask does not change any more.
        targets: int64 [n], identifiers of the examples to evaluate.
    """

    def __init__(self, dataset: Dataset, targets: np.ndarray) -> None:
        self.dataset, self.targets = dataset, targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: Rows) -> Interaction:
        return self.dataset.collate(self.targets[index])
