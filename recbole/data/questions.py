"""What a model is asked in an evaluation."""

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
"""So many drawn candidates of some rows are kept: 32 MiB; of more rows they are drawn again for each batch."""


@dataclass(frozen=True)
class Labelled:
    """Items with labels, some for each row.

    Attributes:
        items: the items of each row.
        labels: bool, of each of them.
    """

    items: Ragged
    labels: np.ndarray

    @classmethod
    def of(cls, dataset: Dataset, rows: np.ndarray, items: Ragged) -> Labelled:
        """Return what the log says of the items.

        Args:
            dataset: whose log it is; its ``threshold`` makes labels of a column, else ``LABEL_FIELD`` holds them.
            rows: int64, the log row of each item.
            items: the items of each row of the questions.

        Raises:
            UserError: there is no such column.
        """
        threshold, field = dataset.config["threshold"], dataset.config["LABEL_FIELD"]
        column, least = next(iter(threshold.items())) if threshold else (field, None)
        values = dataset.log.columns.get(column)
        if values is None or column in dataset.log.vocabulary:
            raise UserError(
                f"eval_args mode labeled: there are no numbers in a column {column!r}; load it with load_col, or make "
                "labels of another one by threshold, like {rating: 4}"
            )
        labels = values[rows] > 0 if least is None else values[rows] >= least
        return cls(items, labels)

    def take(self, rows: np.ndarray) -> Labelled:
        """Return those of the chosen rows (int64, in their order)."""
        starts, ends = self.items.offsets[rows], self.items.offsets[rows + 1]
        return Labelled(self.items.take(rows), self.labels[ranges(starts, ends)])


@dataclass(frozen=True, eq=False)
class EvalRows:
    """What a model is asked, and what would be right; one row a question. Each object is equal to itself alone.

    Attributes:
        inputs: what ``full_sort_predict`` reads, one row a question.
        entity: int64 [rows], the user (or session) that a row belongs to.
        positives: the right items of each row.
        history: the items that a ranking leaves out because the user already has them.
        n_skipped: rows that the split would have but the mask left nothing of.
        like: other rows, if many of these are the same questions there; see :meth:`resembling`.
        place: int64 [rows], where among them each is, -1 where it is not; None without ``like``.
        vocabulary: the log's, of "user" and "item": tokens decide the order of equal scores. Without it ids do.
        sampled: which wrong items are candidates, where only some are; None for all.
        labelled: items with a label, where the split's rows have one; None without.
        training: the data that say how popular items are; None where nobody is to ask.
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
        """Return the chosen rows (int64, in their order)."""
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
        """Whether anything but padding is no candidate."""
        return self.sampled is not None or len(self.history.values) > 0

    def drawn(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Return what :meth:`Sampled.draw` does for some rows; of few pairs it is kept for the next model.

        Raises:
            ValueError: nothing is drawn for these rows.
        """
        if self.sampled is None:
            raise ValueError("all items are candidates")
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
        """Return the items of some rows whose scores are held against labels; None where there are none.

        These are the labelled ones; else the right ones, and the wrong ones that are drawn for each, as often as they
        are drawn.

        Returns:
            The row of each, int64 from 0 for ``start``, the item, int64, and whether its label is 1, bool.
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
        order = np.argsort(rows, kind="stable")  # then nothing depends on how rows are cut
        return rows[order], np.concatenate([right.values, item])[order], order < len(right.values)

    @cached_property
    def training_counts(self) -> np.ndarray:
        """How many interactions of each item the model was trained on, int64 [n_items]."""
        if self.training is None:
            raise ValueError("these rows do not know the training data")
        return np.bincount(self.training.log.item[self.training.train_rows], minlength=self.training.n_items)

    def hashes(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Return 64 bits of the token of the chosen rows' entities (int64), and of each item, int64 [n_items].

        Without a vocabulary the entities' ids and None.
        """
        if self.vocabulary is None:
            return self.entity[rows], None
        return self.vocabulary["user"].hashes[self.entity[rows]], self.vocabulary["item"].hashes

    @property
    def number(self) -> np.ndarray:
        """What names each question in data of one log, int64 [rows]: its example or, where it has none, its entity."""
        return self.inputs.targets if isinstance(self.inputs, Questions) else self.entity

    def resembling(self, other: EvalRows, changed: np.ndarray) -> EvalRows:
        """Return these rows with the knowledge of which of them ask the same as rows of ``other``.

        Args:
            other: rows of the same kind under another mask, or of a log that this one begins with; ascending by number.
            changed: int64, the entities of which rows may differ. Others' rows of the same number have the same inputs
                and histories in both.
        """
        place = np.searchsorted(other.number, self.number).clip(max=max(len(other.number) - 1, 0))
        if len(other.number):
            there = (other.number[place] == self.number) & ~np.isin(self.entity, changed)
        else:
            there = np.zeros(len(place), dtype=bool)
        return replace(self, like=other, place=np.where(there, place, -1))


class Questions:
    """Inputs of evaluation rows that are made when a slice of them is asked for; all at once they would be too large.

    Args:
        dataset: under a mask that stays as it is.
        targets: int64 [n], the examples to ask about.
    """

    def __init__(self, dataset: Dataset, targets: np.ndarray) -> None:
        self.dataset, self.targets = dataset, targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: Rows) -> Interaction:
        return self.dataset.collate(self.targets[index])
