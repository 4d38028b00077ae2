"""Next-basket recommendation: a training example is a user's target basket with the baskets before it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from recbole.data.baskets import BasketLog, make_log, read_baskets
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

HISTORY_ITEMS = "history_item_matrix"
HISTORY_LENGTH = "history_basket_length"
BASKET_LENGTHS = "history_item_length_per_basket"
TARGET_ITEMS = "target_item_list"
TARGET_LENGTH = "target_item_length"


class NextBasketDataset(Dataset):
    """Baskets; an example is named by the number of its target basket.

    Of each user's baskets, fixed once, the last is the test target, the one before it the validation target, the one
    before that the training target; all baskets before a target are its history. A target basket that forgetting
    empties takes its example with it and nothing is promoted; emptied history baskets close up, and older ones enter
    the window of ``MAX_NBR_HISTORY_BASKETS``; without any history there is no example. Items may be bought again, so
    nothing is left out of a ranking.

    Unlike ERASE: every item has an id, lengths are true, histories hold no empty baskets at their ends, and a batch is
    as wide as its own largest example.
    """

    task_type = "NBR"
    log: BasketLog

    def __init__(self, config: Config, log: BasketLog, forgotten: np.ndarray | None = None) -> None:
        super().__init__(config, log, forgotten)
        self.max_baskets = _limit(config["MAX_NBR_HISTORY_BASKETS"])
        self.max_items = _limit(config["MAX_NBR_BASKET_SIZE"])

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Read ``<dataset>_merged.json`` (or ``NEXT_BASKET_JSON``) and label the baskets."""
        if config["NEXT_BASKET_SPLIT_RATIO"] is not None:
            raise UserError(
                "NEXT_BASKET_SPLIT_RATIO: is not available: in ERASE it makes training and validation the same; "
                "leave it null (the last basket is the test target, the one before it validates)"
            )
        path = Path(config["data_path"]) / (config["NEXT_BASKET_JSON"] or f"{config['dataset']}_merged.json")
        least = config["MIN_NBR_BASKET_COUNT"]
        baskets = read_baskets(path).distinct().with_at_least(least)
        if not baskets.users:
            raise UserError(f"{path}: no user has {least} baskets (MIN_NBR_BASKET_COUNT)")
        log = make_log(config["dataset"], baskets)
        return cls(config, replace(log, split=_basket_labels(log)))

    def read_spam(self, path: Path) -> BasketLog:
        """Return the attack in a file of baskets as a labelled log; its baskets are numbered after this data set's."""
        baskets = read_baskets(path).distinct().with_at_least(1)
        if not baskets.users:
            raise UserError(f"{path}: holds no basket")
        log = make_log(path.stem, baskets)
        columns = {"basket": log.basket + len(self.log.basket_user)}
        return replace(log, split=_basket_labels(log), columns=columns)

    # --- examples ------------------------------------------------------------------------------------------------

    def collate(self, examples: np.ndarray) -> Interaction:
        """Return the examples' batch.

        Columns, with H, B, C the largest numbers in this batch: ``history_item_matrix`` int64 [n, H, B], baskets from
        the oldest on, 0 where there is no item; ``history_basket_length`` [n]; ``history_item_length_per_basket``
        [n, H]; ``target_item_list`` [n, C], -1 where there is no item; ``target_item_length`` [n]; and the user id.
        ``MAX_NBR_BASKET_SIZE`` cuts history baskets, never targets.
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
        """Return the retained rows of ranges, and which range each is from."""
        rows, owner = ranges(starts, stops), np.repeat(np.arange(len(starts)), stops - starts)
        kept = ~self.forgotten[rows]
        return rows[kept], owner[kept]

    def _before(self, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the retained rows of all baskets before the targets, and which target each is for."""
        log = self.log
        return self._retained(log.offsets[log.basket_user[targets]], log.basket_offsets[targets])

    def _windows(self, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return what each target's history holds once it has closed up and been cut to the window.

        Returns:
            ``(rows, owner, slot, place, lengths)``: log rows; which target each is for; its basket's number in the
            window and its own in the basket, from 0; and the number of baskets in each target's window.
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
        """Return which targets have a retained item before them, bool."""
        return np.bincount(self._before(targets)[1], minlength=len(targets)) > 0

    def _filled(self, targets: np.ndarray) -> np.ndarray:
        """Return which target baskets have a retained item, bool."""
        _, owner = self._retained(self.log.basket_offsets[targets], self.log.basket_offsets[targets + 1])
        return np.bincount(owner, minlength=len(targets)) > 0

    def still_examples(self, examples: np.ndarray) -> np.ndarray:
        """Return those of the target baskets that have an item left, and an item before them."""
        return examples[self._filled(examples) & self._askable(examples)]

    def train_examples(self) -> np.ndarray:
        """Return every retained training example, int64, ascending."""
        return self.still_examples(self.log.targets[TRAIN])

    def users_of(self, examples: np.ndarray) -> np.ndarray:
        """Return whose examples they are, int64 user ids."""
        return self.log.basket_user[examples]

    def examples_of(self, users: npt.ArrayLike) -> np.ndarray:
        """Return the retained training examples of the users (int64 ids)."""
        return self.still_examples(self.log.target_of(users, TRAIN))

    def examples_touching(self, rows: np.ndarray) -> np.ndarray:
        """Return the retained training examples with one of the rows in the target or the history's window."""
        examples = self.examples_of(distinct(self.log.user[rows]))
        history, owner, *_ = self._windows(examples)
        targets, target_owner = self._retained(self.log.basket_offsets[examples], self.log.basket_offsets[examples + 1])
        hit = held(np.concatenate([history, targets]), distinct(rows))
        return examples[distinct(np.concatenate([owner, target_owner])[hit])]

    def draw_examples(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Return at most ``n`` distinct retained training examples, drawn evenly, at a cost that follows ``n``."""
        candidates = self.log.targets[TRAIN]
        if 4 * n < len(candidates):
            candidates = candidates[distinct(generator.integers(len(candidates), size=4 * n))]
        return np.sort(generator.permutation(self.still_examples(candidates))[:n])

    def aims_at(self, examples: np.ndarray, items: npt.ArrayLike) -> np.ndarray:
        """Return which of the examples have one of the items (int64) in the target basket, bool."""
        rows, owner = self._retained(self.log.basket_offsets[examples], self.log.basket_offsets[examples + 1])
        return np.bincount(owner[np.isin(self.log.item[rows], items)], minlength=len(examples)) > 0

    def in_training(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return which of the log rows are retained ones of the baskets up to the training target, bool."""
        return (self.log.split[rows] <= TRAIN) & ~self.forgotten[rows]

    # --- evaluation ----------------------------------------------------------------------------------------------

    def questions(self, split: str) -> EvalRows:
        """Ask once for each target basket of the split that has an item left, and one before it."""
        targets = self.log.targets[SPLITS[split]]
        kept = self.still_examples(targets)
        rows, owner = self._retained(self.log.basket_offsets[kept], self.log.basket_offsets[kept + 1])
        offsets = np.searchsorted(owner, np.arange(len(kept) + 1))
        return self._questions(kept, Ragged(self.log.item[rows], offsets), len(targets) - len(kept))

    def labelled(self, rows: EvalRows, split: str) -> Labelled:
        """Refuse: the items of a basket have no labels."""
        raise UserError(f"eval_args mode of {split}: baskets have no labels; labeled is for CF and SBR")

    def exposure_rows(self, users: np.ndarray) -> EvalRows:
        """Ask once for each user with an item left before the test target; nothing is to be found."""
        targets = self.log.target_of(users, SPLITS["test"])
        kept = targets[self._askable(targets)]
        return self._questions(kept, _nothing(len(kept)), len(users) - len(kept))

    def _questions(self, targets: np.ndarray, positives: Ragged, n_skipped: int) -> EvalRows:
        frozen = self.masked(self.forgotten.copy())
        entity = self.log.basket_user[targets]
        asked, nothing, vocabulary = Questions(frozen, targets), _nothing(len(targets)), self.log.vocabulary
        return EvalRows(asked, entity, positives, nothing, n_skipped, vocabulary=vocabulary)

    def __str__(self) -> str:
        return f"{super().__str__()}, {len(self.log.basket_user)} baskets"


def _basket_labels(log: BasketLog) -> np.ndarray:
    """Label the rows of each user's last three baskets train, valid and test, and those before them history (int8)."""
    from_end = log.user_baskets[log.basket_user + 1] - np.arange(len(log.basket_user))  # 1 for a user's last basket
    labels = np.full(len(from_end), HISTORY, dtype=np.int8)
    for distance, split in enumerate(("test", "valid", "train"), start=1):
        labels[from_end == distance] = SPLITS[split]
    return labels[log.basket]


def _limit(value: int | None) -> int:
    """Return a size limit of the configuration; 0 or less is none."""
    return int(value) if value and value > 0 else np.iinfo(np.int64).max


def _nothing(n_rows: int) -> Ragged:
    return Ragged(np.empty(0, dtype=np.int64), np.zeros(n_rows + 1, dtype=np.int64))
