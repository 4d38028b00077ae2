"""Session-based recommendation: a training example is an item together with the items before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recbole.data.dataset import AtomicDataset
from recbole.data.ids import distinct, held
from recbole.data.interaction import Interaction
from recbole.data.log import InteractionLog, labels_in_order, sort_key, together
from recbole.data.questions import EvalRows, Labelled, Questions
from recbole.data.ragged import Ragged
from recbole.data.split import HISTORY, SPLITS, TRAIN, split_labels
from recbole.utils import UserError

if TYPE_CHECKING:
    from recbole.config import Config


class SequentialDataset(AtomicDataset):
    """Data for session-based recommendation: an example is a target item to predict from the items before it (prefix).

    The log row of the target identifies the example. A user (or session) with L rows has L - 1 examples, whose split
    labels never change; the first row is the target of no example. The prefix depends on the mask: it consists of the
    last ``MAX_ITEM_LIST_LENGTH`` *retained* rows before the target. If one of them is forgotten, an older row takes its
    place. A forgotten target, or one without a retained row before it, is no example.

    Prefixes are cut out of the log when a batch is built, while RecBole stores every prefix, padded, for every column.
    """

    task_type = "SBR"

    def __init__(self, config: Config, log: InteractionLog, forgotten: np.ndarray | None = None) -> None:
        super().__init__(config, log, forgotten)
        self.max_length = config["MAX_ITEM_LIST_LENGTH"]
        self.list_suffix = config["LIST_SUFFIX"]
        self.length_field = config["ITEM_LIST_LENGTH_FIELD"]
        self.trims = bool(config["MODEL_TRIMS"])

    @staticmethod
    def label(config: Config, log: InteractionLog) -> np.ndarray:
        """Return the split label (int8) of every row. The first row of each user is ``HISTORY``: no example's target.

        The examples of each user, or of all users together, are split in the order of time.

        Raises:
            UserError: ``eval_args`` has ``order: RO``, which RecBole refuses too: a shuffled sequence has no next item.
        """
        how = config["eval_args"]
        if how["order"] != "TO":
            raise UserError(
                f"eval_args: order {how['order']} is not possible for sequences, which are ordered by time (the column "
                "that TIME_FIELD names); set order: TO"
            )
        sizes = np.diff(log.offsets)
        labels = np.full(len(log), HISTORY, dtype=np.int8)
        target = np.ones(len(log), dtype=bool)
        target[log.offsets[:-1][sizes > 0]] = False
        if together(config):
            labels[target] = labels_in_order(sort_key(log, config, config["TIME_FIELD"])[target], config)
        else:
            labels[target] = split_labels(np.maximum(sizes - 1, 0), how["split"])
        return labels

    # --- which examples there are --------------------------------------------------------------------------------

    def still_examples(self, examples: np.ndarray) -> np.ndarray:
        """Return those of ``examples`` (int64, target rows) that still exist after forgetting, in their order.

        The target must be retained, and so must at least one earlier row of the same user.
        """
        examples = examples[~self.forgotten[examples]]
        exists = ~self.forgotten[examples - 1]  # a target is never the first row of its user
        doubtful = examples[~exists]
        if len(doubtful):
            _, first, place = self._closed_up(doubtful)
            exists[~exists] = place > first
        return examples[exists]

    def train_examples(self) -> np.ndarray:
        """Return the target rows of all retained training examples, int64, ascending."""
        return self.still_examples(super().train_examples())

    def examples_touching(self, rows: np.ndarray) -> np.ndarray:
        """Return the target rows (int64) of the retained training examples that contain any of the log rows (int64).

        An example contains its target and its prefix (the items before it, at most ``MAX_ITEM_LIST_LENGTH``).
        """
        log = self.log
        users = distinct(log.user[rows])
        kept, user_of_kept = self._retained(users)
        targets = np.flatnonzero(log.split[kept] == TRAIN)
        first = np.searchsorted(user_of_kept, log.user[kept[targets]])
        start = np.maximum(targets - self.max_length, first)
        touched = np.concatenate([[0], np.cumsum(held(kept, distinct(rows)))])
        return kept[targets[(touched[targets + 1] > touched[start]) & (targets > first)]]

    @property
    def matrix_rows(self) -> np.ndarray:
        """The log rows that :meth:`inter_matrix` contains, int64.

        For training data these include each user's first row, which is the target of no example.
        """
        rows = self.shown_rows
        if self.shown != TRAIN:
            return rows
        first = np.flatnonzero((self.log.split == HISTORY) & ~self.forgotten)
        return np.sort(np.concatenate([rows, first[np.isin(self.log.user[first], self.log.user[rows])]]))

    # --- sequences -----------------------------------------------------------------------------------------------

    def collate(self, examples: np.ndarray) -> Interaction:
        """Return the batch of examples (int64 [n], target rows) as they are after forgetting, in RecBole's fields.

        The fields are the user, the target item, the items before it ``item_id_list`` (int64 [n, width], oldest first,
        padded with 0 on the right) and their number ``item_length``. For a model whose class sets ``trims``, the width
        is the length of the longest list in the batch. For any other model the width is ``MAX_ITEM_LIST_LENGTH``, and
        the batch also has the log's further columns: the target's values, and ``<column>_list`` for the items before.
        """
        log = self.log
        rows, lengths = self.windows(examples)
        if not self.trims:
            rows = np.pad(rows, ((0, 0), (0, self.max_length - rows.shape[1])), constant_values=-1)
        columns = {self.iid_field: log.item} | ({} if self.trims else self.columns)
        batch = {self.uid_field: log.user[examples]}
        for name, values in columns.items():
            batch[name] = values[examples]
            batch[name + self.list_suffix] = np.where(rows >= 0, values[rows], values.dtype.type(0))
        found = Interaction(batch | {self.length_field: lengths})
        return found if self.transform is None else self.transform(self, found)

    def windows(self, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the log rows of the items before each target (int64 [n], target rows), and their numbers.

        These are the last ``MAX_ITEM_LIST_LENGTH`` retained rows before the target. The time is proportional to the
        batch; only where one of the last ``MAX_ITEM_LIST_LENGTH`` rows is forgotten are older rows searched.

        Returns:
            Log rows int64 [n, longest], oldest first, padded with -1 on the right; and the number of rows, int64 [n].
        """
        first = self.log.offsets[self.log.user[targets]]
        lengths = np.minimum(targets - first, self.max_length)
        column = np.arange(lengths.max(initial=1))
        rows = np.where(column < lengths[:, None], (targets - lengths)[:, None] + column, -1)
        broken = np.flatnonzero((self.forgotten[rows] & (rows >= 0)).any(axis=1))
        if len(broken):
            kept, start, place = self._closed_up(targets[broken])
            lengths[broken] = np.minimum(place - start, self.max_length)
            within = np.minimum((place - lengths[broken])[:, None] + column, len(kept) - 1)
            rows[broken] = np.where(column < lengths[broken, None], kept[within], -1)
            rows = rows[:, : lengths.max()]
        return rows, lengths

    def _retained(self, users: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the retained log rows of users (ascending ids), and the user id of each row."""
        rows = self.log.rows_of(users)
        rows = rows[~self.forgotten[rows]]
        return rows, self.log.user[rows]

    def _closed_up(self, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the retained log rows of the targets' users, one user after the other, and the targets' places there.

        Returns:
            Three int64 arrays: the retained rows, followed by -1; and for each target the index in this array of the
            first row of its user, and of the target itself (or of the next row, if the target is forgotten).
        """
        users = self.log.user[targets]
        kept, user_of_kept = self._retained(distinct(users))
        return np.append(kept, -1), np.searchsorted(user_of_kept, users), np.searchsorted(kept, targets)

    # --- evaluation ----------------------------------------------------------------------------------------------

    def questions(self, split: str) -> EvalRows:
        """Return one evaluation row (ranking) for each retained target of ``split`` with a retained row before it.

        The other retained targets are counted in ``n_skipped``. All items are candidates, also those that the user
        already has, because users return to known items.
        """
        targets = np.flatnonzero((self.log.split == SPLITS[split]) & ~self.forgotten)
        kept = self.still_examples(targets)
        return self._questions(kept, len(targets) - len(kept))

    def labelled(self, rows: EvalRows, split: str) -> Labelled:
        """Return the target item of each evaluation row (ranking) with its binary label."""
        return Labelled.of(self, rows.number, rows.positives)

    def exposure_rows(self, users: np.ndarray) -> EvalRows:
        """Return one evaluation row, an input to rank items for, per user: the last test example not forgotten.

        ERASE uses the same examples. The result's ``n_skipped`` counts the users without such an example.

        Args:
            users: ids of users, int64.
        """
        rows = self.log.rows_of(users)
        rows = self.still_examples(rows[self.log.split[rows] == SPLITS["test"]])
        last = np.diff(self.log.user[rows], append=-1) != 0
        return self._questions(rows[last], len(users) - int(last.sum()))

    def _questions(self, targets: np.ndarray, n_skipped: int) -> EvalRows:
        """Return an evaluation row for each target row (int64); rows forgotten later do not change the result."""
        n = len(targets)
        positives = Ragged(self.log.item[targets], np.arange(n + 1))
        history = Ragged(np.empty(0, dtype=np.int64), np.zeros(n + 1, dtype=np.int64))
        inputs = Questions(self.masked(self.forgotten.copy()), targets)
        entity, vocabulary = self.log.user[targets], self.log.vocabulary
        return EvalRows(inputs, entity, positives, history, n_skipped, vocabulary=vocabulary)
