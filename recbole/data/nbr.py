"""Next-basket recommendation: a training example is a target basket with the baskets before it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from recbole.data.baskets import BasketLog, make_log, read_baskets
from recbole.data.batch_fields import BASKET_LENGTHS, HISTORY_ITEMS, HISTORY_LENGTH, TARGET_ITEMS, TARGET_LENGTH
from recbole.data.dataset import Dataset
from recbole.data.ids import distinct, held
from recbole.data.interaction import Interaction
from recbole.data.log import ranges
from recbole.data.questions import EvalRows, Labelled, Questions
from recbole.data.ragged import Ragged
from recbole.data.split import HISTORY, SPLITS, TRAIN
from recbole.utils import UserError

if TYPE_CHECKING:
    from recbole.config import Config


class NextBasketDataset(Dataset):
    """Data for next-basket recommendation: an example is a target basket to predict from the baskets before it.

    All baskets are numbered, and the number of the target basket identifies the example. A user's last basket is the
    test target, the one before it the validation target, and the one before that the training target; forgetting never
    changes this. All baskets before a target are its history. If forgetting empties a target basket, its example
    disappears, and no other basket becomes the target. An emptied history basket is skipped, so that an older one may
    be among the last ``MAX_NBR_HISTORY_BASKETS``. A target without any history is no example. Items may be bought
    again, so all items are candidates in rankings.

    Unlike in ERASE, every item has an id, basket lengths are exact, histories contain no empty baskets, and a batch is
    only as wide as its own largest example.
    """

    task_type = "NBR"
    log: BasketLog

    def __init__(self, config: Config, log: BasketLog, forgotten: np.ndarray | None = None) -> None:
        super().__init__(config, log, forgotten)
        self.max_baskets = _limit(config["MAX_NBR_HISTORY_BASKETS"])
        self.max_items = _limit(config["MAX_NBR_BASKET_SIZE"])

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Read ``<dataset>_merged.json`` (or ``NEXT_BASKET_JSON``) and label its baskets with their splits.

        Raises:
            UserError: ``NEXT_BASKET_SPLIT_RATIO`` is set, the file cannot be read, or no user has enough baskets.
        """
        if config["NEXT_BASKET_SPLIT_RATIO"] is not None:
            raise UserError(
                "NEXT_BASKET_SPLIT_RATIO is not available, because in ERASE it makes training and validation the same; "
                "leave it null (the last basket is the test target, the one before it the validation target)"
            )
        path = Path(config["data_path"]) / (config["NEXT_BASKET_JSON"] or f"{config['dataset']}_merged.json")
        least = config["MIN_NBR_BASKET_COUNT"]
        baskets = read_baskets(path).distinct().with_at_least(least)
        if not baskets.users:
            raise UserError(f"{path}: no user has {least} baskets or more (MIN_NBR_BASKET_COUNT)")
        log = make_log(config["dataset"], baskets)
        return cls(config, replace(log, split=_basket_labels(log)))

    def read_spam(self, path: Path) -> BasketLog:
        """Read the basket file of a spam attack as a log with split labels.

        Its baskets are numbered after those of this data set.
        """
        baskets = read_baskets(path).distinct().with_at_least(1)
        if not baskets.users:
            raise UserError(f"{path}: the file contains no baskets")
        log = make_log(path.stem, baskets)
        columns = {"basket": log.basket + len(self.log.basket_user)}
        return replace(log, split=_basket_labels(log), columns=columns)

    # --- examples ------------------------------------------------------------------------------------------------

    def collate(self, examples: np.ndarray) -> Interaction:
        """Return the batch of examples (int64 [n], numbers of target baskets) as they are after forgetting.

        In this batch, let H be the largest number of baskets in a history, B the largest number of items in a history
        basket, and C the largest number of items in a target. All columns are int64: ``history_item_matrix`` [n, H, B],
        item ids, oldest basket first, padded with 0; ``history_basket_length`` [n], the number of history baskets;
        ``history_item_length_per_basket`` [n, H], the number of items in each; ``target_item_list`` [n, C], item ids
        padded with -1; ``target_item_length`` [n], the number of items in the target; and the user id [n]. History
        baskets are cut to their first ``MAX_NBR_BASKET_SIZE`` items, targets are not cut.
        """
        log, n = self.log, len(examples)
        rows, owner, slot, place, lengths = self._windows(examples)
        shape = (n, int(lengths.max(initial=1)), int(place.max(initial=0)) + 1)
        history = np.zeros(shape, dtype=np.int64)
        history[owner, slot, place] = log.item[rows]
        rows, owner = self._retained(log.basket_offsets[examples], log.basket_offsets[examples + 1])
        sizes = np.bincount(owner, minlength=n)
        targets = np.full((n, int(sizes.max(initial=1))), -1)
        targets[owner, np.arange(len(rows)) - (np.cumsum(sizes) - sizes)[owner]] = log.item[rows]
        return Interaction({
            self.uid_field: log.basket_user[examples],
            HISTORY_ITEMS: history,
            HISTORY_LENGTH: lengths,
            BASKET_LENGTHS: np.count_nonzero(history, axis=2),
            TARGET_ITEMS: targets,
            TARGET_LENGTH: sizes,
        })  # fmt: skip

    def _retained(self, starts: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the retained log rows in the ranges ``starts[i]:stops[i]``, and the index ``i`` of each row; int64."""
        rows, owner = ranges(starts, stops), np.repeat(np.arange(len(starts)), stops - starts)
        kept = ~self.forgotten[rows]
        return rows[kept], owner[kept]

    def _before(self, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the retained log rows of all baskets before each target, and for each row the index of its target.

        ``targets`` are numbers of baskets; both arrays are int64.
        """
        log = self.log
        return self._retained(log.offsets[log.basket_user[targets]], log.basket_offsets[targets])

    def _windows(self, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return each target's window: the last ``MAX_NBR_HISTORY_BASKETS`` baskets before it that are not empty.

        Of each basket, the window has the first ``MAX_NBR_BASKET_SIZE`` retained items.

        Returns:
            Five int64 arrays ``(rows, owner, slot, place, lengths)``. The first four have an element for each item in a
            window: its log row, the index of its target, the index of its basket in the window, and the item's index in
            the basket. ``lengths`` [targets] is the number of baskets in each window.
        """
        rows, owner = self._before(targets)
        first = np.flatnonzero(np.diff(owner, prepend=-1) | np.diff(self.log.basket[rows], prepend=-1))
        sizes = np.diff(first, append=len(rows))
        basket = np.repeat(np.arange(len(first)), sizes)
        place = np.arange(len(rows)) - first[basket]
        counts = np.bincount(owner[first], minlength=len(targets))
        from_end = np.cumsum(counts)[owner] - basket  # 1 for the last basket before the target
        lengths = np.minimum(counts, self.max_baskets)
        inside = (from_end <= self.max_baskets) & (place < self.max_items)
        slot = lengths[owner] - from_end
        return rows[inside], owner[inside], slot[inside], place[inside], lengths

    def _askable(self, targets: np.ndarray) -> np.ndarray:
        """Return for each target whether it has a history, that is, a retained item in an earlier basket; bool."""
        return np.bincount(self._before(targets)[1], minlength=len(targets)) > 0

    def _filled(self, targets: np.ndarray) -> np.ndarray:
        """Return for each target basket whether it has a retained item, bool."""
        _, owner = self._retained(self.log.basket_offsets[targets], self.log.basket_offsets[targets + 1])
        return np.bincount(owner, minlength=len(targets)) > 0

    def still_examples(self, examples: np.ndarray) -> np.ndarray:
        """Return those of ``examples`` (int64, target baskets) that have a retained item and a retained history."""
        return examples[self._filled(examples) & self._askable(examples)]

    def train_examples(self) -> np.ndarray:
        """Return the target baskets of all retained training examples, int64, ascending."""
        return self.still_examples(self.log.targets[TRAIN])

    def users_of(self, examples: np.ndarray) -> np.ndarray:
        """Return the user id of each example, int64."""
        return self.log.basket_user[examples]

    def examples_of(self, users: npt.ArrayLike) -> np.ndarray:
        """Return the target baskets (int64) of the retained training examples of users (int64 ids)."""
        return self.still_examples(self.log.target_of(users, TRAIN))

    def examples_touching(self, rows: np.ndarray) -> np.ndarray:
        """Return the target baskets (int64) of the retained training examples that contain any log row in ``rows``.

        An example contains its target basket and its input. The input is cut to the last ``MAX_NBR_HISTORY_BASKETS``
        baskets of ``MAX_NBR_BASKET_SIZE`` items each.
        """
        examples = self.examples_of(distinct(self.log.user[rows]))
        history, owner, *_ = self._windows(examples)
        targets, target_owner = self._retained(self.log.basket_offsets[examples], self.log.basket_offsets[examples + 1])
        hit = held(np.concatenate([history, targets]), distinct(rows))
        return examples[distinct(np.concatenate([owner, target_owner])[hit])]

    def draw_examples(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Draw up to ``n`` retained training examples uniformly, in O(n) time; return target baskets, ascending."""
        candidates = self.log.targets[TRAIN]
        if 4 * n < len(candidates):
            candidates = candidates[distinct(generator.integers(len(candidates), size=4 * n))]
        return np.sort(generator.permutation(self.still_examples(candidates))[:n])

    def aims_at(self, examples: np.ndarray, items: npt.ArrayLike) -> np.ndarray:
        """Return for each example whether one of the items (int64 ids) is retained in its target basket, bool."""
        rows, owner = self._retained(self.log.basket_offsets[examples], self.log.basket_offsets[examples + 1])
        return np.bincount(owner[np.isin(self.log.item[rows], items)], minlength=len(examples)) > 0

    def in_training(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return for each log row whether it is retained and in a training target or in the history before it, bool."""
        return (self.log.split[rows] <= TRAIN) & ~self.forgotten[rows]

    # --- evaluation ----------------------------------------------------------------------------------------------

    def questions(self, split: str) -> EvalRows:
        """Return one evaluation row (ranking) for each target basket of the split with a retained item and a history.

        The other target baskets of the split are counted in ``n_skipped``.
        """
        targets = self.log.targets[SPLITS[split]]
        kept = self.still_examples(targets)
        rows, owner = self._retained(self.log.basket_offsets[kept], self.log.basket_offsets[kept + 1])
        offsets = np.searchsorted(owner, np.arange(len(kept) + 1))
        return self._questions(kept, Ragged(self.log.item[rows], offsets), len(targets) - len(kept))

    def labelled(self, rows: EvalRows, split: str) -> Labelled:
        """Raise a UserError, because items in baskets have no labels."""
        raise UserError(
            f"eval_args mode of {split}: labeled needs CF or SBR data, because items in baskets have no labels; "
            "set the mode to full, uniN or popN"
        )

    def exposure_rows(self, users: np.ndarray) -> EvalRows:
        """Return one evaluation row (ranking) for each user (int64 ids) with a retained history before the test target.

        No item is relevant. The other users are counted in ``n_skipped``.
        """
        targets = self.log.target_of(users, SPLITS["test"])
        kept = targets[self._askable(targets)]
        return self._questions(kept, _nothing(len(kept)), len(users) - len(kept))

    def _questions(self, targets: np.ndarray, positives: Ragged, n_skipped: int) -> EvalRows:
        """Return an evaluation row for each target basket (int64); rows forgotten later do not change the result."""
        frozen = self.masked(self.forgotten.copy())
        entity = self.log.basket_user[targets]
        inputs, nothing, vocabulary = Questions(frozen, targets), _nothing(len(targets)), self.log.vocabulary
        return EvalRows(inputs, entity, positives, nothing, n_skipped, vocabulary=vocabulary)

    def __str__(self) -> str:
        return f"{super().__str__()}, {len(self.log.basket_user)} baskets"


def _basket_labels(log: BasketLog) -> np.ndarray:
    """Return the split label of each row, int8.

    A user's last three baskets are the training, validation and test target; earlier ones are history.
    """
    from_end = log.user_baskets[log.basket_user + 1] - np.arange(len(log.basket_user))  # 1 for a user's last basket
    labels = np.full(len(from_end), HISTORY, dtype=np.int8)
    for distance, split in enumerate(("test", "valid", "train"), start=1):
        labels[from_end == distance] = SPLITS[split]
    return labels[log.basket]


def _limit(value: int | None) -> int:
    """Return a size limit from the configuration; None, 0 and negative values mean no limit."""
    return int(value) if value and value > 0 else np.iinfo(np.int64).max


def _nothing(n_rows: int) -> Ragged:
    return Ragged(np.empty(0, dtype=np.int64), np.zeros(n_rows + 1, dtype=np.int64))
