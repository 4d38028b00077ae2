"""What a model is asked in an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from recbole.data.interaction import Interaction, Rows
from recbole.data.vocabulary import Vocabulary

if TYPE_CHECKING:
    from recbole.data.dataset import Dataset
    from recbole.data.ragged import Ragged


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
    """

    inputs: Interaction | Questions
    entity: np.ndarray
    positives: Ragged
    history: Ragged
    n_skipped: int
    like: EvalRows | None = None
    place: np.ndarray | None = None
    vocabulary: Mapping[str, Vocabulary] | None = None

    def take(self, rows: np.ndarray) -> EvalRows:
        """Return the chosen rows (int64, in their order)."""
        parts = self.positives.take(rows), self.history.take(rows)
        return EvalRows(self.inputs[rows], self.entity[rows], *parts, self.n_skipped, vocabulary=self.vocabulary)

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
